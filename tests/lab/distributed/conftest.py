"""A PostgreSQL server of the tests' own, and Ray on this machine; without their packages the tests are left out."""

import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS_SKIP_REGEX": ".*"}
NEEDED = {"test_ray.py": "ray", "test_postgres.py": "psycopg2"}
collect_ignore = [name for name, package in NEEDED.items() if importlib.util.find_spec(package) is None]
PATIENCE = 60


class Server:
    """A PostgreSQL server in a folder of its own, on a free port, whose one user has a password."""

    user, password = "stepwell", "word"

    def __init__(self, folder: Path, programs: Path):
        self.data, self.programs = folder / "data", programs
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        secret = folder / "password"
        secret.write_text(self.password)
        if os.geteuid() == 0:  # as which PostgreSQL does not run
            for path in (folder, secret):
                shutil.chown(path, "postgres", "postgres")
        self.run("initdb", "-D", self.data, "-U", self.user, "-A", "scram-sha-256", "--pwfile", secret, "--no-sync")

    def run(self, program: str, *arguments: object) -> None:
        """Run one of the server's programs, as a user that may."""
        command = [str(self.programs / program), *map(str, arguments)]
        if os.geteuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        found = subprocess.run(command, cwd=self.data.parent, capture_output=True, text=True, timeout=PATIENCE)
        assert found.returncode == 0, found.stdout + found.stderr

    def start(self) -> None:
        options = f"-p {self.port} -k {self.data.parent} -c listen_addresses=127.0.0.1 -c fsync=off"
        # its output to a file: a pipe would be held open for as long as the server runs
        self.run("pg_ctl", "-D", self.data, "-l", self.data.parent / "log", "-w", "-o", options, "start")

    def stop(self) -> None:
        """Stop it at once, as when its machine goes down; what was committed is there afterwards."""
        self.run("pg_ctl", "-D", self.data, "-w", "-m", "immediate", "stop")

    def processes(self) -> list[int]:
        """The ids of the server and of what it has started."""
        first = int((self.data / "postmaster.pid").read_text().split()[0])
        every = {int(path.name): path for path in Path("/proc").iterdir() if path.name.isdigit()}
        return [first, *(pid for pid, path in every.items() if _parent(path) == first)]

    def url(self, password: str = password) -> str:
        return f"postgresql://{self.user}:{password}@127.0.0.1:{self.port}/postgres"


def _parent(path: Path) -> int:
    try:
        return int((path / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:  # it has ended
        return 0


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that runs; skipped only where PostgreSQL is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    there = Path(shutil.which("initdb") or (found[-1] if found else ""))
    if not there.name:
        pytest.skip("PostgreSQL is not installed")
    with tempfile.TemporaryDirectory() as folder:  # not pytest's, which others may not enter
        made = Server(Path(folder), there.parent)
        made.start()
        try:
            yield made
        finally:
            if (made.data / "postmaster.pid").exists():
                made.stop()
