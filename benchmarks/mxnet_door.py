"""A step beside MXNet's own optimizer of that name, each through MXNet's updater, as a trainer runs it."""
# pyright: reportMissingImports=false

from collections.abc import Callable
from typing import Any

import mxnet
from mxnet import nd

import stepwell.mxnet as ours
from _measure import Row, in_place_add, medians, milliseconds
from stepwell.kernels.trace import updates

VARIANTS: dict[str, dict[str, Any]] = {
    "SGD": {}, "SGD, momentum": {"momentum": 0.9}, "NAG, momentum": {"momentum": 0.9}, "Signum": {}, "Adam": {},
    "Adam, decay, clipped": {"wd": 1e-4, "clip_gradient": 1.0}, "AdaGrad": {}, "RMSProp": {},
    "RMSProp, centered": {"centered": True}, "AdaDelta": {}, "Adamax": {}, "Nadam": {},
}  # fmt: skip


def main(quick: bool = False) -> list[Row]:
    """Ratios of step times; 20 million float32 parameters, a tenth of that if quick; then 500 small ones, and rows."""
    size = 2_000_000 if quick else 20_000_000
    rows = [_dense(name, [size], "", 3 if quick else 7) for name in VARIANTS]
    rows += [_dense(name, [256] * 500, ", 500 parameters of 256", 5) for name in ("SGD, momentum", "Adam")]
    return [*rows, *(_sparse(name, quick) for name in ("SGD, momentum", "Adam", "AdaGrad"))]


def _dense(name: str, sizes: list[int], where: str, rounds: int) -> Row:
    gradients = [nd.random.normal(shape=(size,)) for size in sizes]
    sides = {side: _step(home, name, gradients, gradients) for side, home in _homes().items()}
    add, _ = in_place_add(sum(sizes))
    times = medians({**sides, "add": add}, rounds)
    return _row(name, where, times, _share(name, sizes, times))


def _sparse(name: str, quick: bool) -> Row:
    """A million rows of 32, of which a step touches 16 thousand."""
    rows, touched = (100_000, 1_600) if quick else (1_000_000, 16_000)
    indices = nd.array(sorted(range(0, rows, rows // touched)), dtype="int64")
    values = nd.random.normal(shape=(len(indices), 32))
    gradient = nd.sparse.row_sparse_array((values, indices), shape=(rows, 32))
    sides = {side: _step(home, name, [nd.ones((rows, 32))], [gradient]) for side, home in _homes().items()}
    return _row(name, f", {touched // 1000} thousand rows of {rows // 1000}", medians(sides, 9), None)


def _homes() -> dict[str, Any]:
    return {"ours": ours, "mxnet": mxnet.optimizer}


def _step(home: Any, name: str, like: list[Any], gradients: list[Any]) -> Callable[[], object]:
    optimizer = getattr(home, name.partition(",")[0])(**VARIANTS[name])
    update, params = mxnet.optimizer.get_updater(optimizer), [x.copy() for x in like]

    def step() -> None:
        if update.aggregate_updates:
            update(list(range(len(params))), gradients, params)
        else:
            for k, (p, g) in enumerate(zip(params, gradients, strict=True)):
                update(k, g, p)

    return _waited(step)


def _waited(work: Callable[[], object]) -> Callable[[], None]:
    """The work, and whatever MXNet still does for it behind the program's back."""

    def done() -> None:
        work()
        nd.waitall()

    return done


def _share(name: str, sizes: list[int], times: dict[str, float]) -> float | None:
    """The share of the bandwidth of an in-place add (12 bytes); every array is read, all but the gradient written."""
    if len(sizes) > 1:
        return None
    rule = getattr(ours, name.partition(",")[0])(**VARIANTS[name]).rule_of()
    moved = 4 * (2 * len(updates(rule).arrays) - 1)
    return moved / times["ours"] / (12 / times["add"])


def _row(name: str, where: str, times: dict[str, float], limit: float | None) -> Row:
    floor = None if where.endswith("of 256") else 0.9
    return Row(
        name=f"mxnet step, {name}{where}", ratio=times["mxnet"] / times["ours"], peer=f"mxnet.optimizer.{name}",
        limit=limit, floor=floor, detail=f"{milliseconds(times['ours'])} against {milliseconds(times['mxnet'])}",
    )  # fmt: skip
