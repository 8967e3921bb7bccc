"""Where compiled kernels cannot be kept they are compiled all the same, that is said once, and nothing is left."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from stepwell import files as whole_files
from stepwell import rules
from stepwell.kernels import cache, cpu
from tests.kernels.harness import SMALL, Work, assert_same, by_kernel, by_reference
from tests.kernels.tiny import SOURCE, files, twice


def a_file_is_in_its_way(folder: Path, patch: pytest.MonkeyPatch) -> None:
    folder.parent.write_text("a file")


def there_is_no_such_place(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("STEPWELL_CACHE", "/proc/stepwell" if os.path.isdir("/proc") else f"{os.devnull}/stepwell")


def it_is_read_only(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Root may write everywhere, so the call is made to fail, as it does: with a new name each time."""
    folder.mkdir(parents=True)

    def mkstemp(dir: Path, prefix: str, suffix: str) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied", f"{dir}/{prefix}{os.urandom(4).hex()}{suffix}")

    patch.setattr(whole_files.tempfile, "mkstemp", mkstemp)


def the_disk_is_full(folder: Path, patch: pytest.MonkeyPatch) -> None:
    def write_bytes(self: Path, content: bytes) -> None:
        with open(self, "wb") as file:
            file.write(content[:1000])
        raise OSError(errno.ENOSPC, "No space left on device")

    patch.setattr(Path, "write_bytes", write_bytes)


def nothing_may_be_renamed(folder: Path, patch: pytest.MonkeyPatch) -> None:
    def replace(source: str, target: Path) -> None:
        assert os.path.getsize(source) > 1000
        raise PermissionError(errno.EPERM, "Operation not permitted", str(target))

    patch.setattr(whole_files.os, "replace", replace)


TROUBLES = [a_file_is_in_its_way, there_is_no_such_place, it_is_read_only, the_disk_is_full, nothing_may_be_renamed]


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda f: f.__name__)
def test_where_nothing_can_be_kept_kernels_are_compiled_and_that_is_said_once(trouble, kept, compilations, monkeypatch):
    kept.parent.parent.mkdir(exist_ok=True)
    trouble(kept, monkeypatch)
    with pytest.warns(RuntimeWarning) as said:
        list(map(twice, [SOURCE, SOURCE, SOURCE + "# another\n"]))
    assert len(said) == 1
    for part in ("cannot keep compiled kernels", str(cache.folder()), "STEPWELL_CACHE"):
        assert part in str(said[0].message)
    assert len(compilations) == 3
    assert files(kept) == []  # nothing half-written either


def test_an_interrupted_write_leaves_nothing_behind(kept, monkeypatch):
    def interrupted(source: str, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(whole_files.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        twice()
    assert files(kept) == []


def test_a_whole_step_is_right_where_nothing_can_be_kept(kept, monkeypatch):
    it_is_read_only(kept, monkeypatch)
    make = cpu.kernel.__wrapped__
    with pytest.warns(RuntimeWarning, match="cannot keep compiled kernels"):
        assert_same(Work(rules.adam, sizes=SMALL), lambda work: by_kernel(work, make=make), by_reference)
