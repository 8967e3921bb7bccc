"""The documentation's generated pages: one for each section of the book and each rule, for MkDocs (see docs/hooks.py).

Everything is read from the sections, the rules and the table of frameworks when the site is built. Formulas are set as
MathML and pictures lie beside their pages, so the site works without a network.
"""

import functools
import html
import inspect
import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from stepwell import book
from stepwell import latex as letters
from stepwell.book import errata, frameworks
from stepwell.book.section import Page, Section, Table
from stepwell.kernels import pool
from stepwell.lab.names import unknown
from stepwell.pages import index, portrait, rulebook
from stepwell.pages.style import FORMATS, rendered
from stepwell.rule import Rule
from stepwell.rules import named

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Files = dict[str, str | bytes]
SECTIONS, RULES = "STEPWELL_SITE_SECTIONS", "STEPWELL_SITE_RULES"
MANY = 20  # pages, which take longer than processes to begin
log = logging.getLogger("mkdocs.stepwell")


def nav() -> list[Any]:
    """The site's table of contents: home, the book in its order, the rules by family."""
    families: dict[str, list[Any]] = {}
    for rule in chosen(RULES, named).values():
        families.setdefault(_family(rule), []).append({rule.name: f"rules/{rule.name}.md"})
    sections = [{section.title: f"book/{name}.md"} for name, section in chosen(SECTIONS, book.named).items()]
    grouped = [{family: members} for family, members in families.items()]
    return [
        {"Home": "index.md"},
        {"Book": ["book/index.md", *sections]},
        {"Rules": ["rules/index.md", {"In the frameworks": "rules/frameworks.md"}, *grouped]},
    ]


