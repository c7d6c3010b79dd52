"""The jackknife against what is known of means, and rarefaction against every possible draw."""

from __future__ import annotations

from itertools import combinations
from statistics import mean, stdev

import pandas as pd
import pytest
from scipy.stats import t

from data_prep.common.errors import UserError
from reports.intervals import expected_attributes, jackknife


def test_jackknife_of_a_mean_is_the_usual_interval() -> None:
    groups = [3.0, 5.0, 4.0, 8.0, 1.0]
    units = pd.DataFrame({"value": groups})
    replicates = pd.concat([units.drop(k).assign(left_out=k) for k in range(5)])
    interval = jackknife(units, replicates, lambda table: table["value"].mean())
    reach = t.ppf(0.975, 4) * stdev(groups) / 5**0.5
    assert interval.value == mean(groups)
    assert (interval.low, interval.high) == pytest.approx((mean(groups) - reach, mean(groups) + reach))


def test_one_fold_gives_no_interval() -> None:
    units = pd.DataFrame({"value": [1.0], "left_out": [0]})
    with pytest.raises(UserError, match="1 folds give no interval"):
        jackknife(units, units, len)


@pytest.mark.parametrize("n_drawn", range(8))
def test_expected_attributes_is_the_mean_over_all_draws(n_drawn: int) -> None:
    concepts = ["car", "car", "car", "tree", "red", None, None]
    found = [len(set(draw) - {None}) for draw in combinations(concepts, n_drawn)]
    assert expected_attributes([3, 1, 1], 7, n_drawn) == pytest.approx(mean(found))


def test_more_than_there_are_cannot_be_drawn() -> None:
    with pytest.raises(UserError, match=r"`n_drawn` is 8; of 7 units 0\.\.7 can be drawn"):
        expected_attributes([1], 7, 8)
