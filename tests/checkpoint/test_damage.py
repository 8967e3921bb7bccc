"""Damage, and files of bad will: each is refused with words that say what is wrong, and nothing changes."""

import json
import re
import tempfile
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stepwell.numpy as door
from stepwell import checkpoint
from stepwell.checkpoint import CheckpointError
from tests.checkpoint.things import assert_equal_or_refused, frozen, halfway, saved


def test_no_flipped_bit_goes_unseen(tmp_path: Path) -> None:
    whole = saved(tmp_path / "file")
    assert not assert_equal_or_refused(tmp_path / "file", whole)
    rng, refused = np.random.default_rng(0), 0
    places = range(len(whole))
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        refused += assert_equal_or_refused(tmp_path / "file", bytes(damaged))
    assert refused > 0.99 * len(places)


def test_no_missing_or_extra_byte_goes_unseen(tmp_path: Path) -> None:
    whole = saved(tmp_path / "file")
    for length in range(0, len(whole), 3):
        assert assert_equal_or_refused(tmp_path / "file", whole[:length])
    for more in (b"\0", whole):
        assert assert_equal_or_refused(tmp_path / "file", whole + more)


@settings(max_examples=300)
@given(st.data())
def test_no_damage_crashes(data: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        content = bytearray(saved(path))
        for _ in range(data.draw(st.integers(1, 4))):
            start = data.draw(st.integers(0, len(content)))
            end = start + data.draw(st.integers(0, 40))
            content[start:end] = data.draw(st.binary(max_size=40))
        assert_equal_or_refused(path, bytes(content))


def rewritten(path: Path, change: Any, *, header: Any = None) -> None:
    """Let the document say something else, with the sums to match, as a file of bad will does."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    found = json.loads(content[8 : 8 + length])
    about = json.loads(found["__metadata__"]["stepwell"][9:])
    change(about)
    text = json.dumps(about)
    found["__metadata__"] = {"stepwell": f"{zlib.crc32(text.encode()):08x} {text}"}
    if header is not None:
        header(found)
    new = json.dumps(found).encode()
    new += b" " * (-len(new) % 8)
    path.write_bytes(len(new).to_bytes(8, "little") + new + content[8 + length :])


def put(*keys: Any) -> Any:
    """A change of the document: the last of these at the place that the others name."""
    *way, last, value = keys

    def change(about: Any) -> None:
        for key in way:
            about = about[key]
        about[last] = value

    return change


REFUSED = {
    "version": (put("version", 2), "it has version 2 of the format; this stepwell reads version 1"),
    "version as text": (put("version", "1"), "it has version '1' of the format"),
    "format": (put("format", "tar"), "its format is not 'stepwell checkpoint'"),
    "updates below 0": (put("updates", -1), r"updates must be a whole number in \[0, 2\*\*53\]; got -1"),
    "updates, a fraction": (put("updates", 1.5), "'updates' must be a int; got 1.5"),
    "step below 0": (put("parameters", "w", "step", -3), "parameter 'w': step must be a whole number .* got -3"),
    "step, a truth": (put("parameters", "w", "step", True), "parameter 'w': 'step' must be a int; got True"),
    "step, huge": (put("parameters", "w", "step", 2**60), "parameter 'w': step must be a whole number"),
    "rate below 0": (put("parameters", "b", "hyper", "lr", -1.0), "parameter 'b': lr must be .* ≥ 0; got -1"),
    "rate, NaN": (put("parameters", "b", "hyper", "lr", float("nan")), "its description is damaged: NaN stands there"),
    "decay, text": (put("parameters", "b", "hyper", "beta1", "0.9"), "'beta1' must be a float; got '0.9'"),
    "unknown hyperparameter": (put("parameters", "b", "hyper", "rho", 0.5), "'rho' is no hyperparameter of adam"),
    "another rule": (put("parameters", "w", "rule", "adam_eps_hat"), "its rule is adam_eps_hat"),
    "another formula": (put("parameters", "w", "formula", "0" * 16), "its rule adam has another formula"),
    "state not listed": (put("parameters", "w", "state", ["m"]), "array 'v/w' is not"),
    "state not there": (put("parameters", "w", "state", ["m", "v", "u"]), "array 'u/w' is missing"),
    "state twice": (put("parameters", "w", "state", ["m", "m"]), "its state must be names, each once"),
    "parameter, no object": (put("parameters", "w", 3), "parameter 'w' must have 'rule', 'formula'.*; it has 3"),
    "parameters, a list": (put("parameters", []), "'parameters' must be a dict"),
    "extra, a list": (put("extra", []), "'extra' must be a dict"),
    "more": (put("more", 1), "its description must have"),
    "tensors, text": (put("tensors", "w"), "it has no list of its arrays"),
    "dtype": (put("tensors", "p/w", "dtype", "F128"), "header and its own list of arrays differ"),
    "dtype, a list": (put("tensors", "p/w", "dtype", []), "header and its own list"),
    "shape below 0": (put("tensors", "p/w", "shape", [-4, -3]), "header and its own list"),
    "shape, beyond memory": (put("tensors", "p/w", "shape", [2**62, 2**62]), "header and its own list"),
    "another shape": (put("tensors", "p/w", "shape", [3, 4]), "header and its own list of arrays differ"),
    "sum": (put("tensors", "p/w", "crc32", "00000000"), "'p/w' is damaged"),
    "sum missing": (put("tensors", "p/w", {"dtype": "F64", "shape": []}), "does not say the dtype, .* of 'p/w'"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_the_document_may_not_say(what: str, tmp_path: Path) -> None:
    saved(tmp_path / "file")
    rewritten(tmp_path / "file", REFUSED[what][0])
    assert_refused(tmp_path / "file", REFUSED[what][1])


def assert_refused(path: Path, words: str) -> None:
    optimizer = halfway(seed=1)
    before = frozen(optimizer)
    with pytest.raises(CheckpointError, match=rf"(?s){re.escape(str(path))}: .*{words}.*; nothing was changed"):
        checkpoint.load(path, optimizer)
    assert frozen(optimizer) == before


def both(place: str, key: str, value: Any) -> tuple[Any, Any]:
    """A change of what document and header say of an array."""
    return put("tensors", place, key, value), put(place, key, value)


@pytest.mark.parametrize(
    ("array", "key", "value", "words"),
    [
        ("p/w", "shape", [3, 4], r"parameter 'w': it has shape \(3, 4\); the optimizer's has \(4, 3\)"),
        ("m/w", "shape", [12], r"parameter 'w': its state 'm' has shape \(12,\); the optimizer's has \(4, 3\)"),
        ("p/w", "dtype", "C64", "parameter 'w': it has dtype complex64; the optimizer's has float64"),
        ("v/w", "dtype", "C64", "parameter 'w': its state 'v' has dtype complex64; the optimizer keeps it in float64"),
        ("p/w", "dtype", "I64", "'p/w' has dtype 'I64', which is none of F64, C64"),
        ("p/w", "dtype", "F128", "it is no checkpoint, or damaged: .*unknown variant `F128`"),
        ("p/w", "shape", [2**62, 2**62], "it is no checkpoint, or damaged: .*overflow"),
        ("p/w", "shape", [-4, -3], "it is no checkpoint, or damaged: .*invalid value"),
        ("p/w", "data_offsets", [0, 88], "it is no checkpoint, or damaged: .*Error"),
    ],
)
def test_arrays_of_another_kind(array: str, key: str, value: Any, words: str, tmp_path: Path) -> None:
    """The file is sound, and not this optimizer's."""
    saved(tmp_path / "file")
    change, header = both(array, key, value)
    rewritten(tmp_path / "file", change, header=header)
    assert_refused(tmp_path / "file", words)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "header too small"),
        (b"1234567", "header too small"),
        ((2**63).to_bytes(8, "little") + b"{}", "header too large"),
        ((3).to_bytes(8, "little") + b"{}", "invalid header length"),
        ((2).to_bytes(8, "little") + b"{}", "it is no checkpoint of stepwell"),
        ((2).to_bytes(8, "little") + b"[]", "invalid JSON in header"),
        ((4).to_bytes(8, "little") + b"\xff\xfe\xfd\xfc", "invalid UTF-8 in header"),
        ((13).to_bytes(8, "little") + b'{"a":1,"a":2}', "invalid JSON in header"),
        ((90000).to_bytes(8, "little") + b"[" * 90000, "invalid JSON in header"),
        ((5000).to_bytes(8, "little") + b"9" * 5000, "invalid JSON in header"),
    ],
)
def test_what_is_no_checkpoint(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    assert_refused(tmp_path / "file", words)


def test_a_shape_that_numpy_has_not(tmp_path: Path) -> None:
    """Nothing times much is nothing, and the library lets it pass."""
    checkpoint.save(tmp_path / "file", door.Adam({"w": np.ones((0, 3))}))
    change, header = both("p/w", "shape", [2**64 - 1, 0])
    rewritten(tmp_path / "file", change, header=header)
    with pytest.raises(CheckpointError, match=r"'p/w' has the shape \[18446744073709551615, 0\]"):
        checkpoint.load(tmp_path / "file", door.Adam({"w": np.ones((0, 3))}))


def test_a_name_in_the_document_that_stands_twice(tmp_path: Path) -> None:
    content = saved(tmp_path / "file")
    text = '{"format":1,"format":2}'
    header = json.dumps({"__metadata__": {"stepwell": f"{zlib.crc32(text.encode()):08x} {text}"}}).encode()
    (tmp_path / "file").write_bytes(len(header).to_bytes(8, "little") + header)
    assert_refused(tmp_path / "file", "its description is damaged: the name 'format' stands there twice")
    assert not assert_equal_or_refused(tmp_path / "file", content)


def test_another_tools_file_is_none(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"w": np.ones(3)}, tmp_path / "file", {"format": "np"})
    assert_refused(tmp_path / "file", "its metadata have no 'stepwell'")


def test_the_header_is_limited_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with open(path, "wb") as file:  # a sparse file of a terabyte, all of it announced as header
        file.write((2**40 - 8).to_bytes(8, "little"))
        file.truncate(2**40)
    tracemalloc.start()
    assert_refused(path, "header too large")
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()
