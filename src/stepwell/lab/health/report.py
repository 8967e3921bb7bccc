"""What a doctor saw, as a document, and in words.

`doctor.json` is one object. Version 1 of its schema:

    schema       "stepwell.doctor"             version     1
    stepwell     the version that wrote it     environment versions of python, numpy, torch; machine; processors
    started      UTC, ISO 8601                 task        its name, or null where the loop is the user's own
    optimizer    {name, settings}: the class, and the first group's options that are numbers
    steps, every how many steps were seen; how many lie between two samples
    losses       {step, loss}: at most 2000 of them, evenly spread
    samples      as `stepwell.lab.health.sample.Sample` says
    findings     as `stepwell.lab.health.finding.Finding` says
    notes        a plateau of the loss; what could not be measured, and why
    proof        null, or an object for each finding that was tried: see `stepwell.lab.health.proof`

A number that is not finite is null.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import stepwell
from stepwell.files import write
from stepwell.lab.documents import dump, environment, plain
from stepwell.lab.health.course import Course

if TYPE_CHECKING:
    from stepwell.lab.health.doctor import Doctor
    from stepwell.lab.health.proof import Proof

SCHEMA, VERSION = "stepwell.doctor", 1
KEPT, DIGITS = 2000, 6
NAME = "doctor.json"


def started() -> str:
    """The time now."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def document(doctor: "Doctor", task: str | None = None, proof: "Sequence[Proof] | None" = None) -> dict[str, Any]:
    """What doctor.json holds, as plain Python that JSON can write."""
    losses = doctor.record.losses.read()
    stride = max(1, -(-len(losses) // KEPT))
    steps = list(range(0, len(losses), stride))
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "stepwell": stepwell.__version__,
        "environment": environment(),
        "started": doctor.started,
        "task": task,
        "optimizer": {"name": type(doctor.optimizer).__name__, "settings": _settings(doctor.optimizer)},
        "steps": doctor.steps,
        "every": doctor.every,
        "losses": plain({"step": steps, "loss": [losses[k] for k in steps]}, DIGITS),
        "samples": [plain(asdict(sample), DIGITS) for sample in doctor.samples],
        "findings": [asdict(finding) | {"where": list(finding.where)} for finding in doctor.findings],
        "notes": doctor.notes,
        "proof": None if proof is None else [plain(asdict(each), DIGITS) for each in proof],
    }


def keep(content: Mapping[str, Any], folder: str | Path) -> None:
    """Put doctor.json into a folder; what was there stays until all of the new file is."""
    write(Path(folder) / NAME, dump(content, indent=1) + "\n")


def read(path: Path) -> dict[str, Any]:
    """The document in a file, or in a folder's doctor.json. Errors: ValueError if it is something else."""
    content = json.loads((path / NAME if path.is_dir() else path).read_text("utf-8"))
    if not isinstance(content, dict) or (content.get("schema"), content.get("version")) != (SCHEMA, VERSION):
        raise ValueError(f"{path} does not hold {SCHEMA} version {VERSION}")
    return content


def notes(doctor: "Doctor") -> list[str]:
    """What is no fault by itself: a plateau of the loss; and what could not be measured, and why."""
    told = []
    if doctor.broken:
        told.append(f"the doctor looked no more after step {doctor.steps}, by an error of its own: {doctor.broken}")
    if (since := Course(doctor.record).plateau) is not None:
        told.append(
            f"a plateau: the loss has not fallen since about step {since}; it may be as low as it gets, or the rate "
            "may have to fall"
        )
    if doctor.sharpness is not None and (refused := doctor.sharpness.refused):
        told.append(f"not measured: the sharpness, for which this loss is not differentiated twice ({refused})")
    if doctor.steps and not any(loss is not None for loss in doctor.record.losses.read()):
        told.append("not measured: the loss; no backward() of one number was heard, tell it with loss(value)")
    return told


def words(doctor: "Doctor", proofs: "Sequence[Proof]" = ()) -> str:
    """The findings, each with the proof of its cures, or that there are none."""
    proven = {proof.finding: f"\n{proof}" for proof in proofs}
    told = [f"{finding}{proven.get(finding.name, '')}" for finding in doctor.findings]
    if not told:
        told = [f"nothing wrong in {doctor.steps} steps, by what this doctor knows"]
    return "\n".join([*told, *doctor.notes])


def _settings(optimizer: Any) -> dict[str, Any]:
    group = optimizer.param_groups[0]
    return {
        name: plain(value)
        for name, value in group.items()
        if name != "params" and isinstance(value, int | float | bool | list | tuple)
    }
