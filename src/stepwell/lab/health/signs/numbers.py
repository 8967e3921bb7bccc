"""Numbers that are not finite, or far too large."""

from stepwell.lab.health.course import Course
from stepwell.lab.health.finding import Seen, several, sign

HUGE = 1e3  # ‖g‖/‖p‖; usual is below 1
STEEP = 100.0  # ‖g‖‖p‖/loss: by how many times itself the loss would change if the weights did by 1
LEAP = 1e3  # how many times a gradient may exceed those before it


@sign("gradients explode", explains=("rate_too_high", "missing_warmup", "nan_loss"))
def exploding_gradients(course: Course) -> Seen | None:
    """From the first step on, or of a sudden, gradients are a thousand times what they should be."""
    samples = course.samples
    if not samples:
        return None
    begin = samples[0]
    moved = begin.gradient * begin.weight / abs(begin.loss) if begin.loss else 0.0
    if begin.gradient > HUGE * begin.weight and moved > STEEP:
        largest = sorted(begin.gradients, key=lambda name: -begin.gradients[name])
        return Seen(
            begin.step,
            f"the gradient's norm is {begin.gradient:.2g} at the first step, {begin.gradient / begin.weight:.2g} times "
            f"that of the weights; the largest: {several(largest)}",
            "initialize with smaller weights, add normalization or skip connections; clip the gradient's norm "
            "(clip_norm=1.0)",
            tuple(largest[:3]),
        )
    return _leap(course)


def _leap(course: Course) -> Seen | None:
    for k, sample in enumerate(course.samples):
        before = course.samples[:k]
        usual = course.typical(lambda s: s.gradient, before) if len(before) > 2 else None
        if (
            usual
            and sample.gradient > LEAP * usual
            and course.growth < 2
            and course.losses[sample.step] > 2 * course.first
        ):
            return Seen(
                sample.step,
                f"the gradient's norm leapt from about {usual:.2g} to {sample.gradient:.2g}, with weights as large as "
                "before",
                "clip the gradient's norm (clip_norm=1.0)",
            )
    return None


@sign("the loss is not a number")
def nan_loss(course: Course) -> Seen | None:
    """A loss or gradient that is not finite, without any growth before it."""
    step = course.failed
    if step is None:
        return None
    known = course.record.losses.read()
    loss = known[step] if step < len(known) else None
    what = f"the loss is {loss}" if loss is not None and loss != loss else f"the loss is {loss}, a gradient not finite"
    before = f"; before, it was {course.losses[-1]:.3g}, and nothing had grown" if course.losses else ", the first one"
    return Seen(
        step,
        f"{what} at step {step}{before}",
        "look at that batch for NaN and at the loss for log(0), 0/0 and the root of 0 "
        "(torch.autograd.set_detect_anomaly(True) names the operation)",
    )
