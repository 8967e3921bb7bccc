"""The panels of the book's figures."""

import numpy as np
import pytest

from stepwell.functions import surfaces
from stepwell.pages import plots
from stepwell.pages.style import COLOURS, OTHERS, look

WAY = np.array([(-5.0, -2.0), (-1.0, 0.5), (0.0, 0.0)])


def only_axes(*panels: plots.Panel):  # type: ignore[no-untyped-def]
    return plots.figure("title", *panels).axes


def test_a_rules_curve_has_its_colour_in_every_kind_of_panel() -> None:
    line = plots.Line("adam", np.arange(3.0), rule="adam")
    way = plots.Line("adam", WAY, rule="adam")
    drop = plots.Line("adam", [9.0, 4.0, 1.0], rule="adam")
    axes = only_axes(
        plots.lines([line], "t", "step", "loss"),
        plots.paths(surfaces.ravine, [way], "t"),
        plots.descent(surfaces.square, [drop], "t"),
        plots.bars({"adam": 2.0, "other": 1.0}, "t", "ms", rules=["adam"]),
    )
    for each in axes[:3]:
        (found,) = [curve for curve in each.lines if curve.get_label() == "adam"]
        assert found.get_color() == look("adam")["color"]
    assert axes[3].patches[0].get_facecolor() != axes[3].patches[1].get_facecolor()


def test_curves_of_one_rule_differ_in_their_dashes_and_others_in_colour() -> None:
    curves = [plots.Line(f"β = {k}", np.arange(3.0), rule="momentum") for k in range(3)]
    others = [plots.Line(f"other {k}", np.arange(3.0)) for k in range(3)]
    (axes,) = only_axes(plots.lines([*curves, *others], "t", "x", "y"))
    own, rest = axes.lines[:3], axes.lines[3:]
    assert {line.get_color() for line in own} == {look("momentum")["color"]}
    assert len({line.get_linestyle() for line in own}) == 3
    assert [line.get_color() for line in rest] == list(OTHERS[:3])
    assert not set(OTHERS) & set(COLOURS)
    many = plots.figure("t", plots.lines([plots.Line(str(k), [0, 1]) for k in range(2 * len(OTHERS))], "t", "x", "y"))
    assert len({(line.get_color(), line.get_linestyle()) for line in many.axes[0].lines}) == 2 * len(OTHERS)


def test_one_algorithm_is_one_colour_wherever_its_epsilon_stands() -> None:
    both = [plots.Line(name, [0.0, 1.0], rule=name) for name in ("adagrad", "adagrad_eps_inside")]
    (axes,) = only_axes(plots.lines(both, "t", "x", "y"))
    first, second = axes.lines
    assert first.get_color() == second.get_color() == look("adagrad")["color"]
    assert first.get_linestyle() != second.get_linestyle()


def test_a_way_shows_where_it_began_and_where_the_minimum_is() -> None:
    (axes,) = only_axes(plots.paths(surfaces.ravine, [plots.Line("way", WAY)], "t"))
    points = [tuple(np.ravel(line.get_xydata())) for line in axes.lines[1:]]
    assert points == [(-5.0, -2.0), (0.0, 0.0)]
    low, high = axes.get_xlim()
    assert low < -5 < 0 < high


def test_a_way_that_leaves_the_domain_is_shown_whole_and_one_that_diverges_is_drawn() -> None:
    far = np.array([(-5.0, -2.0), (30.0, 40.0), (np.inf, np.nan)])
    (axes,) = only_axes(plots.paths(surfaces.ravine, [plots.Line("way", far)], "t"))
    assert axes.get_xlim()[1] > 30
    assert np.isfinite(axes.get_ylim()).all()


def test_lines_have_bands_levels_and_scales() -> None:
    curve = plots.Line("loss", [3.0, 2.0], [1, 10], low=[2.5, 1.5], high=[3.5, 2.5])
    (axes,) = only_axes(plots.lines([curve], "t", "step", "loss", log="xy", level=1.0, level_label="least"))
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert len(axes.collections) == 1
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["loss", "least"]


def test_a_field_has_its_colour_bar_and_its_edge() -> None:
    x, y = np.linspace(0, 1, 5), np.linspace(0, 1, 4)
    axes = only_axes(plots.heat(x, y, x + y[:, None], "t", ("x", "y", "z"), edge=1.0))
    assert len(axes) == 2
    assert axes[1].get_ylabel() == "z"


@pytest.mark.parametrize(("panels", "shape"), [(1, (1, 1)), (2, (1, 2)), (3, (2, 2)), (5, (3, 2))])
def test_panels_stand_in_rows(panels: int, shape: tuple[int, int]) -> None:
    drawn = plots.figure("t", *[plots.lines([plots.Line("a", [0, 1])], "t", "x", "y")] * panels)
    assert len(drawn.axes) == panels
    assert drawn.get_size_inches().tolist() == pytest.approx([5.6 * shape[1], 3.9 * shape[0] + 0.4])
