"""Fashion-MNIST's files: read, unpacked, refused; and that nothing is downloaded unasked."""

import gzip
import hashlib
import struct
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from stepwell.lab import data
from stepwell.lab.data import DataError, MissingError, Source

CODES = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}
GENERATOR = np.random.default_rng(0)
PARTS = {
    "train-images-idx3-ubyte.gz": GENERATOR.integers(0, 256, (5, 28, 28), dtype=np.uint8),
    "train-labels-idx1-ubyte.gz": np.arange(5, dtype=np.uint8),
    "t10k-images-idx3-ubyte.gz": GENERATOR.integers(0, 256, (2, 28, 28), dtype=np.uint8),
    "t10k-labels-idx1-ubyte.gz": np.array([9, 0], dtype=np.uint8),
}


def idx(values: np.ndarray) -> bytes:
    """An idx file, as its description says."""
    head = bytes([0, 0, CODES[values.dtype.str[1:]], values.ndim])
    return (
        head + struct.pack(f">{values.ndim}I", *values.shape) + values.astype(values.dtype.newbyteorder(">")).tobytes()
    )


FILES = {name: gzip.compress(idx(values), mtime=0) for name, values in PARTS.items()}


@pytest.fixture(autouse=True)
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Small files for the published ones, no cache, no environment, and a network that only takes note of requests."""
    sources = tuple(
        Source(f"fashion-mnist/{name}", f"http://nowhere.invalid/{name}", md5=hashlib.md5(content).hexdigest())
        for name, content in FILES.items()
    )
    asked: list[str] = []

    def refuse(url: str, timeout: float) -> Any:
        assert timeout <= 5
        asked.append(url)
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(data, "FASHION_MNIST", sources)
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setenv("STEPWELL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("STEPWELL_DATA", raising=False)
    return asked


def put(folder: Path, files: dict[str, bytes] = FILES) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@given(
    values=st.sampled_from(sorted(CODES)).flatmap(
        lambda kind: arrays.arrays(kind, arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    ),
    pack=st.booleans(),
)
def test_what_was_written_is_read(values: np.ndarray, pack: bool) -> None:
    content = idx(values)
    found = data.idx(gzip.compress(content, mtime=0) if pack else content, "file")
    assert found.dtype == values.dtype
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, values)


GOOD = idx(np.arange(6, dtype=np.uint8).reshape(2, 3))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "nothing"),
        (b"\0\0\x08", "00 00 08"),
        (b"PK\x03\x04" + GOOD, "50 4b 03 04"),
        (b"\0\0\x07" + GOOD[3:], "00 00 07"),
        (b"\0\1" + GOOD[2:], "00 01 08"),
        (GOOD[:9], "must have 12"),
        (GOOD[:-1], "18 bytes"),
        (GOOD + b"\0", "it has 19"),
        (gzip.compress(GOOD, mtime=0)[:-9], "cannot be unpacked"),
        (gzip.compress(GOOD, mtime=0)[:12] + b"\xff" * 12, "cannot be unpacked"),
    ],
)
def test_what_is_no_idx_file_is_refused_by_name(content: bytes, says: str) -> None:
    with pytest.raises(DataError, match="digits-idx") as caught:
        data.idx(content, "digits-idx")
    assert says in str(caught.value)


@pytest.mark.parametrize("folder", [".", "fashion-mnist"])
def test_the_four_files_are_read_from_a_folder(tmp_path: Path, tiny: list[str], folder: str) -> None:
    put(tmp_path / folder)
    for found, expected in zip(data.fashion_mnist(tmp_path), PARTS.values(), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert not tiny


def test_the_environment_names_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "fashion-mnist")
    monkeypatch.setenv("STEPWELL_DATA", str(tmp_path))
    assert data.fashion_mnist()[0].shape == (5, 28, 28)


def test_the_cache_has_them(tmp_path: Path) -> None:
    put(tmp_path / "cache/data/fashion-mnist")
    assert data.fashion_mnist()[3].tolist() == [9, 0]


@pytest.mark.parametrize("named", list(FILES))
def test_a_file_of_the_same_name_and_other_content_is_refused(tmp_path: Path, named: str) -> None:
    put(tmp_path, FILES | {named: gzip.compress(GOOD, mtime=0)})
    with pytest.raises(DataError, match=named) as caught:
        data.fashion_mnist(tmp_path)
    assert hashlib.md5(FILES[named]).hexdigest() in str(caught.value)
    assert not isinstance(caught.value, MissingError)  # it is no reason to take other data


def test_a_download_that_fails_is_tried_once_and_says_all_ways(tiny: list[str]) -> None:
    with pytest.raises(MissingError, match="no network") as caught:
        data.fashion_mnist()
    assert tiny == [data.FASHION_MNIST[0].url]
    for way in ("--data PATH", "STEPWELL_DATA=PATH", "fashion-mnist/train-images-idx3-ubyte.gz"):
        assert way in str(caught.value)


def test_one_file_is_no_answer_for_four(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (file := tmp_path / "airfoil_self_noise.dat").write_bytes(b"1")
    with pytest.raises(MissingError, match="needs a folder"):
        data.fashion_mnist(file)
    monkeypatch.setenv("STEPWELL_DATA", str(file))
    put(tmp_path / "cache/data/fashion-mnist")
    assert data.fashion_mnist()[1].tolist() == [0, 1, 2, 3, 4]


def test_a_source_needs_a_checksum() -> None:
    with pytest.raises(ValueError, match="sha256 or md5"):
        Source("a", "http://nowhere.invalid/a")
