"""What must hold for any recipe, result, score and set of decoded images of `mdl`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mdl.published import DOMAINS, official_domain
from mdl.results import (
    Cost,
    ParameterRow,
    Result,
    ResultError,
    read_predictions,
    read_result,
    write_predictions,
    write_result,
)
from mdl.scoring.score import decathlon_score, points, wilson
from mdl.scoring.submission import category_id, read_submission, write_submission
from mdl.training.decoded import read_decoded, write_decoded
from mdl.training.recipe import PHASES, RECIPES, Plan, load_recipe, recipe_from


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[Path]:
    """A new folder for each example, below the test's own."""

    def each() -> Iterator[Path]:
        while True:
            yield Path(tempfile.mkdtemp(dir=tmp_path))

    return each()


rates = st.floats(1e-9, 10)
shares = st.floats(0, 0.999)


@st.composite
def overrides(draw: Any) -> list[str]:
    """Settings as a user gives them, in any order."""
    drops = sorted(draw(st.sets(st.integers(1, 200), max_size=4)))
    choices = {
        "epochs": draw(st.integers(1, 10**6)),
        "lr": draw(rates),
        "drops": drops,
        "batch_size": draw(st.integers(1, 10**5)),
        "weight_decay": draw(shares),
        "momentum": draw(shares),
        "mask_lr": draw(rates),
        "seed": draw(st.integers(0, 2**63 - 1)),
        "dropout.dtd": draw(shares),
        "width.separable": draw(st.integers(1, 999)),
        "choose": f'"{draw(st.sampled_from(["best", "last"]))}"',
        "precision": draw(st.sampled_from(["float32", "bfloat16"])),
        "train_on": draw(st.sampled_from(["train", "train+val"])),
    }
    names = draw(st.lists(st.sampled_from(sorted(choices)), unique=True))
    return [f"{name}={choices[name]}" for name in names]


@given(st.sampled_from(sorted(RECIPES)), overrides())
def test_recipes_come_back(name: str, changes: list[str]) -> None:
    """A recipe through JSON is the same recipe, and so are its plans; each change is what the plan says."""
    recipe = load_recipe(name, changes)
    again = recipe_from(json.loads(json.dumps(recipe.as_dict())))
    assert again == recipe
    for phase in PHASES:
        plan = recipe.plan(phase, "dtd", "dan")
        assert plan == again.plan(phase, "dtd", "dan") == Plan.of(json.loads(json.dumps(asdict(plan))))
        for change in changes:
            key, _, value = change.partition("=")
            if key in ("epochs", "lr", "batch_size", "momentum", "mask_lr", "seed", "weight_decay"):
                assert getattr(plan, key) == pytest.approx(float(value), rel=0) or key == "seed"


@given(overrides(), st.integers(0, 10**6))
def test_the_learning_rate_never_rises(changes: list[str], epoch: int) -> None:
    plan = load_recipe("paper", changes).plan("train", "dtd")
    assert 0 < plan.learning_rate(epoch + 1) <= plan.learning_rate(epoch) <= plan.lr


names = st.text(st.characters(codec="utf-8"), max_size=12)
counts = st.integers(0, 2**63 - 1)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
rows = st.builds(
    ParameterRow, names, names, counts, bits=st.floats(0, 64, allow_subnormal=False) | st.integers(1, 64), domain=names
)


@st.composite
def results(draw: Any) -> Result:
    n_test = draw(st.integers(1, 10**6))
    return Result(
        **{name: draw(names) for name in ("domain", "system", "method", "data", "split", "backbone", "trained_on")},
        n_classes=draw(st.integers(1, 10**4)),
        n_test=n_test,
        n_correct=draw(st.integers(0, n_test)),
        width=draw(st.integers(1, 512)),
        seed=draw(counts),
        options=draw(st.dictionaries(names, plain, max_size=3)),
        recipe=draw(st.dictionaries(names, plain, max_size=3)),
        cost=Cost(draw(st.floats(0, 1e9)), draw(counts), draw(counts), draw(names)),
        parameters=tuple(draw(st.lists(rows, max_size=3))),
        multiply_adds=draw(st.none() | counts),
        input_size=draw(st.none() | st.tuples(counts, counts)),
        versions=draw(st.dictionaries(names, names, max_size=2)),
        notes=tuple(draw(st.lists(names, max_size=2))),
    )


