"""What is imported when, and in which direction: the house of the design, read from the tree itself."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import stepwell
from stepwell import door

ROOT = Path(stepwell.__file__).parent
FLOORS = [  # a room may import what lies on the floors before its own, and on its own floor unless it is a door
    {"domain", "files", "symbolic"},
    {"rule", "latex"},
    {"rules", "schedules"},
    {"kernels", "host", "door", "checkpoint"},
    {*door.names(), "functions"},
    {"lab", "testing"},
    {"book", "integrations", "pages"},
    {"cli"},
    {"__main__"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
DOORS = set(door.names())
HEAVY = {
    "dask", "jax", "keras", "lightning", "llvmlite", "matplotlib", "ml_dtypes", "mlflow", "mxnet", "numba", "optax",
    "optuna", "paddle", "plotly", "pytorch_lightning", "ray", "rich", "safetensors", "scipy", "sklearn", "sympy",
    "tensorboard", "tensorflow", "torch", "transformers", "triton", "typer",
}  # fmt: skip
PATIENCE = 120


LAB = [  # the same of the lab's rooms
    {"names", "data", "bench", "randomness", "statistics", "goal", "documents"},
    {"batches", "trial"},
    {"candidates"},
    {"task"},
    {"tasks", "training", "store"},
    {"sweeps", "rates", "landscapes", "health"},
    {"comparisons"},
    {"__init__"},
]


def integrations() -> set[str]:
    """The packages that have an integration: those that have pins, in which its tests run."""
    return {path.stem for path in (ROOT.parent.parent / "constraints" / "integrations").glob("*.txt")}


def room(path: Path, house: Path = ROOT) -> str:
    """The first name below a folder that a file belongs to."""
    return path.relative_to(house).parts[0].removesuffix(".py")


def imported(path: Path, house: str = "stepwell") -> Iterator[tuple[str, int]]:
    """The rooms of a package that a file imports, anywhere in it, with their lines."""
    package = ["stepwell", *path.relative_to(ROOT).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - node.level + 1]] if node.level else []
            base += node.module.split(".") if node.module else []
            names = [".".join([*base, alias.name]) for alias in node.names]
        else:
            continue
        for name in names:
            if name.startswith(f"{house}."):
                yield name.removeprefix(f"{house}.").partition(".")[0], node.lineno


def files() -> list[Path]:
    return [path for path in sorted(ROOT.rglob("*.py")) if path != ROOT / "__init__.py"]


def test_every_room_has_its_floor():
    assert {room(path) for path in files()} <= set(FLOOR)


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down_the_house(path):
    own = room(path)
    for other, line in imported(path):
        if other in FLOOR and other != own:
            assert FLOOR[other] <= FLOOR[own], f"{path.name}:{line}: {own} imports {other}, which stands above it"
            assert not {own, other} <= DOORS, f"{path.name}:{line}: the door {own} imports the door {other}"


def test_imports_go_down_the_lab():
    floor, seen = {own: number for number, rooms in enumerate(LAB) for own in rooms}, set()
    for path in sorted((ROOT / "lab").rglob("*.py")):
        own = room(path, ROOT / "lab")
        for other, line in imported(path, "stepwell.lab"):
            if other != own and other in floor:
                seen.add((own, other))
                assert floor[other] < floor[own], f"{path.name}:{line}: {own} imports {other}, which stands no lower"
    assert {own for own, _ in seen} > {"sweeps", "rates", "comparisons"}
    assert {room(path, ROOT / "lab") for path in (ROOT / "lab").rglob("*.py")} == set(floor)


def test_the_check_of_directions_sees_imports():
    """The kernels import the rule's language; were that not seen, the tests above would pass on anything."""
    found = {other for path in files() if room(path) == "kernels" for other, _ in imported(path)}
    assert {"rule", "symbolic"} <= found
    assert {"kernels", "door", "rule"} <= {o for path in files() if room(path) == "numpy" for o, _ in imported(path)}


