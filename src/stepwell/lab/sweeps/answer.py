"""The answer of a search in a sentence, and the lines that use it."""

import ast
import math

from stepwell import schedules
from stepwell.door import class_name
from stepwell.lab.names import count
from stepwell.lab.sweeps.results import Results
from stepwell.lab.sweeps.standing import Standing
from stepwell.rules import named


def sentence(results: Results) -> str:
    """Which optimizer at which rate, how sure that is, and what remains open."""
    places = results.ranking()
    task = results.task
    if not places:
        return f"{task['name']}: nothing was trained."
    first = places[0]
    if not math.isfinite(first.loss.median):
        return f"{task['name']}: every run diverged; try smaller learning rates, or look at the data and the model."
    loss = task["measured"].partition(" [")[0]
    over = "" if first.seeds == 1 else f" ({_range(first)} over {count(first.seeds, 'seed')})"
    text = f"{task['name']}: {setting(first)} is best, with a {loss} of {first.loss.median:.4g}{over}"
    if first.seeds == 1:
        text += "; one seed cannot say how sure that is"
    elif tied := [place.optimizer for place in places[1:] if place.tied]:
        text += f"; {_list(tied)} cannot be told from it"
    elif len(places) > 1:
        text += f", ahead of {'the other' if len(places) == 2 else f'all {len(places) - 1} others'} beyond chance"
    if first.edge:
        text += "; its rate is the outermost that was tried, and a better one may lie beyond"
    return text + "."


def lines(results: Results) -> str:
    """Python that makes the best optimizer for `model`; empty where nothing was found, or it is none of this library's.

    A schedule that is none of this library's is named in a comment.
    """
    places = results.ranking()
    if not places or not math.isfinite(places[0].loss.median) or not _is_rule(results, places[0].optimizer):
        return ""
    first, task = places[0], results.task
    rule = named[first.optimizer]
    rate = f"{first.lr:g}"
    imports = []
    if given := task["schedule"]:
        if followed := _expression(given):
            imports = ["from stepwell import schedules"]
            rate += f" * {followed}"
        else:
            imports = [f"# times the schedule of the task, {' '.join(given.split())}"]
    hyper = "".join(f", {name}={value:.6g}" for name, value in first.hyper.items())
    clip = f", clip_norm={task['clip_norm']:g}" if task["clip_norm"] else ""
    imports += [f"from stepwell.rules import {rule.name}", "from stepwell.torch import from_rule"]
    own = own_class(rule.name)
    if own:
        imports[-2:] = [f"from stepwell.torch import {own}"]
    make = own or f"from_rule({rule.name})"
    return "\n".join([*imports, f"optimizer = {make}(model.parameters(), lr={rate}{hyper}{clip})"])


def own_class(name: str) -> str:
    """The class of `stepwell.torch` that is this rule and nothing else; empty where a torch name stands for several."""
    import stepwell.torch as door

    own = class_name(named[name])
    return own if getattr(getattr(door, own, None), "rule", None) is named[name] else ""


def _is_rule(results: Results, name: str) -> bool:
    return name in named and name not in results.settings.get("foreign", {})


def _expression(schedule: str) -> str:
    """A schedule's `repr` as Python, with the names from `schedules`; empty if it has any other.

    >>> _expression("0.5 * warmup(10).then(cosine(steps=9, rate=1.0, end=0.0))")
    '0.5 * schedules.warmup(10).then(schedules.cosine(steps=9, rate=1.0, end=0.0))'
    >>> _expression("mine.<locals>.<lambda>"), _expression("mine(steps=3)")
    ('', '')
    """
    try:
        tree = ast.parse(schedule, mode="eval")
    except SyntaxError:
        return ""
    if not any(isinstance(part, ast.Call) for part in ast.walk(tree)):
        return ""
    for part in ast.walk(tree):
        if isinstance(part, ast.Name):
            if part.id not in schedules.named():
                return ""
            part.id = f"schedules.{part.id}"
    return ast.unparse(tree)


def setting(place: Standing) -> str:
    """An optimizer and its hyperparameters."""
    more = "".join(f", {name} {value:.4g}" for name, value in place.hyper.items())
    return f"{place.optimizer} at a learning rate of {place.lr:g}{more}"


def _range(place: Standing) -> str:
    return f"{place.loss.low:.4g} to {place.loss.high:.4g}" if math.isfinite(place.loss.high) else "some diverged"


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
