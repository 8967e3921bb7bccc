"""What the doctor measures, and whole sweeps and comparisons, as runs of TensorBoard.

writer = DoctorWriter("runs/mine")
with doctor(optimizer, tell=writer) as watch:
    ...  # the training
writer.finish(watch)

write_results("stepwell-results/digits", "runs/digits")
"""
# pyright: reportMissingImports=false

from datetime import datetime
from pathlib import Path
from typing import Any

from stepwell.integrations import needs as _needs

try:
    import tensorboard as _tensorboard  # noqa: F401
    from torch.utils.tensorboard import SummaryWriter
    from torch.utils.tensorboard.summary import hparams
except ImportError as error:
    raise _needs("tensorboard", "tensorboard", "torch") from error

from stepwell.integrations.runs import Named, Source, parts
from stepwell.integrations.scalars import flat, markdown

__all__ = ["DoctorWriter", "write_results"]


class DoctorWriter:
    """A writer for the doctor's `tell`: each sample's numbers become scalars at the sample's step.

    Args:
        place: a SummaryWriter, which is left open, or the folder of the run.
    """

    def __init__(self, place: SummaryWriter | Path | str):
        self._own = not isinstance(place, SummaryWriter)
        self.writer: Any = SummaryWriter(str(place)) if self._own else place

    def __call__(self, sample: Any) -> None:
        """Write a sample."""
        for name, value in flat(sample).items():
            self.writer.add_scalar(name, value, sample.step)

    def finish(self, watch: Any) -> None:
        """Write the findings as texts and what the doctor says of it all; close the file, if it is the writer's own."""
        for finding in watch.findings:
            self.writer.add_text(f"doctor/{finding.name}", markdown(finding), finding.step)
        self.writer.add_text("doctor/report", f"```\n{watch}\n```", watch.steps)
        self.writer.flush()
        if self._own:
            self.writer.close()


def write_results(source: Source, folder: Path | str) -> list[Path]:
    """Write a sweep or a comparison into a folder for `tensorboard --logdir`: a run for each run; their folders.

    A run has its curves as the scalars "loss" and "metric", at the times at which they would have been measured had it
    begun with the search; its settings as hyperparameters, with what it came to as their metrics ("final/loss",
    "final/best" …). The loss of a run that diverged is NaN from there on, and its hyperparameter "status" says so. The
    task's own folder has the answer as text. TensorBoard keeps numbers in single precision.

    Args:
        source: the results, or the file or folder that has them.
        folder: is made if need be. Writing into it twice adds to what is there.

    Errors: FileNotFoundError if there are no results; ValueError if the file holds something else.
    """
    made = []
    for part in parts(source):
        place, began = Path(folder) / part.name, datetime.fromisoformat(part.results.started).timestamp()
        with SummaryWriter(str(place)) as writer:
            writer.add_text("answer", part.answer, walltime=began)
        for named in part.runs:
            made.append(place / named.name)
            _write(named, made[-1], began)
    return made


def _write(named: Named, folder: Path, began: float) -> None:
    with SummaryWriter(str(folder)) as writer:
        for step, seconds, values in named.points():
            for name, value in values.items():
                writer.add_scalar(name, value, step, began + seconds)
        for name, value in named.final.items():
            writer.add_scalar(f"final/{name}", value, named.run.taken, began + named.run.seconds)
        _, *session = hparams(named.settings, {})  # but for the table's columns, which TensorBoard takes from one run
        file: Any = writer.file_writer
        for summary in session:
            file.add_summary(summary, walltime=began)
