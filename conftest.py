"""A door whose framework is not installed here has its doctests and tests left out."""

from stepwell import door

pytest_plugins = ["pytester"]

_missing = [name for name in door.names() if name not in door.installed()]
_places = ("src/stepwell/{}", "src/stepwell/book/loops/{}.py", "tests/doors/{}")
collect_ignore = [place.format(name) for name in _missing for place in _places]
