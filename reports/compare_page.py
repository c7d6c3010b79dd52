"""The page of a comparison, complete in itself, with its figures and every table as CSV.

    page = write_comparison(reports.compare(["runs/a", "runs/b"]), "runs/a-and-b")     # runs/a-and-b/compare.html

The page holds its figures, style and script, loads nothing and opens from a file; every name in it is escaped.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from data_prep.common.files import write_bytes
from data_prep.common.notebook_html import card, table
from dissect.run_store import write_table
from reports.compare_counts import MEASURES
from reports.compare_data import page_data
from reports.compare_figures import MEMBER_COLOURS, STEMS, comparison_figures
from reports.compare_members import ALL, Part
from reports.compare_units import UNIT_STATUS
from reports.compare_words import answer, made_of, page_title, signed
from reports.sheets import remove_sheets
from reports.style import category_colours, figure_style, one_line, render, write_files
from reports.templating import environment, joined_script, script_hash

if TYPE_CHECKING:
    from reports.comparison import Comparison

_TEMPLATES = Path(__file__).parent / "templates"
_SCRIPTS = ("compare_tables.js", "compare.js")
_STYLES = ("base.css", "compare.css")
_LARGEST_SVG = 400_000
_dumps = partial(json.dumps, separators=(",", ":"), allow_nan=False)


def write_comparison(comparison: Comparison, out: str | Path) -> Path:
    """Write `compare.html`, `figures/*.png`, `*.svg` and the tables NAME.csv (`reports.comparison.TABLES`) into a folder; returns
    the path of the page. Files of the same names are replaced, and figures of another comparison removed."""
    from reports.comparison import TABLES

    folder = Path(out)
    for name in TABLES:
        write_table(folder / f"{name}.csv", getattr(comparison, name))
    figures: list[dict[str, Any]] = []
    with figure_style():
        for drawn in comparison_figures(comparison):
            files = render(drawn.figure)
            write_files(files, folder / "figures" / drawn.stem)
            kind, content = ("svg+xml", files["svg"]) if len(files["svg"]) <= _LARGEST_SVG else ("png", files["png"])
            source = f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
            width = round(drawn.figure.get_figwidth() * 134)
            figures.append({"drawn": drawn, "source": source, "width": width})
    for stem in set(STEMS) - {each["drawn"].stem for each in figures}:
        remove_sheets(folder / "figures", stem)
    page = folder / "compare.html"
    write_bytes(page, page_html(comparison, figures).encode("utf-8", "replace"))
    return page


def page_html(comparison: Comparison, figures: Sequence[dict[str, Any]] = ()) -> str:
    """The page. figures: for each `drawn` (a `ComparisonFigure`), `source` (its address) and `width` in CSS pixels."""
    from reports.comparison import TABLES

    script = joined_script(_SCRIPTS)
    first = comparison.networks[0].run
    templates = environment()
    templates.filters |= {
        "zip": zip,
        "signed": lambda value: signed(value, 1),
        "file_name": lambda path: one_line(Path(path).name),
    }
    return templates.get_template("compare.html").render(
        title=page_title(comparison),
        sentences=answer(comparison),
        warnings=comparison.warnings,
        comparison=comparison,
        members=comparison.members.to_dict("records"),
        summary=_summary(comparison),
        operators=[part.operator for part in comparison.parts if part.layer == ALL and part.operator != ALL],
        counts=_whole_counts(comparison),
        operator_tables=_operators(comparison),
        measures_all=MEASURES,
        layers=list(dict.fromkeys(comparison.operators["layer"])),
        controls=_controls(comparison),
        moves=comparison.moves.to_dict("records"),
        has_trust=bool(comparison.counts["held_out_detectors"].notna().any()),
        has_null=bool(comparison.counts["sure_detectors"].notna().any()),
        has_units=len(comparison.unit_counts) > 0,
        figures={each["drawn"].stem: each for each in figures},
        colours=[MEMBER_COLOURS[k % len(MEMBER_COLOURS)] for k in range(len(comparison.networks))],
        categories=category_colours(dict.fromkeys(c for c, _ in comparison.all_concepts)),
        unit_status=UNIT_STATUS,
        measures=_control_measures(comparison),
        tables=TABLES,
        settings=first.info["settings"],
        made_of=made_of(first),
        style=Markup("\n".join((_TEMPLATES / name).read_text(encoding="utf-8") for name in _STYLES)),
        script=Markup(script),
        script_hash=script_hash(script),
        page_json=htmlsafe_json_dumps(page_data(comparison), dumps=_dumps),
    )


def _summary(comparison: Comparison) -> list[dict[str, Any]]:
    """For each network its counts in all layers together, for all units and for each operator."""
    counts = comparison.counts[(comparison.counts["category"] == ALL) & (comparison.counts["layer"] == ALL)]
    return [
        {row["operator"]: row for row in counts[counts["network"] == title].to_dict("records")}
        for title in comparison.titles
    ]


def _controls(comparison: Comparison) -> list[list[dict[str, Any]]]:
    """For each control and part of it the rows of its measures; those at equal numbers of units come from other shapes only."""
    table = comparison.controls
    rows = [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
    shown = _control_measures(comparison)
    found: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        if row["measure"] in shown:
            part = Part(row["layer"], row["operator"])
            found.setdefault((row["control"], *part), []).append(row | {"part": part.title})
    return list(found.values())


def _control_measures(comparison: Comparison) -> dict[str, str]:
    table = comparison.controls.set_index("measure")[["value_original", "value_control"]]
    differs = len(table) > 0 and not (table.loc["unique"].to_numpy() == table.loc["unique_equal"].to_numpy()).all()
    return {name: words for name, words in MEASURES.items() if name != "unique_equal" or differs}


def _operators(comparison: Comparison) -> dict[tuple[str, str], dict[str, dict[str, dict[str, Any]]]]:
    """Two operators, then the measure, the network and the layer: the row of `Comparison.operators`."""
    found: dict[tuple[str, str], dict[str, dict[str, dict[str, Any]]]] = {}
    for row in comparison.operators.to_dict("records"):
        if row["measure"] != "detectors":
            measures = found.setdefault((row["operator_a"], row["operator_b"]), {})
            cells = measures.setdefault(row["measure"], {}).setdefault(row["network"], {})
            cells[row["layer"]] = {str(name): value for name, value in row.items()}
    return found


def _whole_counts(comparison: Comparison) -> list[dict[str, Any]]:
    """One row for each layer and operator, with the counts of each network."""
    counts = comparison.counts[comparison.counts["category"] == ALL]
    cells = {(row["layer"], row["operator"], row["network"]): row for row in counts.to_dict("records")}
    return [
        {"part": part, "cells": [cells.get((*part, title)) for title in comparison.titles]} for part in comparison.parts
    ]


def notebook_html(comparison: Comparison) -> str:
    """A short table for a notebook: unique detectors of every network and part, with intervals."""
    rows = [[row["part"].title, *map(_notebook_cell, row["cells"])] for row in _whole_counts(comparison)]
    titles = [one_line(title) for title in comparison.titles]
    facts = [*comparison.warnings, " ".join(answer(comparison)), "Unique detectors, with 95 % intervals:"]
    return card(page_title(comparison), facts, table(("layer, operator", *titles), rows))


def _notebook_cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    low, high = row["unique_low"], row["unique_high"]
    return f"{row['unique']}{f' ({low:.0f} to {high:.0f})' if low == low else ''}"
