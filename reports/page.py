"""One page that shows a finished run, complete in itself: `report.html`, with `figures/` beside it.

    path = write_report(Path("runs/embedded"))    # runs/embedded/report.html

The page holds its images, style and script; it loads nothing from elsewhere and opens from a file. Every name is
escaped, in HTML and in the script's data, and the page's own policy lets only its own script run.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup
from matplotlib.figure import Figure

from data_prep.common.files import atomic_write
from dissect.run_store import Run, open_run
from reports.claims import count_intervals
from reports.figure5 import figure5
from reports.figures import detector_figures, figure6
from reports.pictures import Pictures
from reports.style import category_colours, figure_style, one_line, render, write_figure
from reports.summary import Population, categories_of, network_title, populations
from reports.unit_browser import browser_table

Progress = Callable[[str, int, int], None]
"""`progress(what, done, total)`: called as the report is made."""

_TEMPLATES = Path(__file__).parent / "templates"
_LARGEST_SVG = 400_000
_TABLES = {
    "units.csv": "one row a unit: threshold, label, IoU, counts",
    "unit_category.csv": "the best concept of each unit in each category",
    "concepts.csv": "one row a concept: images and pixels that carry it",
    "images.csv": "the images used",
    "replicates.csv": "what each unit would detect without each fold of the images",
    "run.json": "settings, versions, hashes, notes",
}


@dataclass(frozen=True)
class PageFigure:
    """A figure of the page: the address of its picture in the page, and where its files lie beside it."""

    source: str
    stem: str
    width: int  # CSS pixels at which it is meant to be seen


def write_report(run_folder: str | Path, progress: Progress | None = None) -> Path:
    """Write `report.html` and `figures/*.png`, `*.svg` into a finished run folder; returns the page's path.

    Needs no network, model or torch. Images that have gone since the run become grey squares and are counted on the
    page. Raises `RunFolderError` where the folder is not a finished run.
    """
    progress = progress or (lambda what, done, total: None)
    run = open_run(run_folder)
    pops = populations(run)
    categories = categories_of(run, pops)
    pictures = Pictures(run)
    figures = _write_figures(run, pops, categories, pictures, progress)
    table = browser_table(run, pops, pictures, categories, partial(progress, "thumbnails"))
    table["colours"] = category_colours(categories)
    html = _fill(run, pops, categories, pictures, figures, table)
    path = run.path / "report.html"
    with atomic_write(path) as file:
        file.write(html.encode("utf-8", "replace"))
    progress("page", 1, 1)
    return path


def _write_figures(
    run: Run, pops: Sequence[Population], categories: Sequence[str], pictures: Pictures, progress: Progress
) -> dict[str, list[PageFigure]]:
    """Draw and write every figure; what the page needs of them, by kind. No population, no figure."""
    colours = category_colours(categories)
    networks = {network_title(n): [p for p in pops if p.network == str(n["name"])] for n in run.networks}
    networks = {title: members for title, members in networks.items() if members}
    if not networks:
        return {}
    with figure_style():
        kinds: dict[str, list[Figure]] = {
            "figure5": figure5(networks, pictures.strip, colours, pictures.n_strongest),
            "figure6": [figure6(networks, "attributes")],
            "figure6-share": [figure6(networks, "share")],
            "detectors": [f for title, members in networks.items() for f in detector_figures(title, members, colours)],
        }
        total = sum(map(len, kinds.values()))
        made: dict[str, list[PageFigure]] = {}
        for kind, figures in kinds.items():
            for k, figure in enumerate(figures):
                stem = kind if k == 0 else f"{kind}-{k + 1}"
                made.setdefault(kind, []).append(_page_figure(run.path / "figures" / stem, figure, kind == "figure5"))
                progress("figures", sum(map(len, made.values())), total)
    return made


def _page_figure(stem: Path, figure: Figure, photographs: bool) -> PageFigure:
    """Write the figure; in the page, photographs go as JPEG and drawings as SVG, or as PNG where that is smaller."""
    files = write_figure(figure, stem)
    if photographs:
        content, kind = render(figure, "jpg"), "jpeg"
    elif len(files["svg"]) <= _LARGEST_SVG:
        content, kind = files["svg"], "svg+xml"
    else:
        content, kind = files["png"], "png"
    source = f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
    return PageFigure(source, f"figures/{stem.name}", round(figure.get_figwidth() * 134))


def _fill(
    run: Run,
    pops: Sequence[Population],
    categories: Sequence[str],
    pictures: Pictures,
    figures: Mapping[str, Sequence[PageFigure]],
    table: Mapping[str, Any],
) -> str:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": _number, "short": _short, "line": one_line, "words": _value}
    script = (_TEMPLATES / "unit_browser.js").read_text(encoding="utf-8")
    info = run.info
    return environment.get_template("report.html").render(
        name=one_line(info.get("name") or run.path.name),
        info=info,
        data=info.get("data", {}),
        settings=info.get("settings", {}),
        networks=run.networks,
        network_titles={str(n["name"]): network_title(n) for n in run.networks},
        populations=pops,
        intervals=count_intervals(run, pops),
        categories=categories,
        colours=table["colours"],
        figures=figures,
        n_images=len(run.images),
        n_concepts=len(run.concepts),
        n_missing=len(pictures.missing),
        missing=sorted(pictures.missing)[:3],
        root_is_there=run.image_root.is_dir(),
        strip_length=max((len(images) for images in table["images"]), default=0),
        settings_line=_settings_line(info.get("settings", {})),
        share_above=_share_above(info.get("settings", {})),
        files={n: what for n, what in _TABLES.items() if (run.path / n).is_file()},
        style=Markup((_TEMPLATES / "report.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
        table=htmlsafe_json_dumps(table, dumps=partial(json.dumps, separators=(",", ":"), allow_nan=False)),
    )


def _settings_line(settings: Mapping[str, Any]) -> str:
    """Every setting as `name value`, in one line; where none was chosen, all are meant. No rotation and no folds go unsaid."""
    stated = {key: value for key, value in settings.items() if (key, value) not in (("rotate", None), ("folds", 1))}
    return " · ".join(f"{key.replace('_', ' ')} {_value(value)}" for key, value in stated.items())


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_value(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value)) or "none"
    return "all" if value is None else one_line(value)


def _share_above(settings: Mapping[str, Any]) -> str:
    """The share of positions above the threshold in words: quantile 0.995 gives `0.5 %`."""
    level = settings.get("quantile")
    return f"{100 * (1 - level):.6g} %" if isinstance(level, int | float) else "the stated share"


def _number(value: Any) -> str:
    """12345 as 12,345; anything that is not a number as it is."""
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def _short(values: Iterable[Any] | str | None, limit: int = 16) -> str:
    """A hash cut to `limit` characters; an em dash where there is none."""
    return re.sub(rf"^(.{{{limit}}}).+$", r"\1…", one_line(values)) if values else "—"
