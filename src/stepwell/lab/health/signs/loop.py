"""What is wrong with the loop, the groups and the options, whatever the numbers do."""

from statistics import median

from stepwell.lab.health.course import Course
from stepwell.lab.health.finding import Seen, several, sign

OFTEN = 3  # times that something must have happened
RULED = 0.5  # share of coordinates that ε may rule
SLOW = ("rate_too_low", "no_signal")
DYNAMIC = ("rate_too_high", "missing_warmup", *SLOW)


@sign("gradients are not cleared between steps", explains=(*DYNAMIC, "exploding_gradients", "dead_relu"))
def forgotten_zero_grad(course: Course) -> Seen | None:
    """At the first backward of a step the gradients of the step before were still there, again and again."""
    asked = [s for s in course.record.samples if s.step > 0]
    found = [s for s in asked if s.accumulated]
    if len(found) < min(OFTEN, len(asked)) or not found or len(found) < len(asked) / 2:
        return None
    grown = found[-1].gradient / max(course.record.samples[0].gradient, 1e-30)
    return Seen(
        found[0].step,
        f"at {len(found)} of {len(asked)} steps looked at, backward() added to the gradients of the step before; their "
        f"norm is {grown:.3g} times what it was at first",
        "call optimizer.zero_grad() once a step, before backward()",
    )


@sign("a scheduler is stepped more than once at a time")
def scheduler_stepped_twice(course: Course) -> Seen | None:
    """Whenever a scheduler moved between two steps of the optimizer, it moved by two or more."""
    for which in range(max(map(len, course.record.jumps), default=0)):
        moved = [
            (k, each[which]) for k, each in enumerate(course.record.jumps) if len(each) > which and each[which] > 0
        ]
        if len(moved) >= OFTEN and all(jump > 1 for _, jump in moved):
            times = median(jump for _, jump in moved)
            return Seen(
                moved[0][0],
                f"between steps of the optimizer the scheduler was stepped {times:g} times, {len(moved)} times over; "
                f"it runs through its rates {times:g} times as fast as it was made for",
                "call scheduler.step() in one place alone",
            )
    return None


@sign("weight decay is on the wrong parameters")
def wrong_decay_group(course: Course) -> Seen | None:
    """Biases and norms decay while matrices do not, or decay alone moves a matrix."""
    return _swapped(course) or _ruling(course)


def _swapped(course: Course) -> Seen | None:
    groups = course.record.groups
    decayed = {name: axes for g in groups if g.decay > 0 for name, axes in g.members.items()}
    spared = [name for g in groups if g.decay == 0 for name, axes in g.members.items() if axes >= 2]
    if not decayed or not spared or max(decayed.values()) >= 2:
        return None
    return Seen(
        0,
        f"biases and scales decay ({several(list(decayed))}), while matrices do not ({several(spared)})",
        "give weight_decay to the group of the matrices, and 0 to that of the biases and norms",
        tuple(decayed),
    )


def _ruling(course: Course) -> Seen | None:
    matrices = {name for g in course.record.groups for name, axes in g.members.items() if axes >= 2}
    learnt = bool(course.losses) and course.fallen > 0.85
    shares = {name: course.typical(lambda s, n=name: s.decays.get(n)) or 0.0 for name in matrices}
    ruled = {name: share for name, share in shares.items() if share > 0.7}
    if not ruled or learnt or course.peak > 2:  # steps that are far too long are another fault
        return None
    name, share = max(ruled.items(), key=lambda item: item[1])
    return Seen(
        course.samples[0].step,
        f"weight decay moves {several(sorted(ruled))} more than the gradient does: by itself it would change {name} "
        f"{share:.2g} times as much as the whole step",
        "lower weight_decay in this group; 0.01 to 0.1 is usual beside the gradient, 1e-4 within it",
        tuple(sorted(ruled)),
    )


@sign("ε is so large that it sets the steps", explains=SLOW)
def eps_too_large(course: Course) -> Seen | None:
    """Without ε most coordinates would take steps at least twice as long."""
    known = [s for s in course.samples if s.eps_share is not None]
    share = course.typical(lambda s: s.eps_share, known)
    if share is None or share < RULED:
        return None
    eps = max(g.eps for g in course.record.groups if g.eps is not None)
    return Seen(
        known[0].step,
        f"ε = {eps:g} outweighs the gradients' own size in {share:.0%} of the coordinates: the steps are no longer "
        "scaled by it, and as short as ε makes them",
        "set eps to its default, 1e-8; in half precision, to 1e-6 or so",
    )
