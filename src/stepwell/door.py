"""What every door derives from a rule, its class's name and the signature of its constructor; which doors there are."""

import ast
import functools
import importlib.util
import inspect
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stepwell.rule import Rule


def class_name(rule: Rule) -> str:
    """A rule's name as classes are named.

    >>> from stepwell import rules
    >>> class_name(rules.rmsprop_centered)
    'RmspropCentered'
    """
    return "".join(word.capitalize() for word in rule.name.split("_"))


def classes(own: Iterable[str] = ()) -> dict[str, Rule]:
    """Every rule of the library by its class's name, but for names that a door has given already, in any case.

    >>> sorted(set(classes()) - set(classes(["NAdam", "Adam"])))
    ['Adam', 'Nadam']
    """
    from stepwell.rules import named

    taken = {name.lower() for name in own}
    return {class_name(rule): rule for rule in named.values() if class_name(rule).lower() not in taken}


def signature(rule: Rule, options: Mapping[str, Any]) -> inspect.Signature:
    """`(params, hyperparameters…, weight_decay, *, options…)`; a rule with a decay of its own keeps it in its place."""
    kind = inspect.Parameter
    found = [kind("params", kind.POSITIONAL_OR_KEYWORD), *hyperparameters(rule)]
    if "weight_decay" not in rule.hyperparameters:
        found.append(kind("weight_decay", kind.POSITIONAL_OR_KEYWORD, default=0.0))
    return inspect.Signature([*found, *(kind(k, kind.KEYWORD_ONLY, default=v) for k, v in options.items())])


def hyperparameters(rule: Rule) -> list[inspect.Parameter]:
    """The hyperparameters of a rule as those of a function, the ones without a default first."""
    kind = inspect.Parameter
    hypers = sorted(rule.hyperparameters.values(), key=lambda h: h.default is not None)
    defaults = [kind.empty if hyper.default is None else hyper.default for hyper in hypers]
    return [
        kind(hyper.name, kind.POSITIONAL_OR_KEYWORD, default=default)
        for hyper, default in zip(hypers, defaults, strict=True)
    ]


def needs(framework: str, package: str) -> ImportError:
    """The error of a door whose framework is missing: which one, and what installs it.

    >>> needs("jax", "optax")
    ImportError('stepwell.jax needs optax: pip install optax')
    """
    return ImportError(f"stepwell.{framework} needs {package}: pip install {package}")


@functools.cache
def names() -> tuple[str, ...]:
    """The doors of this package, each named as the framework that it imports; none of them is imported.

    A door is a room whose own module has a `from_rule`.

    >>> names()[-1]
    'torch'
    """
    rooms = Path(__file__).parent.iterdir()
    return tuple(sorted(room.stem for room in rooms if _has_from_rule(room / "__init__.py" if room.is_dir() else room)))


def installed() -> tuple[str, ...]:
    """The doors whose framework can be imported here."""
    return tuple(name for name in names() if importlib.util.find_spec(name) is not None)


def _has_from_rule(module: Path) -> bool:
    if module.suffix != ".py" or not module.exists():
        return False
    top = ast.parse(module.read_text("utf-8")).body
    imported = {alias.asname or alias.name for node in top if isinstance(node, ast.ImportFrom) for alias in node.names}
    return "from_rule" in imported | {node.name for node in top if isinstance(node, ast.FunctionDef)}
