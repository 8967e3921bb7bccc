"""The doors' tests and benchmarks, a session a framework, each in an environment of its own.

    nox                                 the tests of every door
    nox -s paddle -- -k adam            those of one; pytest's arguments after the --
    nox -s bench-paddle -- --quick      its benchmark
    STEPWELL_KEEP_MATRIX=1 nox          keep the matrix's figures in docs/doors/matrix
    NOX_ENVDIR=~/.cache/doors nox       keep the environments there, and not in .nox

A session's environment holds what `constraints/<door>.txt` pins and nothing else; it is filled again only when that
file or pyproject.toml has changed.
"""

import hashlib
import os
import sys
from pathlib import Path

import nox

ENVIRONMENTS = os.environ.get("NOX_ENVDIR", ".nox")
nox.options.envdir = ENVIRONMENTS
nox.options.reuse_venv = "yes"
nox.options.default_venv_backend = "venv"

ROOT = Path(__file__).parent
PYTEST = ("pytest", "-q", "-n", "auto")
PINS = {path.stem: path for path in sorted((ROOT / "constraints").glob("*.txt"))}
BACKENDS = {"keras": [{"KERAS_BACKEND": name} for name in ("tensorflow", "jax", "torch")]}  # else one run, as it comes


def install(session: nox.Session, door: str) -> None:
    """Fill a session's environment, unless it is what it would be."""
    pins, stamp = PINS[door], Path(session.virtualenv.location) / "stepwell.stamp"
    wanted = hashlib.sha256(pins.read_bytes() + (ROOT / "pyproject.toml").read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    session.install("torch", "-c", str(pins))  # alone: what depends on it then takes the build that is here
    session.install("-r", str(pins), "-e", ".[lab,testing]")
    stamp.write_text(wanted)


def tests(door: str) -> None:
    """The session of a door's tests and doctests."""

    @nox.session(name=door)
    def run(session: nox.Session) -> None:
        install(session, door)
        for env in BACKENDS.get(door, [{}]):
            session.log(f"{door} {' '.join(env.values())}")
            session.run(*PYTEST, f"tests/doors/{door}", f"src/stepwell/{door}", *session.posargs, env=env)
            if not session.posargs:
                session.run(*PYTEST, "tests/testing/test_library.py", env={**env, "STEPWELL_DOORS": door})


def benchmark(door: str) -> None:
    """The session of a door's benchmark, in the environment of its tests."""

    @nox.session(name=f"bench-{door}", default=False, venv_backend="none")
    def run(session: nox.Session) -> None:
        session.run(sys.executable, "-m", "nox", "-s", door, "--install-only")
        stepwell = ROOT / ENVIRONMENTS / door / "bin" / "stepwell"
        session.run(str(stepwell), "bench", f"{door}_door", *session.posargs, external=True)


for name in PINS:
    tests(name)
    benchmark(name)
