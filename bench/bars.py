"""A picture of bars in groups, as SVG text."""

from collections.abc import Mapping, Sequence
from html import escape

_COLOURS = ("#9aa0a6", "#1a73e8", "#34a853")
_HEIGHT, _BAR, _SPACE, _LEFT, _TOP, _BOTTOM = 180, 22, 26, 48, 58, 34


def draw(
    title: str, groups: Sequence[tuple[str, Mapping[str, float]]], *, step: float = 0.2
) -> str:
    """
    Draw a bar for each value of each group.

    Args:
        title: what is drawn.
        groups: name and values by series, from left to right; the same series in each, three or
            fewer; no value below 0.
        step: between two lines of the scale.

    Returns:
        A whole SVG document; the same input gives the same bytes.
    """
    series = list(groups[0][1])
    most = max(step, *(value for _, values in groups for value in values.values()))
    width = _LEFT + len(groups) * (len(series) * _BAR + _SPACE) + _SPACE
    bottom = _TOP + _HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{bottom + _BOTTOM}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        _text(_LEFT, 20, title, "start"),
    ]
    for number, name in enumerate(series):
        x = _LEFT + number * 130
        parts.append(_rect(x, 32, 12, 12, _COLOURS[number]))
        parts.append(_text(x + 17, 42, name, "start"))
    for line in range(int(most / step) + 1):
        y = bottom - line * step / most * _HEIGHT
        parts.append(
            f'<line x1="{_LEFT}" x2="{width - 8}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dddddd"/>'
        )
        parts.append(_text(_LEFT - 6, y + 4, f"{line * step:.1f}", "end"))
    for place, (name, values) in enumerate(groups):
        x = _LEFT + _SPACE + place * (len(series) * _BAR + _SPACE)
        parts.append(_text(x + len(series) * _BAR / 2, bottom + 18, name, "middle"))
        for number, one in enumerate(series):
            tall = values[one] / most * _HEIGHT
            parts.append(_rect(x + number * _BAR, bottom - tall, _BAR - 3, tall, _COLOURS[number]))
    return "\n".join([*parts, "</svg>", ""])


def _rect(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width}" height="{height:.1f}" fill="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
