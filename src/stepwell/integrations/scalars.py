"""The doctor's samples and findings as other packages' writers take them."""

from typing import Any

PREFIX = "doctor"


def flat(sample: Any, more: str = "") -> dict[str, float]:
    """A sample's numbers by name: "doctor/…" for those of the whole, and by parameter below a name of their own.

    Writers make a group of what has the same name up to a slash; so parameters, of which there are many, have theirs.

    Args:
        sample: of `stepwell.lab.doctor`.
        more: is put after the prefix, where several optimizers are watched.

    >>> from types import SimpleNamespace
    >>> sample = SimpleNamespace(scalars=lambda: {"loss": 2.0, "update ratio/fc1.weight": 1e-3})
    >>> flat(sample)
    {'doctor/loss': 2.0, 'doctor update ratio/fc1.weight': 0.001}
    """
    start = f"{PREFIX}{more}"
    return {f"{start} {name}" if "/" in name else f"{start}/{name}": x for name, x in sample.scalars().items()}


def markdown(finding: Any) -> str:
    """A finding with its evidence and its cure."""
    where = f" ({', '.join(finding.where)})" if finding.where else ""
    return f"**{finding.title}**{where}, step {finding.step}\n\n{finding.evidence}\n\nCure: {finding.cure}"
