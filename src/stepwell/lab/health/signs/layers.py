"""What is wrong with parts of a model: layers that do not learn, units that are silent."""

from collections.abc import Callable

from stepwell.lab.health.course import Course
from stepwell.lab.health.finding import Seen, several, sign
from stepwell.lab.health.sample import Sample

ALMOST_ALL = 0.85  # of a layer's units
FAINT = 1e-3  # share of the gradient that is next to nothing: a bias before a normalization has rounding alone


@sign("a layer is frozen", explains=("rate_too_low",))
def frozen_layer(course: Course) -> Seen | None:
    """Parameters that never have a gradient but 0, that no optimizer has, or whose rate is 0."""
    return _without_gradient(course) or _in_no_optimizer(course) or _at_rest(course) or _always_zero(course)


def _always(course: Course, named: Callable[[Sample], tuple[str, ...]]) -> tuple[str, ...]:
    """The parameters that every sample names."""
    found = [set(named(s)) for s in course.samples]
    ever = set.intersection(*found) if found else set()
    return tuple(name for name in course.record.names if name in ever)


def _without_gradient(course: Course) -> Seen | None:
    if not (where := _always(course, lambda s: s.missing)):
        return None
    return Seen(
        0,
        f"{several(where)} had no gradient at any of {len(course.samples)} steps looked at",
        "look for requires_grad_(False), detach() or no_grad() on the way from these parameters to the loss; leave "
        "them out of the optimizer if they are to stay as they are",
        where,
    )


def _in_no_optimizer(course: Course) -> Seen | None:
    left = tuple(name for name, p, version in course.record.outside if p._version == version)
    if not left or course.steps < 2:
        return None
    return Seen(
        0,
        f"the loss depends on {several(left)}, which want a gradient; this optimizer does not have them, and nobody "
        f"has changed them in {course.steps} steps",
        "hand them to the optimizer, or set requires_grad_(False)",
        left,
    )


def _at_rest(course: Course) -> Seen | None:
    moving = [s for s in course.samples if any(s.ratios.values())]
    held = {name for name in course.record.names if moving and not any(s.ratios.get(name, 1.0) for s in moving)}
    sloped = {name for name in held if any(s.gradients.get(name, 0.0) > FAINT * s.gradient for s in moving)}
    where = tuple(name for name in course.record.names if name in sloped)
    if not where:
        return None
    return Seen(
        0,
        f"{several(where)} have gradients, but no step changes them",
        "look at the learning rate of their group; it is 0, or too small for the precision of the parameters",
        where,
    )


def _always_zero(course: Course) -> Seen | None:
    matrices = {name for group in course.record.groups for name, axes in group.members.items() if axes >= 2}
    where = tuple(name for name in _always(course, lambda s: s.zero) if name in matrices)
    if not where or dead_relu.judge(course) is not None:
        return None
    return Seen(
        0,
        f"the gradients of {several(where)} were 0 throughout at each of {len(course.samples)} steps looked at",
        "look for what multiplies them by 0 or takes the larger of two on the way to the loss: masks, clamps, max, "
        "two layers in a row that begin at 0",
        where,
    )


@sign("a layer's ReLUs are dead", explains=("rate_too_low", "no_signal", "wrong_decay_group"))
def dead_relu(course: Course) -> Seen | None:
    """Most units of a layer are 0 on whole batches, at every look of the second half of the training."""
    looks = [s for s in course.samples if s.dead]
    if not looks:
        return None
    looks = looks[len(looks) // 2 :]
    always = {name: min(look.dead.get(name, 0.0) for look in looks) for name in looks[0].dead}
    dead = {name: share for name, share in always.items() if share >= ALMOST_ALL}
    if not dead:
        return None
    name, share = max(dead.items(), key=lambda item: item[1])
    return Seen(
        looks[0].step,
        f"{share:.0%} of the units behind {name} are 0 on every row of a batch, at each look since: no "
        f"gradient passes them{f' ({several(list(dead))} alike)' if len(dead) > 1 else ''}",
        "initialize the layer again (its biases at 0, its weights by He's rule); a lower rate keeps units from dying, "
        "a leaky ReLU or GELU lets them recover",
        tuple(dead),
    )
