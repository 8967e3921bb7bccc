"""What is measured of one step."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Sample:
    """A step as it was seen. None is what was not measured; NaN and infinity are what they are.

    `decays`, `eps_share`, `sharpness` and `dead` take longer, and are measured at every fifth sample.

    Attributes:
        step: its number, from 0. lr: the largest learning rate of a group. loss: of its batch, before the step.
        gradient, weight, update: the norms of all gradients, parameters and changes of parameters together.
        gradients, ratios: by parameter: the norm of its gradient; ‖Δp‖/‖p‖, how much of it the step changed.
        decays: by parameter: what weight decay took from it, as a share of the whole change.
        agreement: the cosine of the step with the negative gradient: 1 without momentum or scaling.
        turn: the cosine of the next step's gradient with this step: above 0 where it went too far.
        noise: the gradient noise scale in batches, tr(Σ)/‖G‖² divided by the rows of a batch: at 1 a batch is as much
            noise as signal. From two gradients that follow each other (McCandlish et al. 2018, appendix A).
        signal: the share of a gradient that the next batch confirms, g·g′/‖g‖‖g′‖.
        eps_share: the share of coordinates whose step would be at least twice as long without the rule's ε.
        sharpness: the largest eigenvalue of the Hessian of the loss on the batch, by power iteration.
        dead: by ReLU, named by the parameter it follows: the share of its units that are 0 on the whole batch.
        missing: parameters without a gradient. zero: parameters with one that is 0 throughout.
        accumulated: whether the gradients of the step before were still there when this one's were computed.
    """

    step: int
    lr: float
    loss: float | None
    gradient: float
    weight: float
    update: float
    gradients: dict[str, float] = field(repr=False)
    ratios: dict[str, float] = field(repr=False)
    agreement: float | None = None
    turn: float | None = None
    noise: float | None = None
    signal: float | None = None
    eps_share: float | None = None
    sharpness: float | None = None
    decays: dict[str, float] = field(default_factory=dict, repr=False)
    dead: dict[str, float] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    zero: tuple[str, ...] = ()
    accumulated: bool = False

    def scalars(self) -> dict[str, float]:
        """All numbers that were measured, by a flat name, for a writer of logs."""
        found: dict[str, float] = {}
        for name, value in asdict(self).items():
            if name in ("step", "missing", "zero"):
                continue
            for key, number in value.items() if isinstance(value, dict) else [("", value)]:
                if number is not None:
                    found[f"{WORDS.get(name, name)}/{key}" if key else WORDS.get(name, name)] = float(number)
        return found


WORDS: dict[str, Any] = {
    "gradient": "gradient norm", "weight": "weight norm", "update": "update norm", "gradients": "gradient norm",
    "ratios": "update ratio", "decays": "decay share", "noise": "noise scale", "eps_share": "eps share",
    "accumulated": "gradients accumulated",
}  # fmt: skip
