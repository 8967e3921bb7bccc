"""Files that a task is trained on: found where the user says, else in the cache, else downloaded; never unchecked.

The files of a collection stand in a folder of its name: a folder of data holds `airfoil_self_noise.dat`,
`fashion-mnist/train-images-idx3-ubyte.gz`, `wikitext-2/valid.txt`; the collection's own folder will do as well.
"""

import contextlib
import gzip
import hashlib
import http.client
import math
import os
import urllib.request
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stepwell.files import write
from stepwell.kernels import cache

VARIABLE = "STEPWELL_DATA"
SECONDS = 5.0  # without an answer, until a download is given up
LARGEST = 64 << 20  # bytes that a download may have; what is larger is not the file we ask for


class DataError(Exception):
    """A file that is missing, cannot be read or is not the one that its checksum promises."""


class MissingError(DataError):
    """A file that is nowhere: no place has it, and it was not, or could not be, downloaded."""


@dataclass(frozen=True)
class Source:
    """A public file, known by its name, its address and what it must hash to.

    Attributes:
        name: what it is called; one of a collection is COLLECTION/FILE.
        url: where it can be downloaded.
        sha256: its checksum. `md5`: for a file whose publisher names no better one.
    """

    name: str
    url: str
    sha256: str = ""
    md5: str = ""

    def __post_init__(self) -> None:
        if not (self.sha256 or self.md5):
            raise ValueError(f"sha256 or md5 must be given for {self.name}; got neither")

    @property
    def checksum(self) -> tuple[str, str]:
        """What must be compared: the algorithm and the sum in hexadecimal."""
        return ("sha256", self.sha256) if self.sha256 else ("md5", self.md5)

    @property
    def of_collection(self) -> bool:
        """Whether a folder is needed to hold it, since a path to one file cannot mean all of its collection."""
        return "/" in self.name

    def inside(self, folder: Path) -> Path:
        """Where it is in a folder of data, or in its collection's own."""
        alone = folder / Path(self.name).name
        return alone if alone.exists() and not (folder / self.name).exists() else folder / self.name


AIRFOIL = Source(
    "airfoil_self_noise.dat",
    "https://archive.ics.uci.edu/ml/machine-learning-databases/00291/airfoil_self_noise.dat",
    "74c75fd71783f1e6b71f8a622b993dc592897a97cd689c5090a07147a1b097b3",
)
FASHION_MNIST = tuple(
    Source(f"fashion-mnist/{file}", f"http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/{file}", md5=md5)
    for file, md5 in {
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    }.items()
)
WIKITEXT = tuple(
    Source(
        f"wikitext-2/{part}.txt",
        f"https://raw.githubusercontent.com/pytorch/examples/main/word_language_model/data/wikitext-2/{part}.txt",
        sha256,
    )
    for part, sha256 in {
        "valid": "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8",
        "test": "d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0",
    }.items()
)


def read(source: Source, given: Path | None = None) -> bytes:
    """The content of `source`: from `given` (a file, or a folder that has it), else from the file or folder that the
    environment's STEPWELL_DATA names, else from the cache, else from its address, and then kept in the cache.

    Errors: DataError if what is there has another checksum, and its kind MissingError if it is nowhere.
    """
    if given is not None:
        return _checked(source, *_from(source, given, "--data"))
    if named := os.environ.get(VARIABLE):
        place = Path(named)
        silent = not source.inside(place).exists() if place.is_dir() else source.of_collection
        if not silent:  # a folder of other files is no answer and no mistake
            return _checked(source, *_from(source, place, VARIABLE))
    kept = cache.folder() / "data" / source.name
    with contextlib.suppress(OSError, DataError):
        return _checked(source, kept.read_bytes(), str(kept))
    content = _checked(source, _download(source), source.url)
    with contextlib.suppress(OSError):  # where nothing can be kept, it is downloaded each time
        write(kept, content)
    return content


def fashion_mnist(given: Path | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Fashion-MNIST (Xiao, Rasul & Vollgraf 2017, <https://arxiv.org/abs/1708.07747>): images to train on and their
    labels, images to test on and theirs, as uint8 of shapes (60000, 28, 28), (60000,), (10000, 28, 28), (10000,).

    Errors: those of `read`.
    """
    images, labels, test_images, test_labels = (idx(read(source, given), source.name) for source in FASHION_MNIST)
    return images, labels, test_images, test_labels


IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def idx(content: bytes, name: str) -> np.ndarray:
    """The array in an idx file, the format of MNIST (<http://yann.lecun.com/exdb/mnist/>), gzipped or plain.

    The file begins with two zero bytes, one for the type and one for the number of axes; then the length of each axis
    in four bytes, big end first, and the elements. `name` is the file's, for errors.

    Errors: DataError for another format, and for a file that is cut or has something after its last element.

    >>> idx(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 6, 7]), "three bytes").tolist()
    [5, 6, 7]
    """
    if content.startswith(b"\x1f\x8b"):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{name} is gzip and cannot be unpacked: {error}") from None
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in IDX_TYPES:
        raise DataError(f"{name} is no idx file: it begins with {content[:4].hex(' ') or 'nothing'}")
    kind, first = np.dtype(IDX_TYPES[content[2]]), 4 + 4 * content[3]
    if len(content) < first:
        raise DataError(f"{name} is cut: it has {len(content)} bytes, and its head alone must have {first}")
    shape = tuple(np.frombuffer(content[4:first], ">u4").tolist())
    if len(content) != (needed := first + math.prod(shape) * kind.itemsize):
        raise DataError(f"{name} must have {needed} bytes for shape {shape}; it has {len(content)}")
    return np.frombuffer(content[first:], kind).reshape(shape).astype(kind.newbyteorder("="))


def _from(source: Source, place: Path, who: str) -> tuple[bytes, str]:
    path = source.inside(place) if place.is_dir() else place
    if source.of_collection and place.is_file():
        raise MissingError(f"{who} {place} is a file, and {source.name} needs a folder. {_ways(source)}")
    try:
        return path.read_bytes(), str(path)
    except OSError as error:
        raise MissingError(f"{who} {place}: cannot read {path}: {error.strerror}. {_ways(source)}") from None


def _checked(source: Source, content: bytes, where: str) -> bytes:
    algorithm, promised = source.checksum
    found = hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
    if found != promised:
        raise DataError(f"{where} is not {source.name}: its {algorithm} is\n  {found}, and must be\n  {promised}")
    return content


def _download(source: Source) -> bytes:
    try:
        with urllib.request.urlopen(source.url, timeout=SECONDS) as answer:
            return answer.read(LARGEST)
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        message = f"{source.name} is not here and could not be downloaded ({reason}). {_ways(source)}"
        raise MissingError(message) from None


def _ways(source: Source) -> str:
    what = f"a folder that has {source.name}" if source.of_collection else "the file, or a folder that has it"
    return (
        "Any of these helps:\n"
        f"  --data PATH         {what}\n"
        f"  {VARIABLE}=PATH  the same, in the environment; without either it is downloaded from\n"
        f"  {source.url}\n"
        f"                      and kept in {cache.folder() / 'data'}"
    )
