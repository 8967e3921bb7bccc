"""Steps that are too long, too short, or lead nowhere."""

import math
from itertools import pairwise

from stepwell.lab.health.course import EARLY, HASTY, SHORT, Course, ratio
from stepwell.lab.health.finding import Seen, sign

OVERSHOT = 20.0  # times its first value that a loss may not reach
RISEN = 1.25  # the same, for a rise that passes
SPIKE = 1.5  # the same, for one of the very beginning
RISE = 1.1  # the same of a single loss, where it never falls again
GROWN = 5.0  # times that the weights may not grow while the loss rises
LONG = 0.2  # share of the weights that a step may not change, step after step
CLEAR = 0.15  # cosine of gradients that follow each other, above which they have a direction
FAINT = 0.35  # and below which one that leads nowhere has none
SMALL = 5e-4  # ‖Δp‖/‖p‖ of steps that are shorter than usual
TINY = 3e-4  # and of those that are so beyond doubt
FEW = 5  # losses, the largest of which a batch that is hard by chance may be
REACH = 0.12  # of the first loss, that all steps together must at least be able to change


@sign("the learning rate is too high", explains=("nan_loss", "missing_warmup", "no_signal", "dead_relu"))
def rate_too_high(course: Course) -> Seen | None:
    """The loss rises far, or does not fall while steps are long or weights grow."""
    if not course.losses or not course.first > 0:
        return None
    step = next((k for k, loss in enumerate(course.losses) if loss > RISEN * course.first), 0)
    grew = course.growth > GROWN and course.spike > SPIKE
    stuck = course.flat and (course.growth > 2 or course.peak > 2) and course.peak > RISEN
    long = (course.typical(ratio) or 0.0) > LONG and course.fallen < 0.5
    if not (course.peak > OVERSHOT or grew or stuck or long or _fails(course)):
        return None
    seen = []
    if course.peak > RISEN:
        seen.append(f"the loss rose from {course.first:.3g} to {course.peak * course.first:.3g}")
    if course.failed is not None:
        seen.append(f"was not finite from step {course.failed} on")
    if course.growth > 2:
        seen.append(f"the weights grew {course.growth:.3g}-fold")
    longest = max((x for s in course.samples if (x := ratio(s)) is not None), default=math.nan)
    seen.append(
        f"a step changed the weights by up to {f'{longest:.0%}' if longest < 2 else f'{longest:.3g} times over'}"
    )
    return Seen(step, ", ".join([*seen, *_sharp(course)]), _lower(course))


def _fails(course: Course) -> bool:
    """Whether it ends in numbers that are not finite, after a rise."""
    return course.failed is not None and course.peak > 2


def _sharp(course: Course) -> list[str]:
    """The rate beside 2/λ, beyond which gradient descent on a quadratic diverges."""
    known = [(s, s.sharpness) for s in course.samples if s.sharpness is not None and s.sharpness > 0]
    return [f"the sharpness λ was {x:.3g} at step {s.step}, lr·λ = {s.lr * x:.3g}" for s, x in known[:1]]


def _lower(course: Course) -> str:
    rates = [s.lr for s in course.samples if s.lr > 0]
    tried = f": {max(rates) / 10:.2g} or {max(rates) / 100:.2g}" if rates else ""
    return f"lower the learning rate ten- to hundredfold{tried}; lab.find_lr finds the best"


@sign("the first steps are too long: warm-up is missing", explains=("no_signal",))
def missing_warmup(course: Course) -> Seen | None:
    """The very first steps go too far, which the loss shows: it rises and comes down, or never falls."""
    early = course.early
    turn = course.typical(lambda s: s.turn, [s for s in early if s.step < EARLY / 2])
    harmed = course.peak > SPIKE or (course.flat and course.spike > RISE)
    if course.hasty < HASTY or turn is None or turn < -0.1 or not harmed:
        return None
    later = course.typical(ratio) or 0.0
    what = (
        "the loss has not fallen since"
        if course.flat
        else f"the loss rose to {course.peak:.2g} times what it was at first"
    )
    return Seen(
        0,
        f"the first steps changed up to {course.hasty:.0%} of the weights, later ones {later:.2%}, and went past where "
        f"they should have ended (the next gradient's cosine with the step is {turn:+.2f}); {what}",
        "let the rate rise from near 0 over the first 5 to 10 % of the steps: "
        "lr=schedules.warmup(steps).then(…), or LinearLR",
    )


@sign("the learning rate is too low")
def rate_too_low(course: Course) -> Seen | None:
    """All steps together could have changed the loss by a few percent at most."""
    if course.failed is None and (still := _still(course)) is not None:
        return still
    if course.steps < SHORT / 2 or course.failed is not None or not course.reach < REACH:
        return None
    signal, size = course.typical(lambda s: s.signal), course.typical(ratio)
    clear = signal is not None and signal > CLEAR
    if not size or size > (SMALL if clear else TINY) or course.fallen > 0.3 or rising([s.lr for s in course.samples]):
        return None
    agreed = f"; gradients agree from step to step (cosine {signal:.2f})" if clear else ""
    rate = max(s.lr for s in course.samples)
    return Seen(
        0,
        f"{course.steps} steps could change the loss by {course.reach:.2%} at most, it fell by {course.fallen:.1%}; "
        f"a step changes {size:.1e} of the weights, where 1e-3 is usual{agreed}",
        f"raise the learning rate ten- to hundredfold: {rate * 10:.2g} or {rate * 100:.2g}; lab.find_lr finds the best",
    )


@sign("the labels have nothing to do with the inputs")
def no_signal(course: Course) -> Seen | None:
    """Steps are long enough, but gradients are noise, and the loss stays where it was."""
    signal = course.typical(lambda s: s.signal)
    if course.steps < SHORT or not course.flat or signal is None or signal > FAINT or course.failed is not None:
        return None
    size = course.typical(ratio) or 0.0
    if size < TINY or course.last < 0.75 * max(course.losses[:FEW]):
        return None
    return Seen(
        0,
        f"after {course.steps} steps of usual length ({size:.1e} of the weights) the loss is {course.last:.3g}, and "
        f"was {course.over(0.1, 0.2):.3g} after the first few; what one batch asks for the next does not confirm "
        f"(cosine {signal:+.2f})",
        "look at a few rows with their labels, after all shuffling and augmenting: they may be shuffled apart; if they "
        "are right, try a tenth of the learning rate",
    )


def _still(course: Course) -> Seen | None:
    """Gradients, and steps that are too small for any weight to change."""
    later = [s for s in course.samples if s.step > 0]
    if len(later) < 3 or any(s.update for s in later) or not all(s.gradient for s in later):
        return None
    rate = max(s.lr for s in later)
    return Seen(
        later[0].step,
        f"no step changes any weight, though there are gradients: at a rate of {rate:g} steps are below the precision "
        "of the weights",
        "give the optimizer a learning rate; lab.find_lr finds the best",
    )


def rising(rates: list[float]) -> bool:
    """Whether a rate still rises: then what it will do is not known yet."""
    return any(b > a for a, b in pairwise(rates[-2:]))
