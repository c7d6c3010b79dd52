"""What came out of a comparison, in sentences: plain text, which whoever puts it into a page escapes.

for sentence in answer(comparison):
    print(sentence)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from dissect.run_store import Run
from reports.compare_members import ALL
from reports.style import one_line

if TYPE_CHECKING:
    from reports.comparison import Comparison


def page_title(comparison: Comparison) -> str:
    """`a beside b`; of more than three networks how many."""
    titles = [one_line(title) for title in comparison.titles]
    return (
        f"Compared: {', '.join(titles[:-1])} and {titles[-1]}"
        if len(titles) <= 3
        else f"{len(titles)} networks compared"
    )


def answer(comparison: Comparison) -> list[str]:
    """What came out, in sentences: counts, what is apart, what they share."""
    counts = comparison.counts[(comparison.counts["category"] == ALL) & (comparison.counts["layer"] == ALL)]
    counts = counts[counts["operator"] == ALL].set_index("network")["unique"]
    rows = comparison.differences
    rows = rows[(rows["layer"] == ALL) & (rows["category"] == ALL) & (rows["measure"] == "unique")]
    together = rows[rows["operator"] == ALL]
    shared = (comparison.matrix > 0).sum(axis=1) if len(comparison.matrix) else pd.Series(dtype=int)
    if len(comparison.titles) == 2:
        return [*_two(comparison, counts, together.iloc[0]), *_exchange(comparison), *_of_controls(comparison)]
    ordered = counts.sort_values(ascending=False, kind="stable")
    n_pairs, n_known, n_apart = len(together), int(together["low"].notna().sum()), int(together["apart"].sum())
    known = "" if n_known == n_pairs else f", of which {n_known} {'has' if n_known == 1 else 'have'} an interval,"
    return [
        f"Most different concepts are detected by {ordered.index[0]} ({ordered.iloc[0]}), fewest by {ordered.index[-1]} "
        f"({ordered.iloc[-1]}).",
        f"Of the {n_pairs} differences between two networks{known} {n_apart or 'none'} {'has' if n_apart < 2 else 'have'} a 95 % "
        f"interval that excludes 0; one in twenty would even if there were no difference at all."
        if together["low"].notna().any()
        else "How sure the differences are is not known: the images were not divided into folds.",
        f"{int((shared == len(comparison.titles)).sum())} concepts are detected by all networks, {int((shared == 1).sum())} by "
        f"one alone, of {len(shared)} that any detects.",
        *_of_controls(comparison),
    ]


def _of_controls(comparison: Comparison) -> list[str]:
    rows = comparison.controls
    rows = rows[(rows["layer"] == ALL) & (rows["operator"] == ALL) & (rows["measure"] == "unique")]
    return [
        f"{row['control']} is a control: it detects {row['value_control']:.0f} different concepts, its original "
        f"{row['original']} {row['value_original']:.0f}."
        for row in rows.to_dict("records")
    ]


def _two(comparison: Comparison, counts: pd.Series, row: pd.Series) -> list[str]:
    a, b = comparison.titles
    said = f"{b} detects {counts[b]} different concepts, {a} {counts[a]}"
    if row["low"] != row["low"]:
        return [f"{said}; how sure the difference is is not known, as the images were not divided into folds."]
    sure = (
        "so the images tell the two apart."
        if row["apart"]
        else "so these images do not tell which of the two detects more."
    )
    return [
        f"{said}: a difference of {signed(row['difference'])} (95 % interval {signed(row['low'])} to "
        f"{signed(row['high'])}), {sure}"
    ]


def signed(value: float, digits: int = 0) -> str:
    """A difference with its sign, a real minus.

    >>> signed(-3.2), signed(3.2, 1), signed(0)
    ('−3', '+3.2', '0')
    """
    text = f"{value:+.{digits}f}".replace("-", "−")
    return text[1:] if not text.strip("+−0.") else text


def _exchange(comparison: Comparison) -> list[str]:
    a, b = comparison.titles
    total = comparison.exchanges.iloc[0]
    sentences = [
        f"They share {int(total['n_kept'])} concepts; {int(total['n_gained'])} are detected by {b} alone, "
        f"{int(total['n_lost'])} by {a} alone."
    ]
    if len(comparison.unit_counts):
        units = comparison.unit_counts[["n_kept", "n_kept_by_chance"]].sum()
        sentences.append(
            f"Unit beside unit, {int(units['n_kept'])} detect the same concept in both, where "
            f"{units['n_kept_by_chance']:.0f} would if the units of each layer were shuffled."
        )
    return sentences


def made_of(run: Run) -> str:
    """The images and settings of a run in a sentence; what is not known is left out."""
    data, settings = run.info["data"], run.info["settings"]
    words = {
        "quantile": "thresholds at the {} quantile",
        "iou_cut": "detectors above IoU {}",
        "min_images": "concepts that at least {} images show",
        "score": "labels with the highest {}",
        "union": "masks counted by the rule {}",
        "split": "split {}",
    }
    known = [text.format(settings[name]) for name, text in words.items() if settings.get(name) is not None]
    images = f"{len(run.images):,} images of {one_line(data['name'])}" if data["name"] else "Images that are not known"
    printed = [f"fingerprint {data['fingerprint'][:16]}"] if data["fingerprint"] else []
    return f"{'; '.join([images, *printed, *known])}."
