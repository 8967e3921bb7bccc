"""The charts of a watched training: its vital signs over the steps, and the curves of cures that were tried."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from stepwell.lab.names import count
from stepwell.pages.html import traces
from stepwell.pages.html.axes import layout, plain, scale
from stepwell.pages.html.blocks import Chart, Key
from stepwell.pages.html.colours import variable
from stepwell.pages.style import LINES, OTHERS

Numbers = Sequence[float | None]
USUAL = (3e-4, 3e-3)
"""A step changes a weight by about a thousandth, as a rule of thumb; this is half a decade on both sides."""
SIGNS = {
    "lr": ("Learning rate", "learning rate", None, ""),
    "gradient": ("Gradient norm", "norm", None, "Of all parameters together."),
    "noise": ("Gradient noise", "batches", None, "The noise scale: at 1, a batch is as much noise as signal."),
    "agreement": ("Agreement with the gradient", "cosine", False, "Cosine of the step with the negative gradient."),
    "eps_share": ("Share ruled by ε", "share", False, "Coordinates whose step ε makes half as long, or less."),
}


class _Frame:
    """What the charts of a training share: its steps from first to last, and a mark where a finding begins."""

    def __init__(self, document: Mapping[str, Any]):
        starts = dict.fromkeys(finding["step"] for finding in document["findings"])
        self.marks = [traces.upright(step, "--bad/0.55", "2px,2px") for step in starts]
        self.steps = document["steps"]

    def layout(self, y: dict[str, Any], *shapes: dict[str, Any]) -> dict[str, Any]:
        return layout(scale("step", [0, self.steps], False, 0.02), y, shapes=[*shapes, *self.marks])


def vitals(document: Mapping[str, Any]) -> list[Chart]:
    """A chart for each sign that was seen."""
    samples, frame = document["samples"], _Frame(document)
    found = [_loss(document, frame), _ratios(samples, frame), _sharpness(samples, frame)]
    for name, (title, unit, log, about) in SIGNS.items():
        found.append(_sign(samples, name, title, unit, log, about, frame))
    return [chart for chart in found if chart]


def proof(item: Mapping[str, Any]) -> Chart | None:
    """What came of each cure, beside the training as it was."""
    names = [trial["cure"] for trial in item["trials"]]
    data, ends = [], []
    for k, trial in enumerate(item["trials"]):
        x = [item["step"] + i for i in range(len(trial["curve"]))]
        data.append(_way(x, trial["curve"], names[k], _key(names[k], k), width=2.5 if k == 0 else 2))
        ends.append(f"{trial['cure']}: {_number(trial['loss'])}")
    shown = [x for trial in item["trials"] for x in trial["curve"]]
    if not _known(shown):
        return None
    frame = layout(scale("step", [x for trace in data for x in trace["x"]], False, 0.02), scale("loss", shown))
    legend = [_key(name, k) for k, name in enumerate(names)]
    return Chart("Loss from there on", "", "In the end, " + "; ".join(ends) + ".", data, frame, legend=legend)


def _loss(document: Mapping[str, Any], frame: _Frame) -> Chart | None:
    x, y = document["losses"]["step"], document["losses"]["loss"]
    if not x:
        x, y = ([sample[key] for sample in document["samples"]] for key in ("step", "loss"))
    about = "Upright lines: where a finding begins." if frame.marks else ""
    return _single(x, y, "Loss", "loss", None, about, frame)


def _sign(samples: Any, name: str, title: str, unit: str, log: bool | None, about: str, frame: _Frame) -> Chart | None:
    x, y = _measured(samples, name)
    return _single(x, y, title, unit, log, about, frame)


def _sharpness(samples: Any, frame: _Frame) -> Chart | None:
    x, y = _measured(samples, "sharpness")
    if not _known(y):
        return None
    rates = {sample["step"]: sample["lr"] for sample in samples}
    limits = [2 / rates[step] if rates[step] else None for step in x]
    edge = traces.line(x, limits, line={"color": "--bad", "width": 1.5, "dash": "3px,3px"}, hoverinfo="skip")
    about = "Largest eigenvalue of the Hessian. Dotted: 2/lr, above which plain gradient descent diverges."
    drawn = [_way(x, y, "sharpness"), edge]
    return Chart("Sharpness", about, _in_words(y), drawn, frame.layout(scale("sharpness", [*y, *limits])), 260)


def _ratios(samples: Any, frame: _Frame) -> Chart | None:
    x = [sample["step"] for sample in samples]
    layers = dict.fromkeys(name for sample in samples for name in sample["ratios"])
    ways = {name: [sample["ratios"].get(name) for sample in samples] for name in layers}
    ways = {name: way for name, way in ways.items() if _known([y or None for y in way])}
    if not ways:
        return None
    order = sorted(ways, key=lambda name: -max(abs(math.log10(y / 1e-3)) for y in ways[name] if y))
    own = order[: len(OTHERS)]
    data = [traces.grey(x, ways[name]) for name in order[len(OTHERS) :]]
    data += [_way(x, [y or None for y in ways[name]], name, _key(name, k)) for k, name in enumerate(own)]
    about = "‖Δp‖/‖p‖ of a step, by layer. Shaded: the usual, about 0.001."
    about += f" In colour: the {len(own)} farthest from it, of {len(ways)}." if len(ways) > len(own) else ""
    y = scale("update to weight", [*USUAL, *(y for way in ways.values() for y in way if y)])
    usual = traces.span(*USUAL, "--good", across="y")
    ends = [f"{name} {_number(next(y for y in reversed(ways[name]) if y))}" for name in own]
    summary = f"{count(len(ways), 'layer')}; in the end " + ", ".join(ends) + "."
    legend = [_key(name, k) for k, name in enumerate(own)]
    return Chart("Update against weight", about, summary, data, frame.layout(y, usual), 260, legend)


def _measured(samples: Any, name: str) -> tuple[list[int], list[float]]:
    """A sign where it was measured, which is not at each sample."""
    seen = [(sample["step"], sample[name]) for sample in samples if sample.get(name) is not None]
    return [step for step, _ in seen], [value for _, value in seen]


def _single(x: Numbers, y: Numbers, title: str, unit: str, log: bool | None, about: str, frame: _Frame) -> Chart | None:
    if not _known(y):
        return None
    return Chart(title, about, _in_words(y), [_way(x, y, title.lower())], frame.layout(scale(unit, y, log)), 260)


def _way(x: Numbers, y: Numbers, name: str, key: Key | None = None, width: float = 2) -> traces.Trace:
    words = [f"<b>{plain(name)}</b>, step {a:g}<br>{_number(b)}" for a, b in zip(x, y, strict=True) if a is not None]
    stroke = traces.of_key(key) if key else {"color": "--accent"}
    alone = {"mode": "lines+markers", "marker": {"size": 5, "color": stroke["color"]}} if len(x) < 3 else {}
    return traces.line(x, y, line={**stroke, "width": width}, text=words, legendgroup=name, **alone)


def _key(name: str, k: int) -> Key:
    """The k-th of lines that are no optimizers."""
    dashes = LINES[k // len(OTHERS) % len(LINES)]
    return Key(name, variable(OTHERS[k % len(OTHERS)]), dashes[1] if isinstance(dashes, tuple) else ())


def _known(y: Numbers) -> list[float]:
    return [a for a in y if a is not None and math.isfinite(a)]


def _in_words(y: Numbers) -> str:
    known = _known(y)
    lost = f"; {len(y) - len(known)} of {len(y)} are not finite or not known" if len(known) < len(y) else ""
    ends = [_number(x) for x in (known[0], known[-1], min(known), max(known))]
    return f"From {ends[0]} to {ends[1]}, between {ends[2]} and {ends[3]}{lost}."


def _number(x: float | None) -> str:
    return "no number" if x is None else f"{x:.3g}"
