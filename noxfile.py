"""The tests of doors, integrations and the cluster, and the doors' benchmarks: a session each, in its own environment.

    nox                                 the tests of every door and every integration
    nox -s paddle -- -k adam            those of one; pytest's arguments after the --
    nox -s bench-paddle -- --quick      a door's benchmark
    nox -s cluster                      the lab on Ray and on PostgreSQL, which must be installed
    STEPWELL_KEEP_MATRIX=1 nox          keep the matrix's figures in docs/doors/matrix
    NOX_ENVDIR=~/.cache/doors nox       keep the environments there, and not in .nox

A session's environment holds what `constraints/<door>.txt`, `constraints/integrations/<package>.txt` or
`constraints/lab/cluster.txt` pins and nothing else; it is filled again only when that file or pyproject.toml has
changed.
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
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or modules that were not compiled when installed are at each import

ROOT = Path(__file__).parent
PYTEST = ("pytest", "-q", "-n", "auto")
DOORS = {path.stem: path for path in sorted((ROOT / "constraints").glob("*.txt"))}
INTEGRATIONS = {path.stem: path for path in sorted((ROOT / "constraints" / "integrations").glob("*.txt"))}
JAX = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0"}
BACKENDS = {"keras": [{"KERAS_BACKEND": name} for name in ("tensorflow", "jax", "torch")]}  # else one run, as it comes


def install(session: nox.Session, pins: Path) -> None:
    """Fill a session's environment, unless it is what it would be."""
    stamp = Path(session.virtualenv.location) / "stepwell.stamp"
    wanted = hashlib.sha256(pins.read_bytes() + (ROOT / "pyproject.toml").read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    lazily = "--no-compile"  # most modules are never imported, and compiling them all takes longer than their download
    session.install(lazily, "torch", "-c", str(pins))  # alone: what depends on it then takes the build that is here
    session.install(lazily, "-r", str(pins), "-e", ".[lab,testing]")
    stamp.write_text(wanted)


def tests(name: str, pins: Path, *places: str, door: bool) -> None:
    """The session of the tests and doctests in some places; of a door also those of the suite for everyone's rules."""

    @nox.session(name=name)
    def run(session: nox.Session) -> None:
        install(session, pins)
        session.env.update(JAX, JAX_COMPILATION_CACHE_DIR=f"{session.virtualenv.location}/jax")  # many steps are alike
        for env in BACKENDS.get(name, [{}]):
            session.log(f"{name} {' '.join(env.values())}")
            session.run(*PYTEST, *places, *session.posargs, env=env)
            if door and not session.posargs:
                session.run(*PYTEST, "tests/testing/test_library.py", env={**env, "STEPWELL_DOORS": name})


def benchmark(door: str) -> None:
    """The session of a door's benchmark, in the environment of its tests."""

    @nox.session(name=f"bench-{door}", default=False, venv_backend="none")
    def run(session: nox.Session) -> None:
        session.run(sys.executable, "-m", "nox", "-s", door, "--install-only")
        stepwell = ROOT / ENVIRONMENTS / door / "bin" / "stepwell"
        session.run(str(stepwell), "bench", f"{door}_door", *session.posargs, external=True)


@nox.session(default=False)
def cluster(session: nox.Session) -> None:
    """The tests of a sweep on Ray and on PostgreSQL: one after the other, for each has all processors."""
    install(session, ROOT / "constraints" / "lab" / "cluster.txt")
    session.run("pytest", "-q", "tests/lab/distributed", *session.posargs)


for name, pins in DOORS.items():
    tests(name, pins, f"tests/doors/{name}", f"src/stepwell/{name}", door=True)
    benchmark(name)
for name, pins in INTEGRATIONS.items():
    tests(name, pins, f"tests/integrations/{name}", f"src/stepwell/integrations/{name}.py", door=False)
