"""Comparisons of networks against plain sets and loops over the tables of the runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from runs_in_memory import run_in_memory

from data_prep.common.errors import UserError
from dissect.run_store import Run
from reports.compare_counts import interval_of_difference
from reports.compare_members import ALL
from reports.compare_words import made_of
from reports.comparison import TABLES, Comparison, compare
from reports.intervals import expected_attributes, jackknife

Table = pd.DataFrame
Rows = Iterator[SimpleNamespace]


def rows_of(table: Table) -> Rows:
    return (SimpleNamespace(**{str(k): v for k, v in row.items()}) for row in table.to_dict("records"))


def replicates_of(run: Run) -> Table:
    assert run.replicates is not None
    return run.replicates


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    return [run_in_memory("a", ["first"], seed=1), run_in_memory("b", ["second"], seed=2)]


@pytest.fixture(scope="module")
def two(runs: list[Run]) -> Comparison:
    return compare(runs)


def part_of_table(table: Table, layer: str, operator: str) -> Table:
    return table[(table["layer"] == layer) & (table["operator"] == operator)]


def part_of(units: Table, layer: str, operator: str) -> Table:
    chosen = pd.Series(True, units.index)
    chosen &= True if layer == ALL else units["layer"] == layer
    return units[chosen & (True if operator == ALL else units["operator"] == operator)]


def found_in(units: Table, category: str = ALL) -> list[tuple[str, str]]:
    rows = units[units["detector"]]
    return [(c, label) for c, label in zip(rows["category"], rows["label"], strict=True) if category in (ALL, c)]


def counting(measure: str, category: str, n_drawn: int) -> Callable[[Table], float]:
    def count(units: Table) -> float:
        found = found_in(units, category)
        if measure == "detectors":
            return len(found)
        if measure == "unique":
            return len(set(found))
        return expected_attributes([found.count(c) for c in set(found)], len(units), n_drawn)

    return count


def test_counts_and_differences_are_those_of_a_paired_jackknife(runs: list[Run], two: Comparison) -> None:
    """Every row: a fold is left out of both runs at once."""
    a, b = runs
    assert len(two.differences) == (1 + 2 + 4) * 4 * 3 and two.differences["paired"].all()
    for row in rows_of(two.differences[two.differences["category"].isin([ALL, "part"])]):
        tables = [part_of(t, row.layer, row.operator) for t in (a.units, b.units, replicates_of(a), replicates_of(b))]
        count = counting(row.measure, row.category, min(len(tables[0]), len(tables[1])))

        def difference(both: Table, count: Callable[[Table], float] = count) -> float:
            return count(both[both["side"] == "b"]) - count(both[both["side"] == "a"])

        units, replicates = (pd.concat([tables[k].assign(side="a"), tables[k + 1].assign(side="b")]) for k in (0, 2))
        wanted = jackknife(units, replicates, difference)
        np.testing.assert_allclose(
            [row.difference, row.low, row.high, row.value_a, row.value_b],
            [wanted.value, wanted.low, wanted.high, count(tables[0]), count(tables[1])], atol=1e-9,
        )  # fmt: skip
        assert row.apart == (wanted.low > 0 or wanted.high < 0)
        assert (row.low < row.high) or wanted.low == wanted.high
    for row in rows_of(two.counts[two.counts["category"].isin([ALL, "object"])]):
        run = a if row.network == "first" else b
        count = counting("unique", row.category, row.n_equal)
        wanted = jackknife(
            part_of(run.units, row.layer, row.operator), part_of(replicates_of(run), row.layer, row.operator), count
        )
        assert (row.unique, row.unique_low) == pytest.approx((wanted.value, max(wanted.low, 0)))
        assert row.unique_high == pytest.approx(wanted.high)
        assert row.units == len(part_of(run.units, row.layer, row.operator))


def test_operators_of_one_layer(runs: list[Run], two: Comparison) -> None:
    units = runs[0].units
    rows = two.operators[two.operators["network"] == "first"]
    assert set(rows["operator_a"]) == {"depthwise"} and len(rows) == 3 * 3
    for row in rows_of(rows):
        one, other = (part_of(units, row.layer, operator) for operator in ("depthwise", "pointwise"))
        count = counting(row.measure, ALL, min(len(one), len(other)))
        assert row.difference == pytest.approx(count(one) - count(other))


def test_changes_say_what_was_kept_gained_and_lost(runs: list[Run], two: Comparison) -> None:
    a, b = runs
    seen = set()
    for layer, operator in two.parts:
        rows = part_of_table(two.changes, layer, operator)
        before, after = (found_in(part_of(run.units, layer, operator)) for run in runs)
        folds = [
            [set(found_in(part_of(t[t["left_out"] == fold], layer, operator))) for t in map(replicates_of, (a, b))]
            for fold in range(5)
        ]
        assert set(zip(rows["category"], rows["label"], strict=True)) == {*before, *after}
        for row in rows_of(rows):
            concept = (row.category, row.label)
            status = {(1, 1): "kept", (0, 1): "gained", (1, 0): "lost"}
            assert row.status == status[concept in before, concept in after]
            assert (row.n_a, row.n_b) == (before.count(concept), after.count(concept))
            states = {(concept in one, concept in other) for one, other in [*folds, (before, after)]}
            assert row.steady == (len(states) == 1)
            seen.add((row.status, bool(row.steady)))
    assert len(seen) == 6
    for row in rows_of(two.exchanges):
        told = list(part_of_table(two.changes, row.layer, row.operator)["status"])
        assert [row.n_kept, row.n_gained, row.n_lost] == [told.count(s) for s in ("kept", "gained", "lost")]
        assert row.kept_share == pytest.approx(row.n_kept / len(told))


def test_moves_follow_the_layers(runs: list[Run], two: Comparison) -> None:
    assert list(zip(two.moves["network"], two.moves["operator"], strict=True)) == [
        ("first", "depthwise"), ("first", "pointwise"), ("second", "depthwise"), ("second", "pointwise"),
    ]  # fmt: skip
    for row in rows_of(two.moves):
        run = runs[int(row.network == "second")]
        before, after = (
            set(found_in(part_of(run.units, layer, row.operator))) for layer in (row.from_layer, row.to_layer)
        )
        assert (row.n_kept, row.n_gained, row.n_lost) == (len(before & after), len(after - before), len(before - after))


def test_unit_beside_unit(runs: list[Run], two: Comparison) -> None:
    keys = ["layer", "operator", "unit"]
    told_of = [
        {
            (r.layer, r.operator, r.unit): (r.iou, (r.category, r.label) if r.detector else None)
            for r in rows_of(run.units)
        }
        for run in runs
    ]
    told = two.units.set_index(keys)
    statuses: list[str] = []
    for key in told_of[0]:
        of_a, of_b = (told_of[n][key][1] for n in (0, 1))
        if of_a is None and of_b is None:
            assert key not in told.index
            continue
        status = "gained" if of_a is None else "lost" if of_b is None else "kept" if of_a == of_b else "changed"
        row = told.loc[key]
        assert row["status"] == status
        assert (row["category_a"], row["label_a"]) == (of_a or ("", "")) and np.isnan(row["iou_b"]) == (of_b is None)
        heirs = [
            (-told_of[1][other][0], other[2])
            for other in told_of[0]
            if other[:2] == key[:2] and told_of[1][other][1] == of_a != told_of[0][other][1]
        ]
        heirs = heirs if status in ("changed", "lost") else []
        assert row["taken_over_by"] == " ".join(str(unit) for _, unit in sorted(heirs))
        statuses.append(status)
    assert set(statuses) == {"kept", "changed", "gained", "lost"} and any(told["taken_over_by"])
    counts = two.unit_counts[["n_kept", "n_changed", "n_gained", "n_lost"]].sum()
    assert list(counts) == [statuses.count(s) for s in ("kept", "changed", "gained", "lost")]


def test_kept_by_chance_is_the_mean_over_shuffled_units(two: Comparison) -> None:
    rng = np.random.default_rng(0)
    row = two.unit_counts.iloc[3]
    of_a, of_b = (m.detected[0, m.rows(m.parts[3])] for m in two.networks)
    kept = [((of_a == rng.permutation(of_b)) & (of_a >= 0)).sum() for _ in range(4000)]
    assert row["n_kept_by_chance"] == pytest.approx(np.mean(kept), abs=5 * np.std(kept) / 4000**0.5)


def test_the_other_way_round(runs: list[Run], two: Comparison) -> None:
    turned = compare(runs[::-1]).differences
    again = two.between("second", "first")
    pd.testing.assert_frame_equal(turned, again)


def test_one_run_of_several_networks_equals_runs_of_one(runs: list[Run]) -> None:
    both = run_in_memory("both", ["first", "second"], seed=3)
    alone = compare([both, run_in_memory("c", ["third"], seed=4)], networks=["second", "third"])
    assert compare([both]).titles == ["first", "second"] and alone.titles == ["second", "third"]
    counts = compare([both]).counts
    pd.testing.assert_frame_equal(
        counts[counts["network"] == "second"].reset_index(drop=True),
        alone.counts[alone.counts["network"] == "second"].reset_index(drop=True),
    )


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"settings": {"quantile": 0.99}}, "`quantile` (the level of the threshold): 0.995 in a, 0.99 in b"),
        ({"settings": {"min_images": 3}}, "`min_images`"),
        ({"settings": {"score": "f1"}}, "`score`"),
        ({"settings": {"union": "all-images"}}, "`union`"),
        ({"fingerprint": "e" * 64}, "the data: drawn ffffffffffff in a, drawn eeeeeeeeeeee in b"),
    ],
)
def test_runs_made_otherwise_are_refused_unless_allowed(other: dict[str, object], words: str) -> None:
    pair = [run_in_memory("a"), run_in_memory("b", ["other"], **other)]  # type: ignore[arg-type]
    with pytest.raises(UserError, match="set `allow_different`") as refused:
        compare(pair)
    assert words in str(refused.value)
    assert words.replace("`", "") in compare(pair, allow_different=True).warnings[0]


def test_other_images_are_not_paired_and_the_reader_is_told() -> None:
    """Intervals as wide as two independent standard errors make them, with Welch's degrees of freedom."""
    from scipy.stats import t

    a, b = run_in_memory("a", seed=1), run_in_memory("b", ["other"], seed=2, n_images=19)
    comparison = compare([a, b])
    assert "Not the same images" in comparison.warnings[0] and not comparison.differences["paired"].any()
    row = comparison.differences.iloc[0]
    values = [m.detected for m in comparison.networks]
    errors = []
    for detected in values:
        n = (detected >= 0).sum(1)[1:]
        errors.append(((n - n.mean()) ** 2).sum() * 4 / 5)
    degrees = sum(errors) ** 2 / sum(e**2 / 4 for e in errors)
    reach = t.ppf(0.975, degrees) * sum(errors) ** 0.5
    assert (row["low"], row["high"]) == pytest.approx((row["difference"] - reach, row["difference"] + reach))
    assert comparison.changes["steady"].isna().all() and comparison.exchanges["n_kept_low"].isna().all()


