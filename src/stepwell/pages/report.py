"""The report of a comparison: a folder with its results, pictures and a page that shows both."""

import re
from pathlib import Path

from stepwell.files import write
from stepwell.lab.names import count
from stepwell.lab.sweeps import answer
from stepwell.lab.sweeps.results import Results
from stepwell.pages import figures, html, tables
from stepwell.pages.style import FORMATS, save

HTML = "report.html"
PICTURES = {"curves": figures.curves, "rates": figures.rates}


def file_name(name: str) -> str:
    """What files and folders of a task of that name begin with: nothing in it leads elsewhere.

    >>> file_name("my net[/v2]"), file_name("../up"), file_name("..")
    ('my_net_v2_', '_up', 'task')
    """
    return re.sub(r"[^\w.]+", "_", name).lstrip(".") or "task"


def make(results: Results, folder: Path) -> None:
    """Write results.json, runs.csv, curves and rates as PNG and SVG, report.md and report.html into a folder."""
    results.write(folder)
    for name, draw in PICTURES.items():
        figure = draw(results)
        for ending in FORMATS:
            save(figure, folder / f"{name}.{ending}")
    write(folder / "report.md", page(results))
    html.write(folder / HTML, [folder / "results.json"])


def page(results: Results) -> str:
    """The report as Markdown."""
    task, settings, environment = results.task, results.settings, results.environment
    known = ", ".join(f"{name} {environment[name]}" for name in ("python", "numpy", "torch"))
    tried = settings["trials"] or settings["rates"]
    asked = {
        "optimizer": len(settings["optimizers"]),
        "choice" if settings["trials"] else "learning rate": tried,
        "seed": len(settings["seeds"]),
    }
    counts = ", ".join(count(number, noun) for noun, number in asked.items())
    how = settings["way"]["reason"] if settings["way"] else "nothing trained"
    paste = answer.lines(results)
    state = "" if results.complete else "\n**Interrupted: this is what was done until then.**\n"
    return f"""# {task["name"]}: {count(len(results.best()), "optimizer")} compared
{state}
{task["about"][0].upper()}{task["about"][1:]}.

**{answer.sentence(results)}**
{f"{chr(10)}```python{chr(10)}{paste}{chr(10)}```{chr(10)}" if paste else ""}
![Loss against steps, each optimizer at its best learning rate](curves.png)

{tables.markdown(tables.columns(results), tables.rows(results))}

{chr(10).join(f"- {note}" for note in tables.notes(results))}

![Final loss against the learning rate](rates.png)

{counts}; where an optimizer's best rate was the outermost, the rates beyond it were tried too.
{count(len(results.runs), "run")} in {results.wall_seconds:.0f} s; {how}.
Stepwell {results.stepwell}, {known}; {environment["machine"]}, {environment["processors"]} processors;
{results.started}.
All numbers: [results.json](results.json), and a row a run in [runs.csv](runs.csv).
Pictures to scale: [curves.svg](curves.svg), [rates.svg](rates.svg).
"""