def chosen(variable: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """All that is known, or what an environment variable names, with commas between; ValueError for another name."""
    wanted = os.environ.get(variable)
    if wanted is None:
        return dict(known)
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    if strange := [name for name in names if name not in known]:
        raise ValueError(f"{variable}: {unknown('page', strange[0], known)}")
    return {name: known[name] for name in known if name in names}


@functools.cache  # a served site asks again at every change of a file
def pages() -> Files:
    """Every generated file by its place in the documentation: Markdown, and the pictures as PNG and SVG.

    A number or claim of the book that does not hold is a warning, with which `mkdocs build --strict` fails.
    """
    found: Files = {}
    results: list[tuple[Section, list[Page]]] = []
    sections = chosen(SECTIONS, book.named)
    for name, section in sections.items():
        log.info("the book: %s", name)
        results.append((section, list(section.run())))
        found |= section_page(*results[-1])
        _warn(*results[-1])
    found["book/index.md"] = contents(results)
    rules = chosen(RULES, named)
    for name, files in _rule_pages(list(rules), linked=errata.section.name in sections):
        log.info("a rule: %s", name)
        found |= files
    found["rules/index.md"] = overview(rules.values())
    found["rules/frameworks.md"] = differences()
    return found


def _warn(section: Section, written: Sequence[Page]) -> None:
    for page in written:
        for line in page.lines:
            if line.holds is False:
                place, wanted = f"{section.name}: {page.name}: {line.what}", line.expected or "it to hold"
                log.warning("%s: got %s, expected %s", place, line.got, wanted)


def section_page(section: Section, written: Sequence[Page]) -> Files:
    """The page of a section, with its source, and its pictures."""
    figures = index.pictures(section, written)
    parts = [f"# {_plain(section.title)}", _part("section_verdict", written), _part("prose", section.text)]
    for page in written:
        parts += [f"## {_plain(page.title)} {{#{page.name}}}", _part("body", page, f"{section.name}/")]
    parts += ["## The code", *_sources(section)]
    return {f"book/{section.name}.md": _join(parts)} | _pictures(f"book/{section.name}", figures)


def contents(results: Sequence[tuple[Section, Sequence[Page]]]) -> str:
    """The page of the book: its sections, each with its verdict."""
    lines = [f"1. [{_plain(s.title)}]({s.name}.md) — {_part('section_verdict', w)}" for s, w in results]
    about = "Every experiment of the chapter, run when this site was built, each number beside the one expected."
    return _join(["# The book", about, "\n".join(lines)])


def rule_page(rule: Rule, linked: bool = True) -> Files:
    """The page of a rule, from the rule itself; `linked` where there is a page of errata to point to."""
    state = [[_symbol(s), f"`{s}`", _start(rule.start[s])] for s in rule.state]
    hyper = [
        [_symbol(h.name), f"`{h.name}`", "required" if h.default is None else f"{h.default:g}", h.domain.words]
        for h in rule.hyperparameters.values()
    ]
    steady, remark = portrait.stability(rule)
    figures = {"path": portrait.path(rule)} | ({"stability": steady} if steady else {})
    parts = [
        f"# {rule.name}",
        _part("prose", inspect.getdoc(rule.formula)),
        f'<div class="formula">{mathml(rule.latex())}</div>',
        "```python\n" + "\n".join(rulebook.formula(rule)) + "\n```",
        "## State" if state else "",
        _part("table", Table(("", "name", "starts at"), state), f"State of {rule.name}") if state else "",
        "## Hyperparameters",
        _part("table", Table(("", "name", "default", "domain"), hyper), f"Hyperparameters of {rule.name}"),
        "## Its path",
        f"Twenty steps down .1x₁² + 2x₂² at a rate of {portrait.RATE:g}, the other hyperparameters at their defaults.",
        _figure(rule, "path", figures["path"]),
        "## Where it is stable",
        _part("prose", remark),
        _figure(rule, "stability", steady) if steady else "",
        *_versions(rule),
        *_errata(rule, linked),
    ]
    return {f"rules/{rule.name}.md": _join(parts)} | _pictures(f"rules/{rule.name}", figures)


def _rule_pages(names: Sequence[str], linked: bool) -> Iterator[tuple[str, Files]]:
    """The pages of rules; where they are many, by as many processes as there are processors."""
    if len(names) < MANY:
        for name in names:
            yield name, _rule_page(name, linked)
        return
    from loky import ProcessPoolExecutor

    with ProcessPoolExecutor(pool.cores()) as processes:
        yield from zip(names, processes.map(_rule_page, names, [linked] * len(names)), strict=True)


def _rule_page(name: str, linked: bool) -> Files:
    return rule_page(named[name], linked)


def overview(rules: Iterable[Rule]) -> str:
    """The page of all rules, by family."""
    parts, family = ["# The rules", "Each is written once; its page is made from it."], ""
    for rule in rules:
        if _family(rule) != family:
            family = _family(rule)
            parts += [f"## {_plain(family)}", _plain(inspect.getdoc(sys.modules[rule.formula.__module__]) or "")]
        parts.append(f"- [{_plain(rule.name)}]({rule.name}.md): {_plain(rule.summary)}")
    return _join(parts)


def differences() -> str:
    """The page of the frameworks: all versions of all algorithms."""
    parts = ["# In the frameworks", _part("prose", (inspect.getdoc(frameworks) or "").partition("\n\n>>>")[0])]
    for name, versions in frameworks.VERSIONS.items():
        parts += [f"## {name}", _part("table", frameworks.table(versions), f"Versions of {name}")]
    return _join(parts)


def mathml(latex: str) -> str:
    """LaTeX as MathML, which browsers set without help.

    >>> mathml("x_{t} &= 1").count("<mi>t</mi>"), mathml("\\\\mathrm{step}")[-27:]
    (1, '<mi>step</mi></mrow></math>')
    """
    from latex2mathml.converter import convert

    made = convert(latex.replace("{aligned}", "{align*}"), display="block")  # the library knows no aligned
    letters = r'<mrow>((?:<mi mathvariant="normal">\w</mi>)+)</mrow>'
    return re.sub(letters, lambda found: f"<mi>{re.sub('<[^>]*>', '', found[1])}</mi>", made)


def _versions(rule: Rule) -> list[str]:
    if not (versions := frameworks.of(rule.name)):
        return []
    missing = frameworks.missing(rule.name)
    none = f"Without a version of it: {', '.join(missing)}." if missing else ""
    table = _part("table", frameworks.table(versions), f"Versions of {rule.name}")
    return ["## In the frameworks", table, none, "[All of them](frameworks.md)"]


def _errata(rule: Rule, linked: bool) -> list[str]:
    lines = []
    for erratum in errata.concerning(rule.name):
        title = _plain((erratum.__doc__ or erratum.__name__).strip().partition("\n")[0])
        place = f"../book/{errata.section.name}.md#{erratum.__name__}"
        lines.append(f"- [{title}]({place})" if linked else f"- {title}")
    return ["## Errata of the texts that concern it", "\n".join(lines)] if lines else []


def _sources(section: Section) -> list[str]:
    """The modules of a section's experiments, as blocks of code."""
    names = dict.fromkeys(experiment.__module__ for experiment in section.experiments)
    return [f"````python\n{inspect.getsource(sys.modules[name]).rstrip()}\n````" for name in names]


def _figure(rule: Rule, name: str, figure: "Figure") -> str:
    return _part("picture", f"{rule.name}/", name, f"{rule.name}: its {name}", *index.pixels(figure))


def _pictures(place: str, figures: Mapping[str, "Figure"]) -> Files:
    return {f"{place}/{name}.{ending}": rendered(figures[name], ending) for name in figures for ending in FORMATS}


def _family(rule: Rule) -> str:
    """The family's name: what its file's docstring says before the colon, or the file's name."""
    text = inspect.getdoc(sys.modules[rule.formula.__module__]) or ""
    first, colon, _ = text.partition(":")
    return first if colon else rule.formula.__module__.rpartition(".")[2].capitalize()


def _symbol(name: str) -> Any:
    """A name as the formula prints it: β₁ for beta1."""
    import sympy

    return Markup(mathml(sympy.latex(letters.letter(name))).replace('display="block"', 'display="inline"'))


def _start(value: float | str) -> str:
    return f"`{value}`" if isinstance(value, str) else f"{value:g}"


@functools.cache
def _parts() -> Any:
    return index.environment().get_template("parts.html").module


def _part(name: str, *args: Any) -> str:
    """A part of the common template as one block of HTML, in which Markdown sees nothing to do."""
    return re.sub(r"\n\s*\n", "\n", str(getattr(_parts(), name)(*args))).strip()


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, a number at its start too."""
    safe = re.sub(r"([\\`*_{}\[\]#])", r"\\\1", html.escape(" ".join(text.split()), quote=False))
    safe = re.sub(r"[|~$^]", lambda sign: f"&#{ord(sign[0])};", safe)  # which Markdown has no escape for
    return re.sub(r"^(\d+|)([.)+-])", r"\1\\\2", safe)


def _join(parts: Iterable[str]) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"
