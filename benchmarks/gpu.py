"""A step on a GPU: against torch's fused and foreach optimizers there, and against the bandwidth of a copy.

Where there is no GPU, every row says so.
"""

from collections.abc import Callable, Iterator

import torch

import stepwell.torch as ours
from _measure import Row, medians, milliseconds
from stepwell.kernels import gpu

LARGE, MANY = 1_000_000_000, [256] * 2000
AGAINST_FUSED = ("Adam", "AdamW", "SGD", "Adagrad")
AGAINST_FOREACH = ("RMSprop", "Adadelta", "NAdam")
ADAM = 4 * 7  # bytes a parameter: p, g, m and v are read, all but g written
STEPS = 10  # in a row; the host may be ahead of the device, as in training
NUMBERS = 5  # of 4 bytes that a parameter takes here at most: itself, gradient and state


def main(quick: bool = False) -> Iterator[Row]:
    """Ratios of step times in float32: 200 million parameters against peers, a billion against the copy, and 2000
    tensors of 256; a tenth of the numbers if quick."""
    share = 10 if quick else 1
    rounds = 5 if quick else 15
    for name in AGAINST_FUSED:
        yield _against(name, "fused", [200_000_000 // share], 1.0, rounds)
    for name in AGAINST_FOREACH:
        yield _against(name, "foreach", [200_000_000 // share], 5.0, rounds)
    yield _against("Adam", "fused", MANY, None, rounds)
    yield _of_copy(LARGE // share, rounds)


def _against(name: str, how: str, sizes: list[int], floor: float | None, rounds: int) -> Row:
    tensors = f"{len(sizes)} tensors of {sizes[0]}" if len(sizes) > 1 else f"{sizes[0] // 1_000_000} million"
    row = Row(
        name=f"GPU step, {name}, {tensors}", ratio=None, peer=f"torch.optim.{name}, {how}", limit=None, floor=floor,
        detail=_why_not(2 * NUMBERS * 4 * sum(sizes)),
    )  # fmt: skip
    if row["detail"]:
        return row
    extra = {"momentum": 0.9} if name == "SGD" else {}
    peer = getattr(torch.optim, name)(_with_gradients(sizes), **{how: True}, **extra)
    mine = getattr(ours, name)(_with_gradients(sizes), **extra)
    times = medians({"ours": _repeated(mine.step), "peer": _repeated(peer.step)}, rounds)
    found, theirs = (times[side] / STEPS for side in ("ours", "peer"))
    row.update({"ratio": theirs / found, "detail": f"{milliseconds(found)} against {milliseconds(theirs)}"})
    return row


def _of_copy(size: int, rounds: int) -> Row:
    row = Row(
        name=f"GPU step, Adam, {size // 1_000_000} million", ratio=None, peer="a copy of as many numbers", limit=None,
        floor=0.85, detail=_why_not((4 + 2) * 4 * size),
    )  # fmt: skip
    if row["detail"]:
        return row
    mine = ours.Adam(_with_gradients([size]))
    source, target = (torch.zeros(size, device="cuda") for _ in range(2))
    times = medians({"ours": _repeated(mine.step), "copy": _repeated(lambda: target.copy_(source))}, rounds)
    speed, copied = (bytes_ * size * STEPS / times[side] for side, bytes_ in (("ours", ADAM), ("copy", 8)))
    row.update({"limit": speed / copied, "detail": f"{speed / 1e12:.2f} TB/s, a copy {copied / 1e12:.2f}"})
    return row


def _why_not(needed: int) -> str:
    """Why a row cannot be measured here; nothing where it can."""
    if not torch.cuda.is_available():
        return "not measured: no GPU here"
    if not gpu.usable():
        return "not measured: no Triton here"
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    return (
        "" if free > needed else f"not measured: {free / 1e9:.0f} GB of the GPU are free, it needs {needed / 1e9:.0f}"
    )


def _with_gradients(sizes: list[int]) -> list[torch.nn.Parameter]:
    """Parameters of these lengths that have gradients, on the GPU."""
    generator = torch.Generator("cuda").manual_seed(0)
    made = []
    for size in sizes:
        p = torch.nn.Parameter(torch.randn(size, generator=generator, device="cuda"))
        p.grad = torch.randn(size, generator=generator, device="cuda")
        made.append(p)
    return made


def _repeated(step: Callable[[], object]) -> Callable[[], object]:
    def side() -> None:
        for _ in range(STEPS):
            step()
        torch.cuda.synchronize()

    return side
