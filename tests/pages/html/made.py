"""Result files that nothing was trained for, one of each kind, and what a page made of them shows."""

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from stepwell.lab.comparisons.comparison import Comparison
from stepwell.lab.rates.found_rate import Cost, FoundRate, Round
from stepwell.lab.statistics import Basin
from stepwell.lab.sweeps.results import Results
from stepwell.lab.trial import Run
from stepwell.pages import html
from tests.lab.contests import contest
from tests.lab.synthetic import results, run

OPTIMIZERS = ("adam", "momentum", "rmsprop", "adagrad", "lion")
ROUNDS = (
    Round(10, (1e-3, 1e-2, 1e-1), ((2.0, 2.2), (1.0, 1.2), (math.inf, 3.0)), 2.3),
    Round(50, (5e-3, 1e-2, 2e-2), ((0.5, 0.7), (0.4, 0.5), (0.6, 0.8)), 2.3),
)
FOUND = FoundRate(
    "adam", "digits", "sweep", 0.0123, None, (0.01, 0.02), None, Basin(0.005, 0.03, False, True, 0.6), 0.08, 0.015,
    0.1, (0, 1), ROUNDS, Cost(300, 300, 1.0, 1.0, False), "one run after the other",
)  # fmt: skip


def sweep(
    optimizers: Sequence[str] = OPTIMIZERS, rates: int = 12, seeds: int = 5, points: int = 24, **task: Any
) -> Results:
    """A sweep as it often comes out: each optimizer has its best rate, and diverges far above it."""
    runs = []
    for place, name in enumerate(optimizers):
        for k in range(rates):
            lr = float(f"{10 ** (-4 + k / 3):.3g}")
            for seed in range(seeds):
                away = abs(math.log10(lr) + 2 - place / 4)
                end = 0.1 * (1 + place / 3) + 0.4 * away**2 + 0.013 * ((7 * seed + place) % 5)
                runs.append(_falling(name, lr, seed, None if lr > 1.5 else min(end, 2.2), points))
    return results(runs, **({"goal": None} | task))


def _falling(name: str, lr: float, seed: int, end: float | None, points: int) -> Run:
    steps = [10 * k for k in range(points)]
    last = 40.0 if end is None else end
    losses: list[float | None] = [round(last + (2.3 - last) * math.exp(-k / 6), 6) for k in range(points)]
    scores = [0.1 + 0.8 * k / points for k in range(points)]
    if end is None:
        steps, losses, scores = steps[:4], [*losses[:3], None], scores[:4]
    found = run(name, lr, seed, losses[-1], None if end is None else scores[-1], steps=10 * (points - 1))
    known = [x for x in losses if x is not None]
    return replace(found, taken=steps[-1], best=min(known), curve={"step": steps, "loss": losses, "metric": scores})


def comparison(*names: str) -> Comparison:
    """A comparison of four optimizers on tasks of these names."""
    good = [0.10, 0.12, 0.11, 0.13, 0.115, 0.125, 0.105, 0.118]
    near = [0.115, 0.112, 0.121, 0.119, 0.128, 0.114, 0.112, 0.111]
    far = [x + 0.2 + 0.01 * k for k, x in enumerate(good)]
    rates = {0.001: 2.0, 0.01: 1.0, 0.1: None}
    fresh = {"adam": good, "lion": near, "momentum": far, "yogi": [*far[:7], None]}
    tuning = dict.fromkeys(fresh, rates) | {"momentum": {0.001: 3.0, 0.01: 2.0, 0.1: 1.0}}
    return Comparison([contest(tuning, fresh, good[::-1], name=name) for name in names])


def doctor(findings: bool = True) -> dict[str, Any]:
    """The document of a watched training."""
    layers = [f"layers.{k}.{kind}" for k in range(6) for kind in ("weight", "bias")]
    samples = [
        {
            "step": step, "lr": 0.1, "loss": 2.3 - step / 300, "gradient": 1.0 + step / 100, "weight": 20.0,
            "update": 0.02, "ratios": {name: 10 ** (-1.0 - k % 5) for k, name in enumerate(layers)},
            "eps_share": 0.25, "agreement": 0.5, "noise": 3.0, "sharpness": 25.0 if step % 100 == 0 else None,
        }
        for step in range(0, 400, 20)
    ]  # fmt: skip
    found = {"name": "rate_too_high", "title": "the learning rate is too high", "step": 40, "evidence": "it jumps",
             "cure": "a learning rate of 0.03", "where": ["layers.0.weight"]}  # fmt: skip
    trials = [
        {"cure": "as it was", "loss": 2.1, "curve": [2.0, 2.1], "works": False},
        {"cure": "lr 0.03", "loss": 0.5, "curve": [2.0, 0.5], "works": True},
        {"cure": "clip_norm 1", "loss": None, "curve": [2.0, None], "works": False},
    ]
    return {
        "schema": "stepwell.doctor", "version": 1, "stepwell": "0.1.0", "environment": {"python": "3"},
        "started": "2026-01-02T03:04:05+00:00", "task": "digits", "steps": 400, "every": 20,
        "optimizer": {"name": "SGD", "settings": {"lr": 0.1, "nesterov": False, "weight_decay": None}},
        "losses": {"step": [0, 1, 2], "loss": [2.3, None, 1.0]}, "samples": samples,
        "findings": [found] if findings else [], "notes": ["the loss does not fall"],
        "proof": [{"finding": "rate_too_high", "step": 40, "trials": trials}] if findings else None,
    }  # fmt: skip


def kept(folder: Path) -> dict[str, Path]:
    """A file of each kind in a folder, by its schema."""
    sweep(rates=4, seeds=3).write(folder)
    comparison("one", "two").write(folder)
    (folder / "doctor.json").write_text(json.dumps(doctor()))
    (folder / "found_rate.json").write_text(json.dumps(FOUND.to_json()))
    return {schema: folder / kind.file for schema, kind in html.known().items()}


class Read(HTMLParser):
    """What a page says: its text without scripts and styles, its tags with their attributes, its figures."""

    def __init__(self, page: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self.inside = ""
        self.feed(page)
        self.text = " ".join(" ".join(self.words).split())
        own = [text for text in self.scripts if text.startswith('{"c1":')]
        self.figures: dict[str, Any] = json.loads(own[0]) if own else {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag if tag in ("script", "style") else ""

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.scripts += [data] if self.inside == "script" else []
        else:
            self.words.append(data)

    def all(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        """The attributes of every tag of that name that has these."""
        return [has for name, has in self.tags if name == tag and all(has.get(k) == v for k, v in wanted.items())]

    def headings(self) -> list[int]:
        """The levels of the headings, in order."""
        return [int(name[1]) for name, _ in self.tags if re.fullmatch("h[1-6]", name)]

    def chart(self, title: str) -> dict[str, Any]:
        """The figure of the chart whose description begins so."""
        (name,) = [h["id"] for h in self.all("div", role="img") if (h["aria-label"] or "").startswith(f"{title}.")]
        return self.figures[name or ""]


def shown(*paths: Path) -> Read:
    """The page of some files, read."""
    return Read(html.page(paths))


def traces(figure: dict[str, Any], **wanted: Any) -> list[dict[str, Any]]:
    """The traces of a figure that have these attributes."""
    return [trace for trace in figure["data"] if all(trace.get(k) == v for k, v in wanted.items())]


def symbols(traces: Iterable[dict[str, Any]], symbol: str) -> list[dict[str, Any]]:
    """Those that draw such marks."""
    return [trace for trace in traces if trace.get("marker", {}).get("symbol") == symbol]
