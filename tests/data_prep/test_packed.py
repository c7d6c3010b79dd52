"""Packed labels: those of the files, of the files as they are now, and of nothing else."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_prep import broden
from data_prep.broden import Broden, open_broden
from data_prep.common.errors import UserError
from data_prep.formats import BadImageError, Concept, ImageLabels, ImageRecord
from data_prep.packed import Packed, pack
from dissect.images import ImageReader, LabelCache


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DISSECT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(broden, "LEAST_PACKED", 0)
    return tmp_path / "cache" / "labels"


def packed_of(data: Broden) -> Packed:
    found = data.packed()
    assert found is not None
    return found


def assert_same(found: ImageLabels | None, expected: ImageLabels) -> None:
    assert found is not None
    for name in ("planes", "plane_category", "whole_image"):
        mine, theirs = getattr(found, name), getattr(expected, name)
        assert mine.dtype == theirs.dtype and mine.shape == theirs.shape and np.array_equal(mine, theirs)


def assert_all_the_same(data: Broden) -> None:
    found = packed_of(data)
    for n in range(len(data.images)):
        assert_same(found.read(n), data.read_labels(n))
        assert found.digest(n).tobytes() == data.read_labels(n).digest()


@pytest.mark.parametrize("categories", [None, ["part", "object"], ["scene"]])
@pytest.mark.parametrize("split", [None, "train"])
def test_packed_labels_are_those_of_the_files(
    tiny_broden: Path, split: str | None, categories: list[str] | None
) -> None:
    data = open_broden(tiny_broden, split, categories)
    assert_all_the_same(data)  # packed
    assert_all_the_same(data)  # opened


class Noise:
    """One image of two planes, with long runs, noise and large numbers."""

    name, image_root, categories = "noise", Path(), ("a", "b")

    def __init__(self, n_concepts: int) -> None:
        self.concepts = [Concept(n, str(n), "a") for n in range(n_concepts)]
        self.images = [ImageRecord("x", Path("x"), "train", (300, 500))]
        planes = np.full((2, 300, 500), -1, np.int32)
        planes[1, 150:] = np.random.default_rng(0).integers(-1, n_concepts, (150, 500))
        planes[0, 0, 0] = n_concepts - 1
        self.labels = ImageLabels(planes, np.array([0, 1], np.int32), np.array([n_concepts - 1, 0], np.int32))

    def read_labels(self, index: int) -> ImageLabels:
        return self.labels

    def fingerprint(self) -> str:
        return "one"


@pytest.mark.parametrize("n_concepts", [1, 2**16 - 1, 2**16])
def test_any_labels_come_back(tmp_path: Path, n_concepts: int) -> None:
    data = Noise(n_concepts)
    found = pack(tmp_path / "noise.labels", data)
    assert found is not None
    assert_same(found.read(0), data.labels)


@pytest.mark.parametrize("damage", ["missing", "damaged", "small", "number"])
def test_an_image_that_cannot_be_used_gives_the_error_of_its_files(tiny_broden: Path, damage: str) -> None:
    file = tiny_broden / "images/a/two_color.png"
    if damage == "missing":
        file.unlink()
    elif damage == "damaged":
        file.write_bytes(file.read_bytes()[:40])
    else:
        pixels = np.full((3, 3, 3) if damage == "small" else (6, 10, 3), 0, np.uint8)
        pixels[..., 0] = 9
        Image.fromarray(pixels).save(file)
    data = open_broden(tiny_broden)
    with pytest.raises(BadImageError) as from_files:
        data.read_labels(1)
    labels = LabelCache(data)
    labels._whole_set = found = packed_of(data)
    assert found.n_unusable == 1 and found.read(1) is None and found.digest(1) is None
    for ask in (labels.read, labels.__getitem__):
        with pytest.raises(BadImageError) as said:
            ask(1)
        assert str(said.value) == str(from_files.value)
    assert_same(labels[0], data.read_labels(0))


def test_a_changed_map_is_packed_again_and_told(
    tiny_broden: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = packed_of(open_broden(tiny_broden)).read(1)
    pixels = np.zeros((6, 10, 3), np.uint8)
    pixels[..., 0] = 2
    Image.fromarray(pixels).save(tiny_broden / "images/a/two_color.png")
    with caplog.at_level(logging.WARNING):
        assert_all_the_same(open_broden(tiny_broden))
    assert "is stale, as files of the set have changed" in caplog.text
    assert not np.array_equal(before.planes, packed_of(open_broden(tiny_broden)).read(1).planes)
    assert len(list(cache.iterdir())) == 1


def test_a_damaged_file_is_made_again_and_told(tiny_broden: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = open_broden(tiny_broden)
    file = packed_of(data).path
    whole = file.read_bytes()
    for n in (0, 40, len(whole) // 2, len(whole) - 33, len(whole) - 1):
        file.write_bytes(whole[:n] + bytes([whole[n] ^ 1]) + whole[n + 1 :])
        caplog.clear()
        assert_all_the_same(data)
        assert "is damaged" in caplog.text and file.read_bytes() == whole
    for n in (0, 1, 31, 32, 60, len(whole) - 1):
        file.write_bytes(whole[:n])
        assert_all_the_same(data)


def test_a_set_that_changes_while_it_is_packed_is_not_kept(tiny_broden: Path, cache: Path) -> None:
    data = open_broden(tiny_broden)

    def change(stage: str, done: int, total: int) -> None:
        (tiny_broden / "images/a/one_part.png").write_bytes(b"other")

    assert pack(data.packed_file(), data, change) is None
    assert list(cache.iterdir()) == []


def test_an_interruption_leaves_nothing(tiny_broden: Path, cache: Path) -> None:
    data = open_broden(tiny_broden)

    def interrupt(stage: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(data.packed_file(), data, interrupt)
    assert list(cache.iterdir()) == []


def test_without_a_folder_to_keep_them_in_labels_come_from_the_files(tiny_broden: Path, cache: Path) -> None:
    cache.parent.write_text("a file where the folder should be")
    data = open_broden(tiny_broden)
    assert data.packed() is None
    with pytest.raises(UserError, match="cannot hold packed labels"):
        pack(data.packed_file(), data)


def test_small_sets_are_packed_only_when_asked(tiny_broden: Path, cache: Path, said, monkeypatch) -> None:
    monkeypatch.setattr(broden, "LEAST_PACKED", 5)
    assert open_broden(tiny_broden).packed() is None and not cache.exists()
    status, out, _ = said("pack", tiny_broden)
    assert status == 0 and "labels of 4 images, 0.0 MB, packed in" in out
    assert "were packed before" in said("pack", tiny_broden)[1]
    assert_all_the_same(open_broden(tiny_broden))
    assert "labels" in said("cache")[1]
    said("cache", "--clear", "labels")
    assert not cache.exists()


def test_part_of_a_set_leaves_the_whole_one_s_file_alone(tiny_broden: Path, cache: Path, caplog) -> None:
    whole, part = open_broden(tiny_broden), open_broden(tiny_broden)
    part.rows, part.images = part.rows[:3], part.images[:3]
    assert len(packed_of(whole)) == len(whole.images) and len(packed_of(part)) == 3
    assert_all_the_same(whole)
    assert "stale" not in caplog.text


def test_readers_record_the_same_digests(tiny_broden: Path) -> None:
    data = open_broden(tiny_broden)
    digests = []
    for found in (None, packed_of(data)):
        labels = LabelCache(data)
        labels._whole_set = found
        reader = ImageReader(data, (8, 8), batch_size=3, workers=2, on_bad_image="fail", label_cache=labels)
        with reader:
            assert sum(len(numbers) for numbers, _ in reader.batches()) == 4
        digests.append(reader.digests)
    assert digests[0].any(axis=1).all() and np.array_equal(*digests)


@pytest.mark.slow
def test_packed_labels_of_real_images(broden_real: Path) -> None:
    assert_all_the_same(open_broden(broden_real))
