"""The tables of the study: from run folders to CSV files, and from these to the marked places of its pages.

    write(Path("runs/study"), HERE)           # HERE/*.csv, HERE/README.md and HERE/NUMBERS.md
    text = filled(text, blocks(HERE))         # from the CSV files alone

See `pages` for the marked places.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import questions
import sharing
import trust
from networks import validation_accuracy
from pages import PAGES, blocks, filled, is_drawn, read_table

from data_prep.common.files import atomic_write
from dissect.run_store import Run, open_run, write_table
from mdl.results import read_results
from mdl.scoring.score import wilson
from reports.claims import count_table, verdicts

COUNTED = ("paper", "domains", "untrained", "rotated", "lite0", "lite0-rotated", "lite12")
HALF_WIDTH, TRAINING = "half-width", "training"
CHOICES = {
    "conv, 0.995": ("paper", "lite0"),
    "bn, 0.995": ("tap-bn", "lite0-tap-bn"),
    "relu, 0.995": ("tap-relu", "lite0-tap-relu"),
    "conv, 0.99": ("level-0.99", "lite0-level-0.99"),
    "conv, 0.999": ("level-0.999", "lite0-level-0.999"),
}
"""Tap point and threshold level: the parts of that choice, those of the package's networks first."""
CURVES = ("curve", "curve-rotated", "lite0-curve")
PARTS = tuple(
    dict.fromkeys((*COUNTED, HALF_WIDTH, TRAINING, *(part for parts in CHOICES.values() for part in parts), *CURVES))
)
BASE, WHOLE, SHARING = "imagenet12", "cifar100-individual", ("cifar100", "dtd", "gtsrb", "omniglot", "vgg-flowers")
CONTROLS = {
    "untrained": (BASE, WHOLE, *SHARING), f"{BASE}-rotated": (BASE,), f"{WHOLE}-rotated": (WHOLE,),
    **{f"{lite}-untrained": (lite,) for lite in ("lite0", "lite1", "lite2")}, "lite0-rotated": ("lite0",),
}  # fmt: skip
"""By control, the networks that it is the control of."""


def write(runs: Path, folder: Path, trained: Sequence[Path] = (), checkpoints: Path | None = None) -> None:
    """Write what the runs below `runs` and the trained methods say into `folder`; what they say nothing about stays.

    checkpoints: the folder of the networks along training, for their accuracies.
    """
    found: dict[str, list[pd.DataFrame]] = {}
    for label_set in _label_sets(runs):
        finished = {part: open_run(label_set / part) for part in PARTS if (label_set / part / "DONE").exists()}
        for name, table in _found(finished, checkpoints):
            found.setdefault(name, []).append(table)
    if trained:
        found["methods"] = [methods_table(trained)]
    for name, tables in found.items():
        path, table = folder / f"{name}.csv", pd.concat(tables).round(3)
        earlier = read_table(path) if path.exists() else table.iloc[:0]
        keys = ("part",) if name == "runs" else ()
        write_table(path, updated(earlier, table, keys))
    for page in PAGES:
        text = filled((folder / page).read_text(encoding="utf-8"), blocks((folder / page).parent))
        with atomic_write(folder / page, "w") as file:
            file.write(text)


