"""Words for readers: the settings, execution and versions of a run, as the page prints them.

    for name, value in settings_words(run.info):          # ("Images", "splits train, val"), ...
    made_words(run.info)["Execution"]                     # "device cpu · memory 0.5 GiB"

What has no words here is printed under its own name, so that nothing recorded is hidden.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from reports.style import one_line

_SETTINGS = {
    "quantile": "Threshold of a unit: quantile of its activations",
    "iou_cut": "Detector: IoU above",
    "score": "Label: the concept with the highest",
    "min_images": "Fewest images that show a label’s concept",
    "folds": "Folds of the images, for intervals and held-out IoU",
    "null": "Rounds of the comparison with chance",
    "tap": "A convolution is observed at",
    "layout": "Order of axes of the networks’ outputs",
    "upsample": "Maps enlarged by the rule",
    "union": "A mask’s pixels count in",
    "split": "Images of the splits",
    "categories": "Categories",
    "strongest": "Strongest images kept of each unit",
    "rotate": "Layers in a basis rotated at random, seed",
}
_VALUES = {
    ("tap", "conv"): "its output",
    ("tap", "bn"): "the output of the BatchNorm after it, where there is one",
    ("tap", "relu"): "the output of the ReLU after it, where that is a module",
    ("union", "category"): "images in which the concept’s category is annotated",
    ("union", "all-images"): "all images",
    ("union", "touched"): "images that show the concept or touch the mask",
    ("folds", "1"): "none",
    ("null", "0"): "not compared",
    ("score", "iou"): "IoU",
}
SCORE_NAMES = {
    "iou": "IoU", "f1": "F1", "precision": "precision", "recall": "recall", "matthews": "Matthews correlation",
    "npmi": "normalised pointwise mutual information",
}  # fmt: skip


def settings_words(info: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Each setting as a name and a value; rotation only where there is one."""
    settings = dict(info.get("settings", {}))
    if "source" not in info:  # an imported run does not know its images
        settings["split"] = ", ".join(splits(info)) or None
    return [
        (_SETTINGS.get(key, _plain(key)), _VALUES.get((key, str(value)), words(value)))
        for key, value in settings.items()
        if (key, value) != ("rotate", None)
    ]


def union_words(settings: Mapping[str, Any]) -> str:
    """Which images count for the pixels of a mask.

    >>> union_words({"union": "all-images"})
    'all images'
    """
    rule = str(settings.get("union", "category"))
    return _VALUES.get(("union", rule), one_line(rule))


def made_words(info: Mapping[str, Any]) -> dict[str, str]:
    """How the run was made: execution, versions and seconds, a line each; what run.json does not have is left out."""
    titles = {"execution": "Execution", "versions": "Versions", "timings": "Seconds"}
    return {
        title: " · ".join(f"{_plain(k)} {words(v)}{' GiB' * (k == 'memory')}" for k, v in info[key].items())
        for key, title in titles.items()
        if info.get(key)
    }


def splits(info: Mapping[str, Any]) -> list[str]:
    """The splits of the images, as the run found them; else the one that its settings name."""
    chosen = info.get("settings", {}).get("split")
    return [one_line(name) for name in info.get("data", {}).get("splits") or ([chosen] if chosen else [])]


def split_words(info: Mapping[str, Any]) -> str:
    """
    >>> split_words({"data": {"splits": ["train", "val"]}}), split_words({"data": {}, "settings": {"split": "val"}})
    ('splits train, val', 'split val')
    """
    names = splits(info)
    return f"split{'s' * (len(names) > 1)} {', '.join(names) or 'all'}"


def words(value: Any) -> str:
    """A value of run.json on one line; "all" where none was chosen.

    >>> words({"forward": 1.2, "tally": [3, 4]}), words(None), words(True)
    ('forward 1.2, tally 3, 4', 'all', 'yes')
    """
    if isinstance(value, Mapping):
        return ", ".join(f"{_plain(key)} {words(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(words, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "all" if value is None else one_line(value)


def share_above(settings: Mapping[str, Any]) -> str:
    """The share of positions above the threshold.

    >>> share_above({"quantile": 0.995})
    '0.5 %'
    """
    level = settings.get("quantile")
    return f"{100 * (1 - level):.6g} %" if isinstance(level, int | float) else "the stated share"


def number(value: Any) -> str:
    """12345 as 12,345; anything that is not a number as it is."""
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def n_of(n: int, noun: str) -> str:
    """
    >>> n_of(1, "unit"), n_of(12345, "unit")
    ('1 unit', '12,345 units')
    """
    return f"{n:,} {noun}{'s' * (n != 1)}"


def short(values: Iterable[Any] | str | None, limit: int = 16) -> str:
    """A hash cut to `limit` characters; an em dash where there is none."""
    return re.sub(rf"^(.{{{limit}}}).+$", r"\1…", one_line(values)) if values else "—"


def _plain(key: Any) -> str:
    return one_line(key).replace("_", " ").replace("iou", "IoU")
