"""Watch an optimizer at work: `doctor(optimizer)`, a context around any training loop."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from stepwell.domain import at_least
from stepwell.lab.health import report, signs, tape
from stepwell.lab.health.course import Course
from stepwell.lab.health.curvature import Sharpness
from stepwell.lab.health.finding import Finding, findings
from stepwell.lab.health.hearing import Hearing
from stepwell.lab.health.look import Look
from stepwell.lab.health.record import Record
from stepwell.lab.health.sample import Sample
from stepwell.lab.health.schedulers import Schedulers

if TYPE_CHECKING:
    import torch
    from torch import nn

EVERY = at_least(1)
EARLY = (1, 2, 4, 8)  # steps that are sampled too: what goes wrong at first is over soon
DEEP = 5  # samples from one look at the graph, the curvature and ε to the next


class Doctor:
    """A doctor at work; see `doctor`."""

    def __init__(
        self,
        optimizer: "torch.optim.Optimizer",
        model: "nn.Module | None" = None,
        *,
        every: int = 20,
        curvature: bool = True,
        tell: Callable[[Sample], object] | None = None,
    ):
        import torch

        if not isinstance(optimizer, torch.optim.Optimizer):
            raise TypeError(f"optimizer must be a torch.optim.Optimizer; got {type(optimizer).__name__}")
        if model is not None and not isinstance(model, torch.nn.Module):
            raise TypeError(f"model must be a torch.nn.Module or None; got {type(model).__name__}")
        if tell is not None and not callable(tell):
            raise TypeError(f"tell must be a function of a Sample, or None; got {tell!r}")
        self.optimizer, self.model, self.tell = optimizer, model, tell
        self.started = report.started()
        self.every = EVERY.check("every", every)
        self.record = Record(optimizer, model, self.every)
        self.sharpness = Sharpness() if curvature else None
        self.schedulers = Schedulers(optimizer)
        self.look: Look | None = None
        self.parts: dict[str, Any] = {}
        self.hearing = Hearing(self.record.cleared, self._begins)
        self.handles: list[Any] = []
        self.taken = 0
        self.skipped = False
        self.broken = ""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: Any) -> None:
        self.stop()

    def start(self) -> Self:
        """Begin to watch. Errors: RuntimeError if it does already."""
        if self.handles:
            raise RuntimeError("this doctor is watching already; stop() it first")
        self.hearing.start()
        self.handles = [
            self.optimizer.register_step_pre_hook(self._before_step),
            self.optimizer.register_step_post_hook(self._after_step),
        ]
        return self

    def stop(self) -> None:
        """Watch no longer; nothing of it is left on the optimizer."""
        if not self.handles:
            return
        self.hearing.stop()
        for handle in self.handles:
            handle.remove()
        self.handles = []
        with self._harmless():
            self._finish(None)
        self.record.settle()

    @property
    def steps(self) -> int:
        """How many steps were seen."""
        return self.record.steps

    @property
    def samples(self) -> list[Sample]:
        """What was measured, step by step."""
        return self.record.samples

    @property
    def findings(self) -> list[Finding]:
        """What is wrong, by all that was seen until now."""
        assert signs  # which are known by having been imported
        return findings(Course(self.record))

    @property
    def notes(self) -> list[str]:
        """What is no fault by itself: a plateau of the loss; and what could not be measured, and why."""
        return report.notes(self)

    def __str__(self) -> str:
        return report.words(self)

    def document(self) -> dict[str, Any]:
        """All of it as plain Python: see `stepwell.lab.health.report`."""
        return report.document(self)

    def write(self, folder: str | Path) -> None:
        """Put doctor.json into a folder; `stepwell report` makes a page of it."""
        report.keep(self.document(), folder)

    def loss(self, value: Any) -> Any:
        """Tell the loss of the step under way, where `backward` is called on something else; it is given back."""
        self.hearing.told = float(value)
        return value

    def _sampled(self, step: int) -> bool:
        return step % self.every == 0 or step in EARLY

    @contextlib.contextmanager
    def _harmless(self) -> Iterator[None]:
        """An error of the doctor's own ends no training: it looks no more, and says so."""
        try:
            yield
        except Exception as error:
            self.broken = f"{type(error).__name__}: {error}"
            self.look = None

    def _begins(self, loss: Any) -> None:
        """The first loss of a step is about to be differentiated: its graph is there to be looked at."""
        if not self.broken and self._sampled(self.steps):
            with self._harmless():
                self.parts = self._looked_at(loss)

    def _looked_at(self, loss: Any) -> dict[str, Any]:
        record = self.record
        parts: dict[str, Any] = {"accumulated": self.steps > 0 and not record.cleared()}
        if not self.steps:
            record.leaves(tape.leaves(loss))
        if self.taken % DEEP == 0:
            parts["dead"] = tape.dead_units(loss, record.named)
        if self.taken % DEEP == 0 and self.sharpness is not None:
            found, scaled = self.sharpness.measure(loss, record.parameters), float(loss.detach())
            share = float(self.hearing.losses[0]) / scaled if scaled else 1.0
            parts["sharpness"] = None if found is None else found * share
        return parts

    def _before_step(self, optimizer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.hearing.here()
        lost = getattr(optimizer, "found_inf", None)  # by which a GradScaler has a fused optimizer leave a step out
        self.skipped = lost is not None and bool(float(lost))
        if self.skipped:
            return None
        place = next((k for k, each in enumerate(args[1:], 1) if callable(each)), None)
        closure = kwargs.get("closure") if place is None else args[place]
        if closure is None:
            self._ready()
            return None
        called: list[Any] = []

        def watched() -> Any:
            found = closure()
            if not called:  # a search along a line calls it again, at other weights
                called.append(True)
                self._ready()
            return found

        if place is None:
            return args, {**kwargs, "closure": watched}
        return (*args[:place], watched, *args[place + 1 :]), kwargs

    def _ready(self) -> None:
        """The gradients of a step are there, and the parameters are as they were."""
        if self.broken:
            return
        with self._harmless():
            if self.look is not None:
                self._finish(None if self.record.follow() else Look.gradient_of(self.record, self.optimizer))
            if self._sampled(self.steps):
                self.record.follow()
                self.look = Look.before(self.record, self.optimizer, deep=self.taken % DEEP == 0)

    def _after_step(self, *_: Any) -> None:
        heard, told = self.hearing.take()
        if self.skipped:
            return
        self.record.step(heard, told, self.schedulers.jumps(self.steps))
        if self.look is None or self.look.update is not None:
            return
        with self._harmless():
            self.look.after(self.steps - 1, self.record.losses.last(), self.record, self.optimizer)
            if self.parts.get("sharpness") is not None:
                self.parts["sharpness"] *= max(1, len(heard))  # of a step that accumulates, each part has a share
            self.look.parts |= self.parts
            self.parts = {}

    def _finish(self, gradient: Any) -> None:
        """Complete the last sample with the gradient of the step after it."""
        if self.look is None or self.look.update is None:
            return
        sample = self.look.sample(gradient)
        self.look, self.taken = None, self.taken + 1
        self.record.samples.append(sample)
        if self.tell is not None:
            self.tell(sample)


def doctor(
    optimizer: "torch.optim.Optimizer",
    model: "nn.Module | None" = None,
    *,
    every: int = 20,
    curvature: bool = True,
    tell: Callable[[Sample], object] | None = None,
) -> Doctor:
    """Watch any torch optimizer while it trains, and say what is wrong.

    A context around the training loop. At every n-th step, and at a few of the first, it measures what the step does;
    the loss it hears from `backward()`, in the thread that steps. Nothing is computed forward again, no generator is
    moved, and the numbers of the training stay what they are; only hooks on tensors inside the model, and checkpointed
    layers, run once more where the sharpness is measured.

    Args:
        optimizer: the one to watch. model: for the names of its parameters; without it they are told by their shapes.
        every: steps from one sample to the next. A sample copies parameters and gradients (of large models, a part).
        curvature: whether the sharpness is measured, at each fifth sample, at the cost of two to four backward passes.
        tell: called with each sample, at the step after it.

    Returns:
        a `Doctor`: its `samples`, its `findings` with evidence and cure, and `document()`, which `stepwell report`
        shows.

    Errors: TypeError for what is no optimizer, model or function; ValueError for `every` below 1.

    >>> import torch
    >>> from stepwell import lab
    >>> line = torch.nn.Linear(1, 1)
    >>> optimizer = torch.optim.SGD(line.parameters(), lr=9.0)
    >>> x = torch.linspace(-1, 1, 32)[:, None]
    >>> with lab.doctor(optimizer, line) as watch:
    ...     for _ in range(40):
    ...         optimizer.zero_grad()
    ...         ((line(x) - 3 * x) ** 2).mean().backward()
    ...         optimizer.step()
    >>> [finding.title for finding in watch.findings]
    ['the learning rate is too high']
    """
    return Doctor(optimizer, model, every=every, curvature=curvature, tell=tell)
