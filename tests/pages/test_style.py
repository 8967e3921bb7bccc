"""One look for every optimizer, everywhere."""

from pathlib import Path

import matplotlib as mpl
import pytest

from stepwell.pages import style
from stepwell.rules import algorithms, named


def test_every_rule_has_a_look_of_its_own() -> None:
    looks = [tuple(style.look(name).values()) for name in named]
    assert len(set(looks)) == len(named)
    assert style.look("adam") == style.look("adam")


def test_panels_hold_every_optimizer_once_and_few_each() -> None:
    every = style.panels(list(named))
    assert sorted(name for members in every.values() for name in members) == sorted(named)
    groups = style.panels(list(algorithms))
    assert [name for members in groups.values() for name in members] == list(algorithms)
    for members in groups.values():  # within a panel even the colours alone differ
        assert len({style.look(name)["color"] for name in members}) == len(members)


def test_neighbouring_small_families_share_a_panel() -> None:
    assert style.panels(["lion", "adam", "yogi"]) == {"adam, yogi, lion": ["adam", "yogi", "lion"]}
    assert style.panels([]) == {}


@pytest.mark.parametrize(("ending", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_a_figure_is_the_same_file_each_time(tmp_path: Path, ending: str, start: bytes) -> None:
    contents = []
    for name in ("a", "b"):
        figure = style.draw(lambda figure: figure.add_subplot().plot([1, 2], [3, 4]))
        style.save(figure, tmp_path / f"{name}.{ending}")
        contents.append((tmp_path / f"{name}.{ending}").read_bytes())
    assert contents[0].startswith(start)
    assert contents[0] == contents[1]


def test_the_users_own_settings_neither_enter_nor_change() -> None:
    with mpl.rc_context({"font.size": 30, "axes.grid": False}):
        figure = style.draw(lambda figure: figure.add_subplot().set_title("x"))
        assert mpl.rcParams["font.size"] == 30
        assert figure.axes[0].xaxis.label.get_fontsize() == 10
