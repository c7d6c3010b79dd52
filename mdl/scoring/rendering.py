"""A table of typed cells as text for the terminal, CSV, Markdown and HTML. No torch.

>>> columns = (Column("name", None), Column("images/s", 1))
>>> table = Table("Speeds", columns, in_order(columns, [{"name": "a", "images/s": 12.25}, {"name": "b"}]))
>>> print(to_csv(table), end="")
name,images/s
a,12.25
b,
>>> print(to_markdown(table), end="")
### Speeds
<BLANKLINE>
| name | images/s |
| --- | --: |
| a | 12.2 |
| b | – |

None is a missing cell: a dash where people read, an empty field in CSV. CSV has numbers in full and no notes. Names
come from files, so every form escapes them: markup of the terminal, pipes and line breaks of Markdown, tags of HTML,
and a leading `=`, `+`, `-` or `@` that a spreadsheet would run as a formula.
"""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data_prep.common.files import escape_cell

if TYPE_CHECKING:
    from rich.table import Table as RichTable

Cell = str | int | float | None

MISSING = "–"


@dataclass(frozen=True, slots=True)
class Column:
    """digits: after the decimal point of its numbers; None for a column of words, which is flush left."""

    title: str
    digits: int | None


@dataclass(frozen=True, slots=True)
class Table:
    """rows: one cell for each column, as `in_order` puts them. notes: sentences below the table."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.columns) for row in self.rows)

    def text(self) -> list[list[str]]:
        """The cells as people read them."""
        return [[_text(cell, column) for cell, column in zip(row, self.columns, strict=True)] for row in self.rows]


def in_order(columns: Sequence[Column], rows: Iterable[Mapping[str, Cell]]) -> tuple[tuple[Cell, ...], ...]:
    """Cells by the titles of their columns, put in the order of the columns; a title that is left out is a missing cell."""
    ordered = []
    for row in rows:
        if unknown := row.keys() - {column.title for column in columns}:
            raise KeyError(f"no column is called {', '.join(sorted(unknown))}")
        ordered.append(tuple(row.get(column.title) for column in columns))
    return tuple(ordered)


def to_terminal(table: Table, width: int | None = None) -> str:
    """`print(to_terminal(table))`: drawn with rich, without colours.

    width: in characters; a wider table is cut between columns into blocks that begin with the columns of words, since
    a number cut in two would read as another number. None: one block. Notes are left to the terminal's own line breaks.
    """
    from rich.console import Console
    from rich.text import Text

    out = io.StringIO()
    console = Console(file=out, width=10_000, color_system=None, legacy_windows=False)
    console.print(Text(table.title))
    for block in _blocks(table, width):
        console.print(_drawn(table, block))
        console.print()
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    return "\n".join([*lines, *(_one_line(note) for note in table.notes)]).rstrip() + "\n"


def _drawn(table: Table, block: Sequence[int]) -> RichTable:
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(box=None, header_style="", padding=(0, 1))
    for i in block:
        column = table.columns[i]
        drawn.add_column(Text(column.title), justify="left" if column.digits is None else "right", no_wrap=True)
    for row in table.text():
        drawn.add_row(*(Text(_one_line(row[i])) for i in block))
    return drawn


def _blocks(table: Table, width: int | None) -> list[list[int]]:
    """Numbers of the columns of each block; one at least besides the words, however narrow."""
    from rich.cells import cell_len

    n = len(table.columns)
    texts = zip([column.title for column in table.columns], *table.text(), strict=True)
    widths = [2 + max(cell_len(_one_line(cell)) for cell in cells) for cells in texts]
    words = [i for i in range(n) if table.columns[i].digits is None]
    blocks, room = [[*words]], (width or 10_000) - sum(widths[i] for i in words)
    left = room
    for i in (i for i in range(n) if i not in words):
        if widths[i] > left and len(blocks[-1]) > len(words):
            blocks.append([*words])
            left = room
        blocks[-1].append(i)
        left -= widths[i]
    return blocks


def to_csv(table: Table) -> str:
    """Header and rows; numbers in full, missing cells empty, texts that a spreadsheet would take for formulas escaped."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(column.title for column in table.columns)
    for row in table.rows:
        writer.writerow(
            "" if cell is None else escape_cell(cell) if isinstance(cell, str) else repr(cell) for cell in row
        )
    return out.getvalue()


def to_markdown(table: Table) -> str:
    """A pipe table under a heading, the notes as a list."""
    titles = [_markdown(column.title) for column in table.columns]
    rules = ["---" if column.digits is None else "--:" for column in table.columns]
    lines = [f"### {_markdown(table.title)}", "", _pipes(titles), _pipes(rules)]
    lines += [_pipes([_markdown(cell) for cell in row]) for row in table.text()]
    return "\n".join([*lines, "", *(f"- {_markdown(note)}" for note in table.notes)]).rstrip() + "\n"


def to_html(*tables: Table, title: str = "Tables") -> str:
    """One page that loads nothing: style inside, no script."""
    parts = [_html_table(table) for table in tables]
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{html.escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
{"".join(parts)}</body>
</html>
"""


_STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem auto; max-width: 90rem; padding: 0 1rem;
  color: #1b1b1b; background: #fff }
div { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap }
th { border-bottom: 2px solid #555 }
.words { text-align: left }
.paper td { color: #555; font-style: italic }
ul { color: #444; max-width: 60rem }
"""


def _html_table(table: Table) -> str:
    classes = ["words" if column.digits is None else "" for column in table.columns]

    def cells(tag: str, texts: list[str]) -> str:
        scope = ' scope="col"' if tag == "th" else ""
        pairs = zip(texts, classes, strict=True)
        return "".join(f"<{tag}{scope}{' class=words' if c else ''}>{html.escape(text)}</{tag}>" for text, c in pairs)

    head = cells("th", [column.title for column in table.columns])
    body = "".join(
        f"<tr{' class=paper' if 'paper' in row[:2] else ''}>{cells('td', text)}</tr>\n"
        for row, text in zip(table.rows, table.text(), strict=True)
    )
    notes = "".join(f"<li>{html.escape(note)}</li>\n" for note in table.notes)
    listed = f"<ul>\n{notes}</ul>\n" if notes else ""
    title = html.escape(table.title)
    return f"<h2>{title}</h2>\n<div><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table></div>\n{listed}"


def _text(cell: Cell, column: Column) -> str:
    """
    >>> _text(3169667, Column("total", 0)), _text(None, Column("total", 0))
    ('3,169,667', '–')
    """
    if cell is None:
        return MISSING
    if isinstance(cell, str) or column.digits is None:
        return str(cell)
    return f"{cell:,.{column.digits}f}"


def _one_line(text: str) -> str:
    """Control characters of a name must not steer the terminal.

    >>> _one_line("a" + chr(27) + "[31mb")
    'a [31mb'
    """
    return "".join(c if c.isprintable() else " " for c in text)


def _pipes(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _markdown(text: str) -> str:
    escaped = html.escape(_one_line(text), quote=False)
    return "".join(f"\\{c}" if c in "\\|`*_[]" else c for c in escaped)
