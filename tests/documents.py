"""Run what documents show: a file's python blocks in one namespace, and the `stepwell` lines of its shell blocks.

    python tests/documents.py README.md CONTRIBUTING.md

A block after `<!-- not run: reason -->` is left out, and said. The commands of a block run in a folder of their own.
"""

import contextlib
import re
import shlex
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

BLOCK = re.compile(r"(<!-- not run: (?P<reason>[^>]*?) -->\n)?```(?P<language>\w+)\n(?P<code>.*?)```", re.S)


def run(document: Path) -> int:
    """Run one document's blocks; the number of blocks that were run."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # files that it writes go with it
        return _blocks(document)


def _blocks(document: Path) -> int:
    namespace: dict[str, object] = {"__name__": document.stem}
    count = 0
    for found in BLOCK.finditer(document.read_text()):
        line = document.read_text()[: found.start("code")].count("\n") + 1
        where = f"{document.name}:{line}"
        if found["reason"]:
            print(f"{where}: not run: {found['reason']}")
        elif found["language"] == "python":
            code = "\n" * (line - 1) + textwrap.dedent(found["code"])
            exec(compile(code, document.name, "exec"), namespace)
            count += 1
        elif found["language"] == "sh":
            count += _shell(found["code"], where)
    return count


def _shell(code: str, where: str) -> int:
    with tempfile.TemporaryDirectory() as folder:  # one for the block: a command may read what one before it wrote
        for command in code.splitlines():
            words = shlex.split(command, comments=True)
            if words and words[0] == "stepwell":
                print(f"{where}: {command}", flush=True)
                subprocess.run([sys.executable, "-m", *words], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return 1


if __name__ == "__main__":
    for name in sys.argv[1:]:
        blocks = run(Path(name).resolve())
        print(f"{name}: {blocks} blocks run")
        if not blocks:
            sys.exit(f"{name}: no block was found")
