"""The images of each unit's mask and of each concept, and histograms: found by the engine, kept, and read again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from broden_writer import random_pictures, write_broden
from brute_force import exact_masks, read_broden
from comparing import Chosen, engine

import dissect
from data_prep.broden import open_broden
from data_prep.common.errors import UserError
from dissect import histograms
from dissect.histograms import EDGES, N_SIDE, sampled_images
from dissect.image_areas import Lists
from dissect.run_files import RunFolderError, read_arrays, write_arrays
from dissect.run_store import open_run
from dissect.settings import Settings

N_IMAGES = 23
CATEGORIES = {"scene": [9, 4], "part": [3, 5], "object": [3, 4, 258]}
SHAPES = [(9, 4, 6), (5, 3, 3)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pictures = random_pictures(np.random.default_rng(5), CATEGORIES, [(12, 16), (9, 7)], N_IMAGES)
    return write_broden(tmp_path_factory.mktemp("sets") / "responses", CATEGORIES, pictures)


@pytest.fixture(scope="module")
def maps() -> dict[str, np.ndarray]:
    """Values of every size, zeros of both signs, and values on the edges of bins."""
    rng = np.random.default_rng(6)
    drawn = {}
    for k, shape in enumerate(SHAPES):
        values = rng.standard_normal((N_IMAGES, *shape)) * 2.0 ** rng.integers(-25, 25, (N_IMAGES, shape[0], 1, 1))
        on_edges = rng.choice(np.append(EDGES, [0.0, -0.0]), values.shape)
        drawn[f"layer{k}"] = np.where(rng.random(values.shape) < 0.3, on_edges, values).astype(np.float32)
    return drawn


def as_rows(lists: Lists) -> list[dict[int, int]]:
    """Of each unit or concept, its area on each image."""
    parts = [slice(*pair) for pair in zip(lists.start[:-1], lists.start[1:], strict=True)]
    assert all((np.diff(lists.image[part]) > 0).all() for part in parts)
    return [dict(zip(lists.image[part].tolist(), lists.area[part].tolist(), strict=True)) for part in parts]


@pytest.mark.parametrize("order", ["as they are", "shuffled"])
@pytest.mark.parametrize(
    "execution", [{"batch_size": 5}, {"workers": 3, "batch_size": 2, "checkpoint_every": 0, "memory": 1e-4, "spill": 0}]
)
def test_the_images_of_masks_and_concepts(
    root: Path, maps: dict[str, np.ndarray], tmp_path: Path, execution: dict[str, float], order: str
) -> None:
    numbers = np.arange(N_IMAGES) if order == "as they are" else np.random.default_rng(0).permutation(N_IMAGES)
    data, broden = open_broden(root), read_broden(root)
    result = engine(
        maps, Chosen(data, numbers), tmp_path, settings=Settings(quantile=0.9, union="touched"), **execution
    )
    thresholds = np.split(result.threshold, [SHAPES[0][0]])
    masks, concepts = [], []
    for number in numbers.tolist():
        image = broden.images[number]
        each = [exact_masks(m[number], t, *image.shape) for m, t in zip(maps.values(), thresholds, strict=True)]
        masks.append(np.concatenate(each).sum((1, 2)))
        where = broden.dense_labels(image)
        concepts.append([where[c].sum() if c in where else 0 for c in range(len(broden.concepts))])
    for found, dense in ((result.unit_images, np.array(masks)), (result.concept_images, np.array(concepts))):
        assert as_rows(found) == [{i: n for i, n in enumerate(column) if n} for column in dense.T.tolist()]


def expected_histogram(values: np.ndarray) -> list[int]:
    """By numpy, one sign at a time: a bin holds its edge nearer to zero."""
    magnitude = np.append(0, EDGES[N_SIDE + 1 :]).astype(np.float64)
    magnitude[-1] *= 2
    above, below = (np.histogram(side, magnitude)[0] for side in (values[values >= 0], -values[values < 0]))
    return [*below[:0:-1].tolist(), int(above[0] + below[0]), *above[1:].tolist()]


@pytest.mark.parametrize("most", [512, 9])
@pytest.mark.parametrize("memory_format", ["channels", "positions"])
def test_histograms(
    root: Path,
    maps: dict[str, np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    most: int,
    memory_format: str,
) -> None:
    monkeypatch.setattr(histograms, "MOST_IMAGES", most)
    data = open_broden(root)
    given = {
        name: m if memory_format == "channels" else np.moveaxis(np.moveaxis(m, 1, -1).copy(), -1, 1)
        for name, m in maps.items()
    }
    result = engine(given, data, tmp_path, batch_size=4, checkpoint_every=0)
    sampled = sampled_images([image.name for image in data.images])
    assert sampled.sum() == min(most, N_IMAGES)
    expected = [
        expected_histogram(m[sampled, unit].astype(np.float64)) for m in maps.values() for unit in range(m.shape[1])
    ]
    np.testing.assert_array_equal(result.histogram, expected)
    assert result.histogram.dtype == np.int64 and result.histogram.shape[1] == len(EDGES) - 1


def test_the_sample_goes_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histograms, "MOST_IMAGES", 9)
    names = [f"{n}.png" for n in range(40)]
    chosen = {name for name, is_in in zip(names, sampled_images(names), strict=True) if is_in}
    assert len(chosen) == 9 and chosen != set(names[:9])
    assert {name for name, is_in in zip(names[::-1], sampled_images(names[::-1]), strict=True) if is_in} == chosen


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> dissect.Run:
    """Two networks on a part of the embedded set, whose labels name two concepts alike."""
    root = tmp_path_factory.mktemp("sets") / "two"
    pictures = random_pictures(np.random.default_rng(5), CATEGORIES, [(12, 16), (9, 7)], N_IMAGES)
    data = open_broden(write_broden(root, CATEGORIES, pictures))
    from comparing import look_up_network

    rng = np.random.default_rng(3)
    networks = []
    for name in ("one", "two"):
        network = look_up_network({"layer": rng.standard_normal((N_IMAGES, 4, 3, 3)).astype(np.float32)})
        networks.append(dissect.Network(**{**vars(network), "name": name}))
    settings = Settings(quantile=0.9, folds=3, min_images=1, strongest=2, null=2)
    return dissect.run(networks, data, layers="*", out=root.parent / "out", settings=settings)


def test_what_a_run_says(finished: dissect.Run) -> None:
    of_scene = finished.images_with("label-9")
    assert list(of_scene) == ["image", "name", "area"]
    concept = finished.concepts.set_index(["category", "label"]).loc["scene", "label-9"]
    assert (len(of_scene), of_scene["area"].sum()) == (concept["n_images"], concept["concept_area"]) and len(
        of_scene
    ) > 3
    assert of_scene["name"].tolist() == finished.images["name"].iloc[of_scene["image"]].tolist()
    of_unit = finished.images_of("two", "layer", 2)
    strongest = finished.strongest_masks("two")
    assert list(of_unit) == ["image", "name", "mask_area"]
    area = of_unit.set_index("image")["mask_area"]
    for rank in range(2):
        assert area[strongest.image[2, rank]] == strongest.mask(2, rank).sum()
    edges, counts = finished.histograms("one")
    assert edges.tobytes() == EDGES.tobytes() and (counts.sum(1) == N_IMAGES * 9).all()
    null = finished.null_score("one")
    assert null is not None and null.shape == (2, 4) and (null > 0).all()


def test_what_a_run_cannot_say(finished: dissect.Run) -> None:
    with pytest.raises(UserError, match="label-3 is a label of several categories: set `category` to part or object"):
        finished.images_with("label-3")
    assert len(finished.images_with("label-3", "part")) != len(finished.images_with("label-3", "object"))
    with pytest.raises(UserError, match="label-258"):
        finished.images_with("label-25")
    with pytest.raises(UserError, match="scene"):
        finished.images_with("label-9", "object")
    with pytest.raises(UserError, match="no unit 4"):
        finished.images_of("one", "layer", 4)
    with pytest.raises(UserError, match="three"):
        finished.histograms("three")


@pytest.mark.parametrize(
    ("name", "array", "change", "says"),
    [
        ("responses/one", "start", lambda a: a + 1, "start does not part image"),
        ("responses/one", "start", lambda a: a[:-1], "start has shape"),
        ("responses/one", "image", lambda a: a + 1000, "images.csv has rows 0 to 22"),
        ("responses/one", "image", lambda a: np.zeros_like(a), "does not rise"),
        ("responses/one", "mask_area", lambda a: a * 0, "an area is 0"),
        ("responses/one", "mask_area", lambda a: a[1:], "start does not part"),
        ("responses/one", "histogram", lambda a: a[:, 1:], "histogram has shape"),
        ("responses/one", "histogram", lambda a: a - 1, "counts below 0"),
        ("responses/one", "edges", lambda a: a[::-1], "edges do not rise"),
        ("concept_images", "start", lambda a: a[::-1], "start does not part image"),
        ("concept_images", "area", lambda a: a.astype(np.float64), "area holds float64"),
        ("counts/one", "null_score", lambda a: a[1:], "null_score has shape"),
        ("counts/one", "null_score", lambda a: a * np.nan, "no finite number"),
    ],
)
def test_damaged_arrays_are_told(
    finished: dissect.Run, tmp_path: Path, name: str, array: str, change, says: str
) -> None:
    arrays = read_arrays(finished.path / f"{name}.npz")
    for path in finished.path.rglob("*"):
        target = tmp_path / path.relative_to(finished.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            target.write_bytes(path.read_bytes())
    run = open_run(tmp_path)
    write_arrays(tmp_path / f"{name}.npz", arrays | {array: change(arrays[array])})
    with pytest.raises(RunFolderError, match=says):
        run.histograms("one"), run.images_with("label-9"), run.null_score("one")
