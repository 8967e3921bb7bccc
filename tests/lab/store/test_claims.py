"""Claims: one trial, one holder, in whatever storage, with whoever is slow, gone or back again."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stepwell.lab.store import storages
from stepwell.lab.store.claims import Claims
from stepwell.lab.trial import Trial

TRIALS = [Trial("adam", 10.0**-k, seed, 10, (("beta1", 0.9),)) for k in range(4) for seed in range(5)]
LONG, SHORT = 1000.0, 0.6
Join = Callable[..., Claims]


@pytest.fixture(params=["sqlite", "journal"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/study.db" if request.param == "sqlite" else f"{tmp_path}/study.log"


@pytest.fixture
def join(url: str) -> Iterator[Join]:
    made: list[Claims] = []

    def joined(lease: float = LONG) -> Claims:
        made.append(Claims(storages.opened(url, 30), url, "study", lease))
        return made[-1]

    yield joined
    for each in made:
        each.close()


def silent(claims: Claims) -> None:
    """As a process that was killed, or stands still."""
    claims._ended.set()


def test_the_first_has_it(join: Join) -> None:
    one, two = join(), join()
    assert one.take(TRIALS[:3]) == TRIALS[:3]
    assert two.free(TRIALS[:5]) == TRIALS[3:5]
    assert two.take(TRIALS[:5]) == TRIALS[3:5]
    assert one.free(TRIALS[:5]) == TRIALS[:3]
    assert one.take(TRIALS[:3]) == TRIALS[:3]
    assert join().free(TRIALS) == TRIALS[5:]


def test_what_was_claimed_in_between_is_lost_to_the_first(join: Join, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = join(), join()
    claim = one._claim

    def late(trials: list[Trial]) -> None:
        assert two.take(TRIALS[1:3]) == TRIALS[1:3]
        claim(trials)

    monkeypatch.setattr(one, "_claim", late)
    assert one.take(TRIALS[:3]) == TRIALS[:1]


def test_who_leaves_holds_nothing(join: Join) -> None:
    one, two = join(), join()
    one.take(TRIALS)
    assert two.free(TRIALS) == []
    one.close()
    assert two.take(TRIALS) == TRIALS


def test_what_is_lost_comes_to_who_claimed_it_next(join: Join) -> None:
    one, two, three = join(), join(), join()
    one.take(TRIALS[:2])
    two._claim(TRIALS[:2])  # in the same moment
    one.close()
    assert two.free(TRIALS[:2]) == TRIALS[:2]
    assert three.free(TRIALS[:2]) == []


def test_a_process_whose_beat_stands_still_is_gone_for_all(join: Join) -> None:
    dead, one, two = join(SHORT), join(), join()
    dead.take(TRIALS)
    silent(dead)
    deadline = time.monotonic() + 60
    assert one.free(TRIALS) == []
    while not one.free(TRIALS):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert one.take(TRIALS[:3]) == TRIALS[:3]
    assert two.free(TRIALS) == TRIALS[3:]  # at its first look: it is written that the other is gone
    before = dead.me
    assert dead.take(TRIALS) == TRIALS[3:]  # it was only slow, and is back as somebody else
    assert dead.me != before


def test_a_process_that_beats_is_not_gone(join: Join) -> None:
    beating, one = join(SHORT), join(SHORT)
    beating.take(TRIALS)
    end = time.monotonic() + 4 * SHORT
    while time.monotonic() < end:
        assert one.free(TRIALS) == []
        time.sleep(SHORT / 5)


CLAIM = """
import json, sys
from stepwell.lab.store import storages
from stepwell.lab.store.claims import Claims
from tests.lab.store.test_claims import TRIALS
claims, mine = Claims(storages.opened(sys.argv[1], 30), sys.argv[1], "study", 1000.0), []
while free := [trial for trial in claims.free(TRIALS) if trial not in mine]:
    mine += [trial for trial in claims.take(free[:2]) if trial not in mine]
print(json.dumps([TRIALS.index(trial) for trial in mine]))
"""


def test_of_processes_that_claim_at_once_each_trial_has_one(url: str) -> None:
    command = [sys.executable, "-W", "error", "-c", CLAIM, url]
    root = Path(__file__).parents[3]
    processes = [subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    found = [place for each in processes for place in json.loads(each.communicate(timeout=120)[0])]
    assert sorted(found) == list(range(len(TRIALS)))
