"""What an object shows of itself in a notebook (`_repr_html_`): a title, facts and small tables, everything escaped.

    card("run embedded", ["2 networks, 60 images"], table(("layer", "units"), [("18", 512)]))

The look is the notebook's own, so that it reads well in light and in dark.
"""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Iterable, Sequence

ROWS = 12
"""Rows that a table shows; the rest are counted."""


def escaped(value: object) -> str:
    """The value as text of a page: a float with three digits behind the point, nothing for what is missing.

    >>> escaped("<b>"), escaped(0.12345), escaped(float("nan")), escaped(1200)
    ('&lt;b&gt;', '0.123', '', '1,200')
    """
    value = _plain(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.3f}"
    if isinstance(value, int):
        return f"{value:,}"
    return html.escape(" ".join(str(value).split()))


def table(header: Sequence[str], rows: Sequence[Sequence[object]], limit: int = ROWS) -> str:
    """A table of the first `limit` rows; numbers are flush right.

    >>> table(("unit", "label"), [(5, "cat"), (6, "dog")], limit=1)[-41:]
    '">cat</td></tr></table>\\n<p>and 1 more</p>'
    """
    lines = ["<table>", "<tr>" + "".join(f"<th>{escaped(name)}</th>" for name in header) + "</tr>"]
    for row in rows[:limit]:
        row = [_plain(cell) for cell in row]
        sides = ["right" if type(cell) in (int, float) else "left" for cell in row]
        cells = (f'<td style="text-align:{side}">{escaped(cell)}</td>' for side, cell in zip(sides, row, strict=True))
        lines.append("<tr>" + "".join(cells) + "</tr>")
    more = f"\n<p>and {len(rows) - limit:,} more</p>" if len(rows) > limit else ""
    return "\n".join(lines) + "</table>" + more


def _plain(value: object) -> object:
    """A number of numpy as Python's own."""
    return value.item() if hasattr(value, "item") else value


def picture(jpeg: bytes, alt: str) -> str:
    """A small JPEG inside the page.

    >>> picture(b"abc", "a cat")
    '<img src="data:image/jpeg;base64,YWJj" alt="a cat" style="display:inline-block;margin:2px">'
    """
    content = base64.b64encode(jpeg).decode("ascii")
    return f'<img src="data:image/jpeg;base64,{content}" alt="{escaped(alt)}" style="display:inline-block;margin:2px">'


def card(title: str, facts: Iterable[str], *parts: str) -> str:
    """A title, sentences below it, and parts that are HTML already.

    >>> card("a < b", ["one & two"], "<p>done</p>")
    '<div><strong>a &lt; b</strong>\\n<p>one &amp; two</p>\\n<p>done</p></div>'
    """
    lines = [f"<strong>{escaped(title)}</strong>", *(f"<p>{escaped(fact)}</p>" for fact in facts), *parts]
    return "<div>" + "\n".join(lines) + "</div>"
