"""A sweep on Ray: what one process does, also when workers are killed; and clusters that are not there."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import ray
import torch

from stepwell.lab import sweep
from stepwell.lab.batches import TaskError
from stepwell.lab.candidates import choose
from stepwell.lab.store.study import Store
from stepwell.lab.training import cluster as module
from stepwell.lab.training.cluster import LOCAL, Cluster
from stepwell.lab.training.crew import DEATHS, WorkerError
from stepwell.lab.training.group import Way
from stepwell.lab.trial import Run, Trial
from tests.lab import several
from tests.lab.several import PATIENCE, ROOT, numbers, one_process, same

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # what Ray leaves open
]
TRIALS = [(Trial("sgd", lr, 0, 5),) for lr in (0.01, 0.02, 0.5)]


@pytest.fixture(scope="module")
def started() -> Iterator[None]:
    """Ray as a program has it that has called `ray.init` itself."""
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def workers() -> list[int]:
    """The processes that train for this one's Ray."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                words = (path / "cmdline").read_bytes()
            except OSError:  # it has ended
                continue
            if words.startswith(b"ray::work"):
                found.append(int(path.name))
    return found


def kill_those_at_work() -> list[int]:
    """Kill the workers as soon as there are some."""
    deadline = time.monotonic() + PATIENCE
    while not (found := workers()) and time.monotonic() < deadline:
        time.sleep(0.01)
    for pid in found:
        os.kill(pid, signal.SIGKILL)
    return found


@pytest.mark.parametrize("way", [Way(False, 1, 2, 1, "one by one"), Way(True, 100, 2, 1, "stacked")])
def test_workers_that_are_killed_change_nothing(started: None, way: Way) -> None:
    search = several.search(ray=LOCAL)
    search.way = way
    store = Store.open(None, "sweep", search.settings())
    search.keep_in(store)
    runs: list[Run] = []
    with ThreadPoolExecutor() as beside:
        kills = [beside.submit(kill_those_at_work)]
        for run in search:
            runs.append(run)
            if len(runs) == 7 and not way.stacked:  # more often than a group may lose its worker is too often
                kills.append(beside.submit(kill_those_at_work))
    assert all(kill.result() for kill in kills)
    found = numbers(runs)
    same(found, one_process())
    assert numbers(store.runs()) == found
    assert len(store.study.trials) == len(runs)
    assert ray.is_initialized()  # it is the program's


def deadly(condition: Any) -> Cluster:
    parent = os.getpid()

    def make(parameters: Any, lr: float) -> torch.optim.Optimizer:
        if os.getpid() != parent:
            condition(lr)
        return torch.optim.SGD(parameters, lr=lr)

    made = Cluster(several.task, choose({"sgd": make}), LOCAL, 2)
    made.open()
    return made


def test_a_group_that_kills_its_workers_is_named(started: None) -> None:
    crew = deadly(lambda lr: lr == 0.5 and os.kill(os.getpid(), signal.SIGKILL))
    done: list[Run] = []
    words = (
        rf"sgd at a learning rate of 0\.5, seed 0, 5 steps: {DEATHS} times a worker died that trained it: WorkerCrash"
    )
    try:
        with pytest.raises(WorkerError, match=words):
            done.extend(run for runs in crew.train(TRIALS, False) for run in runs)
    finally:
        crew.close()
    assert {run.lr for run in done} <= {0.01, 0.02}


def test_a_group_that_fails_is_named(started: None) -> None:
    class Odd(Exception):  # which no other process can read
        def __init__(self, one: int, two: int):
            super().__init__("odd")

    def fail(lr: float) -> None:
        if lr == 0.02:
            raise Odd(1, 2)

    crew = deadly(fail)
    try:
        with pytest.raises(TaskError, match=r"sgd at a learning rate of 0\.02, seed 0, 5 steps: .*Odd: odd"):
            list(crew.train(TRIALS, False))
    finally:
        crew.close()


def test_what_cannot_be_sent_is_said(started: None) -> None:
    lock = threading.Lock()
    held = several.Task(
        model=lambda: lock and several.model(), data=several.task.data, loss=several.task.loss, length=5
    )
    with pytest.raises(TaskError, match=r"the task cannot be trained by Ray: it cannot be sent to another process"):
        sweep(held, ["adam"], rates=1, seeds=1, ray=LOCAL)


def command(tmp_path: Path, *more: str) -> list[str]:
    options = ["--only", "adam", "--rates", "1", "--seeds", "2", "--out", str(tmp_path)]
    return [sys.executable, "-m", "stepwell", "sweep", "tests.lab.several:task", *options, *more]


def test_the_command_starts_ray_and_says_nothing_of_it(tmp_path: Path) -> None:
    done = subprocess.run(
        command(tmp_path, "--workers", "2", "--ray", "--json", "--quiet"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert document["settings"]["way"]["workers"] == 2
    assert "as tasks of Ray" in document["settings"]["way"]["reason"]
    assert len(document["runs"]) == 2


def test_ctrl_c_keeps_what_is_done_and_ends_ray(tmp_path: Path) -> None:
    arguments = command(tmp_path, "--workers", "1", "--ray", "--seeds", "40", "--rates", "3")
    arguments[2:3] = ["tests.lab.several", str(several.LEASE)]  # which listens to it
    running = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    several.until_there(f"sqlite:///{tmp_path}/study.db", 1, running, "several")
    running.send_signal(signal.SIGINT)
    _, error = running.communicate(timeout=PATIENCE)
    assert running.returncode == 130, error
    assert "Traceback" not in error
    assert "interrupted: " in error
    assert json.loads((tmp_path / "results.json").read_text())["runs"]
    assert not workers()


def test_a_cluster_that_is_running_is_used_and_left(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = str(Path(sys.executable).with_name("ray"))
    options = ["--num-cpus", "2", "--include-dashboard", "false", "--disable-usage-stats", "--block"]
    head = subprocess.Popen(
        [program, "start", "--head", "--port", str(port), *options],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert head.stdout
        for line in head.stdout:
            if "Ray runtime started" in line:
                break
        arguments = command(tmp_path / "out", "--ray", f"127.0.0.1:{port}", "--json")
        for _ in range(2):
            done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["settings"]["way"]["workers"] == 2
    finally:
        head.send_signal(signal.SIGTERM)
        head.communicate(timeout=PATIENCE)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("nonsense", "no cluster of Ray answers at 'nonsense': it must be HOST:PORT, or auto"),
        ("127.0.0.1:1", "no cluster of Ray answers at '127.0.0.1:1': .*refused"),
    ],
)
def test_an_address_where_nobody_is(address: str, words: str, tmp_path: Path) -> None:
    arguments = command(tmp_path, "--ray", address)
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2, done.stderr
    assert re.search(words, done.stderr), done.stderr
    assert "Traceback" not in done.stderr


def test_what_ray_says_of_an_address_is_handed_on() -> None:
    class Nobody:
        def init(self, address: str, **_: Any) -> None:
            raise ConnectionError(f"no running instance for {address}")

    with pytest.raises(WorkerError, match="no cluster of Ray answers at 'auto': no running instance for auto"):
        Cluster(several.task, choose(["adam"]), "auto", 2)._connect(Nobody())


def test_something_else_that_answers_is_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER", 8.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(WorkerError, match=f"what answers at '{address}' is no cluster of Ray"):
            module.reachable(address)


def test_without_ray_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(WorkerError, match=r"needs Ray, which is not here: pip install 'stepwell\[ray\]'"):
        several.search(ray=LOCAL)