def test_without_folds_there_are_numbers_but_no_intervals() -> None:
    comparison = compare([run_in_memory("a", n_folds=1), run_in_memory("b", ["other"], seed=2)])
    assert comparison.warnings == ["No intervals for net: dissected without folds of the images."]
    assert comparison.differences["low"].isna().all() and not comparison.differences["apart"].any()
    assert comparison.differences["difference"].notna().all()


def test_held_out_and_sure_detectors_are_counted() -> None:
    runs = [run_in_memory("a", ["first"], seed=1, null=True), run_in_memory("b", ["second"], seed=2)]
    counts = compare(runs).counts
    seen = 0
    for row in rows_of(counts):
        run = runs[int(row.network == "second")]
        assert run.trust is not None
        units = run.units.assign(held_out_iou=run.trust["held_out_iou"], sure=run.trust["sure"])
        units = part_of(units, row.layer, row.operator)
        units = units[units["category"] == row.category] if row.category != ALL else units
        assert row.held_out_detectors == (units["detector"] & (units["held_out_iou"] > 0.04)).sum() <= row.detectors
        assert pd.isna(row.sure_detectors) if row.network == "second" else row.sure_detectors == units["sure"].sum()
        seen += row.held_out_detectors < row.detectors
    assert seen


def test_controls_stand_beside_their_originals() -> None:
    runs = [
        run_in_memory("a", ["net"], seed=1),
        run_in_memory("b", ["net"], seed=2, settings={"rotate": 7}),
        run_in_memory("c", ["fresh"], seed=3, trained=False, weights_hash="1e" * 32),
        run_in_memory("d", ["apart"], seed=4, settings={"rotate": 7}, weights_hash="2d" * 32),
    ]
    comparison = compare(runs)
    assert comparison.titles == ["net", "net, rotated (7)", "fresh, untrained", "apart, rotated (7)"]
    assert list(comparison.members["control"]) == ["", "rotated", "untrained", "rotated"]
    assert list(comparison.members["original"]) == ["", "net", "net", ""]
    assert set(zip(comparison.controls["original"], comparison.controls["control"], strict=True)) == {
        ("net", "net, rotated (7)"), ("net", "fresh, untrained"),
    }  # fmt: skip
    pairs = set(zip(comparison.unit_counts["a"], comparison.unit_counts["b"], strict=True))
    assert pairs == {("net", "fresh, untrained")}  # the units of a rotated layer are no units of the network


