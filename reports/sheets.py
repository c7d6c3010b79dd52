"""The figures of a report on their way into files and into the page, a sheet at a time.

with Crew(n_helpers) as crew:
    drawn = draw_sheets(subject, FIGURES, crew)                   # helpers begin to make files of them
    sections = write_sheets(drawn, folder / "figures", crew)      # waits, writes the files, and says what the page shows
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from matplotlib.figure import Figure

from reports.crew import Crew, Task
from reports.figures import FIGURES, ReportFigure, Subject
from reports.style import figure_style, files_of, write_files

_LARGEST_SVG = 400_000


@dataclass(frozen=True)
class Sheet:
    """A drawn figure, or one of its sheets.

    source: the picture itself, as an address in the page. name: of its PNG and SVG files, without their endings. width: CSS
    pixels at which it is meant to be seen.
    """

    source: str
    name: str
    width: int


@dataclass(frozen=True)
class Section:
    """A part of the page that shows figures: those of one heading, each with its sheets."""

    id: str
    heading: str
    figures: list[tuple[ReportFigure, list[Sheet]]]


@dataclass(frozen=True)
class DrawnFigure:
    """A figure whose sheets are drawn, and the tasks that make files of them: the bytes of each by its format."""

    figure: ReportFigure
    sheets: list[tuple[Figure, Task[dict[str, bytes]]]]


def draw_sheets(subject: Subject, figures: Sequence[ReportFigure], crew: Crew) -> list[DrawnFigure]:
    """Draw every figure and have its files made. No population, no sheet.

    A figure that is not of the report's own list may use what only this process has, and its files are made here.
    """
    drawn = []
    with figure_style():
        for figure in figures:
            sheets = figure.draw(subject) if subject.networks else []
            own = any(figure is each for each in FIGURES)
            tasks = [crew.submit(files_of, sheet, figure.photographs, may_travel=own) for sheet in sheets]
            drawn.append(DrawnFigure(figure, list(zip(sheets, tasks, strict=True))))
    return drawn


def write_sheets(
    drawn: Sequence[DrawnFigure], folder: Path, crew: Crew, done: Callable[[int, int], object] = lambda n, total: None
) -> list[Section]:
    """Write `STEM.png` and `STEM.svg` of every sheet, and remove those of these figures that an earlier run left in the folder;
    what the page shows of them. done: called with the sheets written."""
    n_sheets, n_written = sum(len(each.sheets) for each in drawn), 0
    sections = []
    for each in drawn:
        remove_sheets(folder, each.figure.stem, len(each.sheets))
    with_sheets = (each for each in drawn if each.sheets)
    for heading, group in groupby(with_sheets, lambda each: each.figure.heading):
        written: list[tuple[ReportFigure, list[Sheet]]] = []
        for each in group:
            written.append((each.figure, []))
            for k, (sheet, task) in enumerate(each.sheets):
                written[-1][1].append(_write_sheet(folder / _name(each.figure.stem, k), sheet, crew.result(task)))
                n_written += 1
                done(n_written, n_sheets)
        sections.append(Section(written[0][0].stem, heading, written))
    return sections


def _name(stem: str, sheet: int) -> str:
    return stem if sheet == 0 else f"{stem}-{sheet + 1}"


def remove_sheets(folder: Path, stem: str, first: int = 0) -> None:
    """Remove a figure's sheets from the one numbered `first` on: written in turn, none follows one that is not there."""
    while not_now := [
        path for ending in ("png", "svg") if (path := folder / f"{_name(stem, first)}.{ending}").is_file()
    ]:
        for path in not_now:
            path.unlink()
        first += 1


def _write_sheet(stem: Path, figure: Figure, files: dict[str, bytes]) -> Sheet:
    """Write the files; in the page, photographs go as JPEG and drawings as SVG, or as PNG where that is smaller."""
    write_files({format: files[format] for format in ("png", "svg")}, stem)
    if "jpg" in files:
        content, kind = files["jpg"], "jpeg"
    elif len(files["svg"]) <= _LARGEST_SVG:
        content, kind = files["svg"], "svg+xml"
    else:
        content, kind = files["png"], "png"
    source = f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
    return Sheet(source, stem.name, round(figure.get_figwidth() * 134))
