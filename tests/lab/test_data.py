"""Where data files are looked for, and that no unchecked byte gets through."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stepwell.lab import data
from stepwell.lab.data import DataError, Source

CONTENT = b"1\t2\n3\t4\n"
NOWHERE = "http://127.0.0.1:9/numbers.dat"  # nothing answers at the discard port
SOURCE = Source("numbers.dat", NOWHERE, hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, and no folder in the environment."""
    monkeypatch.setenv("STEPWELL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("STEPWELL_DATA", raising=False)


@pytest.fixture
def served() -> Iterator[dict[str, Any]]:
    """A web server on this machine: what it serves, its address, and how often it was asked."""
    state: dict[str, Any] = {"content": CONTENT, "asked": 0}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state["asked"] += 1
            self.send_response(200)
            self.end_headers()
            self.wfile.write(state["content"])

        def log_message(self, format: str, *_: Any) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        state["source"] = replace(SOURCE, url=f"http://127.0.0.1:{server.server_port}/numbers.dat")
        yield state
        server.shutdown()
        thread.join()


def put(path: Path, content: bytes = CONTENT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("given", ["numbers.dat", "."])
def test_a_given_file_or_its_folder_is_read(tmp_path: Path, given: str) -> None:
    put(tmp_path / "numbers.dat")
    assert data.read(SOURCE, tmp_path / given) == CONTENT


@pytest.mark.parametrize("given", ["numbers.dat", "."])
def test_the_environment_names_a_file_or_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    put(tmp_path / "numbers.dat")
    monkeypatch.setenv("STEPWELL_DATA", str(tmp_path / given))
    assert data.read(SOURCE) == CONTENT


def test_what_is_given_wins_over_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPWELL_DATA", str(put(tmp_path / "environment.dat", b"other")))
    assert data.read(SOURCE, put(tmp_path / "given.dat")) == CONTENT


def test_a_download_is_kept_and_not_repeated(tmp_path: Path, served: dict[str, Any]) -> None:
    assert data.read(served["source"]) == CONTENT
    assert (tmp_path / "cache/data/numbers.dat").read_bytes() == CONTENT
    assert data.read(served["source"]) == CONTENT
    assert served["asked"] == 1


def test_a_folder_without_the_file_does_not_stop_the_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, served: dict[str, Any]
) -> None:
    monkeypatch.setenv("STEPWELL_DATA", str(tmp_path))
    assert data.read(served["source"]) == CONTENT


def test_a_damaged_cache_is_replaced(tmp_path: Path, served: dict[str, Any]) -> None:
    kept = put(tmp_path / "cache/data/numbers.dat", CONTENT[:-1])
    assert data.read(served["source"]) == CONTENT
    assert kept.read_bytes() == CONTENT


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path, served: dict[str, Any]) -> None:
    put(tmp_path / "cache")  # a file where the folder should be
    assert data.read(served["source"]) == CONTENT


def test_a_wrong_download_is_refused_and_not_kept(tmp_path: Path, served: dict[str, Any]) -> None:
    served["content"] = b"something else"
    with pytest.raises(DataError) as caught:
        data.read(served["source"])
    assert SOURCE.sha256 in str(caught.value)
    assert hashlib.sha256(b"something else").hexdigest() in str(caught.value)
    assert not (tmp_path / "cache/data/numbers.dat").exists()


def test_a_wrong_file_is_refused_with_both_sums(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        data.read(SOURCE, put(tmp_path / "numbers.dat", b"altered"))
    assert SOURCE.sha256 in str(caught.value)
    assert hashlib.sha256(b"altered").hexdigest() in str(caught.value)


def test_a_missing_file_says_who_named_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="--data"):
        data.read(SOURCE, tmp_path / "missing.dat")
    monkeypatch.setenv("STEPWELL_DATA", str(tmp_path / "missing"))
    with pytest.raises(DataError, match="STEPWELL_DATA"):
        data.read(SOURCE)


def test_without_a_network_all_three_ways_are_named() -> None:
    with pytest.raises(DataError) as caught:
        data.read(SOURCE)
    for way in ("--data PATH", "STEPWELL_DATA=PATH", NOWHERE):
        assert way in str(caught.value)