@given(results(), st.data())
def test_results_come_back_and_a_changed_bit_is_told(folders: Iterator[Path], result: Result, data: Any) -> None:
    folder = next(folders)
    write_result(folder, result)
    assert read_result(folder) == result
    path = folder / "results.json"
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    with pytest.raises(ResultError, match="it is not what was written"):
        read_result(folder)


@given(st.dictionaries(st.integers(-(2**62), 2**62), st.integers(0, 9), max_size=9))
def test_predictions_come_back(folders: Iterator[Path], predictions: dict[int, int]) -> None:
    folder = next(folders)
    write_predictions(folder, list(predictions), list(predictions.values()), n_classes=10)
    assert read_predictions(folder, 10) == predictions


@given(
    st.dictionaries(st.integers(0, 2**40), st.tuples(st.sampled_from(sorted(DOMAINS)), st.integers(0, 1)), max_size=9)
)
def test_submissions_come_back(folders: Iterator[Path], labels: dict[int, tuple[str, int]]) -> None:
    path = next(folders) / "submission.json"
    by_domain: dict[str, dict[int, int]] = {}
    for image, (domain, label) in labels.items():
        by_domain.setdefault(domain, {})[image] = label
    write_submission(path, by_domain)
    assert read_submission(path) == {image: category_id(domain, label) for image, (domain, label) in labels.items()}


@given(st.sampled_from(sorted(DOMAINS)), st.integers(1, 10**5), st.data())
def test_points_rise_with_every_image_that_is_right(domain: str, n_test: int, data: Any) -> None:
    """Never falling, 0 at the error that earns nothing and beyond, 1000 without an error."""
    n_correct = data.draw(st.integers(0, n_test - 1))
    fewer, more = (float(points(domain, 1 - n / n_test)) for n in (n_correct, n_correct + 1))
    assert 0 <= fewer <= more <= 1000
    assert fewer < more or 1 - (n_correct + 1) / n_test >= official_domain(domain).max_error - 1e-9
    assert float(points(domain, 0)) == 1000 and float(points(domain, official_domain(domain).max_error)) == 0
    low, high = wilson(n_correct, n_test)
    assert low <= n_correct / n_test <= high and wilson(n_correct + 1, n_test) >= (low, high)


@st.composite
def counted(draw: Any) -> dict[str, tuple[int, int]]:
    chosen = draw(st.lists(st.sampled_from(sorted(DOMAINS)), min_size=1, unique=True))
    n_test = {domain: draw(st.integers(1, 3000)) for domain in chosen}
    return {domain: (draw(st.integers(0, n)), n) for domain, n in n_test.items()}


@given(counted())
def test_the_score_is_a_sum_within_its_bounds(counts: dict[str, tuple[int, int]]) -> None:
    """In any order of the domains; one more right image in any of them never lowers it."""
    score = decathlon_score(counts, n_draws=100)
    by_hand = sum(
        1000 * max(0.0, official_domain(d).max_error - (1 - right / n)) ** 2 / official_domain(d).max_error ** 2
        for d, (right, n) in counts.items()
    )
    assert score.total == pytest.approx(by_hand, abs=1e-6)
    assert 0 <= score.low <= score.total <= score.high <= 1000 * len(counts)
    assert decathlon_score(dict(reversed(counts.items())), n_draws=100) == score
    for domain, (right, n) in counts.items():
        if right < n:
            assert decathlon_score({**counts, domain: (right + 1, n)}, n_draws=100).total >= score.total


pictures = st.lists(
    st.tuples(st.integers(1, 6), st.integers(1, 6)).flatmap(lambda size: arrays.arrays(np.uint8, (*size, 3))),
    min_size=1,
    max_size=5,
)


@given(pictures, st.data())
def test_decoded_images_come_back_and_a_changed_bit_is_told(
    folders: Iterator[Path], images: list[np.ndarray], data: Any
) -> None:
    path = next(folders) / "x.pixels"
    write_decoded(path, images)
    found = read_decoded(path, len(images))
    assert found is not None
    pixels, sizes = found
    assert sizes.tolist() == [list(image.shape[:2]) for image in images]
    np.testing.assert_array_equal(pixels, np.concatenate([image.ravel() for image in images]))
    assert read_decoded(path, len(images) + 1) is None
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    assert read_decoded(path, len(images)) is None
    assume(len(images) > 1)
    path.write_bytes(path.read_bytes()[: -data.draw(st.integers(1, len(content) - 1))])
    assert read_decoded(path, len(images)) is None
