"""A step beside Paddle's own optimizer of that name: one large tensor, and many small ones."""
# pyright: reportMissingImports=false

import functools
import warnings
from typing import Any

import numpy as np

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it wants a ccache
    import paddle

import stepwell.paddle as ours
from _measure import Row, medians, milliseconds
from stepwell.kernels import Stages, cpu

VARIANTS: dict[str, dict[str, Any]] = {
    "SGD": {}, "Momentum": {}, "Momentum, nesterov": {"use_nesterov": True}, "Adagrad": {}, "RMSProp": {},
    "RMSProp, centered, momentum": {"centered": True, "momentum": 0.9}, "Adadelta": {}, "Adam": {},
    "Adam, amsgrad": {"amsgrad": True}, "AdamW": {}, "Adamax": {}, "NAdam": {}, "RAdam": {},
    "Adam, weight decay, global norm": {"weight_decay": 0.01, "grad_clip": paddle.nn.ClipGradByGlobalNorm(1.0)},
}  # fmt: skip
FLOORS = {"Adam": 2.5, "AdamW": 2.5, "Adadelta": 2.0}  # of one large tensor; of the others 0.9
SMALL = ("SGD", "Momentum", "Adam", "Adam, weight decay, global norm")


def main(quick: bool = False) -> list[Row]:
    """Ratios of step times; 20 million float32 parameters, a tenth of that if quick; then 2000 tensors of 256."""
    size = 2_000_000 if quick else 20_000_000
    paddle.set_device("cpu")
    large = [_row(name, [size], "", 3 if quick else 9) for name in VARIANTS]
    return large + [_row(name, [256] * 2000, ", 2000 tensors of 256", 10 if quick else 30) for name in SMALL]


def _row(name: str, sizes: list[int], where: str, rounds: int) -> Row:
    cls = name.partition(",")[0]
    mine, theirs = (_optimizer(getattr(home, cls), sizes, VARIANTS[name]) for home in (ours, paddle.optimizer))
    add, one = paddle.zeros([sum(sizes)]), paddle.full([sum(sizes)], 1e-9)
    sides = {"ours": mine.step, "paddle": theirs.step, "add": functools.partial(add.add_, one)}
    times = medians(sides, rounds)
    limit = None
    if len(sizes) == 1 and "global norm" not in name:  # every array is read, all but the gradient written
        moved = 4 * (2 * len(cpu.program(mine._rule(), Stages()).arrays) - 1)
        limit = moved / times["ours"] / (12 / times["add"])
    return Row(
        name=f"paddle step, {name}{where}", ratio=times["paddle"] / times["ours"], peer=f"paddle.optimizer.{cls}",
        limit=limit, floor=1.0 if where else FLOORS.get(name, 0.9),
        detail=f"{milliseconds(times['ours'])} against {milliseconds(times['paddle'])}",
    )  # fmt: skip


def _optimizer(cls: Any, sizes: list[int], options: dict[str, Any]) -> Any:
    rng = np.random.default_rng(0)
    params = []
    for size in sizes:
        p = paddle.create_parameter([size], "float32")
        p.grad = paddle.to_tensor(rng.standard_normal(size, np.float32))
        params.append(p)
    return cls(learning_rate=1e-6, parameters=params, **options)
