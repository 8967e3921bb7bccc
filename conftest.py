"""A door or an integration whose package is not installed here has its doctests and tests left out."""

import importlib.util
from pathlib import Path

from stepwell import door

pytest_plugins = ["pytester"]

_missing = [name for name in door.names() if name not in door.installed()]
_places = ("src/stepwell/{}", "src/stepwell/book/loops/{}.py", "tests/doors/{}")
collect_ignore = [place.format(name) for name in _missing for place in _places]
_packages = [path.stem for path in (Path(__file__).parent / "constraints" / "integrations").glob("*.txt")]
collect_ignore += [f"src/stepwell/integrations/{name}.py" for name in _packages if not importlib.util.find_spec(name)]
