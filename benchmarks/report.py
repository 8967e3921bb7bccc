"""The report of a sweep of 300 trials: how large it is, and how long it takes to make and to open in Chromium.

From the start of navigation to the last chart drawn, by the browser's own clock, in a new context each time. The driver
of the browser (Playwright) listens, which costs it some hundred milliseconds that a reader does not wait for.
"""

import math
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from _measure import Row, milliseconds
from stepwell.lab.sweeps.results import Results
from stepwell.lab.trial import DIVERGED, DONE, Run
from stepwell.pages import html

OPTIMIZERS, RATES, SEEDS, POINTS = ("adam", "momentum", "rmsprop", "adagrad", "lion"), 12, 5, 24
SECONDS, MEGABYTES = 2.0, 6.0
DRAWN = "performance.getEntriesByName('drawn')[0].startTime"


def main(quick: bool = False) -> list[Row]:
    """Seconds and megabytes; a ratio is the promise over the figure, so above 1 is better than promised."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as place:
        folder = Path(place)
        made = _sweep()
        made.write(folder)
        began = time.perf_counter()
        html.write(folder / "report.html", [folder])
        making = time.perf_counter() - began
        size = (folder / "report.html").stat().st_size / 1e6
        charts, opening = _opened(folder / "report.html", 3 if quick else 9)
    what = f"report of {len(made.runs)} trials"
    return [
        _row(f"{what}: its size", size, MEGABYTES, "MB", f"{size:.2f} MB, made in {milliseconds(making)}"),
        _row(f"{what}: until all is drawn", statistics.median(opening), SECONDS, "s",
             f"{milliseconds(statistics.median(opening))} ({milliseconds(max(opening))} at most) for {charts} charts"),
    ]  # fmt: skip


def _opened(path: Path, rounds: int) -> tuple[int, list[float]]:
    """The charts of a page, and the seconds until they were drawn, each time in a browser that has not seen it."""
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("STEPWELL_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    times, charts = [], 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        for _ in range(rounds):
            context = browser.new_context(viewport={"width": 1280, "height": 900})
            page = context.new_page()
            page.goto(path.as_uri())
            page.wait_for_selector("html[data-drawn]", state="attached")
            times.append(page.evaluate(DRAWN) / 1000)
            charts = page.locator(".plot .main-svg:first-of-type").count()
            context.close()
        browser.close()
    return charts, times


def _sweep() -> Results:
    """Results as a sweep has them, with curves that fall, and some that diverge."""
    task = {"name": "digits", "about": "made up", "measured": "validation loss [nats]", "lowest": 0.0, "batch": 64,
            "metric_name": "accuracy", "schedule": None, "clip_norm": None, "goal": None}  # fmt: skip
    settings = {"optimizers": list(OPTIMIZERS), "rates": RATES, "seeds": list(range(SEEDS)), "steps": 10 * (POINTS - 1),
                "halving": 0, "trials": 0, "sampler": None, "way": None}  # fmt: skip
    return Results(task, settings, {"machine": "any"}, "2026-01-01T00:00:00+00:00", complete=True, runs=list(_runs()))


def _runs() -> Iterator[Run]:
    for place, name in enumerate(OPTIMIZERS):
        for lr in (float(f"{10 ** (-4 + k / 3):.3g}") for k in range(RATES)):
            away = abs(math.log10(lr) + 2 - place / 4)
            for seed in range(SEEDS):
                yield _run(name, lr, seed, 0.1 + 0.4 * away**2 + 0.013 * ((7 * seed + place) % 5), lr > 0.4)


def _run(name: str, lr: float, seed: int, end: float, lost: bool) -> Run:
    steps, losses = [10 * k for k in range(POINTS)], [end + 2 * math.exp(-k / 6) for k in range(POINTS)]
    curve = {"step": steps, "loss": [*losses[:-1], None if lost else losses[-1]], "metric": [0.5] * POINTS}
    status, loss, metric = (DIVERGED, None, None) if lost else (DONE, losses[-1], 0.5)
    return Run(name, lr, seed, steps[-1], (), status, steps[-1], None, loss, metric, min(losses), 0.1, curve)


def _row(name: str, value: float, promise: float, unit: str, detail: str) -> Row:
    return Row(
        name=name, ratio=promise / value, peer=f"promise: {promise:g} {unit}", limit=None, floor=1.0, detail=detail
    )