def test_the_same_network_twice_is_named_by_its_run() -> None:
    comparison = compare([run_in_memory("a"), run_in_memory("b"), run_in_memory("b")])
    assert comparison.titles == ["a: net", "b: net", "b: net (2)"]


def test_networks_of_other_layers_share_their_totals_only() -> None:
    a = run_in_memory("a")
    b = run_in_memory("b", ["other"], layers=[("features.3", "conv", 10)])
    comparison = compare([a, b])
    assert set(zip(comparison.differences["layer"], comparison.differences["operator"], strict=True)) == {(ALL, ALL)}
    assert "do not have the same layers" in comparison.warnings[0]
    assert comparison.counted.n_equal[comparison.parts[0]] == 10 and comparison.units.empty
    for name in TABLES:
        assert isinstance(getattr(comparison, name), Table)


def test_a_run_of_another_tool_is_compared_with_a_warning() -> None:
    unknown: dict[str, object] = {"fingerprint": "", "n_folds": 1, "settings": {"quantile": None}}
    pair = [run_in_memory(name, [name], **unknown) for name in ("a", "b")]  # type: ignore[arg-type]
    assert compare(pair).warnings[0].startswith("Not known which images were shown to a, b")
    assert "quantile" not in made_of(pair[0]) and "detectors above IoU 0.04" in made_of(pair[0])
    assert made_of(run_in_memory("c")).startswith("20 images of drawn; fingerprint ffff")
    with pytest.raises(UserError, match=r"`quantile` .*: not known in a, 0.995 in c.*set `allow_different`"):
        compare([pair[0], run_in_memory("c")])


