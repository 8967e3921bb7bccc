"""The printed handler, called as XLA calls it: frames of 64-bit words made here by hand."""

import ctypes

import numpy as np
import pytest

from stepwell import rules
from stepwell.kernels import interpret, xla
from stepwell.kernels.trace import updates

DTYPES = {"float32": 1e-6, "float64": 1e-14}


def words(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def address(array: np.ndarray) -> int:
    return array.ctypes.data


def described(array: np.ndarray, kept: list[np.ndarray]) -> int:
    """What a frame says of an array: sizes and kinds first, then where it lies, its rank, and where its shape lies."""
    shape = words(*array.shape)
    about = words(0, 0, 0, address(array), array.ndim, address(shape))
    kept += [array, shape, about]
    return address(about)


def call(program, dtype: str, scalars: np.ndarray, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    kept: list[np.ndarray] = []
    made = {name: arrays[name] if name in arrays else np.empty_like(arrays["g"]) for name in xla.results_of(program)}
    operands = words(described(scalars, kept), *(described(arrays[name], kept) for name in xla.arrays_of(program)))
    results = words(*(described(made[name], kept) for name in xla.results_of(program)))
    frame = np.zeros(16, np.int64)
    frame[xla.OPERANDS // 8], frame[xla.RESULTS // 8] = address(operands), address(results)
    handler = xla.handler(xla.handler_source(program, dtype))
    function = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(handler())
    assert function(address(frame)) == 0
    return made


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [(), (3,), (2, 2)])
@pytest.mark.parametrize("shape", [(), (1,), (37,), (4, 5), (0, 3)])
@pytest.mark.parametrize("name", ["adadelta", "lion", "radam", "adamw", "amsgrad"])
def test_it_is_the_interpreted_program_row_by_row(name, shape, rows, dtype):
    program, rng = updates(rules.named[name]), np.random.default_rng(0)
    draws = [rng.uniform(0.2, 0.9, len(program.scalars)) for _ in range(int(np.prod(rows, dtype=int)))]
    wide = [
        interpret.prologue(program, dict(zip(program.scalars, map(float, draw), strict=True)) | {"t": 3 + 4 * k})
        for k, draw in enumerate(draws)
    ]
    names = xla.scalars_in(program)
    scalars = np.array([[float(each[n]) for n in names] for each in wide]).reshape(*rows, len(names))
    given = {a: rng.uniform(0.1, 2.0, (*rows, *shape)).astype(dtype) for a in ("p", "g", *rules.named[name].state)}
    before = {a: x.copy().reshape(len(wide), *shape) for a, x in given.items()}
    found = call(program, dtype, scalars, given)
    for k, each in enumerate(wide):
        expected = interpret.body(program, {a: x[k].astype(np.float64) for a, x in before.items()}, each)
        for output, value in expected.items():
            part = found[output].reshape(len(wide), *shape)[k]
            assert np.allclose(part, value, rtol=DTYPES[dtype], atol=0), output


def test_it_answers_which_version_it_speaks():
    api, metadata = words(0, 0, 0, 0, 7 << 32 | 3), np.zeros(6, np.int64)
    question = words(0, xla.METADATA, 0, address(metadata))
    frame = words(0, address(question), address(api), *[0] * 13)
    handler = xla.handler(xla.handler_source(updates(rules.adadelta), "float32"))
    assert ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(handler())(address(frame)) == 0
    assert metadata.tolist() == [0, 0, 0, 7 << 32 | 3, 0, 0]


def test_where_xla_keeps_an_array_between_its_passes():
    kept = {name for name, rule in rules.named.items() if xla.keeps_between(updates(rule))}
    assert kept == {"adadelta", "adadeltaw", "rmsprop_eps_inside_nesterov"}
