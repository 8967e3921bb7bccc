"""Files that a task is trained on: found where the user says, else in the cache, else downloaded; never unchecked."""

import contextlib
import hashlib
import os
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from stepwell.files import write
from stepwell.kernels import cache

VARIABLE = "STEPWELL_DATA"
SECONDS = 30.0
LARGEST = 64 << 20  # bytes that a download may have; what is larger is not the file we ask for


class DataError(Exception):
    """A file that is missing, cannot be read or is not the one that its checksum promises."""


@dataclass(frozen=True)
class Source:
    """A public file, known by its name, its address and what it must hash to."""

    name: str
    url: str
    sha256: str


AIRFOIL = Source(
    "airfoil_self_noise.dat",
    "https://archive.ics.uci.edu/ml/machine-learning-databases/00291/airfoil_self_noise.dat",
    "74c75fd71783f1e6b71f8a622b993dc592897a97cd689c5090a07147a1b097b3",
)


def read(source: Source, given: Path | None = None) -> bytes:
    """The content of `source`: from `given` (a file, or a folder that has it), else from the file or folder that the
    environment's STEPWELL_DATA names, else from the cache, else from its address, and then kept in the cache.

    Errors: DataError if it is nowhere, or if what is there has another checksum.
    """
    if given is not None:
        return _checked(source, *_from(source, given, "--data"))
    if named := os.environ.get(VARIABLE):
        place = Path(named)
        if not place.is_dir() or (place / source.name).exists():  # a folder of other files is no answer and no mistake
            return _checked(source, *_from(source, place, VARIABLE))
    kept = cache.folder() / "data" / source.name
    with contextlib.suppress(OSError, DataError):
        return _checked(source, kept.read_bytes(), str(kept))
    content = _checked(source, _download(source), source.url)
    with contextlib.suppress(OSError):  # where nothing can be kept, it is downloaded each time
        write(kept, content)
    return content


def _from(source: Source, place: Path, who: str) -> tuple[bytes, str]:
    path = place / source.name if place.is_dir() else place
    try:
        return path.read_bytes(), str(path)
    except OSError as error:
        raise DataError(f"{who} {place}: cannot read {path}: {error.strerror}. {_ways(source)}") from None


def _checked(source: Source, content: bytes, where: str) -> bytes:
    found = hashlib.sha256(content).hexdigest()
    if found != source.sha256:
        raise DataError(f"{where} is not {source.name}: its sha256 is\n  {found}, and must be\n  {source.sha256}")
    return content


def _download(source: Source) -> bytes:
    try:
        with urllib.request.urlopen(source.url, timeout=SECONDS) as answer:
            return answer.read(LARGEST)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise DataError(f"{source.name} is not here and could not be downloaded ({reason}). {_ways(source)}") from None


def _ways(source: Source) -> str:
    return (
        "Any of these helps:\n"
        "  --data PATH         the file, or a folder that has it\n"
        f"  {VARIABLE}=PATH  the same, in the environment; without either it is downloaded from\n"
        f"  {source.url}\n"
        f"                      and kept in {cache.folder() / 'data'}"
    )
