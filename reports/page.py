"""One page that shows a finished run, or several, complete in itself: `report.html`, with `figures/` beside it.

    path = write_report("runs/embedded")                                  # runs/embedded/report.html
    path = write_report(["runs/a", "runs/b"], out="runs/both")            # one page of two runs
    path = write_report("runs/wide", assets="runs/wide/pictures")         # pictures beside the page, for very many units

The page holds its images, style and script; it loads nothing from elsewhere and opens from a file. Every name is
escaped, in HTML and in the script's data, and the page's content policy lets only its own script run.
"""

from __future__ import annotations

import base64
import errno
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from data_prep.common.errors import UserError
from data_prep.common.files import atomic_write
from data_prep.common.terminal import Progress, silent
from dissect.run_store import RunFolderError, open_run
from reports.answer import answer
from reports.compare_members import different
from reports.crew import Crew, helpers_worth_starting, without_collection
from reports.explorer import explorer_data
from reports.figures import FIGURES, ReportFigure
from reports.letters import labels_without_letters
from reports.members import Member, all_categories, gather, subject_of
from reports.page_assets import PageAssets
from reports.page_pictures import PagePictures, StoredPictures
from reports.page_words import (
    SCORE_NAMES,
    made_words,
    settings_words,
    share_above,
    split_words,
    union_words,
)
from reports.sheets import Section, draw_sheets, write_sheets
from reports.style import category_colours, one_line
from reports.summary import layer_title
from reports.templating import environment, joined_script, joined_style, script_hash
from reports.trust import held_out_detectors, sure_detectors, units_with_trust

STYLES = ("base.css", "report.css")
SCRIPTS = ("data.js", "state.js", "pictures.js", "list.js", "card.js", "main.js")
"""The parts of the page's style and script, joined in this order."""
SUMMARY_FIGURE = "figure6"
"""Stem of the figure that stands in the summary."""


def write_report(
    run_folder: str | Path | Sequence[str | Path],
    progress: Progress = silent,
    *,
    figures: Sequence[ReportFigure] = FIGURES,
    out: str | Path | None = None,
    assets: str | Path | None = None,
) -> Path:
    """Write `report.html` and `figures/*.png`, `*.svg` into a finished run folder; returns the path of the page.

    run_folder: or several, for one page of them all: runs that agree in what their numbers depend on. out: the folder to write
    into instead, as where the run folder may only be read; several runs need one. assets: a folder for the images and masks,
    which are in the page otherwise: larger and more of them, and a page of 30,000 units still opens at once, but it must be kept
    together with that folder, which several pages may share. figures: those of the page; `(*reports.figures.FIGURES, mine)` adds
    one. Needs no network, model or torch. Images that are no longer there become grey squares and are counted on the page.
    Raises `UserError` for runs that differ, and `RunFolderError` where a folder is not a finished run, or cannot be written.
    """
    folders = [run_folder] if isinstance(run_folder, str | Path) else list(run_folder)
    if not folders:
        raise UserError("`run_folder` names no run; give at least one finished run folder.")
    if out is None and len(folders) > 1:
        raise UserError(f"`out` is missing; a page of {len(folders)} runs needs a folder of its own.")
    runs = [open_run(each) for each in folders]
    if faults := different(runs):
        raise UserError(
            f"The runs differ in {'; '.join(faults)}. Their numbers do not mean the same and cannot stand on one page: write a "
            f"report of each, or dissect again with the same choices."
        )
    members = gather(runs)
    folder = members[0].run.path if out is None else Path(out)
    with _writing(f"The report cannot be written into {folder}", "`out`, as in `dissect report`"):
        return _write_report(members, folder, progress, figures, None if assets is None else Path(assets))