def _found(finished: Mapping[str, Run], checkpoints: Path | None) -> Iterator[tuple[str, pd.DataFrame]]:
    """Name and rows of every table that the finished runs of one label set make."""
    counted = [finished[part] for part in COUNTED if part in finished]
    curves = [finished[part] for part in CURVES if part in finished]
    yield "runs", pd.DataFrame([_cost(part, run) for part, run in finished.items()])
    if counted:
        yield "counts", pd.concat([count_table(run) for run in counted])
        yield "claims", pd.concat([_claims(part, finished[part]) for part in COUNTED if part in finished])
        yield "differences", questions.differences(counted)
        there = {name for run in counted for name in run.units["network"]}
        controls = {control: members for control, members in CONTROLS.items() if there.issuperset((control, *members))}
        if controls:
            yield "controls", questions.control_table(counted, controls)
    if sure := [run for run in counted if run.info["settings"]["null"]]:
        yield "trust", trust.trust_table(sure)
    if curves:
        yield "curves", pd.concat([count_table(run) for run in curves])
    if HALF_WIDTH in finished:
        yield "width", questions.width_table(counted, finished[HALF_WIDTH])
    if checkpoints and {TRAINING, HALF_WIDTH} <= finished.keys():
        run = finished[TRAINING]
        accuracies = {name: validation_accuracy(name, checkpoints) for name in dict.fromkeys(run.units["network"])}
        yield "training", questions.training_table(run, finished[HALF_WIDTH], "untrained-half", accuracies)
    chosen = {choice: [finished[part] for part in parts if part in finished] for choice, parts in CHOICES.items()}
    if any(part in finished for parts in CHOICES.values() for part in parts[:1] if part not in COUNTED):
        yield "choices", pd.concat([questions.choice_table(choice, runs) for choice, runs in chosen.items()])
    both = [finished[part] for part in ("paper", "domains") if part in finished]
    if len(both) == 2 and not is_drawn(both[0].info["data"]["name"]):
        yield "sharing", sharing.sharing_table(both, BASE, SHARING, WHOLE)
        yield "repeats", sharing.repeat_table(both, BASE, SHARING, WHOLE, both[0].info["settings"]["iou_cut"])


def updated(earlier: pd.DataFrame, found: pd.DataFrame, keys: Sequence[str] = ()) -> pd.DataFrame:
    """`found`, and those earlier rows that it does not replace: of drawn images, or of real ones. Drawn images first.

    keys: columns that a row must share with a found one, too, to be replaced.

    >>> earlier = pd.DataFrame({"data": ["embedded", "photographs"], "n": [1, 2]})
    >>> updated(earlier, pd.DataFrame({"data": ["embedded"], "n": [5]}))["n"].tolist()
    [5, 2]
    """

    def replaced(table: pd.DataFrame) -> pd.Series:
        return pd.Series([(is_drawn(row["data"]), *(row[key] for key in keys)) for row in table.to_dict("records")])

    kept = earlier[~replaced(earlier).isin(set(replaced(found))).to_numpy(bool)] if len(earlier) else earlier
    return pd.concat([kept, found]).sort_values("data", key=lambda data: ~data.map(is_drawn), kind="stable")


def _label_sets(runs: Path) -> list[Path]:
    """The embedded set first."""
    return sorted(
        (path for path in runs.iterdir() if path.is_dir()), key=lambda path: (path.name != "embedded", path.name)
    )


def _claims(part: str, run: Run) -> pd.DataFrame:
    name = run.info["data"]["name"]
    return pd.DataFrame([{"data": name, "part": part, **asdict(finding)} for finding in verdicts(run)])


def _cost(part: str, run: Run) -> dict[str, object]:
    units = run.units.groupby("network").size()
    seconds = sum(sum(stages.values()) for stages in run.info["timings"].values())
    return {
        "data": run.info["data"]["name"], "part": part, "networks": len(units), "units": int(units.sum()),
        "images": run.info["data"]["n_used"], "seconds": round(seconds), "command": run.info["command"],
    }  # fmt: skip


def methods_table(trained: Sequence[Path]) -> pd.DataFrame:
    """One row for each result: a system, a domain and a seed. trained: a folder of results for each data set and seed."""
    rows = []
    for result in (one for folder in trained for one in read_results([folder])):
        low, high = wilson(result.n_correct, result.n_test)
        rows.append(
            {
                "data": result.data, "system": result.system, "backbone": result.backbone, "width": result.width,
                "domain": result.domain, "seed": result.seed, "classes": result.n_classes,
                "n_correct": result.n_correct, "n_test": result.n_test,
                "accuracy": 100 * result.accuracy, "accuracy_low": 100 * low, "accuracy_high": 100 * high,
                "epochs": result.cost.epochs, "seconds": round(result.cost.seconds), "recipe": result.recipe["recipe"],
                "device": result.cost.device,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)
