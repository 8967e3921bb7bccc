"""The benchmarks that stand behind the project's figures: found, and run."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import stepwell

Row = dict[str, Any]


class Missing(ImportError):
    """A benchmark measures beside something that is not installed here."""


def modules() -> dict[str, Path]:
    """The benchmark modules by name: those of a checkout, else those installed with the package."""
    package = Path(stepwell.__file__).parent
    for folder in (package / "benchmarks", package.parents[1] / "benchmarks"):
        if found := sorted(path for path in folder.glob("*.py") if not path.name.startswith("_")):
            return {path.stem: path for path in found}
    return {}


def run(path: Path, quick: bool) -> Iterator[Row]:
    """The rows of a module, each as it is measured.

    A row has name, ratio (against `peer`; above 1 is better), limit (the share of the physical limit that was reached),
    floor (what is promised of the ratio, or of the limit where there is no ratio) and detail; any but name may be None.

    Raises:
        Missing: a framework that it measures is not installed; the message says what to install.
    """
    try:
        return iter(_load(path).main(quick=quick))
    except ImportError as error:
        if _is_missing(error):
            raise Missing(str(error)) from error
        raise


def kept(row: Row) -> bool | None:
    """Whether a row keeps its promise; None where it makes none."""
    figure = row["limit"] if row["ratio"] is None else row["ratio"]
    return None if figure is None or row["floor"] is None else figure >= row["floor"]


def _is_missing(error: BaseException | None) -> bool:
    """Whether an import failed for want of a package, and not for a mistake in this one or another."""
    if isinstance(error, ModuleNotFoundError):
        return error.name is not None and error.name.partition(".")[0] != stepwell.__name__
    return isinstance(error, ImportError) and _is_missing(error.__cause__)


def _load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"stepwell_benchmark_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))  # they share their neighbours that begin with an underscore
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module
