"""How sure a count is, and counts at equal numbers of units.

    interval = jackknife(run.units, run.replicates, lambda units: int(units["detector"].sum()))
    print(f"{interval.value} ({interval.low:.1f} to {interval.high:.1f})")
    unique = expected_attributes(population.detectors_per_concept.values(), population.n_units, 128)

A run with F folds (`Settings(folds=10)`) also says what every unit would detect if the images of one fold were left out
(`replicates.csv`). The delete-a-group jackknife over these F replicates gives the standard error of any count, Student's
t with F - 1 degrees of freedom the interval. It says how much a count owes to the choice of images, and nothing about
another training run or another label set; the thresholds of the units stay those of all images. (Shao and Tu 1995, The
Jackknife and Bootstrap, 2.3.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from data_prep.common.errors import UserError

Statistic = Callable[[pd.DataFrame], float]
"""A number of a table of units, such as the number of its detectors; the table has the columns of `units.csv`."""


@dataclass(frozen=True)
class Interval:
    """A value and the 95 % interval about it."""

    value: float
    low: float
    high: float


def jackknife(units: pd.DataFrame, replicates: pd.DataFrame, statistic: Statistic, level: float = 0.95) -> Interval:
    """The statistic of `units` and its interval.

    replicates: the same units as they come out without each fold, one after the other; column `left_out` names the fold.
    Raises `UserError` for fewer than two folds, from which nothing can be learnt.

    >>> units = pd.DataFrame({"unit": [0, 1, 2], "detector": [True, True, False]})
    >>> fewer = units.assign(detector=[True, False, False])
    >>> replicates = pd.concat([units.assign(left_out=0), units.assign(left_out=1), fewer.assign(left_out=2)])
    >>> interval = jackknife(units, replicates, lambda table: int(table["detector"].sum()))
    >>> f"{interval.value} ({interval.low:.2f} to {interval.high:.2f})"  # 2, and 2, 2, 1 without each fold
    '2 (-0.87 to 4.87)'
    """
    return interval_from(statistic(units), [statistic(group) for _, group in replicates.groupby("left_out")], level)


def interval_from(value: float, values: Sequence[float], level: float = 0.95) -> Interval:
    """A value and its interval. values: what it comes to without each fold. Raises as `jackknife` does.

    >>> interval = interval_from(2, [2, 2, 1])
    >>> f"{interval.low:.2f} to {interval.high:.2f}"
    '-0.87 to 4.87'
    """
    from scipy.stats import t

    n = len(values)
    if n < 2:
        raise UserError(f"{n} folds give no interval; there must be at least 2: dissect with `folds` 10.")
    mean = math.fsum(values) / n
    error = math.sqrt((n - 1) / n * math.fsum((value - mean) ** 2 for value in values))
    reach = float(t.ppf((1 + level) / 2, n - 1)) * error
    return Interval(value, value - reach, value + reach)


def expected_attributes(detectors_per_concept: Iterable[int], n_units: int, n_drawn: int) -> float:
    """Unique detectors to expect among `n_drawn` of `n_units` units, drawn at random without replacement.

    detectors_per_concept: how many of the units detect each concept. A concept with d detectors is missed by
    C(n_units - d, n_drawn) of the C(n_units, n_drawn) draws: the rarefaction curve of ecology (Hurlbert 1971). Exact.
    Raises `UserError` for more draws than units.

    >>> expected_attributes([3, 1], n_units=4, n_drawn=4)
    2.0
    >>> expected_attributes([3, 1], n_units=4, n_drawn=1)  # a single unit detects one concept
    1.0
    """
    if not 0 <= n_drawn <= n_units:
        raise UserError(f"`n_drawn` is {n_drawn}; of {n_units} units 0..{n_units} can be drawn.")
    draws = math.comb(n_units, n_drawn)
    return math.fsum((draws - math.comb(n_units - d, n_drawn)) / draws for d in detectors_per_concept)
