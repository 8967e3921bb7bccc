"""Processes that share a sweep on a real PostgreSQL, one of them killed; and a server that is lost, silent or shut."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from stepwell.lab.store import server as limits
from stepwell.lab.store.study import Store, StoreError
from tests.lab import several
from tests.lab.distributed.conftest import Server
from tests.lab.several import PATIENCE, one_process, process, same, stored, until_there

pytestmark = pytest.mark.usefixtures("one_thread")


def opened(url: str) -> Store:
    return Store.open(url, "together", several.search().settings(), join=True)


def test_two_processes_do_what_one_does(server: Server, tmp_path: Path) -> None:
    both = [process(server.url(), tmp_path / name) for name in "ab"]
    documents = []
    for each in both:
        out, error = each.communicate(timeout=PATIENCE)
        assert each.returncode == 0, error
        documents.append(json.loads(out))
    same(stored(server.url()), one_process())
    assert documents[0]["runs"] == documents[1]["runs"]
    assert documents[0]["ranking"] == documents[1]["ranking"]


def test_with_one_of_three_killed_and_one_that_comes_late(server: Server, tmp_path: Path) -> None:
    killed, other = (process(server.url(), tmp_path / name, "--workers", "2") for name in "ab")
    until_there(server.url(), 1, killed)
    killed.send_signal(signal.SIGKILL)
    late = process(server.url(), tmp_path / "c")
    killed.communicate()
    for each in (other, late):
        _, error = each.communicate(timeout=PATIENCE)
        assert each.returncode == 0, error
    same(stored(server.url()), one_process())


def test_a_server_that_stops_loses_nothing_and_the_sweep_goes_on_when_it_is_back(
    server: Server, tmp_path: Path
) -> None:
    stopped = process(server.url(), tmp_path)
    until_there(server.url(), 2, stopped)
    server.stop()
    out, error = stopped.communicate(timeout=PATIENCE)
    assert stopped.returncode == 2
    assert f"the storage postgresql://stepwell:***@127.0.0.1:{server.port}/postgres fails: " in error
    assert "Traceback" not in error
    before = {(run["optimizer"], run["lr"], run["seed"]) for run in json.loads(out)["runs"]}
    assert len(before) >= 2
    server.start()
    assert {(trial.optimizer, trial.lr, trial.seed) for trial in stored(server.url())} >= before
    again = process(server.url(), tmp_path, "--resume")
    _, error = again.communicate(timeout=PATIENCE)
    assert again.returncode == 0, error
    same(stored(server.url()), one_process())


def test_a_server_that_does_not_answer_is_an_error(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ANSWER", 1.0)
    monkeypatch.setattr(limits, "CONNECT", 2)
    store = opened(server.url())
    claims = store.claims()
    pids = server.processes()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        for call in (store.runs, lambda: claims.free([]), lambda: store.add([]), lambda: opened(server.url())):
            began = time.monotonic()
            with pytest.raises(StoreError, match=f"127.0.0.1:{server.port}/postgres fails"):
                call()
            assert time.monotonic() - began < 60
        claims.close()
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    assert store.runs() == []


def test_a_wrong_password_and_a_closed_port(server: Server) -> None:
    with pytest.raises(StoreError, match=r":\*\*\*@.* fails: .*password authentication failed for user") as caught:
        opened(server.url("another"))
    assert "another" not in str(caught.value)
    server.stop()
    with pytest.raises(StoreError, match=r"fails: .*Connection refused"):
        opened(server.url())
