"""Ratios as a bar chart, in plain SVG."""

from collections.abc import Sequence
from html import escape
from math import log10
from pathlib import Path

WIDTH, LEFT, ROW, BAR = 900, 330, 26, 9
COLOURS = {"sqlite": "#1f77b4", "postgresql": "#d95f02"}


def draw(path: Path, title: str, ratios: Sequence[tuple[str, dict[str, float]]]) -> None:
    """Draw a row for each case and a bar for each engine, on a logarithmic scale around 1."""
    values = [value for _, each in ratios for value in each.values() if value > 0]
    if not values:
        return
    low, high = min(0.1, *values), max(10.0, *values)
    height = 70 + ROW * len(ratios)

    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - 70) * (log10(value) - log10(low)) / (log10(high) - log10(low))

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/><text x="10" y="20" font-size="15">{escape(title)}</text>',
    ]
    for at, (engine, colour) in enumerate(COLOURS.items()):
        left = WIDTH - 220 + 100 * at
        parts.append(f'<rect x="{left}" y="11" width="10" height="10" fill="{colour}"/><text x="{left + 14}" y="20">{engine}</text>')
    for power in range(-2, 4):
        if low <= 10.0**power <= high:
            parts.append(f'<line x1="{x(10.0**power):.1f}" x2="{x(10.0**power):.1f}" y1="40" y2="{height - 22}" stroke="#ddd"/>')
            parts.append(f'<text x="{x(10.0**power):.1f}" y="{height - 8}" text-anchor="middle" fill="#666">{10.0**power:g}</text>')
    parts.append(f'<line x1="{x(1):.1f}" x2="{x(1):.1f}" y1="36" y2="{height - 22}" stroke="#333"/>')
    for row, (name, each) in enumerate(ratios):
        top = 42 + row * ROW
        parts.append(f'<text x="{LEFT - 10}" y="{top + 13}" text-anchor="end">{escape(name)}</text>')
        for at, (engine, value) in enumerate(sorted(each.items(), reverse=True)):
            start, end = sorted((x(1), x(max(value, low))))
            y = top + at * (BAR + 1)
            width = max(end - start, 1)
            parts.append(f'<rect x="{start:.1f}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{COLOURS[engine]}"/>')
            parts.append(f'<text x="{end + 4:.1f}" y="{y + 8}" font-size="9" fill="#333">{value:.2f}</text>')
    parts.append("</svg>")
    path.write_text("\n".join(parts), encoding="utf-8")
