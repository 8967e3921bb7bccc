"""Compiled kernels on disk: found again, named by all that shaped them; what is damaged is replaced."""

import hashlib
import os
import pickle
from pathlib import Path

import numba
import pytest

from stepwell import rules
from stepwell.kernels import cache, cpu
from tests.kernels.harness import EVERY_STAGE, PLAIN
from tests.kernels.tiny import NAME, SIGNATURE, SOURCE, files, twice


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


def test_where_no_home_is_known_a_private_temporary_folder_serves(monkeypatch, tmp_path):
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("STEPWELL_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", staticmethod(homeless))
    monkeypatch.setattr(cache.platform, "system", lambda: "Linux")
    monkeypatch.setattr(cache.tempfile, "gettempdir", lambda: str(tmp_path))
    own = tmp_path / f"stepwell-{os.getuid()}"
    assert cache.folder() == own
    assert own.stat().st_mode & 0o777 == 0o700
    own.chmod(0o777)  # somebody else could have put code there
    assert not cache.folder().is_relative_to(tmp_path)
