"""A cache of its own for a test, and what was compiled."""

from pathlib import Path
from typing import Any

import pytest
from numba.core.dispatcher import Dispatcher

from stepwell.kernels import cache


@pytest.fixture
def kept(tmp_path, monkeypatch) -> Path:
    """An empty folder for compiled kernels; nothing is remembered of earlier complaints."""
    folder = tmp_path / "a" / "cache"
    monkeypatch.setenv("STEPWELL_CACHE", str(folder))
    monkeypatch.setattr(cache, "_said", set())
    return folder


@pytest.fixture
def compilations(monkeypatch) -> list[str]:
    """The names of functions that were compiled, not loaded."""
    names: list[str] = []
    compile_ = Dispatcher.compile

    def watched(self: Any, signature: Any) -> Any:
        names.append(self.__name__)
        return compile_(self, signature)

    monkeypatch.setattr(Dispatcher, "compile", watched)
    return names
