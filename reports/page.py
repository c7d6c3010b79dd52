"""One page that shows a finished run, complete in itself: `report.html`, with `figures/` beside it.

    path = write_report("runs/embedded")      # runs/embedded/report.html

The page holds its images, style and script; it loads nothing from elsewhere and opens from a file. Every name is
escaped, in HTML and in the script's data, and the page's content policy lets only its own script run.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from data_prep.common.files import atomic_write
from data_prep.common.terminal import Progress, silent
from dissect.run_store import Run, RunFolderError, open_run
from reports.claims import count_intervals
from reports.crew import Crew, helpers_worth_starting, without_collection
from reports.figures import FIGURES, ReportFigure, Subject
from reports.pictures import Pictures
from reports.sheets import Section, draw_sheets, write_sheets
from reports.style import category_colours, one_line
from reports.summary import Population, categories_of, network_title, populations
from reports.unit_browser import browser_table

_TEMPLATES = Path(__file__).parent / "templates"
_TABLES = {
    "units.csv": "one row for each unit: threshold, label, IoU, counts",
    "unit_category.csv": "the best concept of each unit in each category",
    "concepts.csv": "one row for each concept: the images and pixels that have it",
    "images.csv": "the images used",
    "replicates.csv": "what each unit would detect if one fold of the images were left out",
    "run.json": "settings, versions, hashes, notes",
}


def write_report(
    run_folder: str | Path,
    progress: Progress = silent,
    figures: Sequence[ReportFigure] = FIGURES,
    out: str | Path | None = None,
) -> Path:
    """Write `report.html` and `figures/*.png`, `*.svg` into a finished run folder; returns the path of the page.

    out: the folder to write into instead, as where the run folder may only be read. figures: those of the page;
    `(*reports.figures.FIGURES, mine)` adds one. Needs no network, model or torch. Images that are no longer there become grey
    squares and are counted on the page. Raises `RunFolderError` where the folder is not a finished run, or cannot be written.
    """
    run = open_run(run_folder)
    folder = run.path if out is None else Path(out)
    try:
        return _write_report(run, folder, progress, figures)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        raise RunFolderError(
            f"The report cannot be written into {folder} ({error.strerror}): give another folder as `out`, as in "
            f"`dissect report`."
        ) from error


def _write_report(run: Run, folder: Path, progress: Progress, figures: Sequence[ReportFigure]) -> Path:
    pops = populations(run)
    categories = categories_of(run, pops)
    pictures = Pictures(run)
    colours = category_colours(categories)
    with without_collection(), Crew(helpers_worth_starting(len(run.units), len(run.images))) as crew:
        drawn = draw_sheets(_subject(run, pops, colours, pictures), figures, crew)
        table = browser_table(run, pops, pictures, categories, crew=crew, done=partial(progress, "thumbnails"))
        sections = write_sheets(drawn, folder / "figures", crew, partial(progress, "figures"))
    table["colours"] = colours
    html = _fill(
        run, pops, categories, pictures=pictures, sections=sections, table=table, run_at=_way(folder, run.path)
    )
    path = folder / "report.html"
    with atomic_write(path) as file:
        file.write(html.encode("utf-8", "replace"))
    progress("page", 1, 1)
    return path


def _subject(run: Run, pops: Sequence[Population], colours: Mapping[str, str], pictures: Pictures) -> Subject:
    networks = {network_title(n): [p for p in pops if p.network == str(n["name"])] for n in run.networks}
    return Subject({title: members for title, members in networks.items() if members}, colours, pictures)


def _way(folder: Path, other: Path) -> str:
    """How a page in `folder` names files of the other one: the beginning of their addresses."""
    way = os.path.relpath(other.resolve(), folder.resolve())
    return "" if way == "." else quote(way.replace(os.sep, "/")) + "/"


def _fill(
    run: Run,
    pops: Sequence[Population],
    categories: Sequence[str],
    *,
    pictures: Pictures,
    sections: Sequence[Section],
    table: Mapping[str, Any],
    run_at: str,
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
        sections=sections,
        iou_cut=info.get("settings", {}).get("iou_cut", "the cut"),
        n_images=len(run.images),
        n_concepts=len(run.concepts),
        n_missing=len(pictures.missing),
        missing=sorted(pictures.missing)[:3],
        root_is_there=run.image_root.is_dir(),
        strip_length=max((len(images) for images in table["images"]), default=0),
        settings_line=_settings_line({**info.get("settings", {}), "split": ", ".join(_splits(info)) or None}),
        split_words=_split_words(info),
        share_above=_share_above(info.get("settings", {})),
        run_at=run_at,
        files={n: what for n, what in _TABLES.items() if (run.path / n).is_file()},
        style=Markup((_TEMPLATES / "report.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
        table=htmlsafe_json_dumps(table, dumps=partial(json.dumps, separators=(",", ":"), allow_nan=False)),
    )


def _splits(info: Mapping[str, Any]) -> list[str]:
    """The splits of the images, as the run found them; else the one that its settings name."""
    chosen = info.get("settings", {}).get("split")
    return [str(name) for name in info.get("data", {}).get("splits") or ([chosen] if chosen else [])]


def _split_words(info: Mapping[str, Any]) -> str:
    """
    >>> _split_words({"data": {"splits": ["train", "val"]}}), _split_words({"data": {}, "settings": {"split": "val"}})
    ('splits train, val', 'split val')
    """
    names = _splits(info)
    return f"split{'s' * (len(names) > 1)} {', '.join(names) or 'all'}"


def _settings_line(settings: Mapping[str, Any]) -> str:
    """Every setting as `name value`, in one line; "all" where none was chosen. Rotation and folds only where there are any."""
    stated = {key: value for key, value in settings.items() if (key, value) not in (("rotate", None), ("folds", 1))}
    return " · ".join(f"{key.replace('_', ' ').replace('iou', 'IoU')} {_value(value)}" for key, value in stated.items())


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