@pytest.mark.parametrize("networks", [[], ["net"]])
def test_one_network_is_no_comparison(networks: list[str]) -> None:
    with pytest.raises(UserError, match="nothing to compare: the chosen networks are net of runs/a; give another run"):
        compare([run_in_memory("a")], networks=networks)


def test_unknown_network() -> None:
    with pytest.raises(UserError, match="Unknown network 'nett'; known: net, other; nearest: net"):
        compare([run_in_memory("a", ["net", "other"])], networks=["nett"])


def test_no_detector_anywhere() -> None:
    runs = [run_in_memory("a"), run_in_memory("b", ["other"])]
    for run in runs:
        run.units["detector"] = False
        replicates_of(run)["detector"] = False
    comparison = compare(runs)
    for name in TABLES:
        assert isinstance(getattr(comparison, name), Table)
    assert comparison.matrix.empty and (comparison.differences["difference"] == 0).all()


def test_pairing_removes_what_both_share() -> None:
    values = np.array([10.0, 8, 9, 12, 11])
    assert interval_of_difference(values + 3, values, paired=True) == (3, 3)
    low, high = interval_of_difference(values + 3, values, paired=False)
    assert low < 0 < 3 < high


@pytest.mark.parametrize(("shared", "paired", "covers"), [(0.8, True, 0.95), (0.0, False, 0.95), (0.8, False, 1.0)])
def test_intervals_of_differences_cover_the_truth(shared: float, paired: bool, covers: float) -> None:
    """2,000 draws of 200 images in 10 folds; each network's count is a mean over the images, the true difference 0.3. Networks
    that share what makes an image hard need the paired interval: the other one is far too wide."""
    rng = np.random.default_rng(3)
    n_covered = 0
    for _ in range(2000):
        common = shared * rng.normal(size=200)
        a, b = (common + rng.normal(size=200) * (1 - shared) + mean for mean in (0.0, 0.3))
        values = [np.array([x.mean(), *((x.sum() - x[f::10].sum()) / 180 for f in range(10))]) for x in (a, b)]
        low, high = interval_of_difference(values[1], values[0], paired=paired)
        n_covered += low <= 0.3 <= high
    assert n_covered / 2000 == pytest.approx(covers, abs=0.015)
