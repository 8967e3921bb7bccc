"""The file: what goes in comes out to the bit, other tools read it, and a crash leaves the old one."""

import os
import signal
import subprocess
import sys
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from stepwell import checkpoint
from stepwell.checkpoint import CheckpointError, document, layout, reader, writer
from stepwell.checkpoint.snapshot import Entry, Snapshot
from tests.checkpoint.things import assert_equal_or_refused, frozen, halfway, saved

FLOATS = [np.dtype(kind) for kind in ("f2", "f4", "f8", "c8", ml_dtypes.bfloat16)]
SHAPES = arrays_of.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
NAMES = st.text(st.characters(codec="utf-8"), max_size=12)  # NUL, quotes, slashes, controls …
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | NUMBERS | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def some_array(draw: Any) -> np.ndarray:
    """Any bits at all, NaNs of every kind among them, in any order in memory."""
    dtype, shape = draw(st.sampled_from(FLOATS)), draw(SHAPES)
    size = int(np.prod(shape)) * dtype.itemsize
    found = np.frombuffer(draw(st.binary(min_size=size, max_size=size)), dtype) if size else np.empty(0, dtype)
    found = found.reshape(shape)
    return draw(st.sampled_from([found, found[::-1] if found.ndim else found, found.T, np.asfortranarray(found)]))


STATES = st.dictionaries(NAMES.filter(str.isidentifier).filter("p".__ne__), some_array(), max_size=2)
STEPS = st.integers(0, 2**53)
ENTRY = st.builds(Entry, some_array(), NAMES, STEPS, STATES, st.dictionaries(NAMES, NUMBERS, max_size=2), NAMES)


def bits(x: np.ndarray) -> Any:
    return x.dtype.name, x.shape, x.tobytes()


@settings(max_examples=150)
@given(st.dictionaries(NAMES, ENTRY, max_size=4), STEPS, st.dictionaries(NAMES, JSON, max_size=3))
def test_what_goes_in_comes_out(entries: dict[str, Entry], updates: int, extra: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        writer.write(path, *document.packed(Snapshot(entries, updates), document.checked_extra(extra)))
        found, again = document.unpacked(*reader.read(path))
        with safetensors.safe_open(path, "numpy") as theirs:
            assert {name: bits(theirs.get_tensor(name)) for name in theirs.keys()} == {  # noqa: SIM118
                f"{key}/{name}": bits(x) for name, e in entries.items() for key, x in {"p": e.value, **e.state}.items()
            }
        assert again == extra
        assert found.updates == updates
        assert list(found.entries) == list(entries)
        for name, entry in entries.items():
            got = found.entries[name]
            assert (got.rule, got.step, got.hyper, got.formula) == (entry.rule, entry.step, entry.hyper, entry.formula)
            assert bits(got.value) == bits(entry.value)
            assert {key: bits(x) for key, x in got.state.items()} == {key: bits(x) for key, x in entry.state.items()}


def test_a_large_array_is_not_copied(tmp_path: Path) -> None:
    big = {"p/w": np.ones(2**22), "m/w": np.ones((2**11, 2**11)), "v/w": np.ones(2**22, ml_dtypes.bfloat16)}
    tracemalloc.start()
    writer.write(tmp_path / "file", big, {})
    found, _ = reader.read(tmp_path / "file")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20  # of 2**25 bytes and 2**23
    assert all(np.array_equal(found[name], x) for name, x in big.items())


def test_arrays_lie_aligned(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "file", halfway())
    assert all(x.flags.aligned for x in reader.read(tmp_path / "file")[0].values())


TROUBLES = {
    "killed before the rename": "os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)",
    "killed by the system while writing": "signal.signal(signal.SIGXFSZ, signal.SIG_DFL); limited()",
    "a full disk": "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); limited()",
}
SAVING = """
import os, resource, signal, sys
from stepwell import checkpoint
from tests.checkpoint.things import halfway
optimizer = halfway(seed=5)
limited = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
{trouble}
checkpoint.save(sys.argv[1], optimizer)
"""


@pytest.mark.parametrize(
    ("trouble", "code", "left"),
    [
        ("killed before the rename", -signal.SIGKILL, {".part"}),
        ("killed by the system while writing", -signal.SIGXFSZ, {".part", ".tmp"}),
        ("a full disk", 1, set()),
    ],
)
def test_the_old_file_is_left(trouble: str, code: int, left: set[str], tmp_path: Path) -> None:
    whole = saved(tmp_path / "file")
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", SAVING.format(trouble=TROUBLES[trouble]), tmp_path / "file"]
    env = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True)
    assert done.returncode == code
    assert ("OSError: [Errno 27] File too large" in done.stderr) == (trouble == "a full disk")
    beside = [name for name in os.listdir(tmp_path) if name != "file"]
    assert {end for end in (".part", ".tmp") if any(end in name for name in beside)} == left
    assert len(beside) == len(left)
    assert not assert_equal_or_refused(tmp_path / "file", whole)
    checkpoint.save(tmp_path / "file", halfway(seed=5))


def test_a_header_beyond_the_formats_limit_is_not_written(tmp_path: Path) -> None:
    whole = saved(tmp_path / "file")
    with pytest.raises(CheckpointError, match="header too large; nothing was written"):
        checkpoint.save(tmp_path / "file", halfway(), extra={"note": "x" * 100_000_000})
    assert os.listdir(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == whole


def test_a_file_replaced_while_it_is_read_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = reader._opened

    def overtaken(path: Path) -> Any:
        monkeypatch.undo()
        checkpoint.save(path, halfway(seed=2))
        return opened(path)

    saved(tmp_path / "file")
    monkeypatch.setattr(reader, "_opened", overtaken)
    again = halfway()
    assert checkpoint.load(tmp_path / "file", again) == {}
    assert frozen(again) == frozen(halfway(seed=2))


def test_the_same_training_is_the_same_file(tmp_path: Path) -> None:
    assert len({saved(tmp_path / "file") for _ in range(20)}) == 1


def test_safetensors_is_imported_when_it_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path / "old")
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(ImportError, match=r"stepwell\.checkpoint needs safetensors: pip install safetensors"):
        checkpoint.save(tmp_path / "file", halfway())
    with pytest.raises(ImportError, match="needs safetensors"):
        checkpoint.load(tmp_path / "old", halfway())
    assert os.listdir(tmp_path) == ["old"]


def test_the_content_is_on_the_disk_before_it_has_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    sync, rename = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (calls.append("sync"), sync(handle)))
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("rename"), rename(a, b)))
    checkpoint.save(tmp_path / "file", halfway())
    assert calls == ["sync", "rename", "sync"]


def test_a_link_goes_on_pointing(tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(tmp_path / "run")
    checkpoint.save(tmp_path / "latest", halfway())
    assert (tmp_path / "latest").is_symlink()
    assert (tmp_path / "run").is_file()


def test_only_a_file_is_replaced(tmp_path: Path) -> None:
    for path in (tmp_path, Path("/dev/null")):
        with pytest.raises(ValueError, match="path must be a file"):
            checkpoint.save(path, halfway())
    assert Path("/dev/null").is_char_device()


def test_the_format_is_the_one_described() -> None:
    assert (layout.FORMAT, layout.VERSION) == ("stepwell checkpoint", 1)
