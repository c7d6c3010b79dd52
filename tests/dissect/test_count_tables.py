"""The tally on several threads, in memory and in a file, saved and restored: against dense masks, bit for bit."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from brute_force import exact_masks

from data_prep.common.errors import UserError
from data_prep.common.processes import ALONE
from data_prep.formats import Concept, ImageLabels, ImageRecord
from dissect import count_tables, parallel_tally
from dissect.candidates import Maps
from dissect.count_tables import NARROW, WIDE, CountTables
from dissect.distributed import pooled_areas
from dissect.image_areas import ImageAreas
from dissect.images import LabelCache
from dissect.layers import Layer
from dissect.layouts import Layout
from dissect.mask_recorder import MaskRecorder
from dissect.parallel_tally import ParallelTally, TallyTask, own_labels
from dissect.room import Room
from dissect.run_store import StrongestMasks
from dissect.scores import Counts
from dissect.settings import UnionRule
from dissect.strongest import StrongestImages
from dissect.tally import flatten
from dissect.upsample import Geometry

N_IMAGES = 24
CATEGORY = [0, 0, 0, 1, 1, 2, 2]
LABEL_SHAPES = ((12, 10), (9, 16))
SHAPES = ((7, 4, 4), (5, 3, 5))
NAMES = Counts._fields


class MadeUp:
    """Concepts 0 to 2 in two planes, 3 and 4 in one, 5 and 6 for whole images; some planes are missing."""

    def __init__(self) -> None:
        self.name, self.image_root, self.categories = "made up", Path(), ["object", "color", "scene"]
        self.concepts = [Concept(n, str(n), self.categories[k]) for n, k in enumerate(CATEGORY)]
        self.images = [ImageRecord(str(n), Path(str(n)), "train", LABEL_SHAPES[n % 2]) for n in range(N_IMAGES)]

    def read_labels(self, index: int) -> ImageLabels:
        rng = np.random.default_rng(index)
        planes = rng.integers(-1, 3, (3, *LABEL_SHAPES[index % 2])).astype(np.int32)
        planes[2] = np.where(planes[2] > 0, planes[2] + 2, -1)
        there = np.flatnonzero(rng.random(3) < 0.8)
        whole = np.flatnonzero(rng.random(2) < 0.4) + 5
        return ImageLabels(planes[there], np.array([0, 0, 1], np.int32)[there], whole.astype(np.int32))

    def fingerprint(self) -> str:
        return ""


DATA = MadeUp()
LAYERS = [
    Layer(module=f"{k}", operator="conv", label=f"{k}", layout=Layout(shape=shape)) for k, shape in enumerate(SHAPES)
]
MAPS = [
    np.random.default_rng(k).standard_normal((N_IMAGES, *shape)).astype(np.float32) for k, shape in enumerate(SHAPES)
]
THRESHOLDS = [np.linspace(0.3, 2, shape[0], dtype=np.float32) for shape in SHAPES]


def batch_of(images: np.ndarray) -> dict[int, Maps]:
    batch = {}
    for k, maps in enumerate(MAPS):
        peaks = maps[images].max((2, 3))
        which, units = np.nonzero(peaks > THRESHOLDS[k])
        of = images[which].astype(np.int32)
        batch[k] = Maps(of, units.astype(np.int32), peaks[which, units], maps[images][which, units])
    return batch


def recorder() -> MaskRecorder:
    strongest = [StrongestImages(shape[0], 4) for shape in SHAPES]
    for of_layer, maps in zip(strongest, MAPS, strict=True):
        of_layer.add(maps.max((2, 3)), np.arange(N_IMAGES))
    return MaskRecorder.of(strongest, THRESHOLDS)


def new(
    folder: Path, *, union: UnionRule = "category", n_folds: int = 1, workers: int = 2, memory: int = 2**20
) -> ParallelTally:
    room = Room(folder, memory)
    task = TallyTask(
        layers=LAYERS, data=DATA, union=union, geometry=Geometry([shape[1:] for shape in SHAPES]), thresholds=THRESHOLDS,
        labels=LabelCache(DATA), workers=workers, room=room,
    )  # fmt: skip
    areas = ImageAreas(n_images=N_IMAGES, n_rows=N_IMAGES, n_units=12, room=room)
    return ParallelTally(task, pairing=own_labels(np.arange(N_IMAGES) * 7 % n_folds), masks=recorder(), areas=areas)


def count(tally: ParallelTally, images: np.ndarray, batch_size: int = 5) -> None:
    for start in range(0, len(images), batch_size):
        some = images[start : start + batch_size]
        tally.add(some, batch_of(some))


def masks_of(image: int) -> np.ndarray:
    """(U, H, W) bool, of all layers."""
    shape = LABEL_SHAPES[image % 2]
    return np.concatenate(
        [exact_masks(maps[image], bound, *shape) for maps, bound in zip(MAPS, THRESHOLDS, strict=True)]
    )


def dense(images: np.ndarray, union: UnionRule) -> list[np.ndarray]:
    """The tables of some images, pixel by pixel."""
    n_units, category = sum(shape[0] for shape in SHAPES), np.array(CATEGORY)
    counts = [np.zeros(shape, np.int64) for shape in ((n_units, 7), (n_units, 3), 7, 7, 3)]
    for image in images.tolist():
        labels, masks = DATA.read_labels(image), masks_of(image)
        where = np.stack([(labels.planes == c).any(0) | (c in labels.whole_image) for c in range(7)])
        met = (masks[:, None] & where).sum((2, 3))
        of_category = [met[:, category == k].any(1) for k in range(3)]
        annotated = [np.full(n_units, where[category == k].any()) for k in range(3)]
        counts_in = {"touched": of_category, "category": annotated, "all-images": [np.ones(n_units, bool)] * 3}[union]
        areas = masks.sum((1, 2))[:, None] * np.stack(counts_in, 1), where.sum((1, 2)), where.any((1, 2))
        pixels = where[0].size * np.array([union == "all-images" or where[category == k].any() for k in range(3)])
        for table, part in zip(counts, (met, *areas, pixels), strict=True):
            table += part
    return counts


def same(tally: Any, expected: list[np.ndarray]) -> None:
    for name, table in zip(NAMES, expected, strict=True):
        found = getattr(tally, name)
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, table)


@pytest.fixture(autouse=True)
def threads_for_few_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel_tally, "LEAST_MAPS", 2)


def check_all(tally: ParallelTally, union: UnionRule, n_folds: int) -> None:
    fold_of, images = np.arange(N_IMAGES) * 7 % n_folds, np.arange(N_IMAGES)
    same(tally.total(), dense(images, union))
    assert len(tally.folds().n_images) == n_folds
    for number, fold in enumerate(zip(*tally.folds(), strict=True)):
        same(Counts(*fold), dense(images[fold_of == number], union))
    kept = StrongestMasks(**tally.masks.arrays())
    for row, rank in np.argwhere(kept.image >= 0).tolist():
        np.testing.assert_array_equal(kept.mask(row, rank), masks_of(int(kept.image[row, rank]))[row])
    assert (kept.image >= 0).sum() > 30
    check_areas(tally)


def check_areas(tally: ParallelTally) -> None:
    """The images of each mask and of each concept, one by one."""
    of_units, of_concepts = pooled_areas(tally.areas, 7, ALONE)
    areas = np.stack([masks_of(image).sum((1, 2)) for image in range(N_IMAGES)], 1)
    labels = [DATA.read_labels(image) for image in range(N_IMAGES)]
    where = [[(each.planes == c).any(0) | (c in each.whole_image) for each in labels] for c in range(7)]
    of_each = np.array([[pixels.sum() for pixels in row] for row in where])
    for lists, dense_areas in ((of_units, areas), (of_concepts, of_each)):
        assert (lists.start.dtype, lists.image.dtype, lists.area.dtype) == (np.int64, np.int32, np.int64)
        for n, row in enumerate(dense_areas):
            mine = slice(*lists.start[n : n + 2])
            assert lists.image[mine].tolist() == np.flatnonzero(row).tolist()
            assert lists.area[mine].tolist() == row[row > 0].tolist()


@pytest.mark.parametrize("memory", [2**20, 0])
@pytest.mark.parametrize("n_folds", [1, 10])
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_counts_are_those_of_dense_masks(tmp_path: Path, workers: int, n_folds: int, memory: int) -> None:
    with new(tmp_path, workers=workers, n_folds=n_folds, memory=memory) as tally:
        count(tally, np.arange(N_IMAGES))
    check_all(tally, "category", n_folds)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("union", ["category", "all-images", "touched"])
@pytest.mark.parametrize("memory", [2**20, 0])
def test_wider_numbers_in_the_middle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: int, union: UnionRule
) -> None:
    monkeypatch.setattr(count_tables, "MOST_PIXELS", 700)
    kinds = []
    with new(tmp_path, union=union, n_folds=2, memory=memory) as tally:
        for images in np.array_split(np.arange(N_IMAGES), 8):
            count(tally, images)
            kinds.append(tally.state()["intersection_area"].dtype)
    assert (kinds[0], kinds[-1]) == (NARROW, WIDE)
    check_all(tally, union, 2)


@pytest.mark.parametrize("memory", [2**20, 0])
def test_a_table_is_widened_before_it_overflows(tmp_path: Path, memory: int) -> None:
    tables = CountTables(n_folds=2, n_units=3, n_concepts=1, n_categories=1, room=Room(tmp_path, memory))
    tables.add_labels(0, 2**32 - 1, np.array([2**32 - 1]), np.array([True]))
    tables.add_labels(1, 5, np.array([5]), np.array([False]))
    tables.intersection_area[0] = 2**32 - 1
    assert tables.intersection_area.dtype == NARROW and tables.intersection_area.max() == 2**32 - 1
    tables.add_labels(0, 1, np.array([1]), np.array([True]))
    tables.intersection_area[0] += 1
    assert tables.total().intersection_area.tolist() == [[2**32]] * 3
    assert tables.folds().concept_area.tolist() == [[2**32], [5]]
    assert tables.folds().annotated_area.tolist() == [[2**32], [0]]


@pytest.mark.parametrize("n_folds", [1, 4])
@pytest.mark.parametrize(("before", "after"), [((5, 2**20), (1, 0)), ((1, 0), (2, 2**20))])
def test_saved_in_the_middle_and_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: tuple[int, int], after: tuple[int, int], n_folds: int
) -> None:
    monkeypatch.setattr(count_tables, "MOST_PIXELS", 400)  # so that one side is wide, the other not yet
    file = io.BytesIO()
    with new(tmp_path, n_folds=n_folds, workers=before[0], memory=before[1]) as tally:
        count(tally, np.arange(10), 3)
        np.savez(file, **tally.state())
        count(tally, np.arange(10, 17), 3)  # lost
    file.seek(0)
    with new(tmp_path, n_folds=n_folds, workers=after[0], memory=after[1]) as tally:
        tally.restore(dict(np.load(file, allow_pickle=False)))
        assert tally.images == list(range(10))
        count(tally, np.arange(10, N_IMAGES), 4)
    check_all(tally, "category", n_folds)
    with new(tmp_path, n_folds=n_folds) as whole:
        count(whole, np.arange(N_IMAGES))
    whole.folds()  # which widens its numbers
    state, expected = tally.state() | tally.masks.arrays(), whole.state() | whole.masks.arrays()
    for name in state.keys() - {"mask_places"}:  # masks in the order drawn
        assert state[name].tobytes() == expected[name].tobytes()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("intersection_area", lambda a: a[:, :-1]),
        ("intersection_area", lambda a: a.astype(np.float64)),
        ("concept_area", lambda a: a.astype(np.int32)),
        ("n_pixels", lambda a: a[:0]),
        ("images", lambda a: np.append(a, a[0])),
        ("images", lambda a: np.append(a, N_IMAGES)),
        ("images", lambda a: a.astype(np.float64)),
        ("counted_with", lambda a: np.array("other")),
        ("mask_images", lambda a: a + 1),
        ("mask_places", lambda a: a + np.array([1000, 0, 0, 0])),
        ("mask_places", lambda a: -a),
        ("mask_places", lambda a: a[:, :3]),
        ("mask_bits", lambda a: a[1:]),
        ("mask_area", None),
        ("image_mask_area", lambda a: a[:-1]),
        ("image_mask_area", lambda a: a.astype(np.int64)),
        ("image_concept_area", lambda a: a[:, :2]),
        ("image_concept_area", lambda a: a + np.array([1, 0, 0])),
    ],
)
def test_what_cannot_be_restored_changes_nothing(tmp_path: Path, name: str, change: Any) -> None:
    with new(tmp_path) as tally:
        count(tally, np.arange(N_IMAGES))
    saved = tally.state()
    broken = {key: array for key, array in saved.items() if key != name}
    if change is not None:
        broken[name] = change(saved[name])
    other = new(tmp_path)
    count(other, np.arange(3))
    before = {key: array.copy() for key, array in other.state().items()}
    with pytest.raises((ValueError, KeyError)):
        other.restore(broken)
    for key, array in other.state().items():
        np.testing.assert_array_equal(array, before[key], key)
    other.restore(saved)
    check_all(other, "category", 1)


def test_the_state_of_other_folds_or_thresholds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="counted with other thresholds"):
        new(tmp_path, n_folds=2).restore(new(tmp_path, n_folds=3).state())
    with pytest.raises(ValueError, match="counted with other thresholds"):
        new(tmp_path, union="touched").restore(new(tmp_path).state())


def test_results_are_no_copies(tmp_path: Path) -> None:
    with new(tmp_path) as tally:
        count(tally, np.arange(N_IMAGES))
    for total, by_fold, table in zip(tally.total(), tally.folds(), tally.folds(), strict=True):
        assert np.shares_memory(total, by_fold) and by_fold is table


def test_no_room_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(UserError, match=r"The counts.* take 0\.01 GiB.*free some disk, or raise `memory`"):
        Room(tmp_path, 0).zeros((2**20, 3), np.dtype(np.uint32), "The counts")
    with pytest.raises(UserError, match=r"The areas of the masks of 12 units on 24 images take.*no room for them"):
        new(tmp_path, n_folds=2, memory=0)
    assert not list(tmp_path.iterdir())


def test_labels_of_a_concept_that_there_is_not() -> None:
    labels = ImageLabels(np.full((1, 2, 2), 7, np.int32), np.zeros(1, np.int32), np.zeros(0, np.int32))
    with pytest.raises(ValueError, match="holds concept 7, but the set has 7"):
        flatten(labels, np.array(CATEGORY), 3)
