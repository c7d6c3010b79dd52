"""Width, training, tap point and threshold level: from finished runs to one table for each question.

    width_table(full_runs, half_run)        # how the depthwise - pointwise difference changes from half width to full
    training_table(run, accuracies)         # the difference along training
    control_table(runs, controls)           # the difference of a network and that of its control
    choice_table("bn, 0.995", runs)         # the verdicts at another tap point or threshold level

A difference is that of unique detectors at equal numbers of units. Intervals are jackknife intervals over the folds of the
images (`reports.intervals`); what is compared between two networks is compared on the same images, so a fold is left out of
both at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import pandas as pd

from dissect.run_store import Run
from reports import jackknife
from reports.claims import attributes_among, verdicts
from reports.intervals import Statistic

TOGETHER = "all"
"""In the place of a layer: its layers added up."""

Row = dict[str, object]


def units_of(runs: Iterable[Run], networks: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(units, replicates) of some networks of the runs."""
    units, replicates = [], []
    for run in runs:
        assert run.replicates is not None
        units.append(run.units[run.units["network"].isin(networks)])
        replicates.append(run.replicates[run.replicates["network"].isin(networks)])
    return pd.concat(units), pd.concat(replicates)


def difference(units: pd.DataFrame, drawn: Mapping[str, int] | None = None) -> float:
    """Depthwise - pointwise: unique detectors at equal numbers of units, added up over the layers of one network.

    drawn: how many units of each operator, by layer; as many as the smaller of the two has if not given.
    """
    total = 0.0
    for layer, found in units.groupby("layer", sort=False):
        depthwise, pointwise = (found[found["operator"] == name] for name in ("depthwise", "pointwise"))
        n = drawn[str(layer)] if drawn else min(len(depthwise), len(pointwise))
        total += attributes_among(depthwise, n) - attributes_among(pointwise, n)
    return total


def _mean_difference(units: pd.DataFrame, networks: Sequence[str], drawn: Mapping[str, int] | None = None) -> float:
    return sum(difference(units[units["network"] == name], drawn) for name in networks) / len(networks)


def with_interval(units: pd.DataFrame, replicates: pd.DataFrame, layer: str, name: str, statistic: Statistic) -> Row:
    """The columns NAME, NAME_low and NAME_high for one layer, or for all together."""
    if layer != TOGETHER:
        units, replicates = units[units["layer"] == layer], replicates[replicates["layer"] == layer]
    interval = jackknife(units, replicates, statistic)
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}


def layers_of(units: pd.DataFrame) -> list[str]:
    return [*dict.fromkeys(units["layer"]), TOGETHER]


def differences(runs: Iterable[Run]) -> pd.DataFrame:
    """`difference` of every network and layer."""
    rows: list[Row] = []
    for run in runs:
        for network in dict.fromkeys(run.units["network"]):
            units, replicates = units_of([run], [network])
            for layer in layers_of(units):
                cells = with_interval(units, replicates, layer, "difference", difference)
                rows.append({"data": run.info["data"]["name"], "network": network, "layer": layer, **cells})
    return pd.DataFrame(rows)


def width_table(full: Sequence[Run], half: Run, suffix: str = "-half", control: str = "untrained") -> pd.DataFrame:
    """The difference at half width (network NAME-half) and at full width (NAME), and its change.

    `drawn`: the difference at full width among as many units as the narrow network has, and its change: more units find more
    concepts. The last rows are the mean over all networks but the control.
    """
    narrow = list(dict.fromkeys(half.units["network"]))
    pairs = {name.removesuffix(suffix): [name] for name in narrow}
    pairs["mean of the trained"] = [name for name in narrow if name != control + suffix]
    rows: list[Row] = []
    for title, members in pairs.items():
        wide = [name.removesuffix(suffix) for name in members]
        units, replicates = units_of([*full, half], [*members, *wide])
        sizes = units[units["network"] == members[0]].groupby(["layer", "operator"]).size().groupby("layer").min()
        drawn = {str(layer): int(n) for layer, n in sizes.items()}
        statistics: dict[str, Statistic] = {
            "half": partial(_mean_difference, networks=members),
            "full": partial(_mean_difference, networks=wide),
            "change": lambda table, m=members, w=wide: _mean_difference(table, w) - _mean_difference(table, m),
            "drawn": partial(_mean_difference, networks=wide, drawn=drawn),
            "drawn_change": lambda table, m=members, w=wide, d=drawn: (
                _mean_difference(table, w, d) - _mean_difference(table, m)
            ),
        }
        for layer in layers_of(units):
            row: Row = {"data": half.info["data"]["name"], "network": title, "layer": layer}
            for name, statistic in statistics.items():
                row |= with_interval(units, replicates, layer, name, statistic)
            rows.append(row)
    return pd.DataFrame(rows)


