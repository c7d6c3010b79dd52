"""The pages of the study: marked places filled with tables, from the CSV files alone.

    text = filled(text, blocks(folder))

A marked place is what stands between `<!-- table: NAME -->` and `<!-- end -->`. The words around it stay as they are; a
number that they quote must be found in a table.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from data_prep.common.files import unescape_cell
from mdl.scoring.score import wilson
from reports.claims import CLAIMS

PAGES = ("README.md", "NUMBERS.md", "half_width/README.md", "all_concepts/README.md")
CATEGORIES = ("object", "part", "scene", "material", "texture", "color")
SHORT = {
    "more": "more, in every layer", "more-equal": "at equal numbers", "more-together": "layers added up",
    "parts": "depthwise: parts and objects", "textures": "pointwise: textures only", "none": "pointwise, first layer: nothing",
}  # fmt: skip
"""Of each claim, the head of its column."""


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


def read_table(path: Path) -> pd.DataFrame:
    """A CSV file as `write_table` writes it: texts without the apostrophe that keeps a spreadsheet from running them."""
    table = pd.read_csv(path, keep_default_na=False)
    texts = table.select_dtypes(exclude=["number", "bool"])
    return table.assign(**{str(name): [unescape_cell(str(cell)) for cell in column] for name, column in texts.items()})


def read_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """The CSV files of a folder by their names."""
    return {path.stem: read_table(path) for path in sorted(folder.glob("*.csv"))}


def blocks(folder: Path) -> dict[str, str]:
    """The Markdown of every marked place, from the CSV files of a folder."""
    read = read_tables(folder)
    made: dict[str, str] = {}
    for name, table in read.items():
        for data in table["data"].unique():
            mine = table[table["data"] == data]
            for block, write in BLOCKS.get(name, {}).items():
                made[f"{block}-{'embedded' if is_drawn(data) else 'real'}"] = markdown(write(mine))
    claims, runs = read["claims"], read["runs"]
    for data in claims["data"].unique() if "part" in claims else ():
        key = "embedded" if is_drawn(data) else "real"
        made[f"verdicts-{key}"] = markdown(_verdict_rows(claims[claims["data"] == data], runs[runs["data"] == data]))
    made["runs"] = markdown(runs.to_dict("records"))
    made["layers"] = markdown(_layers_ahead(read["curves"]))
    return made


Rows = list[dict[str, Any]]


def _count_rows(counts: pd.DataFrame) -> Rows:
    return [
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


def _category_rows(counts: pd.DataFrame) -> Rows:
    return [
        {name: row[name] for name in ("network", "layer", "operator")}
        | {category: row[f"unique_{category}"] for category in CATEGORIES}
        for row in counts.to_dict("records")
    ]


def _layers_ahead(curves: pd.DataFrame) -> Rows:
    """In how many layers each operator has more unique detectors, as they are and at equal numbers of units."""
    rows = []
    for (data, network), group in curves.groupby(["data", "network"], sort=False):
        row: dict[str, object] = {"data": data, "network": network, "layers": group["layer"].nunique()}
        for column, words in (("unique", "as they are"), ("unique_equal", "at equal numbers")):
            pairs = group.pivot(index="layer", columns="operator", values=column)
            row[f"depthwise ahead, {words}"] = int((pairs["depthwise"] > pairs["pointwise"]).sum())
            row[f"pointwise ahead, {words}"] = int((pairs["depthwise"] < pairs["pointwise"]).sum())
        rows.append(row)
    return rows


def _claim_rows(claims: pd.DataFrame) -> Rows:
    return [
        {
            "the paper says": sentence,
            "network": found["network"],
            "verdict": f"**{found['verdict']}**",
            "measured": found["measured"],
        }
        for claim, sentence in CLAIMS.items()
        for found in claims[claims["claim"] == claim].to_dict("records")
    ]


def _verdict_rows(claims: pd.DataFrame, runs: pd.DataFrame) -> Rows:
    """One row for each network: the verdicts, and the part of the study whose command made them, with its seconds."""
    seconds = dict(zip(runs["part"], runs["seconds"], strict=True))
    rows = []
    for (part, network), found in claims.groupby(["part", "network"], sort=False):
        verdicts = dict(zip(found["claim"], found["verdict"], strict=True))
        rows.append(
            {
                "network": network,
                **{SHORT[claim]: verdicts[claim] for claim in CLAIMS},
                "`--parts`": part,
                "seconds": seconds[part],
            }
        )
    return rows


def _width_rows(width: pd.DataFrame) -> Rows:
    return [
        {
            "network": row["network"],
            "layer": row["layer"],
            **{words: _signed(row, name) for name, words in WIDTHS.items()},
        }
        for row in width.to_dict("records")
    ]


WIDTHS = {
    "half": "half width", "full": "full width", "change": "change", "drawn": "full width, as many units",
    "drawn_change": "change, as many units",
}  # fmt: skip


def _training_rows(training: pd.DataFrame) -> Rows:
    """One row for each epoch: the layers added up, and the difference in each layer."""
    rows = []
    for network, found in training.groupby("network", sort=False):
        by_layer = {row["layer"]: row for row in found.to_dict("records")}
        together = by_layer.pop("all")
        accuracy = together["val_accuracy"]
        rows.append(
            {
                "epoch": str(network).removeprefix("epoch-").replace("untrained-half", "0"),
                "val, %": f"{100 * float(accuracy):.1f}" if accuracy != "" else "–",
                "depthwise": _between(together, "depthwise"),
                "depthwise since epoch 1": _signed(together, "depthwise_change"),
                "pointwise": _between(together, "pointwise"),
                "pointwise since epoch 1": _signed(together, "pointwise_change"),
                "difference, equal numbers": _signed(together, "difference"),
                "difference since epoch 1": _signed(together, "change"),
                **{f"in {layer}": _signed(row, "difference") for layer, row in by_layer.items()},
            }
        )
    return rows


def _sharing_rows(sharing: pd.DataFrame) -> Rows:
    return [
        {"network": row["network"], "operator": row["operator"]}
        | {f"{name}, %": _percent(row, name) for name in ("kept", "chance", "above")}
        for row in sharing[sharing["layer"] == "all"].to_dict("records")
    ]


def _trust_rows(trust: pd.DataFrame) -> Rows:
    """One row for each network, layer and operator."""
    return [
        {
            **{name: row[name] for name in ("network", "layer", "operator", "units", "detectors")},
            "held out": row["held_out"],
            "sure": row["sure"],
            "by chance, mean (most)": f"{row['chance']:.1f} ({row['chance_most']})",
            "unique": row["unique"],
            "sure unique": row["unique_sure"],
            "IoU, chosen → held out": f"{row['iou']:.3f} → {row['held_out_iou']:.3f}",
            "label kept, %": f"{100 * row['kept_share']:.0f}",
            "concepts in the label set": f"{row['n_set']:.1f}",
        }
        for row in trust.to_dict("records")
    ]


def _sure_differences(trust: pd.DataFrame) -> Rows:
    """The difference of unique detectors at equal numbers of units: of all detectors, of the sure ones alone, and on half of
    the images."""
    counted = ["unique_equal", "unique_sure_equal", "half_unique_equal"]
    cells = trust.set_index(["network", "layer", "operator"])[counted].unstack("operator")
    of = pd.DataFrame({name: cells[name]["depthwise"] - cells[name]["pointwise"] for name in counted})
    networks = list(dict.fromkeys(trust["network"]))
    seven = [name for name in networks if not re.search("untrained|rotated|lite", name)]
    rows: Rows = []
    for title, members in ({name: [name] for name in networks} | {"mean of the seven": seven}).items():
        mean = sum(of.loc[name].to_numpy() for name in members) / len(members)
        places = zip(("first layer", "second", "third", "added up"), [*mean, mean.sum(0)], strict=True)
        row = {place: f"{every:+.1f} → {sure:+.1f}" for place, (every, sure, _) in places}
        rows.append({"network": title, **row, "added up, on half of the images": f"{mean.sum(0)[2]:+.1f}"})
    return rows


def _control_rows(controls: pd.DataFrame) -> Rows:
    return [
        {"network": row["network"], "control": row["control"], "network - control": _signed(row, "above_control")}
        for row in controls.to_dict("records")
    ]


def _trust_short(trust: pd.DataFrame) -> Rows:
    """The layers of each network and operator added up."""
    rows = []
    for (network, operator), found in trust.groupby(["network", "operator"], sort=False):
        n, sums = found["detectors"], found.sum(numeric_only=True)
        means = {
            name: (found[name] * n).sum() / max(n.sum(), 1)
            for name in ("iou", "held_out_iou", "kept_share", "n_set", "half_iou", "half_other_iou", "half_above")
        }
        rows.append(
            {
                "network": network, "operator": operator, "detectors": int(sums["detectors"]),
                "held out": int(sums["held_out"]), "sure": int(sums["sure"]), "by chance": f"{sums['chance']:.1f}",
                "IoU, chosen → held out": f"{means['iou']:.3f} → {means['held_out_iou']:.3f}",
                "label kept, %": f"{100 * means['kept_share']:.0f}", "concepts in the label set": f"{means['n_set']:.1f}",
                "IoU, one half → the other": f"{means['half_iou']:.3f} → {means['half_other_iou']:.3f}",
                "detectors there too, %": f"{100 * means['half_above']:.0f}",
            }
        )  # fmt: skip
    return rows


def _width_together(width: pd.DataFrame) -> Rows:
    return _width_rows(width[width["layer"] == "all"])


def _repeat_rows(repeats: pd.DataFrame) -> Rows:
    return [
        {"network": row["network"], "operator": row["operator"]}
        | {
            words: _percent(row, name)
            for name, words in (("kept", "kept, %"), ("of_possible", "of what is possible, %"))
        }
        for row in repeats[repeats["layer"] == "all"].to_dict("records")
    ]


def _repeat_short(repeats: pd.DataFrame) -> Rows:
    """The mean over the networks that share, and cifar100's two: what shares the pointwise filters, and what does not."""
    mean = repeats["network"].str.startswith("mean")
    return _repeat_rows(repeats[mean | repeats["network"].isin(("cifar100", "cifar100-individual"))])


