"""The colours of curves as CSS variables: in the light those of `style.look`, in the dark what can be seen there."""

import colorsys
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stepwell.pages.html.blocks import Key
from stepwell.pages.style import COLOURS, OTHERS, dashes, look

THEME = Path(__file__).parent.parent / "web" / "theme.css"
CONTRAST = 4.0  # of a thin line with its ground, at least (WCAG 2.2 asks 3 of what is no text)


def variables(dark: bool = False) -> dict[str, str]:
    """Every colour of a curve by the name of its variable."""
    return {variable(colour): on_dark(colour) if dark else colour for colour in (*COLOURS, *OTHERS)}


def variable(colour: str) -> str:
    """What a colour's variable is called.

    >>> variable("#0072B2")
    '--curve-0072b2'
    """
    return f"--curve-{colour.removeprefix('#').lower()}"


def colour_of(optimizer: str) -> str:
    """The variable of an optimizer's colour."""
    return variable(look(optimizer)["color"])


def keys(optimizers: Iterable[str]) -> list[Key]:
    """The legend of some optimizers."""
    return [Key(name, colour_of(name), dashes(name)) for name in optimizers]


def on_dark(colour: str) -> str:
    """The same colour where it can be seen on the dark ground, else with its lightness mirrored.

    >>> on_dark("#E69F00"), on_dark("#000000")
    ('#E69F00', '#ffffff')
    """
    if contrast(colour, ground()) >= CONTRAST:
        return colour
    hue, lightness, saturation = colorsys.rgb_to_hls(*_channels(colour))
    mirrored = colorsys.hls_to_rgb(hue, max(1 - lightness, lightness), saturation)
    while contrast(_hex(mirrored), ground()) < CONTRAST:
        mirrored = tuple(x + (1 - x) / 10 for x in mirrored)
    return _hex(mirrored)


def contrast(first: str, second: str) -> float:
    """How much two colours differ in luminance, from 1 to 21, as WCAG 2.2 has it.

    >>> round(contrast("#000000", "#ffffff"))
    21
    """
    dark, light = sorted(_luminance(colour) for colour in (first, second))
    return (light + 0.05) / (dark + 0.05)


def ground() -> str:
    """The ground of the dark theme."""
    return re.findall(r"--ground:\s*(#\w{6})", THEME.read_text("utf-8"))[-1]


def _luminance(colour: str) -> float:
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in _channels(colour)]
    return sum(share * x for share, x in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _channels(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5))
    return red, green, blue


def _hex(channels: Any) -> str:
    return "#" + "".join(f"{round(255 * x):02x}" for x in channels)
