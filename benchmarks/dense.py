"""A dense step of one large tensor: every rule against the bandwidth of an in-place add, and against torch."""

import torch

import stepwell.torch as ours
from _measure import Row, in_place_add, medians, milliseconds, with_gradients
from stepwell import rules
from stepwell.kernels import Stages, cpu
from stepwell.torch import from_rule

FUSED = ("Adam", "AdamW", "SGD", "Adagrad")  # what torch can fuse on a CPU
SLOW = ("RMSprop", "Adadelta", "NAdam", "Adamax", "RAdam")  # what it cannot


def main(quick: bool = False) -> list[Row]:
    """Ratios of step times; 50 million float32 parameters, a tenth of that if quick."""
    size = 5_000_000 if quick else 50_000_000
    return [*_limits(size, quick), *_against_fused(size, quick), *_against_default(size, quick)]


def _bytes(rule_name: str) -> int:
    """Bytes a parameter that a step must move: every array is read, all but the gradient are written."""
    return 4 * (2 * len(cpu.program(rules.named[rule_name], Stages()).arrays) - 1)


def _limits(size: int, quick: bool) -> list[Row]:
    found: list[Row] = []
    add, add_bytes = in_place_add(size)
    for name, rule in rules.named.items():
        if cpu.program(rule, Stages()).by_rows:
            continue  # the dense kernel goes by elements
        optimizer = from_rule(rule)(with_gradients([size]), lr=1e-6)
        times = medians({"ours": optimizer.step, "add": add}, 3 if quick else 9)
        reached = (_bytes(name) * size / times["ours"]) / (add_bytes / times["add"])
        detail = f"{milliseconds(times['ours'])}, {_bytes(name) * size / times['ours'] / 1e9:.0f} GB/s"
        found.append(Row(name=f"dense step, {name}", ratio=None, peer="", limit=reached, floor=0.8, detail=detail))
    return found


def _against_fused(size: int, quick: bool) -> list[Row]:
    return [_pair(name, size, 0.9, {"fused": True}, "fused", 5 if quick else 15) for name in FUSED]


def _against_default(size: int, quick: bool) -> list[Row]:
    floors = {"RMSprop": 5.0, "Adadelta": 5.0, "NAdam": 5.0}
    return [_pair(name, size, floors.get(name), {}, "default", 2 if quick else 5) for name in SLOW]


def _pair(name: str, size: int, floor: float | None, options: dict[str, bool], how: str, rounds: int) -> Row:
    extra = {"momentum": 0.9} if name == "SGD" else {}
    peer = getattr(torch.optim, name)(with_gradients([size]), **options, **extra)
    mine = getattr(ours, name)(with_gradients([size]), **extra)
    times = medians({"ours": mine.step, "peer": peer.step}, rounds)
    return Row(
        name=f"dense step, {name}", ratio=times["peer"] / times["ours"], peer=f"torch.optim.{name}, {how}", limit=None,
        floor=floor, detail=f"{milliseconds(times['ours'])} against {milliseconds(times['peer'])}",
    )  # fmt: skip