def _layer_rows(repeats: pd.DataFrame) -> Rows:
    """The mean over the networks that share, layer by layer."""
    mine = repeats[repeats["network"].str.startswith("mean") & (repeats["layer"] != "all")]
    return [
        {"layer": row["layer"], "operator": row["operator"]}
        | {
            words: _percent(row, name)
            for name, words in (("kept", "kept, %"), ("of_possible", "of what is possible, %"))
        }
        for row in mine.to_dict("records")
    ]


def _choice_rows(choices: pd.DataFrame) -> Rows:
    """The verdicts on each claim at each choice; and the measured difference, layers added up."""
    rows = []
    for (network, choice), found in choices.groupby(["network", "choice"], sort=False):
        by_claim = {row["claim"]: row for row in found.to_dict("records")}
        rows.append(
            {
                "network": network,
                "tap point, level": choice,
                **{SHORT[claim]: row["verdict"] for claim, row in by_claim.items()},
                "difference, layers added up": by_claim["more-together"]["measured"],
            }
        )
    return sorted(rows, key=lambda row: list(choices["network"].unique()).index(row["network"]))


def _method_rows(methods: pd.DataFrame, intervals: bool = True) -> Rows:
    """Accuracies of each system, the mean over its seeds, with the interval over images and, behind ±, that over seeds."""
    base = next(domain for domain in methods["domain"] if domain.endswith("imagenet12"))
    domains = [base, *sorted(set(methods["domain"]) - {base})]
    rows: Rows = []
    for system, group in methods[~methods["system"].str.startswith("base-")].groupby("system", sort=False):
        cells = {str(domain): _accuracy(found, intervals) for domain, found in group.groupby("domain", sort=False)}
        further = group[group["domain"] != base]
        means = further.groupby("seed")["accuracy"].mean()
        # Seconds of different machines have no mean: only the seeds that were trained whole on the machine of most of the row.
        usual = further["device"].mode()[0]
        seconds = [found["seconds"].sum() for _, found in further.groupby("seed") if (found["device"] == usual).all()]
        rows.append(
            {
                "system": system, "network": f"{group['backbone'].iloc[0]}, width {group['width'].iloc[0]}",
                "seeds": len(means),
                **{domain.removeprefix("mini-"): cells.get(domain, "–") for domain in domains},
                "mean of the further": f"{means.mean():.1f}{_over_seeds(means)}",
                "minutes": f"{sum(seconds) / 60 / len(seconds):.1f}" if seconds else "–",
            }
        )  # fmt: skip
    return sorted(rows, key=lambda row: -float(row["mean of the further"].split()[0]))


