"""A real Chromium, and pages of it that keep what they complain of and what they ask for."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = os.environ.get("STEPWELL_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The browser, headless."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt install chromium, or STEPWELL_CHROMIUM=/path/to/it")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


class Watched:
    """A page and what it must not do: `errors` of its console and scripts, `requests` for anything but itself."""

    def __init__(self, page: Any, path: Path):
        self.page, self.errors, self.requests = page, [], []
        page.on("console", lambda message: message.type in ("error", "warning") and self.errors.append(message.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self._asked(request.url, path.as_uri()))
        page.goto(path.as_uri())

    def _asked(self, url: str, own: str) -> None:
        if url.partition("#")[0] != own and not url.startswith(("data:", "blob:")):
            self.requests.append(url)

    def check(self) -> None:
        """Nothing was complained of, and nothing fetched."""
        assert self.errors == []
        assert self.requests == []


@pytest.fixture
def opened(chromium: Any) -> Iterator[Callable[..., Watched]]:
    """Open a file: `opened(path, size=PHONE, theme="dark")`; checked for errors and requests when the test ends."""
    contexts, pages = [], []

    def opening(path: Path, size: dict[str, int] = WIDE, theme: str = "light", **more: Any) -> Watched:
        context = chromium.new_context(viewport=size, color_scheme=theme, **more)
        contexts.append(context)
        pages.append(Watched(context.new_page(), path))
        return pages[-1]

    yield opening
    for page in pages:
        page.check()
    for context in contexts:
        context.close()
