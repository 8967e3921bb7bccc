"""A watched training: doctor.json."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stepwell.lab.health.report import NAME, SCHEMA, VERSION, read
from stepwell.lab.names import count
from stepwell.pages.html import facts, watching
from stepwell.pages.html.blocks import Block, Cell, Charts, Facts, Finding, Part, Section, Table, Tile, Words
from stepwell.pages.html.losses import words_of
from stepwell.pages.html.reading import Kind
from stepwell.pages.html.shape import Maybe

NUMBERS = {str: Maybe(float)}
SIGNS = dict.fromkeys(("loss", "sharpness", *watching.SIGNS), Maybe(float))
SAMPLE = {**SIGNS, "step": int, "lr": float, "ratios": NUMBERS}
FINDING = {"name": str, "title": str, "step": int, "evidence": str, "cure": str, "where": [str]}
TRIAL = {"cure": str, "loss": Maybe(float), "curve": [Maybe(float)], "works": bool}


def sections(path: Path) -> list[Section]:
    """The section of a training that was watched."""
    document = read(path)
    optimizer, findings = document["optimizer"], document["findings"]
    return [
        Section(
            kind=KIND.word,
            title=document["task"] or "a training",
            headline=_headline(document),
            sentence=_sentence(document),
            about=f"{optimizer['name']} · {count(document['steps'], 'step')} · {facts.when(document['started'])}",
            tiles=_tiles(document),
            notices=[Words(_upper(note), "warn") for note in document["notes"]],
            parts=[
                *([Part("Findings", [_finding(each) for each in findings])] if findings else []),
                *_proof(document),
                _vitals(document),
                _watched(document),
                facts.surroundings(document["stepwell"], document["environment"], document["started"]),
            ],
        )
    ]


def _headline(document: Mapping[str, Any]) -> str:
    findings = document["findings"]
    if not findings:
        return "Nothing is wrong" if document["samples"] else "Nothing was watched"
    return _upper(findings[0]["title"]) + (
        f", and {count(len(findings) - 1, 'more finding')}" if len(findings) > 1 else ""
    )


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _sentence(document: Mapping[str, Any]) -> str:
    if findings := document["findings"]:
        return f"To cure it: {findings[0]['cure']}"
    if not document["samples"]:
        return "There is no sample in this file: the training took no step that was looked at."
    return f"{count(len(document['samples']), 'sample')} over {count(document['steps'], 'step')} show nothing to cure."


def _tiles(document: Mapping[str, Any]) -> list[Tile]:
    findings, samples = document["findings"], document["samples"]
    tone = "bad" if findings else "good"
    found = [
        Tile("Findings", str(len(findings)), "see below" if findings else "healthy as far as can be seen", tone=tone)
    ]
    if not samples:
        return [Tile("Samples", "0", "nothing was watched", tone="warn")]
    last = [loss for loss in document["losses"]["loss"] if loss is not None] or [
        s["loss"] for s in samples if s["loss"] is not None
    ]
    if last:
        found.append(Tile("Loss at the end", f"{last[-1]:.4g}", f"{last[0]:.4g} at the beginning"))
    found.append(Tile("Learning rate", f"{samples[-1]['lr']:.3g}", f"at step {samples[-1]['step']}"))
    if proof := document["proof"]:
        works = [trial["cure"] for item in proof for trial in item["trials"][1:] if trial["works"]]
        found.append(Tile("Proved cures", str(len(works)), facts.some(works), tone="good" if works else "warn"))
    return found


def _finding(each: Mapping[str, Any]) -> Finding:
    return Finding(_upper(each["title"]), each["step"], each["evidence"], each["cure"], each["where"])


def _proof(document: Mapping[str, Any]) -> list[Part]:
    titles = {each["name"]: each["title"] for each in document["findings"]}
    blocks: list[Block] = []
    for item in document["proof"] or []:
        title = _upper(titles.get(item["finding"], item["finding"]))
        blocks.append(
            Words(f"{title}: the training was forked at step {item['step']}, once as it was and once with each cure.")
        )
        rows = [
            [Cell(trial["cure"], long=True), facts.value(trial["loss"]), _outcome(trial, first=k == 0)]
            for k, trial in enumerate(item["trials"])
        ]
        blocks.append(Table(f"{title}: cures", ["cure", "loss in the end", "works"], rows, words=(0, 2)))
        if chart := watching.proof(item):
            blocks.append(chart)
    return [Part("Proof of the cures", blocks)] if blocks else []


def _outcome(trial: Mapping[str, Any], first: bool) -> Cell:
    if first:
        return Cell("as it was")
    return Cell("yes", tone="good") if trial["works"] else Cell("no", tone="bad")


def _vitals(document: Mapping[str, Any]) -> Part:
    charts = watching.vitals(document)
    none = Words("No sample has a number that could be drawn: nothing was watched, or nothing was finite.")
    return Part("Vital signs over the steps", [Charts(charts) if charts else none])


def _watched(document: Mapping[str, Any]) -> Part:
    optimizer = document["optimizer"]
    given = {key: value for key, value in optimizer["settings"].items() if value is not None}
    settings = [words_of({key: x}) if type(x) in (int, float) else f"{key} {x}" for key, x in given.items()]
    pairs = {
        "Task": document["task"] or "",
        "Optimizer": ", ".join([optimizer["name"], *settings]),
        "Steps": str(document["steps"]),
        "Samples": f"{len(document['samples'])}, one every {count(document['every'], 'step')}",
    }
    return Part("What was watched", [Facts({name: text for name, text in pairs.items() if text})])


KIND = Kind(
    SCHEMA,
    VERSION,
    NAME,
    "Doctor",
    {
        "stepwell": str, "environment": dict, "started": str, "task": Maybe(str), "steps": int, "every": int,
        "optimizer": {"name": str, "settings": dict}, "losses": {"step": [int], "loss": [Maybe(float)]},
        "samples": [SAMPLE], "findings": [FINDING], "notes": [str],
        "proof": Maybe([{"finding": str, "step": int, "trials": [TRIAL]}]),
    },
    sections,
)  # fmt: skip
