"""Every rule, as a kernel for a GPU, is the float64 reference: plain, with each stage, with all that surrounds it."""

import numpy as np
import pytest
import torch

from stepwell import rules
from stepwell.kernels import STAGE_SCALARS, Stages, eager, gpu
from tests.kernels.gpu.harness import BLOCK, SIZES, STORED, Launched, by_gpu, on_device
from tests.kernels.harness import EVERY_STAGE, PLAIN, Work, age, assert_same, by_reference

BY_ELEMENTS = [rule for rule in rules.named.values() if not gpu.program(rule, PLAIN).by_rows]
EACH_ALONE = [Stages(**{name: True}) for name in (*STAGE_SCALARS, "zero")]
every_rule = pytest.mark.parametrize("rule", BY_ELEMENTS, ids=lambda r: r.name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("stages", [PLAIN, EVERY_STAGE], ids=["plain", "all"])
@every_rule
def test_the_kernel_is_the_reference(rule, stages, dtype):
    assert_same(Work(rule, stages, dtype, SIZES, steps=3), by_gpu, by_reference)


@every_rule
def test_each_stage_alone_is_the_reference(rule):
    for stages in EACH_ALONE:
        assert_same(Work(rule, stages, sizes=(5, BLOCK), steps=1), by_gpu, by_reference)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_clipped_elements_are_the_reference(dtype):
    every = Stages(scale=True, clip=True, decay=True, clip_decayed=True)
    assert_same(Work(rules.yogi, every, dtype, SIZES, steps=4), by_gpu, by_reference)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_large_tensor_with_a_tail_in_blocks_of_their_real_size(dtype):
    sizes = (100_003, gpu.BLOCK, gpu.BLOCK - 1, gpu.BLOCK + 1)
    work = Work(rules.adamw, EVERY_STAGE, dtype, sizes, steps=3)
    assert_same(work, lambda work: by_gpu(work, block=gpu.BLOCK), by_reference)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("rule", [rules.momentum, rules.rmsprop, rules.adagrad], ids=lambda r: r.name)
def test_half_precision_is_rounded_as_torch_rounds_it(rule, dtype):
    """Bit for bit: these rules take no power, and the kernel fuses nothing."""
    stages = Stages(scale=True, ema=True, zero=True)
    arrays = gpu.program(rule, stages).arrays
    scalars = Work(rule, stages).hyper(1)
    kernel = gpu.kernel(rule, stages, (*(dtype,) * (len(arrays) - 1), "float32"), BLOCK)
    generator = torch.Generator().manual_seed(0)
    made = {a: torch.randn(3 * BLOCK + 7, generator=generator).abs() for a in arrays}
    stored = {a: x.to(torch.float32 if a == "ema" else STORED[dtype]).to(on_device(0).device) for a, x in made.items()}
    wide = {a: x.float().cpu().numpy() for a, x in stored.items()}
    numbers = {name: np.float32(x) for name, x in scalars.items()}
    numbers |= {"ema_decay": np.float32(scalars["ema_decay"]), "t": 1}
    expected = eager.step(rule, wide, numbers, stages)
    Launched(kernel, [list(stored.values())], [0], [[scalars[n] for n in kernel.program.scalars]], [0]).step()
    for name, value in expected.items():
        assert torch.equal(stored[name].cpu(), torch.from_numpy(value).to(stored[name].dtype)), name
    assert not stored["g"].any()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_every_half_is_read_and_kept(dtype):
    """A step of 0 leaves each of the 65536 patterns what it is, but that a NaN may become another."""
    patterns = torch.arange(1 << 16).to(torch.int32).to(torch.int16).view(STORED[dtype]).clone().to(on_device(0).device)
    before, g = patterns.clone(), torch.zeros_like(patterns)
    kernel = gpu.kernel(rules.gradient_descent, PLAIN, (dtype, dtype), 1 << 13)
    Launched(kernel, [[patterns, g]], [0], [[1.0]], [0]).step()
    assert torch.equal(patterns.isnan(), before.isnan())
    numbers = ~before.isnan()
    assert torch.equal(patterns[numbers], before[numbers])


def test_tensors_of_one_launch_do_not_know_of_each_other():
    """Each is, bit for bit, what it is alone, wherever its blocks lie."""
    work = Work(rules.adamw, Stages(scale=True, ema=True), sizes=(5, 0, BLOCK + 1, 1, 17, BLOCK, 2, 3 * BLOCK), steps=3)
    *_, last = by_gpu(work)
    arrays = gpu.program(work.rule, work.stages).arrays
    kernel = gpu.kernel(work.rule, work.stages, ("float32",) * len(arrays), BLOCK)
    for k in (2, 4, 7):
        own = {name: on_device(x) for name, x in work.start(k).items()}
        own["g"] = torch.zeros_like(own["p"])
        scalars = [[work.hyper(k)[name] for name in kernel.program.scalars]]
        launched = Launched(kernel, [[own[name] for name in arrays]], [0], scalars, [age(k)])
        for step in range(work.steps):
            own["g"].copy_(on_device(work.gradients(step)[k]))
            launched.step()
        for name, expected in last[k].items():
            assert own[name].cpu().numpy().tobytes() == expected.tobytes(), (k, name)


def test_memory_that_no_vector_fits_is_stepped_alike():
    """A view that begins in the middle of 16 bytes takes another way through the kernel, to the same bits."""
    kernel, found = gpu.kernel(rules.adam, PLAIN, ("float32",) * 4, BLOCK), []
    scalars = [[*rules.adam.complete({}).values()]]
    numbers = np.random.default_rng(0).standard_normal((4, 3 * BLOCK)).astype(np.float32)
    for offset in (0, 1):
        rows = [on_device(np.pad(abs(x), (offset, 0)))[offset:] for x in numbers]
        Launched(kernel, [rows], [0], scalars, [3]).step()
        found.append([x.cpu().numpy().tobytes() for x in rows])
    assert found[0] == found[1]


def test_what_rests_stays_and_what_was_found_stops_the_step():
    """A tensor without a gradient keeps its count and its arrays; where the device found an overflow, so do all."""
    stages = Stages(zero=True)
    kernel = gpu.kernel(rules.momentum, stages, ("float32",) * 3, BLOCK)
    rows = [[on_device(np.ones(BLOCK + 1, np.float32)) for _ in range(3)] for _ in range(2)]
    launched = Launched(kernel, rows, [0, 0], [[0.5, 0.5]], [0, 4])
    launched.gradients[1] = -1
    launched.step()
    assert [float(n) for n in launched.steps] == [1, 4]
    assert all(bool((x == 1).all()) for x in rows[1])
    assert bool((rows[0][0] == 0.25).all())
    assert not rows[0][1].any()
    rows[0][1].fill_(float("inf"))
    launched.found.fill_(1.0)
    launched.step()
    assert [float(n) for n in launched.steps] == [1, 4]
    assert bool((rows[0][0] == 0.25).all())
    assert not rows[0][1].any()  # zero_grad all the same


def test_an_empty_table_is_no_work():
    kernel = gpu.kernel(rules.momentum, PLAIN, ("float32",) * 3, BLOCK)
    kernel.tick(None, None, None, None, None, None, 0)
    kernel.run(None, None, None, None, None, 0)


def test_an_empty_tensor_counts_and_has_scalar_state_too():
    """NAdam's product of momenta goes on where a parameter has no elements."""
    kernel = gpu.kernel(rules.nadam, PLAIN, ("float64",) * 4, BLOCK)
    products = [on_device(np.float64(x)) for x in (0.5, 0.25)]
    empty = on_device(np.zeros(0))
    hyper = rules.nadam.complete({"momentum_decay": 0.0})
    scalars = [[hyper[name] for name in kernel.program.scalars]]
    launched = Launched(kernel, [[empty] * 4 + [x] for x in products], [0, 0], scalars, [0, 0])
    launched.step()
    np.testing.assert_allclose([float(x) for x in products], [0.5 * 0.45, 0.25 * 0.45], rtol=1e-15)
    assert [float(n) for n in launched.steps] == [1, 1]


def test_a_rule_that_reads_rows_has_no_kernel_of_elements():
    with pytest.raises(ValueError, match="adagrad_rowwise reads whole rows"):
        gpu.kernel(rules.adagrad_rowwise, PLAIN, ("float32",) * 3)