def _accuracy(found: pd.DataFrame, intervals: bool) -> str:
    mean = found["accuracy"].mean()
    if not intervals:
        return f"{mean:.1f}"
    n_test = int(found["n_test"].iloc[0])
    low, high = wilson(round(mean / 100 * n_test), n_test)
    return f"{mean:.1f} ({100 * low:.1f} to {100 * high:.1f}){_over_seeds(found['accuracy'])}"


def _over_seeds(accuracies: pd.Series) -> str:
    """` ± ` the half of the 95 % interval (Student's t) that the seeds give; nothing for a single seed."""
    if len(accuracies) < 2:
        return ""
    from scipy.stats import t

    reach = float(t.ppf(0.975, len(accuracies) - 1)) * float(accuracies.std(ddof=1)) / math.sqrt(len(accuracies))
    return f" ± {reach:.1f}"


BLOCKS: Mapping[str, Mapping[str, Callable[[pd.DataFrame], Rows]]] = {
    "counts": {"counts": _count_rows, "categories": _category_rows},
    "claims": {"claims": _claim_rows},
    "width": {"width": _width_rows, "width-together": _width_together},
    "training": {"training": _training_rows},
    "sharing": {"sharing": _sharing_rows},
    "repeats": {"repeats": _repeat_rows, "repeats-short": _repeat_short, "repeats-layers": _layer_rows},
    "choices": {"choices": _choice_rows},
    "trust": {"trust": _trust_rows, "trust-short": _trust_short, "sure-differences": _sure_differences},
    "controls": {"controls": _control_rows},
    "methods": {"methods": _method_rows, "methods-plain": partial(_method_rows, intervals=False)},
}
"""Of each CSV file, the marked places that it fills: `BLOCK-embedded` and `BLOCK-real`."""


def _between(row: Mapping[Hashable, Any], name: str, digits: int = 0) -> str:
    """A column's value with its interval, from the columns NAME, NAME_low and NAME_high."""
    value, low, high = (f"{row[column]:.{digits}f}" for column in (name, f"{name}_low", f"{name}_high"))
    return f"{value} ({low} to {high})"


def _signed(row: Mapping[Hashable, Any], name: str) -> str:
    value, low, high = (f"{row[column]:+.1f}" for column in (name, f"{name}_low", f"{name}_high"))
    return f"{value} ({low} to {high})"


def _percent(row: Mapping[Hashable, Any], name: str) -> str:
    value, low, high = (f"{100 * row[column]:.1f}" for column in (name, f"{name}_low", f"{name}_high"))
    return f"{value} ({low} to {high})"


def markdown(rows: Rows) -> str:
    """A Markdown table; columns of numbers to the right."""
    table = pd.DataFrame(rows)
    rule = ["--:" if pd.api.types.is_numeric_dtype(table[name]) else "---" for name in table.columns]
    lines: Iterable[Iterable[object]] = [table.columns, rule, *table.itertuples(index=False)]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"
