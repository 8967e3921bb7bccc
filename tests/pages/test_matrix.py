"""The page of the matrix shows what was kept of every door."""

import json
from pathlib import Path

import pytest

from stepwell.pages import matrix, site


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Two doors; one was kept before a rule was added."""
    folder = tmp_path / "doors" / "matrix"
    folder.mkdir(parents=True)
    limits = {"float32": 2e-6, "float64": 1e-12}
    for door, version, cells in (
        ("keras-jax", "3.15.1", {"momentum": {"float32": 3e-7, "float64": 2e-16}}),
        ("numpy", "2.4.6", {name: {"float32": 1e-7, "float64": 0.0} for name in ("momentum", "adam")}),
    ):
        document = {"door": door, "versions": {door.split("-")[0]: version}, "limits": limits, "cells": cells}
        (folder / f"{door}.json").write_text(json.dumps(document))
    return folder


def test_every_cell_is_shown(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(site.RULES, "adam")
    page = matrix.page(kept)
    lines = page.splitlines()
    assert "| rule | keras on jax | numpy |" in lines
    assert "| momentum | 3.0e-07 | 1.0e-07 |" in lines  # its own page is not made this time
    assert "| [adam](../rules/adam.md) |  | 1.0e-07 |" in lines
    assert "| momentum | 2.0e-16 | 0.0e+00 |" in lines
    assert "The largest of them is 3.0e-07; the limit is 2e-06." in lines
    assert "Measured with keras 3.15.1, numpy 2.4.6." in lines


def test_the_doors_pages_are_in_the_contents(kept: Path) -> None:
    docs = kept.parents[1]
    for name in ("jax", "index", "keras"):
        (docs / "doors" / f"{name}.md").touch()
    (part,) = matrix.contents(docs)
    assert part["Doors"] == ["doors/index.md", "doors/jax.md", "doors/keras.md", {"The matrix": "doors/matrix.md"}]
