"""What a comparison says in words: its answer, and what its user should know before believing it."""

import itertools
import math
import statistics
from collections.abc import Iterable
from dataclasses import replace

from stepwell.lab.comparisons.contest import Contest
from stepwell.lab.comparisons.judge import Standing, fewest, surer
from stepwell.lab.names import count
from stepwell.lab.sweeps import answer
from stepwell.lab.sweeps.sampled import FEW, MORE
from stepwell.lab.sweeps.strategy import per_decade
from stepwell.rule import Rule
from stepwell.rules import named

INCLUSION = "Choi et al. 2019, https://arxiv.org/abs/1910.05446"


def sentence(contest: Contest) -> str:
    """Which optimizer is best on a task, by how much, and who is not told from it."""
    if not contest.judgement:
        lost = contest.results.runs and all(run.loss is None for run in contest.results.runs)
        why = "every run diverged; try smaller learning rates, or look at the data and the model"
        return f"{contest.name}: {why if lost else 'nothing can be said yet'}."
    first, *others = contest.judgement.standings
    if not math.isfinite(min(contest.judgement.losses[first.optimizer])):
        return f"{contest.name}: every run diverged on the fresh seeds; try smaller learning rates."
    text = f"{contest.name}: {_setting(contest, first.optimizer)} is {_how_good(contest, first)}"
    for verdict, why in (("worse", ""), ("slightly worse", ", less than other seeds make")):
        if gaps := [_gap(each) for each in others if each.verdict == verdict]:
            text += f"; {verdict} {'is' if len(gaps) == 1 else 'are'} {_list(gaps)}{why}"
    if tied := [each.optimizer for each in others if each.verdict == "tie"]:
        text += f"; {_list(tied)} cannot be told from it"
    return text + "."


def lines(contest: Contest) -> str:
    """Python that makes the leader for `model`; empty where there is none, or it is no rule of this library."""
    runs = contest.confirmed.get(contest.leader or "", [])
    return answer.lines(replace(contest.confirmation, runs=runs)) if runs else ""


def warnings(contest: Contest) -> list[str]:
    """What speaks against the comparison on a task, each with what to do about it."""
    found = [] if contest.results.complete else ["interrupted: this is what was done until then."]
    found += _seeds(contest) + _ties(contest)
    if contest.judgement and contest.judgement.noise == math.inf:
        found.append(
            f"some of {contest.leader}'s runs diverged at its best setting: other seeds make any difference, and none "
            "is more than slight; smaller learning rates, or a longer warm-up, are safer."
        )
    narrow = {name: text for name in contest.optimizers if (text := _narrow(contest, name))}
    edges = {name: contest.edges(name) for name in contest.optimizers if name not in narrow}
    found += [f"{name}: {_edge(contest, name, ends)}" for name, ends in edges.items() if ends]
    return found + list(narrow.values())


def _seeds(contest: Contest) -> list[str]:
    normal, any_law = fewest(contest.results.settings["level"], len(contest.optimizers))
    among = f" among {len(contest.optimizers)} optimizers" if len(contest.optimizers) > 2 else ""
    seeds = len(contest.results.settings["confirmation"])
    if seeds >= any_law:
        return []
    needs = f"{any_law} are needed for a claim{among} that does not take differences to be normal: --seeds {any_law}"
    nothing = f"{count(seeds, 'seed')} cannot show a difference, and every pair is a tie; {normal} can, {needs}."
    return [nothing if seeds < normal else f"{count(seeds, 'seed')} are few; {needs}."]


def _ties(contest: Contest) -> list[str]:
    """Why an optimizer is a tie though its interval is all above 0."""
    standings = contest.judgement.standings if contest.judgement else ()
    names = [each.optimizer for each in standings if each.verdict == "tie" and each.against and each.against.sign]
    if not names or not contest.judgement:
        return []
    needed = 100 * surer(contest.judgement.each)
    return [
        f"{_list(names)}: a tie, though the interval is above 0: a difference within the noise floor counts only if an "
        f"interval at {needed:.4g} % is above 0, too."
    ]


def _edge(contest: Contest, name: str, ends: dict[str, str]) -> str:
    ranges = _list([f"the {end}est {_word(key)} that was tried" for key, end in ends.items()])
    return f"its best setting has {ranges}, and a better one may lie beyond; {_wider(contest, ends)}"


