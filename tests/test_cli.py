"""The commands as a user has them: what is printed where, what is written, exit codes."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from stepwell import __version__, cli, schedules
from stepwell.__main__ import main
from stepwell.lab import bench
from stepwell.rules import named


def run(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(cli.app, list(arguments))


def refused(result: Result, *words: str) -> None:
    assert result.exit_code == 2
    assert result.stdout == ""
    for word in words:
        assert word in result.stderr


def test_version() -> None:
    assert run("--version").stdout == f"stepwell {__version__}\n"


def test_rules_shows_each() -> None:
    text = run("rules").stdout
    assert [line for line in text.splitlines() if line in named] == list(named)


def test_one_rule_as_text_latex_and_json() -> None:
    assert "m_hat = m / (1 - beta1**t)" in run("rules", "adam").stdout
    assert run("rules", "adam", "--latex").stdout == named["adam"].latex() + "\n"
    facts = json.loads(run("rules", "adam", "--json", "--latex").stdout)
    assert facts["hyperparameters"][0] == {"name": "lr", "default": 0.001, "domain": "a finite number ≥ 0"}
    assert facts["latex"] == named["adam"].latex()
    assert [rule["name"] for rule in json.loads(run("rules", "--json").stdout)] == list(named)


def test_an_unknown_rule_is_named_with_a_close_one() -> None:
    refused(run("rules", "adma"), "'adma'", "did you mean", "adam")


def test_rules_is_quick_for_it_imports_little() -> None:
    program = "import sys; from stepwell.cli import app; app(['rules'], standalone_mode=False); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "stepwell.rules.adam" in loaded
    assert not loaded & {"torch", "sklearn", "matplotlib", "sympy", "numba"}


@pytest.mark.parametrize("name", schedules.named())
def test_every_schedule_can_be_drawn(name: str) -> None:
    result = run("schedule", name, "--steps", "50")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[-1].split() == ["0", "49"]


def test_a_schedule_takes_arguments_and_steps(tmp_path: Path) -> None:
    result = run("schedule", "cosine", "rate=0.3", "--steps", "20", "--out", str(tmp_path / "a.svg"))
    assert result.stdout.startswith("cosine(steps=20, rate=0.3, end=0.0)\n")
    assert (tmp_path / "a.svg").read_text("utf-8").startswith("<?xml")
    listed = run("schedule", "multi_factor", "milestones=[5, 9]", "rate=2")
    assert "boundaries=(5, 9), values=(2.0, 1.0, 0.5)" in listed.stdout


def test_a_wrong_schedule_is_refused() -> None:
    refused(run("schedule", "cosin"), "did you mean cosine")
    refused(run("schedule", "cosine", "rat=1"), "did you mean rate")
    refused(run("schedule", "cosine", "rate=-1"), "rate must be a finite number ≥ 0; got -1")
    refused(run("schedule", "cosine", "rate"), "key=value")
    refused(run("schedule", "cosine", "--out", "a.pdf"), ".png or .svg", "a.pdf")


@pytest.fixture
def benchmarks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two benchmark modules that measure nothing, one of them below what it promises."""
    (tmp_path / "_shared.py").write_text("BASE = {'peer': 'numpy', 'limit': None, 'floor': 1.0, 'detail': ''}")
    for name, ratio in (("fast", 2.0), ("slow", 0.5)):
        body = f"def main(quick=False):\n    return [dict(BASE, name=f'{name}, {{quick}}', ratio={ratio})]\n"
        (tmp_path / f"{name}.py").write_text("from _shared import BASE\n" + body)
    monkeypatch.setattr(bench, "modules", lambda: {p.stem: p for p in sorted(tmp_path.glob("[a-z]*.py"))})


@pytest.mark.usefixtures("benchmarks")
def test_bench_measures_and_judges() -> None:
    result = run("bench", "fast", "--quick", "--json")
    assert result.exit_code == 0
    row = {"peer": "numpy", "limit": None, "floor": 1.0, "detail": "", "name": "fast, True", "ratio": 2.0}
    assert json.loads(result.stdout) == [row]
    assert run("bench").exit_code == 0
    both = run("bench", "--strict")
    assert both.exit_code == 1
    assert "✗ below" in both.stdout
    assert "0.50 ×" in both.stdout
    refused(run("bench", "fats"), "did you mean fast")


@pytest.mark.usefixtures("benchmarks")
def test_bench_leaves_out_what_needs_a_framework_that_is_not_here(tmp_path: Path) -> None:
    door = (
        "try:\n    import no_such_framework\nexcept ImportError as error:\n    raise ImportError('get it') from error"
    )
    (tmp_path / "elsewhere.py").write_text(door)
    every = run("bench", "--json")
    assert every.exit_code == 0, every.stderr
    assert [row["ratio"] for row in json.loads(every.stdout)] == [2.0, 0.5]
    assert "left out elsewhere: get it" in every.stderr
    refused(run("bench", "elsewhere"), "elsewhere: get it")


@pytest.mark.usefixtures("benchmarks")
@pytest.mark.parametrize("mistake", ["from json import nothing", "import stepwell.nothing"])
def test_bench_does_not_leave_out_what_is_broken(tmp_path: Path, mistake: str) -> None:
    (tmp_path / "broken.py").write_text(mistake)
    result = run("bench")
    assert isinstance(result.exception, ImportError)


def test_the_benchmarks_of_this_checkout_are_found() -> None:
    assert bench.modules()
    assert not any(name.startswith("_") for name in bench.modules())


def test_without_the_lab_the_user_is_told_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "typer" or name == "stepwell.cli"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "typer", None)  # pyright: ignore[reportArgumentType]
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # the command line's own reaction to SIGTERM
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert 'pip install "stepwell[lab]"' in capsys.readouterr().err


def test_python_dash_m() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stepwell", "rules", "lion"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("lion\n")
