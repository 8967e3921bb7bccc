"""A step on TensorFlow beside Keras's own optimizer of that name, in each of the ways in which a step is made."""
# pyright: reportMissingImports=false

import gc
import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf

import stepwell.keras as ours
from _measure import Row, medians, milliseconds
from stepwell.kernels.trace import updates

WAYS: dict[str, dict[str, Any] | None] = {
    "eager": None,
    "tf.function": {"jit_compile": False},
    "jit_compile": {"jit_compile": True},
}
# both sides are one program of XLA's where the whole step is compiled: no slower, within what can be measured
FLOORS = {"eager": 1.0, "tf.function": 1.0, "jit_compile": 0.95}
VARIANTS = {
    "SGD": {}, "SGD, momentum": {"momentum": 0.9}, "SGD, nesterov": {"momentum": 0.9, "nesterov": True}, "RMSprop": {},
    "RMSprop, centered, momentum": {"centered": True, "momentum": 0.9}, "Adagrad": {}, "Adadelta": {}, "Adam": {},
    "Adam, amsgrad": {"amsgrad": True}, "Adam, clipnorm, EMA": {"clipnorm": 1.0, "use_ema": True}, "AdamW": {},
    "Adamax": {}, "Nadam": {}, "Lion": {},
}  # fmt: skip


def main(quick: bool = False) -> list[Row]:
    """Ratios of step times; 20 million float32 parameters, a tenth of that if quick; then 500 small variables."""
    size = 2_000_000 if quick else 20_000_000
    rows = [row for name in VARIANTS for row in _rows(name, [size], "", 3 if quick else 11)]
    return [*rows, *_rows("Adam", [256] * 500, ", 500 variables of 256", 5)]


def _rows(name: str, sizes: list[int], where: str, rounds: int) -> list[Row]:
    kind, options = name.partition(",")[0], VARIANTS[name]
    gradients = [tf.random.stateless_normal([size], (1, 2)) for size in sizes]
    sides: dict[str, Callable[[], object]] = {}
    for way, how in WAYS.items():
        for side, home in (("ours", ours), ("keras", keras.optimizers)):
            sides[f"{side}, {way}"] = _step(getattr(home, kind)(learning_rate=1e-6, **options), gradients, how)
    add = tf.Variable(tf.zeros([sum(sizes)]))
    one = tf.fill([sum(sizes)], 1e-9)
    times = medians({**sides, "add": lambda: add.assign_add(one)}, rounds)
    sides.clear()
    gc.collect()  # gigabytes: optimizers and their compiled steps hold each other
    return [_row(name + where, way, times, _share(name, sizes, times, way)) for way in WAYS]


def _step(optimizer: Any, gradients: list[Any], how: dict[str, Any] | None) -> Callable[[], object]:
    variables = [tf.Variable(g) for g in gradients]
    optimizer.build(variables)

    def step() -> None:
        optimizer.apply_gradients(zip(gradients, variables, strict=True))

    return step if how is None else tf.function(step, autograph=False, **how)


def _share(name: str, sizes: list[int], times: dict[str, float], way: str) -> float | None:
    """The share of the bandwidth of an in-place add (12 bytes); every array is read, all but the gradient written."""
    if len(sizes) > 1:
        return None
    rule = getattr(ours, name.partition(",")[0])(**VARIANTS[name]).rule_of()
    moved = 4 * (2 * len(updates(rule).arrays) - 1)
    return moved / times[f"ours, {way}"] / (12 / times["add"])


def _row(name: str, way: str, times: dict[str, float], limit: float | None) -> Row:
    mine, theirs = times[f"ours, {way}"], times[f"keras, {way}"]
    return Row(
        name=f"keras step, {name}, {way}", ratio=theirs / mine, peer=f"keras.optimizers.{name}", limit=limit,
        floor=FLOORS[way], detail=f"{milliseconds(mine)} against {milliseconds(theirs)}",
    )  # fmt: skip
