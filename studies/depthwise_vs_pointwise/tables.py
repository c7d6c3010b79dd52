"""The tables of the study: from run folders to CSV files, and from these to the marked places of README.md.

    write(Path("runs/study"), HERE)           # HERE/*.csv and HERE/README.md
    text = filled(text, tables(HERE))         # from the CSV files alone

A marked place is what stands between `<!-- table: NAME -->` and `<!-- end -->`. The words around it stay as they are; a
number that they quote must be found in a table.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from data_prep.common.files import atomic_write
from dissect.run_store import Run, open_run, write_table
from mdl.results import read_results
from mdl.scoring.score import wilson
from reports.claims import CLAIMS, count_table, verdicts

COUNTED = ("paper", "domains", "untrained", "rotated", "lite0", "lite0-rotated")
CURVES = ("curve", "curve-rotated", "lite0-curve")
CATEGORIES = ("object", "part", "scene", "material", "texture", "color")


def write(runs: Path, folder: Path, trained: Sequence[Path] = ()) -> None:
    """Write what the runs below `runs` and the trained methods say into `folder`; what they say nothing about stays."""
    finished = [(part, open_run(folder / part)) for folder in _label_sets(runs) for part in (*COUNTED, *CURVES)]
    counted = [run for part, run in finished if part in COUNTED]
    found = {
        "counts": pd.concat([count_table(run) for run in counted]),
        "claims": pd.concat([_claims(run) for run in counted]),
        "curves": pd.concat([count_table(run) for part, run in finished if part in CURVES]),
        "runs": pd.DataFrame([_cost(part, run) for part, run in finished]),
    }
    if trained:
        found["methods"] = _methods(trained)
    for name, table in found.items():
        path = folder / f"{name}.csv"
        write_table(path, updated(pd.read_csv(path, keep_default_na=False), table.round(3)) if path.exists() else table)
    page = folder / "README.md"
    text = filled(page.read_text(encoding="utf-8"), tables(folder))
    with atomic_write(page, "w") as file:
        file.write(text)


def updated(earlier: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """`found`, and those earlier rows that it does not replace: of drawn images, or of real ones. Drawn images first.

    >>> earlier = pd.DataFrame({"data": ["embedded", "photographs"], "n": [1, 2]})
    >>> updated(earlier, pd.DataFrame({"data": ["embedded"], "n": [5]}))["n"].tolist()
    [5, 2]
    """
    kept = earlier[~earlier["data"].map(is_drawn).isin(found["data"].map(is_drawn))]
    return pd.concat([kept, found]).sort_values("data", key=lambda data: ~data.map(is_drawn), kind="stable")


def is_drawn(data: str) -> bool:
    """Whether a data set comes with the toolkit: the embedded Broden, or the miniature decathlon."""
    return data in ("embedded", "mini")


def filled(text: str, blocks: dict[str, str]) -> str:
    r"""`text` with every marked place filled again. Raises `KeyError` for a place that no table is made for.

    >>> filled("words\n<!-- table: n -->\nold\n<!-- end -->", {"n": "new"}).splitlines()
    ['words', '<!-- table: n -->', '', 'new', '<!-- end -->']
    """
    pattern = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
    return pattern.sub(lambda found: f"{found[1]}\n{blocks[found[2]]}\n{found[3]}", text)


def tables(folder: Path) -> dict[str, str]:
    """The Markdown of every marked place, from the CSV files."""
    read = {path.stem: pd.read_csv(path, keep_default_na=False) for path in folder.glob("*.csv")}
    counts, claims = read["counts"], read["claims"]
    blocks = {}
    for data in counts["data"].unique():
        key = "embedded" if is_drawn(data) else "real"
        mine = counts[counts["data"] == data]
        blocks[f"counts-{key}"] = _count_rows(mine)
        blocks[f"categories-{key}"] = _category_rows(mine)
        blocks[f"claims-{key}"] = _claim_rows(claims[claims["data"] == data])
    blocks["layers"] = _layers_ahead(read["curves"])
    blocks["runs"] = _markdown(read["runs"])
    if "methods" in read:
        methods = read["methods"]
        for data in methods["data"].unique():
            key = "embedded" if is_drawn(data) else "real"
            blocks[f"methods-{key}"] = _method_rows(methods[methods["data"] == data], intervals=key == "real")
    return blocks


def _label_sets(runs: Path) -> list[Path]:
    """The embedded set first."""
    return sorted(
        (path for path in runs.iterdir() if path.is_dir()), key=lambda path: (path.name != "embedded", path.name)
    )


def _claims(run: Run) -> pd.DataFrame:
    return pd.DataFrame([{"data": run.info["data"]["name"], **asdict(finding)} for finding in verdicts(run)])


def _cost(part: str, run: Run) -> dict[str, object]:
    units = run.units.groupby("network").size()
    seconds = sum(sum(stages.values()) for stages in run.info["timings"].values())
    return {
        "data": run.info["data"]["name"], "part": part, "networks": len(units), "units": int(units.sum()),
        "images": run.info["data"]["n_used"], "seconds": round(seconds), "command": run.info["command"],
    }  # fmt: skip


def _methods(trained: Sequence[Path]) -> pd.DataFrame:
    rows = []
    for result in read_results(trained):
        low, high = wilson(result.n_correct, result.n_test)
        rows.append(
            {
                "data": result.data, "system": result.system, "backbone": result.backbone, "width": result.width,
                "domain": result.domain, "classes": result.n_classes, "n_correct": result.n_correct, "n_test": result.n_test,
                "accuracy": 100 * result.accuracy, "accuracy_low": 100 * low, "accuracy_high": 100 * high,
                "epochs": result.cost.epochs, "seconds": round(result.cost.seconds), "recipe": result.recipe["recipe"],
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def _count_rows(counts: pd.DataFrame) -> str:
    rows = [
        {
            **{name: row[name] for name in ("network", "layer", "operator", "units", "dead")},
            "detectors": _between(row, "detectors"),
            "share, %": f"{100 * row['detectors'] / row['units']:.0f}",
            "unique": _between(row, "unique"),
            "unique among n": _between(row, "unique_equal", digits=1),
            "n": row["n_equal"],
        }
        for row in counts.to_dict("records")
    ]
    return _markdown(pd.DataFrame(rows))


def _layers_ahead(curves: pd.DataFrame) -> str:
    """In how many layers each operator has more unique detectors, as they are and at equal numbers of units."""
    rows = []
    for (data, network), group in curves.groupby(["data", "network"], sort=False):
        row: dict[str, object] = {"data": data, "network": network, "layers": group["layer"].nunique()}
        for column, words in (("unique", "as they are"), ("unique_equal", "at equal numbers")):
            pairs = group.pivot(index="layer", columns="operator", values=column)
            row[f"depthwise ahead, {words}"] = int((pairs["depthwise"] > pairs["pointwise"]).sum())
            row[f"pointwise ahead, {words}"] = int((pairs["depthwise"] < pairs["pointwise"]).sum())
        rows.append(row)
    return _markdown(pd.DataFrame(rows))


def _category_rows(counts: pd.DataFrame) -> str:
    names = [f"unique_{category}" for category in CATEGORIES]
    table = counts[["network", "layer", "operator", *names]]
    return _markdown(table.rename(columns=dict(zip(names, CATEGORIES, strict=True))))


def _claim_rows(claims: pd.DataFrame) -> str:
    rows = [
        {
            "the paper says": sentence,
            "network": found["network"],
            "verdict": f"**{found['verdict']}**",
            "measured": found["measured"],
        }
        for claim, sentence in CLAIMS.items()
        for found in claims[claims["claim"] == claim].to_dict("records")
    ]
    return _markdown(pd.DataFrame(rows))


def _method_rows(methods: pd.DataFrame, intervals: bool) -> str:
    base = next(domain for domain in methods["domain"] if domain.endswith("imagenet12"))
    domains = [base, *sorted(set(methods["domain"]) - {base})]
    rows: list[dict[str, Any]] = []
    for system, group in methods[~methods["system"].str.startswith("base-")].groupby("system", sort=False):
        cells = {
            row["domain"]: _between(row, "accuracy", digits=1) if intervals else f"{row['accuracy']:.1f}"
            for row in group.to_dict("records")
        }
        further = group[group["domain"] != base]
        rows.append(
            {
                "system": system, "network": f"{group['backbone'].iloc[0]}, width {group['width'].iloc[0]}",
                **{domain.removeprefix("mini-"): cells.get(domain, "–") for domain in domains},
                "mean of the further": f"{further['accuracy'].mean():.1f}",
                "minutes": f"{further['seconds'].sum() / 60:.1f}",
            }
        )  # fmt: skip
    by_mean = sorted(rows, key=lambda row: -float(row["mean of the further"]))
    return _markdown(pd.DataFrame(by_mean))


def _between(row: Mapping[Hashable, Any], name: str, digits: int = 0) -> str:
    """A column's value with its interval, from the columns NAME, NAME_low and NAME_high."""
    value, low, high = (f"{row[column]:.{digits}f}" for column in (name, f"{name}_low", f"{name}_high"))
    return f"{value} ({low} to {high})"


def _markdown(table: pd.DataFrame) -> str:
    """A Markdown table; columns of numbers to the right."""
    rule = ["--:" if pd.api.types.is_numeric_dtype(table[name]) else "---" for name in table.columns]
    lines: Iterable[Iterable[object]] = [table.columns, rule, *table.itertuples(index=False)]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"
