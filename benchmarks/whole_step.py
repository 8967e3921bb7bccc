"""The whole step: clip by global norm, Adam, average the weights, zero the gradients."""

import torch

import stepwell.torch as ours
from _measure import Row, in_place_add, medians, milliseconds, with_gradients

DECAY, LIMIT = 0.999, 1.0
BYTES = 4 * (1 + 9 + 1)  # the norm reads g; the step reads p, g, m, v and the average, writes them and g's zeros


def main(quick: bool = False) -> list[Row]:
    """148 tensors of 837 thousand parameters (GPT-2's number and size); a tenth of each if quick."""
    sizes = [83_700] * 148 if quick else [837_000] * 148
    mine = ours.Adam(with_gradients(sizes), clip_norm=LIMIT, ema=DECAY, zero_grad=True)
    recipe = _recipe(with_gradients(sizes))
    add, add_bytes = in_place_add(sum(sizes) // 3)
    times = medians({"ours": mine.step, "peer": recipe, "add": add}, 3 if quick else 9)
    limit = (BYTES * sum(sizes) / times["ours"]) / (add_bytes / times["add"])
    detail = f"{milliseconds(times['ours'])} against {milliseconds(times['peer'])}"
    peer = "torch: clip_grad_norm_, fused Adam, _foreach_lerp_, zero_grad"
    return [
        Row(name="whole step", ratio=times["peer"] / times["ours"], peer=peer, limit=limit, floor=2.0, detail=detail)
    ]


def _recipe(params: list[torch.nn.Parameter]):  # type: ignore[no-untyped-def]
    optimizer = torch.optim.Adam(params, fused=True)
    averages = [p.detach().clone() for p in params]

    def step() -> None:
        torch.nn.utils.clip_grad_norm_(params, LIMIT)
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(averages, [p.detach() for p in params], 1 - DECAY)
        optimizer.zero_grad(set_to_none=False)

    return step
