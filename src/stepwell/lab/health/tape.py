"""What the graph of a loss tells: which parameters it hangs on, and which units of its ReLUs are dead."""

from collections.abc import Iterator, Mapping
from typing import Any

RELU = ("ReluBackward0", "ThresholdBackward0")


def nodes(loss: Any) -> Iterator[Any]:
    """Every function in the graph of a loss, each once, from the loss down."""
    seen, stack = set(), [loss.grad_fn]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        stack.extend(child for child, _ in node.next_functions)


def leaves(loss: Any) -> list[Any]:
    """The tensors that the loss will give gradients to."""
    return [node.variable for node in nodes(loss) if hasattr(node, "variable")]


def dead_units(loss: Any, names: Mapping[int, str]) -> dict[str, float]:
    """By ReLU the share of its units that are 0 on every row of the batch.

    A unit is a place along the second axis of (rows, units) and (rows, channels, …), along the last of anything else;
    one of which there is a single row is not judged. A ReLU has the name of the parameter that is nearest below it.
    """
    found: dict[str, float] = {}
    for node in nodes(loss):
        if node.name() not in RELU or _of_a_parameter(node):
            continue
        try:
            output = node._saved_result
        except (AttributeError, RuntimeError):  # the graph has been freed
            continue
        axis = 1 if output.ndim in (2, 4, 5) else output.ndim - 1
        if output.ndim < 2 or output.numel() == output.shape[axis]:
            continue
        rest = [k for k in range(output.ndim) if k != axis]
        name = _nearest(node, names) or f"ReLU {len(found) + 1}"
        share = float((output.detach().amax(rest) <= 0).float().mean())
        found[name] = max(share, found.get(name, 0.0))
    return found


def _of_a_parameter(node: Any) -> bool:
    """Whether a function sees one parameter and no data, as a penalty on weights does."""
    seen, stack = set(), [node]
    while stack:
        here = stack.pop()
        if here is None or len(seen) > 1:
            return False
        if hasattr(here, "variable"):
            seen.add(here)
        stack.extend(child for child, _ in here.next_functions)
    return len(seen) == 1


def _nearest(node: Any, names: Mapping[int, str]) -> str:
    """The name of the parameter of most axes that is fewest functions below."""
    level, seen = [node], set()
    while level:
        below = [child for each in level for child, _ in each.next_functions if child is not None and child not in seen]
        seen.update(below)
        here = [child.variable for child in below if hasattr(child, "variable")]
        known = [p for p in here if id(p) in names and p.ndim > 1]
        if known:
            return names[id(known[0])]
        level = list(dict.fromkeys(below))
    return ""
