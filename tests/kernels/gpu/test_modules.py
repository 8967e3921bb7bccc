"""Printed source in real files: one a text, whole, used again, and not needed where none can be written."""

import inspect

import pytest

from stepwell import rules
from stepwell.kernels import Stages, gpu
from stepwell.kernels.gpu import modules
from tests.kernels.conftest import kept  # noqa: F401
from tests.kernels.gpu.harness import BLOCK, by_gpu
from tests.kernels.harness import SMALL, Work, assert_same, by_reference

fresh = gpu.kernel.__wrapped__


def test_a_kernel_has_a_file_that_has_its_source(kept):  # noqa: F811
    kernel = fresh(rules.momentum, Stages(), ("float32",) * 3)
    (path,) = kept.iterdir()
    assert kernel.step.fn.__code__.co_filename == str(path)
    assert inspect.getsource(kernel.step.fn) in path.read_text()


def test_a_file_is_written_once_and_mended(kept):  # noqa: F811
    fresh(rules.momentum, Stages(), ("float32",) * 3)
    (path,) = kept.iterdir()
    text, before = path.read_text(), path.stat().st_ino
    fresh(rules.momentum, Stages(), ("float32",) * 3)
    assert path.stat().st_ino == before
    path.write_text(text[: len(text) // 2])
    fresh(rules.momentum, Stages(), ("float32",) * 3)
    assert path.read_text() == text
    fresh(rules.momentum, Stages(zero=True), ("float32",) * 3)
    assert len([*kept.iterdir()]) == 2


def test_where_no_file_can_be_written_kernels_run_from_memory(kept, monkeypatch):  # noqa: F811
    kept.parent.mkdir(parents=True)
    kept.write_text("in the way")
    with pytest.warns(RuntimeWarning, match="cannot keep compiled kernels"):
        assert_same(Work(rules.adam, sizes=SMALL), lambda work: by_gpu(work, fresh), by_reference)


def test_scalars_are_no_part_of_a_source(kept):  # noqa: F811
    """The rate, the step and every other number are read from memory: one file, one set of arguments."""
    kernel = fresh(rules.adam, Stages(scale=True, decay=True), ("float32",) * 4, BLOCK)
    text = inspect.getsource(inspect.getmodule(kernel.step.fn) or kernel.step.fn)
    assert not any(number in text for number in ("0.999", "1e-08", "0.001"))
    assert kernel.step.arg_names == ["table", "gradients", "which", "scalars", "found", "BLOCK"]


def test_without_triton_there_are_no_kernels(monkeypatch):
    monkeypatch.setattr(modules.importlib.util, "find_spec", lambda name: None)
    assert not modules.usable.__wrapped__()