def _wider(contest: Contest, ends: Iterable[str]) -> str:
    """What widens the space of these hyperparameters, where it can be for all optimizers alike."""
    if contest.results.settings["sampler"]:
        rate = "a `stepwell.lab.candidates.Candidate` with another `rate` has another middle of its range"
        others = [_word(key) for key in ends if key != "lr"]
        fixed = (
            f"the range of {_list(others)} is fixed; a function that makes the optimizer with another can be compared"
        )
        return "; ".join([rate] * ("lr" in ends) + [fixed] * bool(others)) + "."
    tried = contest.results.settings["rates"]
    decades = (tried - 1) / per_decade(tried) + 2
    more = next(rates for rates in itertools.count(tried) if (rates - 1) / per_decade(rates) >= decades)
    return f"--trials {more} has rates a factor of ten further on both sides, for every optimizer."


def _narrow(contest: Contest, name: str) -> str:
    """Words about an optimizer that loses to a case of it, with a space not searched far enough to say so; or none."""
    if not contest.judgement or not (momentum := _adaptive(named.get(name))):
        return ""
    beaten = [
        other for other in contest.optimizers if _plain(named.get(other)) and contest.judgement.worse(name, other)
    ]
    spaces, edges = contest.results.settings["spaces"][name], contest.edges(name)
    missing = [_word(key) for key in (momentum, "eps") if key not in spaces and f"1-{key}" not in spaces]
    if not beaten or not (missing or edges):
        return ""
    searched = f"{_list(missing)} {'was' if len(missing) == 1 else 'were'} not searched" if missing else ""
    ends = _list([f"its best {_word(key)} is the {end}est that was tried" for key, end in edges.items()])
    decay = ", with a weight_decay of 0," if "weight_decay" in named[name].hyperparameters else ""
    return (
        f"{name} loses to {_list(beaten)}, though it is the same{decay} where ε is large and the learning rate in "
        f"proportion ({INCLUSION}): its space was too narrow, for {' and '.join(filter(None, (searched, ends)))}. "
        f"{_search_more(contest, name, missing)}"
    )


def _search_more(contest: Contest, name: str, missing: list[str]) -> str:
    if not missing:
        words = _wider(contest, contest.edges(name))
        return words[0].upper() + words[1:]
    trials = max(MORE, contest.results.settings["rates"])
    return (
        f'--sampler qmc --trials {trials} (in Python sampler="qmc", trials={trials}) searches the rate, the momentum '
        f"and ε of every optimizer; from {FEW} on it leaves out ε alone."
    )


def _adaptive(rule: Rule | None) -> str:
    """The momentum of a rule that has an ε as well, and so is momentum where that is large; empty for any other."""
    known = rule.hyperparameters if rule else {}
    return next((key for key in ("beta", "beta1") if key in known and "eps" in known), "")


def _plain(rule: Rule | None) -> bool:
    """Whether a rule is gradient descent, perhaps with heavy-ball momentum; Nesterov's is no case of Adam."""
    known = set(rule.hyperparameters) if rule else set()
    return bool(rule) and known <= {"lr", "beta", "dampening"} and "nesterov" not in (rule.name if rule else "")


def _setting(contest: Contest, name: str) -> str:
    _, lr, hyper = contest.settings[name]
    more = "".join(f", {_word(key)} {value:.4g}" for key, value in hyper)
    return f"{name} at a learning rate of {lr:g}{more}"


def _how_good(contest: Contest, first: Standing) -> str:
    """ "best, with a mean validation loss of 0.1 over 10 fresh seeds"."""
    assert contest.judgement
    losses = contest.judgement.losses[first.optimizer]
    what = contest.results.task["measured"].partition(" [")[0]
    middle = statistics.median(losses)
    kind, shown = ("mean", first.mean) if math.isfinite(first.mean) else ("median", middle)
    return f"best, with a {kind} {what} of {shown:.4g} over {count(len(losses), 'fresh seed')}"


def _gap(standing: Standing) -> str:
    against = standing.against
    if against is None or not math.isfinite(against.low + against.high):
        return standing.optimizer
    return f"{standing.optimizer} by {against.estimate:.3g} ({against.low:.3g} to {against.high:.3g})"


def _word(key: str) -> str:
    return {"lr": "learning rate", "eps": "ε", "beta": "β", "beta1": "β₁", "rho": "ρ"}.get(key, key)


def _list(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
