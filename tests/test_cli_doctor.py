"""stepwell doctor as a user has it."""

import json
from pathlib import Path

import pytest

from tests.test_cli import refused, run

MINE = """
import torch
from stepwell.lab import Task

x = torch.linspace(-1, 1, 64)[:, None]
line = Task(model=lambda: torch.nn.Linear(1, 1), data=(x, 3 * x), loss=torch.nn.functional.mse_loss, batch=8)

def failing(output, target):
    raise ArithmeticError("no loss today")

broken = Task(model=lambda: torch.nn.Linear(1, 1), data=(x, 3 * x), loss=failing, batch=8)
"""


def test_a_healthy_training_is_called_so():
    result = run("doctor", "digits", "--steps", "120", "--quiet")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "nothing wrong in 120 steps, by what this doctor knows\n"
    assert result.stderr == ""


def test_a_fault_is_told_with_evidence_and_cure_and_the_cure_is_proven():
    result = run("doctor", "digits", "gradient_descent", "--lr", "20", "--steps", "100", "--prove")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("the learning rate is too high, from step")
    assert "\n  seen: the loss rose from" in result.stdout
    assert "\n  cure: lower the learning rate" in result.stdout
    assert "    ✓ a learning rate 100 times lower: " in result.stdout
    assert "scikit-learn digits" in result.stderr


def test_it_leaves_its_numbers_and_a_page(tmp_path: Path):
    result = run("doctor", "digits", "adam", "--lr", "1", "--steps", "60", "--out", str(tmp_path), "--json", "--quiet")
    assert result.exit_code == 0, result.stderr
    content = json.loads((tmp_path / "doctor.json").read_text("utf-8"))
    assert content == json.loads(result.stdout)
    assert [finding["name"] for finding in content["findings"]] == ["rate_too_high"]
    assert content["task"] == "digits"
    assert content["proof"] is None
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "The learning rate is too high" in page


def test_a_task_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "mine_to_examine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    result = run("doctor", "mine_to_examine:line", "gradient_descent", "--lr", "1e-6", "--steps", "150", "--quiet")
    assert result.stdout.startswith("the learning rate is too low"), result.stderr
    refused(run("doctor", "mine_to_examine:broken", "--quiet"), "ArithmeticError: no loss today")


def test_it_refuses_what_it_cannot_do(tmp_path: Path):
    refused(run("doctor", "digit", "--quiet"), "did you mean digits")
    refused(run("doctor", "digits", "adma", "--quiet"), "did you mean adam")
    refused(run("doctor", "digits", "--lr", "-1", "--quiet"), "lr must be")
    refused(run("doctor", "digits", "--steps", "1", "--quiet"), "steps must be")
    refused(run("doctor", "digits", "--every", "0", "--quiet"), "every must be")
    (tmp_path / "file").write_text("")
    refused(run("doctor", "digits", "--steps", "20", "--quiet", "--out", str(tmp_path / "file")), "--out")