def loaded(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after a statement."""
    code = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    command = [sys.executable, "-W", "error", "-c", code]
    found = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    return set(found.stdout.split())


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("import stepwell", set()),
        ("import stepwell; stepwell.rules.adam(1.0, 0.0, 0.0, 1, **stepwell.rules.adam.complete({}))", set()),
        ("import stepwell.rules, stepwell.schedules, stepwell.kernels, stepwell.door", set()),
        ("import stepwell.integrations", set()),
        ("import stepwell.numpy; stepwell.numpy.Adam", set()),
        ("import stepwell.rules; stepwell.rules.adam.latex()", {"sympy"}),
        (
            "import numpy as np, stepwell.numpy as door; p = [np.ones(3)]; door.Adam(p).step([np.ones(3)])",
            {"numba", "llvmlite", "scipy"},  # Numba looks for SciPy's linear algebra
        ),
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_used(statement, allowed):
    assert loaded(statement) & HEAVY <= allowed


def test_a_door_loads_its_own_framework():
    found = loaded("import stepwell; stepwell.torch")
    assert "torch" in found
    assert not found & {"numba", "jax", "matplotlib", "tensorflow", "typer"}


def test_every_door_is_found():
    """They are the rooms in which `from_rule` can be had; were one not found, it would go untested."""
    assert {"numpy", "torch"} < DOORS
    assert {room(path) for path in files() if path.name == "from_rule.py"} < DOORS


WITHOUT = """
import sys
sys.modules[{framework!r}] = None
import stepwell, stepwell.rules, stepwell.numpy
from stepwell import door
assert {framework!r} not in door.installed()
try:
    import stepwell.{framework}
except ImportError as error:
    print(error)
"""


@pytest.mark.parametrize("framework", sorted(DOORS - {"numpy"}))  # which stepwell itself needs
def test_a_door_without_its_framework_says_what_to_install(framework):
    code = WITHOUT.format(framework=framework)
    command = [sys.executable, "-W", "error", "-c", code]
    found = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert re.fullmatch(rf"stepwell\.{framework} needs .+: pip install .+\n", found.stdout), found.stdout + found.stderr


@pytest.mark.parametrize("package", sorted(integrations()))
def test_an_integration_without_its_package_says_what_to_install(package):
    code = WITHOUT.replace("stepwell.{framework}", "stepwell.integrations.{framework}").format(framework=package)
    code = f"import sys; sys.modules['pytorch_lightning'] = None\n{code}"  # Lightning's other name
    command = [sys.executable, "-W", "error", "-c", code]
    found = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    wanted = rf"stepwell\.integrations\.{package} needs {package}: pip install {package}.*\n"
    assert re.fullmatch(wanted, found.stdout), found.stdout + found.stderr


def test_every_integration_is_found():
    there = {path.stem for path in (ROOT / "integrations").glob("*.py")}
    assert {"lightning", "mlflow"} < integrations() < there


def test_the_suite_without_pytest_says_what_to_install():
    code = WITHOUT.replace("{framework!r}", "'pytest'").replace("stepwell.{framework}", "stepwell.testing")
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert found.stdout == 'stepwell.testing needs pytest: pip install "stepwell[testing]"\n'


def test_the_package_itself_names_its_rooms():
    assert stepwell.rules is sys.modules["stepwell.rules"]
    with pytest.raises(AttributeError, match="module 'stepwell' has no attribute 'nothing'"):
        _ = stepwell.nothing
    with pytest.raises(AttributeError):
        _ = stepwell.__nothing__


def test_only_pages_draw_and_only_the_command_line_prints():
    for path in files():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                assert room(path) in ("cli", "__main__"), f"{path.name}:{node.lineno} prints"
            if isinstance(node, ast.Import | ast.ImportFrom):
                drawing = ast.unparse(node).split()[1].partition(".")[0] in ("matplotlib", "plotly")
                assert not drawing or room(path) == "pages", f"{path.name}:{node.lineno} draws"
