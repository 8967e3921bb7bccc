"""Many small tensors, and a model so small that only the call itself counts."""

import statistics

import torch

import stepwell.torch as ours
from _measure import Row, medians, milliseconds, with_gradients


def main(quick: bool = False) -> list[Row]:
    """Adam against torch's fused Adam."""
    return [
        _back_to_back(60 if quick else 200),
        _many(30 if quick else 100),
        _fresh(30 if quick else 100),
        _tiny(2000 if quick else 10_000),
    ]


def _many(rounds: int) -> Row:
    mine, peer = ours.Adam(with_gradients([256] * 2000)), torch.optim.Adam(with_gradients([256] * 2000), fused=True)
    times = medians({"ours": mine.step, "peer": peer.step}, rounds)
    return _row("2000 tensors of 256, caches full of other things", times, None)


def _back_to_back(rounds: int) -> Row:
    """Each side makes its steps in blocks of 20, so that what it touches stays near."""
    mine, peer = ours.Adam(with_gradients([256] * 2000)), torch.optim.Adam(with_gradients([256] * 2000), fused=True)
    seconds: dict[str, list[float]] = {"ours": [], "peer": []}
    for _ in range(max(rounds // 20, 3)):
        for name, step in (("ours", mine.step), ("peer", peer.step)):
            seconds[name] += [medians({"step": step}, 1)["step"] for _ in range(20)]
    return _row("2000 tensors of 256", {name: statistics.median(t) for name, t in seconds.items()}, 20.0)


def _fresh(rounds: int) -> Row:
    """As after zero_grad(set_to_none=True): every gradient is a new tensor at each step."""
    pairs = []
    for make in (ours.Adam, lambda params: torch.optim.Adam(params, fused=True)):
        params = with_gradients([256] * 2000)
        pairs.append((params, make(params)))
    sources = [[p.grad.clone() for p in params if p.grad is not None] for params, _ in pairs]

    def renew(k: int) -> None:
        for p, g in zip(pairs[k][0], sources[k], strict=True):
            p.grad = g.clone()

    seconds: dict[str, list[float]] = {"ours": [], "peer": []}
    for _ in range(rounds):
        for k, name in enumerate(seconds):
            renew(k)
            seconds[name].append(medians({"step": _once(pairs[k][1].step)}, 1)["step"])
    times = {name: statistics.median(t) for name, t in seconds.items()}
    return _row("2000 tensors of 256, new gradients each step", times, None)


def _once(step):  # type: ignore[no-untyped-def]
    """medians() runs a side once before it counts; that round must not use the fresh gradients up."""
    calls = iter((lambda: None, step))
    return lambda: next(calls)()


def _tiny(rounds: int) -> Row:
    mine, peer = ours.Adam(with_gradients([10, 1])), torch.optim.Adam(with_gradients([10, 1]), fused=True)
    return _row("linear model, 2 tensors", medians({"ours": mine.step, "peer": peer.step}, rounds), 2.0)


def _row(name: str, times: dict[str, float], floor: float | None) -> Row:
    return Row(
        name=name, ratio=times["peer"] / times["ours"], peer="torch.optim.Adam, fused", limit=None, floor=floor,
        detail=f"{milliseconds(times['ours'])} against {milliseconds(times['peer'])}",
    )  # fmt: skip