def training_table(run: Run, start: Run, first: str, accuracies: Mapping[str, float]) -> pd.DataFrame:
    """Unique detectors and their difference along training; `change` is that of the difference since the run's first network,
    `depthwise_change` and `pointwise_change` those of the unique detectors.

    start, first: the run and network before training. accuracies: of the run's networks, on validation images.
    """
    rows: list[Row] = []
    trained = list(dict.fromkeys(run.units["network"]))
    for network in [first, *trained]:
        units, replicates = units_of([start, run], [network])
        both = units_of([start, run], [network, trained[0]])
        change = partial(_change, first=trained[0], second=network)
        for layer in layers_of(units):
            row: Row = {"data": run.info["data"]["name"], "network": network, "layer": layer}
            row["val_accuracy"] = accuracies.get(network, "")
            for operator in ("depthwise", "pointwise"):
                mine = (table[table["operator"] == operator] for table in (units, replicates))
                row |= with_interval(*mine, layer, operator, _unique)
                mine = (table[table["operator"] == operator] for table in both)
                since = partial(_change, first=trained[0], second=network, statistic=_unique)
                row |= with_interval(*mine, layer, f"{operator}_change", since)
            row |= with_interval(units, replicates, layer, "difference", difference)
            rows.append(row | with_interval(*both, layer, "change", change))
    return pd.DataFrame(rows)


def control_table(runs: Sequence[Run], controls: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """`difference` of networks less that of their control, on the same images, layers added up.

    controls: by the control's name, the networks that it is the control of; of several, their mean is a further row.
    """
    rows: list[Row] = []
    for control, members in controls.items():
        means = {"mean of the trained": members} if len(members) > 1 else {}
        for title, mine in ({name: [name] for name in members} | means).items():
            units, replicates = units_of(runs, [*mine, control])
            statistic = partial(_above_control, control=control, networks=mine)
            cells = with_interval(units, replicates, TOGETHER, "above_control", statistic)
            rows.append({"data": runs[0].info["data"]["name"], "network": title, "control": control, **cells})
    return pd.DataFrame(rows)


def _above_control(units: pd.DataFrame, control: str, networks: Sequence[str]) -> float:
    return _mean_difference(units, networks) - difference(units[units["network"] == control])


def _change(units: pd.DataFrame, first: str, second: str, statistic: Statistic = difference) -> float:
    return statistic(units[units["network"] == second]) - statistic(units[units["network"] == first])


def _unique(units: pd.DataFrame) -> float:
    """Unique detectors, added up over layers."""
    found = units[units["detector"]]
    return float(len(found[["layer", "category", "label"]].drop_duplicates()))


def choice_table(choice: str, runs: Sequence[Run]) -> pd.DataFrame:
    """Every verdict at one choice, which `choice` names."""
    rows = [
        {
            "data": run.info["data"]["name"], "choice": choice, "network": found.network, "claim": found.claim,
            "verdict": found.verdict, "measured": found.measured,
        }
        for run in runs
        for found in verdicts(run)
        if not found.network.endswith("-untrained")
    ]  # fmt: skip
    return pd.DataFrame(rows)
