"""Compiled kernels on disk: found again, named by all that shaped them, and never in the way when the disk is."""

import errno
import hashlib
import os
import pickle
from pathlib import Path
from typing import Any

import numba
import pytest
from numba.core.dispatcher import Dispatcher
from tests.kernels.harness import EVERY_STAGE, PLAIN, SMALL, Work, assert_same, by_kernel, by_reference

from stepwell import rules
from stepwell.kernels import cache, cpu

SOURCE, NAME, SIGNATURE = "def twice(x):\n    return 2 * x\n", "twice", "float64(float64)"


@pytest.fixture
def kept(tmp_path, monkeypatch) -> Path:
    """An empty folder for compiled kernels; nothing is remembered of earlier complaints."""
    folder = tmp_path / "a" / "cache"
    monkeypatch.setenv("STEPWELL_CACHE", str(folder))
    monkeypatch.setattr(cache, "_said", set())
    return folder


@pytest.fixture
def compilations(monkeypatch) -> list[str]:
    """The names of functions that were compiled, not loaded."""
    names: list[str] = []
    compile_ = Dispatcher.compile

    def watched(self: Any, signature: Any) -> Any:
        names.append(self.__name__)
        return compile_(self, signature)

    monkeypatch.setattr(Dispatcher, "compile", watched)
    return names


def twice(source: str = SOURCE, **kwargs: Any) -> Any:
    function = cache.compiled(source, NAME, SIGNATURE, **kwargs)
    assert function(21.0) == 42.0
    return function


def files(folder: Path) -> list[str]:
    return sorted(os.listdir(folder)) if folder.exists() else []


def test_a_kernel_is_compiled_once_and_then_loaded(kept, compilations):
    twice()
    (name,) = files(kept)
    assert name.endswith(".kernel")
    assert compilations == [NAME]
    loaded = twice()
    assert compilations == [NAME]
    assert files(kept) == [name]
    with pytest.raises(TypeError):
        loaded("not the signature it has")


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:20],
        lambda content: content[:-1],
        lambda content: content[:100] + bytes([content[100] ^ 1]) + content[101:],
        lambda content: b"garbage" * 1000,
    ],
    ids=["empty", "no checksum", "truncated", "one bit", "garbage"],
)
def test_a_damaged_file_is_replaced(damage, kept, compilations):
    twice()
    (path,) = kept.iterdir()
    sound = path.read_bytes()
    path.write_bytes(damage(sound))
    twice()
    assert compilations == [NAME, NAME]
    assert len(path.read_bytes()) > 100
    twice()
    assert compilations == [NAME, NAME]
    assert files(kept) == [path.name]


@pytest.mark.parametrize(
    "payload", [b"", b"not a pickle", pickle.dumps(()), pickle.dumps((1, 2, 3)), pickle.dumps("text")]
)
def test_a_file_whose_checksum_is_right_and_whose_content_is_not(payload, kept, compilations):
    twice()
    (path,) = kept.iterdir()
    path.write_bytes(cache._checksum(path, payload) + payload)
    assert cache._read(path) == payload
    twice()
    twice()
    assert compilations == [NAME, NAME]


def test_the_file_of_another_kernel_is_not_taken_for_it(kept, compilations):
    thrice = cache.compiled("def twice(x):\n    return 3 * x\n", NAME, SIGNATURE)
    assert thrice(14.0) == 42.0
    (other,) = kept.iterdir()
    content = other.read_bytes()
    twice()
    (path,) = set(kept.iterdir()) - {other}
    path.write_bytes(content)
    twice()
    assert len(compilations) == 3


def a_file_is_in_its_way(folder: Path, patch: pytest.MonkeyPatch) -> None:
    folder.parent.write_text("a file")


