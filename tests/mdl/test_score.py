"""The score against its formula by hand, every printed row, and intervals against simulation and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest

from data_prep.common.errors import UserError
from mdl.published import DOMAINS, OFFICIAL, PAPER_ROWS, official_domain
from mdl.scoring.score import decathlon_score, paper_score, points, score_of_accuracies, wilson

ALL_RIGHT = {domain.name: (domain.n_test, domain.n_test) for domain in OFFICIAL}


@pytest.mark.parametrize("row", PAPER_ROWS.values(), ids=lambda row: row.name)
def test_printed_scores(row):
    """Within 4 points of every printed S but one, whose accuracies give 2456.9 for the printed 2446."""
    by_hand = sum(1000 * max(0, d.max_error - (1 - row.accuracy[d.name] / 100)) ** 2 / d.max_error**2 for d in OFFICIAL)
    total = score_of_accuracies(row.accuracy)
    assert total == pytest.approx(by_hand, abs=1e-6)
    assert paper_score(row).total == pytest.approx(by_hand, abs=1e-6)
    if row.name == "Classifier Only":
        assert total == pytest.approx(2456.9, abs=0.05) and row.score == 2446
    else:
        assert abs(total - row.score) <= 4


def test_rounding_cannot_explain_classifier_only():
    """Were every accuracy 0.005 higher or lower, S would move by less than the ten points that are missing."""
    row = PAPER_ROWS["classifier+bn"]
    low = score_of_accuracies({name: percent - 0.005 for name, percent in row.accuracy.items()})
    assert 2446.5 < low < 2456.9


def test_mean_of_late():
    assert round(sum(PAPER_ROWS["soft-sharing-late"].accuracy.values()) / 10, 2) == 77.35


def test_sampling_error_of_the_paper_is_about_45_points():
    """By the bootstrap, and independently by error propagation: sd(S)^2 = sum (dS/dE)^2 E (1 - E) / n."""
    for row in PAPER_ROWS.values():
        variance = 0.0
        for d in OFFICIAL:
            error = 1 - row.accuracy[d.name] / 100
            slope = -2000 * max(0, d.max_error - error) / d.max_error**2
            variance += slope**2 * error * (1 - error) / d.n_test
        score = paper_score(row)
        assert score.std == pytest.approx(math.sqrt(variance), rel=0.03)
        assert 44 < score.std < 49
        assert (score.high - score.low) / (2 * 1.96) == pytest.approx(score.std, rel=0.04)


def test_terms_in_the_order_of_the_tables():
    score = decathlon_score(dict(reversed(ALL_RIGHT.items())))
    assert [term.domain for term in score.terms] == list(DOMAINS)
    assert score.total == 10_000 and score.complete and score.caveat == ""
    assert score.mean_accuracy == 1
    assert score.low < score.high == 10_000  # without an error there is still something not known


def test_points():
    assert points("svhn", 0.0) == 1000
    assert points("svhn", 0.0345) == pytest.approx(250)
    assert points("mini-svhn", 0.0345) == pytest.approx(250)
    assert points("svhn", 0.069) == points("svhn", 0.5) == 0
    score = decathlon_score({"dtd": (1000, 1880), "svhn": (26_000, 26_032)})
    assert score.total == pytest.approx(points("dtd", 880 / 1880) + points("svhn", 32 / 26_032))
    assert score.mean_accuracy == pytest.approx((1000 / 1880 + 26_000 / 26_032) / 2)


def test_what_is_missing_or_not_official_is_said():
    score = decathlon_score({"mini-dtd": (20, 40), "svhn": (26_000, 26_032)})
    assert not score.complete and "aircraft" in score.missing and "dtd" not in score.missing
    assert "mini-dtd" in score.e_max_caveat and "svhn" not in score.e_max_caveat
    assert "2 of 10 domains" in score.caveat
    assert "dtd" in decathlon_score({"dtd": (194, 388)}).e_max_caveat  # the official name, other images


def test_seed_level_and_draws():
    counts = {"dtd": (1000, 1880), "gtsrb": (12_500, 12_630)}
    first = decathlon_score(counts, seed=1)
    assert decathlon_score(counts, seed=1) == first
    assert decathlon_score(counts, seed=2).low != first.low
    narrow = decathlon_score(counts, level=0.5, seed=1)
    assert first.low < narrow.low < first.total < narrow.high < first.high


def test_interval_covers():
    """Of test sets drawn anew with known accuracies, about 95 % have the true S in their interval."""
    generator = np.random.default_rng(0)
    truth = {"dtd": (0.55, 1880), "cifar100": (0.80, 2000), "gtsrb": (0.99, 3000)}
    true_score = sum(points(name, 1 - share) for name, (share, _) in truth.items())
    hits = 0
    for seed in range(400):
        counts = {name: (int(generator.binomial(n, share)), n) for name, (share, n) in truth.items()}
        score = decathlon_score(counts, n_draws=1000, seed=seed)
        hits += score.low <= true_score <= score.high
    assert 0.91 < hits / 400 < 0.985


def test_wilson_agrees_with_scipy():
    stats = pytest.importorskip("scipy.stats")
    for n_correct, n_test in ((0, 5), (5, 5), (50, 100), (12_345, 26_032)):
        reference = stats.binomtest(n_correct, n_test).proportion_ci(0.95, "wilson")
        assert wilson(n_correct, n_test) == pytest.approx((reference.low, reference.high), abs=1e-9)


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({}, "no domain to score"),
        ({"cars": (3, 2)}, "cars has 3 correct of 2"),
        ({"dtd": (3, 2)}, "3 correct of 2"),
        ({"dtd": (0, 0)}, "0 correct of 0"),
        ({"dtd": (-1, 5)}, "-1 correct of 5"),
        ({"dtd": (1.5, 5)}, "whole numbers"),
        ({"dtd": (1, 2), "mini-dtd": (1, 2)}, "comes twice"),
    ],
)
def test_wrong_counts(counts, words):
    with pytest.raises(UserError, match=words):
        decathlon_score(counts)


def test_own_domains_have_accuracies_and_are_in_no_sum():
    score = decathlon_score({"zebras": (9, 10), "dtd": (1043, 1880), "cars": (1, 2)})
    alone = decathlon_score({"dtd": (1043, 1880)})
    assert (score.total, score.low, score.high, score.mean_accuracy) == (
        alone.total, alone.low, alone.high, alone.mean_accuracy,
    )  # fmt: skip
    assert [(t.domain, t.accuracy, t.points) for t in score.own] == [("cars", 0.5, 0.0), ("zebras", 0.9, 0.0)]
    assert (score.own[1].accuracy_low, score.own[1].accuracy_high) == wilson(9, 10)
    assert "cars, zebras are not in it" in score.caveat and "summed over 1 of 10 domains" in score.caveat
    only_own = decathlon_score({"cars": (1, 2)})
    assert (only_own.total, only_own.terms, only_own.mean_accuracy) == (0, (), 0.5)


def test_unusable_level():
    with pytest.raises(UserError, match="No interval"):
        decathlon_score({"dtd": (1, 2)}, level=1)


def test_official_domains():
    assert len(DOMAINS) == 10 and sum(d.n_test for d in OFFICIAL) == 139_760
    assert official_domain("mini-ucf101").name == "ucf101"
