"""Bars of what a request costs, as an SVG that a README can show."""

from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

WIDTH, NAMES, FIGURES, ROW, BAR, TOP, BOTTOM = 860, 310, 150, 26, 16, 58, 34
OURS, OTHERS, FLOOR = "#0b7285", "#adb5bd", "#dee2e6"


@dataclass(frozen=True)
class Bar:
    """One row: how long the bar is, and what is written behind it."""

    name: str
    value: float
    figure: str
    is_ours: bool = False
    # Something to compare to that is nobody's gateway.
    is_floor: bool = False


def write(file: Path, title: str, note: str, bars: list[Bar]) -> None:
    """Draws the bars, in the order they come in."""
    file.write_text(draw(title, note, bars))


def draw(title: str, note: str, bars: list[Bar]) -> str:
    """The text of the SVG. Its colours are readable on white, which it brings along."""
    height = TOP + ROW * len(bars) + BOTTOM
    scale = (WIDTH - NAMES - FIGURES) / max(bar.value for bar in bars)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'role="img" font-family="system-ui, sans-serif" font-size="13" fill="#212529">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" rx="6" fill="#ffffff"/>',
        f'<text x="16" y="30" font-size="16" font-weight="600">{escape(title)}</text>',
    ]
    for nth, bar in enumerate(bars):
        middle = TOP + ROW * nth + ROW / 2
        colour = OURS if bar.is_ours else FLOOR if bar.is_floor else OTHERS
        weight = ' font-weight="600"' if bar.is_ours else ""
        length = max(bar.value * scale, 1)
        lines += [
            f'<text x="{NAMES - 10}" y="{middle + 4.5:.1f}" text-anchor="end"{weight}>{escape(bar.name)}</text>',
            f'<rect x="{NAMES}" y="{middle - BAR / 2:.1f}" width="{length:.1f}" height="{BAR}" rx="2" fill="{colour}"/>',
            f'<text x="{NAMES + length + 8:.1f}" y="{middle + 4.5:.1f}"{weight}>{escape(bar.figure)}</text>',
        ]
    lines += [f'<text x="16" y="{height - 14}" font-size="11" fill="#495057">{escape(note)}</text>', "</svg>", ""]
    return "\n".join(lines)