def there_is_no_such_place(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("STEPWELL_CACHE", "/proc/stepwell" if os.path.isdir("/proc") else f"{os.devnull}/stepwell")


def it_is_read_only(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Root may write everywhere, so the call is made to fail, as it does: with a new name each time."""
    folder.mkdir(parents=True)

    def mkstemp(dir: Path, prefix: str, suffix: str) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied", f"{dir}/{prefix}{os.urandom(4).hex()}{suffix}")

    patch.setattr(cache.tempfile, "mkstemp", mkstemp)


class FullDisk:
    """A file that takes a thousand bytes."""

    def __init__(self, descriptor: int, mode: str):
        self.file = open(descriptor, mode)

    def __enter__(self) -> "FullDisk":
        return self

    def __exit__(self, *_: Any) -> None:
        self.file.close()

    def write(self, content: bytes) -> None:
        self.file.write(content[:1000])
        raise OSError(errno.ENOSPC, "No space left on device")


def the_disk_is_full(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(cache.os, "fdopen", FullDisk)


def nothing_may_be_renamed(folder: Path, patch: pytest.MonkeyPatch) -> None:
    def replace(source: str, target: Path) -> None:
        assert os.path.getsize(source) > 1000
        raise PermissionError(errno.EPERM, "Operation not permitted", str(target))

    patch.setattr(cache.os, "replace", replace)


TROUBLES = [a_file_is_in_its_way, there_is_no_such_place, it_is_read_only, the_disk_is_full, nothing_may_be_renamed]


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda f: f.__name__)
def test_where_nothing_can_be_kept_kernels_are_compiled_and_that_is_said_once(trouble, kept, compilations, monkeypatch):
    kept.parent.parent.mkdir(exist_ok=True)
    trouble(kept, monkeypatch)
    with pytest.warns(RuntimeWarning) as said:
        twice()
        twice()
        twice(SOURCE + "# another\n")
    assert len(said) == 1
    for part in ("cannot keep compiled kernels", str(cache.folder()), "STEPWELL_CACHE"):
        assert part in str(said[0].message)
    assert len(compilations) == 3
    assert files(kept) == []  # nothing half-written either


def test_an_interrupted_write_leaves_nothing_behind(kept, monkeypatch):
    def interrupted(source: str, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cache.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        twice()
    assert files(kept) == []


def test_a_whole_step_is_right_where_nothing_can_be_kept(kept, monkeypatch):
    it_is_read_only(kept, monkeypatch)
    make = cpu.kernel.__wrapped__
    with pytest.warns(RuntimeWarning, match="cannot keep compiled kernels"):
        assert_same(Work(rules.adam, sizes=SMALL), lambda work: by_kernel(work, make=make), by_reference)


def test_all_that_shapes_machine_code_names_another_file(kept, monkeypatch):
    twice()
    twice(SOURCE + "# a comment\n")
    twice(options=cache.OPTIONS | {"fastmath": False})
    twice(options=cache.OPTIONS | {"fastmath": {"contract"}})
    cache.compiled(SOURCE, NAME, "float32(float32)")
    assert len(files(kept)) == 5
    for module, name in ((numba, "__version__"), (cache.platform, "python_version")):
        cache._machine.cache_clear()
        with monkeypatch.context() as patch:
            patch.setattr(module, name, "0.0" if name == "__version__" else lambda: "0.0")
            twice()
    cache._machine.cache_clear()
    assert len(files(kept)) == 7
    twice()
    assert len(files(kept)) == 7


def test_rules_stages_and_dtypes_have_files_of_their_own(kept):
    make = cpu.kernel.__wrapped__
    for given, stages, dtype in (
        (rules.momentum, PLAIN, "float32"), (rules.nesterov, PLAIN, "float32"),
        (rules.momentum, EVERY_STAGE, "float32"), (rules.momentum, PLAIN, "float64"),
    ):  # fmt: skip
        make(given, stages, (dtype,) * (3 + stages.ema))
    assert len(files(kept)) == 4
    make(rules.momentum, PLAIN, ("float32",) * 3)
    assert len(files(kept)) == 4


def test_names_are_digests_and_do_not_depend_on_the_order_of_options(kept):
    options = {"nogil": True, "fastmath": {"nsz", "contract"}}
    twice(options=options)
    twice(options=dict(reversed(options.items())) | {"fastmath": {"contract", "nsz"}})
    (name,) = files(kept)
    assert len(bytes.fromhex(name.removesuffix(".kernel"))) == hashlib.sha256().digest_size // 2


@pytest.mark.parametrize(
    ("system", "environment", "expected"),
    [
        ("Linux", {"STEPWELL_CACHE": "/chosen", "XDG_CACHE_HOME": "/xdg"}, "/chosen"),
        ("Linux", {"XDG_CACHE_HOME": "/xdg"}, "/xdg/stepwell"),
        ("Darwin", {"HOME": "/home/someone"}, "/home/someone/.cache/stepwell"),
        ("Windows", {"LOCALAPPDATA": "/local"}, "/local/stepwell/cache"),
        ("Windows", {}, "/temporary/stepwell/cache"),
    ],
)
def test_where_kernels_are_kept(system, environment, expected, monkeypatch):
    for name in ("STEPWELL_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(cache.platform, "system", lambda: system)
    monkeypatch.setattr(cache.tempfile, "gettempdir", lambda: "/temporary")
    assert cache.folder() == Path(expected)


def test_where_no_home_is_known_the_temporary_folder_serves(monkeypatch):
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("STEPWELL_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", staticmethod(homeless))
    monkeypatch.setattr(cache.platform, "system", lambda: "Linux")
    assert cache.folder() == Path(cache.tempfile.gettempdir()) / "stepwell"