@contextmanager
def _writing(failed: str, parameter: str) -> Iterator[None]:
    """Where a folder cannot be written: a sentence that asks for another one."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR):
            raise
        raise RunFolderError(f"{failed} ({error.strerror}): give another folder as {parameter}.") from error


def _write_report(
    members: list[Member], folder: Path, progress: Progress, figures: Sequence[ReportFigure], assets: Path | None
) -> Path:
    categories = all_categories(members)
    colours = category_colours(categories)
    n_units = sum(len(member.run.units) for member in members)
    n_images = sum(len(member.run.images) for member in members)
    with without_collection(), Crew(helpers_worth_starting(n_units, n_images)) as crew:
        drawn = draw_sheets(subject_of(members, colours), figures, crew)
        pictures = PagePictures(members, outside=assets is not None)
        data = explorer_data(members, categories, pictures)
        stored = pictures.make(crew, partial(progress, "thumbnails"))
        sections = write_sheets(drawn, folder / "figures", crew, partial(progress, "figures"))
    data |= {
        "colours": {one_line(category): colour for category, colour in colours.items()},
        "maskSide": pictures.mask_side,
        "assets": None,
        "score": _score(members),
        "scoreName": SCORE_NAMES.get(_score(members), _score(members)),
        "folds": [member.run.info["settings"].get("folds", 1) for member in members],
    }
    outside = None if assets is None else PageAssets(assets, folder, stored)
    if outside:
        with _writing(f"The pictures cannot be written into {assets}", "`assets`"):
            outside.write()
        data |= {"assets": outside.way, "stored": outside.there}
    html = _fill(members, categories, sections=sections, data=data, stored=None if outside else stored)
    path = folder / "report.html"
    with atomic_write(path) as file:
        file.write(html.encode("utf-8", "replace"))
    if outside:
        outside.remove_earlier()
    progress("page", 1, 1)
    return path


def _fill(
    members: Sequence[Member],
    categories: Sequence[str],
    *,
    sections: Sequence[Section],
    data: Mapping[str, Any],
    stored: StoredPictures | None,
) -> str:
    first = members[0].run  # what the words tell of it, folds and rounds apart, all runs have in common
    settings = first.info["settings"]
    script = joined_script(SCRIPTS)
    summary = [figure for section in sections for figure in section.figures if figure[0].stem == SUMMARY_FIGURE]
    rest = [Section(s.id, s.heading, [f for f in s.figures if f not in summary]) for s in sections]
    return (
        environment()
        .get_template("report.html")
        .render(
            title=page_title(members),
            runs=[_of_run(member) for member in members],
            counts=[row for member in members for row in _counts(member)],
            intervals=any(member.intervals for member in members),
            imported=bool(first.source),
            held_out=any(member.run.trust is not None for member in members),
            folds=_each(members, "folds", least=2),
            rounds=_each(members, "null", least=1),
            chance=any(member.chance is not None for member in members),
            categories=categories,
            colours=category_colours(categories),
            first_figure=summary[0] if summary else None,
            sections=[section for section in rest if section.figures],
            settings=settings,
            data=first.info.get("data", {}),
            iou_cut=settings.get("iou_cut", "the cut"),
            score_name=data["scoreName"],
            share_above=share_above(settings),
            union_words=union_words(settings),
            letters_missing=labels_without_letters(label for _, label in data["concepts"]),
            outside=stored is None,
            style=joined_style(STYLES),
            script=Markup(script),
            script_hash=script_hash(script),
            data_json=_json(data),
            info_json=_json(members[0].run.info if len(members) == 1 else [member.run.info for member in members]),
            images=Markup("" if stored is None else _lines(stored.images)),
            masks=Markup("" if stored is None else _lines(stored.masks)),
        )
    )


def _each(members: Sequence[Member], setting: str, *, least: int) -> str:
    """How many folds, or rounds of chance, the runs have that have at least so many: "10", "5 or 10", or nothing."""
    known = {member.run.info["settings"].get(setting) or 0 for member in members}
    return " or ".join(str(n) for n in sorted(known) if n >= least)


def page_title(members: Sequence[Member]) -> str:
    """What was dissected, and on what: the title of the page."""
    titles = [title for member in members for title in member.titles.values()]
    names = " and ".join(titles) if len(titles) <= 2 else f"{len(titles)} networks"
    sets = dict.fromkeys(
        one_line(member.run.info.get("data", {}).get("name") or "unnamed images")
        for member in members
        if not member.run.source
    )
    return f"Network dissection of {names}" + (f" on {', '.join(sets)}" if sets else "")


def _of_run(member: Member) -> dict[str, Any]:
    """What the page says of one run in words."""
    run, info = member.run, member.run.info
    return {
        "name": member.name,
        "titles": list(member.titles.values()),
        "info": info,
        "imported": bool(run.source),
        "data_name": info.get("data", {}).get("name"),
        "n_units": sum(p.n_units for p in member.pops),
        "n_images": len(run.images),
        "n_concepts": len(run.concepts),
        "answer": answer(run, member.pops, member.titles, member.chance),
        "notes": info.get("notes") or [],
        "missing": sorted(member.pictures.missing),
        "root_is_there": run.image_root.is_dir(),
        "image_root": str(run.image_root),
        "settings": settings_words(info),
        "split_words": split_words(info),
        "made": made_words(info),
    }


def _counts(member: Member) -> list[dict[str, Any]]:
    """The rows of the table of counts, each with the state of the explorer that shows its units."""
    trusted = units_with_trust(member.run)
    cut = member.run.info.get("settings", {}).get("iou_cut", 0)
    chance = member.chance
    by_chance = {} if chance is None else {(r.network, r.layer, r.operator): r for r in chance.itertuples()}
    rows = []
    for p in member.pops:
        mine = trusted.loc[p.units.index]
        title = member.titles[p.network]
        state = {"network": title, "layer": layer_title(p.layer), "operator": one_line(p.operator)}
        rows.append(
            {
                "population": p,
                "title": title,
                "between": member.intervals.get(p),
                "by_category": {
                    c: i
                    for (*place, c), i in member.category_intervals.items()
                    if place == [p.network, p.layer, p.operator]
                },
                "chance": by_chance.get((p.network, p.layer, p.operator)),
                "state": urlencode(state),
                "n_held_out": held_out_detectors(mine, cut),
                "n_sure": sure_detectors(mine),
            }
        )
    return rows


def _score(members: Sequence[Member]) -> str:
    return str(members[0].run.info.get("settings", {}).get("score", "iou"))


def _json(value: Any) -> Markup:
    return htmlsafe_json_dumps(value, dumps=partial(json.dumps, separators=(",", ":"), allow_nan=False))


def _lines(files: Sequence[bytes]) -> str:
    """Each file as a line of base64, empty for none."""
    return "\n".join(base64.b64encode(content).decode("ascii") for content in files)
