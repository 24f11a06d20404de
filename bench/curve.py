"""Curves over time, one small picture for each event, as an SVG."""

import math
from pathlib import Path
from xml.sax.saxutils import escape

from chart import OTHERS, OURS

Points = list[tuple[float, float]]
WIDTH, HEIGHT, COLUMNS = 430, 220, 2
LEFT, RIGHT, TOP, BOTTOM, HEAD, LEGEND = 46, 14, 34, 28, 40, 30
SHADE = "#f1f3f5"


def write(file: Path, title: str, pictures: dict[str, dict[str, Points]], event: tuple[float, float]) -> None:
    """Draws a picture for each event, with a curve for each gateway, over seconds; the time of the event is shaded. The height is
    logarithmic, and the same in all of them."""
    rows = math.ceil(len(pictures) / COLUMNS)
    size = WIDTH * COLUMNS, HEAD + HEIGHT * rows + LEGEND
    values = [value for picture in pictures.values() for points in picture.values() for _, value in points]
    heights = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]} {size[1]}" width="{size[0]}" height="{size[1]}" '
        'role="img" font-family="system-ui, sans-serif" font-size="11" fill="#212529">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{size[0]}" height="{size[1]}" rx="6" fill="#ffffff"/>',
        f'<text x="16" y="26" font-size="16" font-weight="600">{escape(title)}</text>',
    ]
    for nth, (name, curves) in enumerate(pictures.items()):
        at = nth % COLUMNS * WIDTH, HEAD + nth // COLUMNS * HEIGHT
        lines += [f'<g transform="translate({at[0]},{at[1]})">', *picture(name, curves, event, heights), "</g>"]
    names = list(dict.fromkeys(name for curves in pictures.values() for name in curves))
    for nth, name in enumerate(names):
        x, y = 16 + nth * WIDTH, size[1] - 14
        lines.append(f'<path d="M{x} {y - 4}h24" stroke="{colour(name)}" stroke-width="2"/><text x="{x + 32}" y="{y}">{escape(name)}</text>')
    file.write_text("\n".join([*lines, "</svg>", ""]))


def picture(name: str, curves: dict[str, Points], event: tuple[float, float], heights: tuple[int, int]) -> list[str]:
    """One of them; `heights` are the powers of ten at the bottom and at the top."""
    last = max(x for points in curves.values() for x, _ in points)
    across = lambda x: LEFT + x / last * (WIDTH - LEFT - RIGHT)
    up = lambda y: HEIGHT - BOTTOM - (math.log10(y) - heights[0]) / (heights[1] - heights[0]) * (HEIGHT - TOP - BOTTOM)
    begin, end = map(across, event)
    lines = [
        f'<text x="{LEFT}" y="20" font-size="13">{escape(name)}</text>',
        f'<rect x="{begin:.1f}" y="{TOP}" width="{end - begin:.1f}" height="{HEIGHT - TOP - BOTTOM}" fill="{SHADE}"/>',
    ]
    for power in range(heights[0], heights[1] + 1):
        y = up(10.0**power)
        lines.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ced4da" stroke-width="0.5"/>')
        lines.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g}</text>')
    for second in range(0, int(last) + 1, 2):
        lines.append(f'<text x="{across(second):.1f}" y="{HEIGHT - 12}" text-anchor="middle">{second} s</text>')
    for gateway, points in curves.items():
        path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in points)
        lines.append(f'<polyline points="{path}" fill="none" stroke="{colour(gateway)}" stroke-width="1.8"/>')
    return lines


def colour(gateway: str) -> str:
    """Ours stands out."""
    return OURS if gateway.startswith("aegis") else OTHERS
