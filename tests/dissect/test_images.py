"""Reading images: every kind of file, what is left out, and that threads and batches do not matter."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_prep.broden import open_broden
from data_prep.common.errors import UserError
from data_prep.formats import BadImageError, ImageLabels, ImageRecord
from dissect.images import ImageReader, LabelCache, check_usable, read_image

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (6, 4, 3), dtype=np.uint8)


class Labels:
    """A set of images whose labels are made up; counts how often each is read."""

    name, categories, concepts = "made up", ("object",), ()

    def __init__(self, folder: Path, n_images: int = 7, bad: tuple[int, ...] = ()) -> None:
        self.image_root, self.bad = folder, bad
        self.reads = [0] * n_images
        self.threads: set[str] = set()
        self.images = [ImageRecord(f"{n}.png", folder / f"{n}.png", "train", (3, 5)) for n in range(n_images)]
        for n, record in enumerate(self.images):
            Image.fromarray(np.full((4, 4, 3), n, np.uint8)).save(record.path)

    def read_labels(self, index: int) -> ImageLabels:
        self.reads[index] += 1
        self.threads.add(threading.current_thread().name)
        if index in self.bad:
            raise BadImageError(f"Label map of {index} is bad.")
        planes = np.full((2, 3, 5), index, np.int32)
        return ImageLabels(planes, np.array([0, 0], np.int32), np.array([index], np.int32))


def reader_of(data: Labels, size: tuple[int, int] = (4, 4), **options: Any) -> ImageReader:
    return ImageReader(data, size, **{"batch_size": 32, "workers": 2, "on_bad_image": "fail"} | options)


def read_all(reader: ImageReader) -> tuple[list[int], list[int]]:
    """Numbers of the images read, and the value that each one's pixels have."""
    numbers, values = [], []
    with reader:
        for batch, pixels in reader.batches():
            assert pixels.dtype == np.uint8 and len(batch) == len(pixels) <= reader.batch_size
            numbers += batch.tolist()
            values += pixels[:, 0, 0, 0].tolist()
    return numbers, values


def refusal(path: Path) -> str:
    with pytest.raises(BadImageError) as caught:
        read_image(path, (6, 4))
    return str(caught.value)


# One file


def test_the_right_size_is_left_as_it_is(tmp_path: Path) -> None:
    Image.fromarray(COLOURS).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", (6, 4)), COLOURS)


def test_another_size_is_resized_bilinearly_without_keeping_the_aspect_ratio(tmp_path: Path) -> None:
    """Doubling puts new pixels a quarter of the way between old ones; halving averages with a triangle."""
    Image.fromarray(np.array([[0, 100]], np.uint8)).save(tmp_path / "a.png")
    read = read_image(tmp_path / "a.png", (3, 4))
    assert read.shape == (3, 4, 3)
    np.testing.assert_array_equal(read[..., 0], [[0, 25, 75, 100]] * 3)
    Image.fromarray(COLOURS).save(tmp_path / "b.png")
    expected = Image.fromarray(COLOURS).resize((2, 3), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(read_image(tmp_path / "b.png", (3, 2)), np.asarray(expected))


def test_other_modes_become_rgb(tmp_path: Path) -> None:
    grey = COLOURS[..., 0]
    for name, image in {
        "grey": Image.fromarray(grey),
        "grey and alpha": Image.merge("LA", (Image.fromarray(grey), Image.new("L", (4, 6), 7))),
        "palette": Image.fromarray(grey).convert("P"),
    }.items():
        image.save(tmp_path / f"{name}.png")
        np.testing.assert_array_equal(read_image(tmp_path / f"{name}.png", (6, 4)), np.stack([grey] * 3, 2), name)
    bits = Image.fromarray(grey > 99)
    bits.save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_image(tmp_path / "bits.png", (6, 4))[..., 1], 255 * (grey > 99))
    rgba = np.dstack([COLOURS, grey])
    Image.fromarray(rgba).save(tmp_path / "rgba.png")
    np.testing.assert_array_equal(read_image(tmp_path / "rgba.png", (6, 4)), COLOURS)
    Image.fromarray(COLOURS).convert("CMYK").save(tmp_path / "cmyk.tif")
    np.testing.assert_allclose(read_image(tmp_path / "cmyk.tif", (6, 4)).astype(int), COLOURS, atol=1)


@pytest.mark.parametrize(("kind", "mode"), [(np.uint16, "I;16"), (np.int32, "I"), (np.float32, "F")])
def test_more_than_eight_bits_are_refused(tmp_path: Path, kind: type, mode: str) -> None:
    path = tmp_path / "deep.tif"
    Image.fromarray(np.full((6, 4), 300, kind)).save(path)
    assert refusal(path) == (
        f"{path} cannot be used (it has mode {mode}, and images must have 8 bits per channel): convert it."
    )


def test_files_that_are_no_image(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    assert refusal(path) == f"{path} is missing: restore it."
    noise = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert refusal(path).startswith(f"{path} cannot be read (image file is truncated")
    for content in (b"", b"a text called .jpg\n", whole[:10]):
        path.write_bytes(content)
        sentence = refusal(path)
        assert sentence.startswith(f"{path} cannot be read (")
        assert sentence.endswith("): restore it.")
    assert refusal(tmp_path).startswith(f"{tmp_path} cannot be read (")


def test_whatever_the_reader_of_a_format_raises_is_one_bad_image(tmp_path: Path, monkeypatch) -> None:
    """Pillow's AVIF reader raises RuntimeError for a damaged file."""
    Image.fromarray(COLOURS).save(tmp_path / "a.png")

    def fail(*args: object, **options: object) -> None:
        raise RuntimeError("Failed to decode frame 0")

    monkeypatch.setattr(Image.Image, "convert", fail)
    assert "cannot be read (Failed to decode frame 0)" in refusal(tmp_path / "a.png")


def test_damaged_files_are_read_or_refused_and_nothing_else(tmp_path: Path) -> None:
    Image.fromarray(np.kron(COLOURS, np.ones((5, 5, 1), np.uint8))).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    n_refused = 0
    for n in range(120):
        damaged = bytearray(whole)
        damaged[RNG.integers(len(whole))] = RNG.integers(256)
        (tmp_path / "b.png").write_bytes(damaged[: None if n % 2 else RNG.integers(len(whole))])
        try:
            assert read_image(tmp_path / "b.png", (6, 4)).shape == (6, 4, 3)
        except BadImageError:
            n_refused += 1
    assert n_refused > 40


# Many files


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 50])
def test_workers_and_batch_size_do_not_matter(tmp_path: Path, workers: int, batch_size: int) -> None:
    data = Labels(tmp_path)
    assert read_all(reader_of(data, batch_size=batch_size, workers=workers)) == (list(range(7)), list(range(7)))
    assert data.reads == [1] * 7
    assert len(data.threads) <= workers and all(name.startswith("read") for name in data.threads)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("batch_size", [1, 2, 50])
def test_skip_leaves_out_what_is_bad_and_says_why(tmp_path: Path, workers: int, batch_size: int) -> None:
    data = Labels(tmp_path, bad=(0, 3))
    data.images[6].path.write_bytes(b"no image")
    reader = reader_of(data, batch_size=batch_size, workers=workers, on_bad_image="skip")
    assert read_all(reader) == ([1, 2, 4, 5], [1, 2, 4, 5])
    assert [number for number, _ in reader.skipped] == [0, 3, 6]
    assert reader.skipped[1][1] == "Label map of 3 is bad." and "cannot be read" in reader.skipped[2][1]
    assert reader.n_read == 7


def test_a_whole_batch_may_be_bad(tmp_path: Path) -> None:
    reader = reader_of(Labels(tmp_path, bad=(2, 3)), batch_size=2, on_bad_image="skip")
    with reader:
        assert [batch.tolist() for batch, _ in reader.batches()] == [[0, 1], [4, 5], [6]]


def test_fail_raises_the_first_in_the_set_s_order(tmp_path: Path) -> None:
    data = Labels(tmp_path, bad=(3, 5))
    with reader_of(data, batch_size=2, workers=3) as reader:
        batches = reader.batches()
        assert next(batches)[0].tolist() == [0, 1]
        with pytest.raises(BadImageError, match="Label map of 3 is bad"):
            next(batches)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read")]


def test_other_errors_are_not_skipped(tmp_path: Path) -> None:
    data = Labels(tmp_path)
    data.read_labels = lambda index: 1 // 0
    with reader_of(data, on_bad_image="skip") as reader, pytest.raises(ZeroDivisionError):
        next(reader.batches())


def test_begins_where_it_is_told(tmp_path: Path) -> None:
    data = Labels(tmp_path)
    reader = reader_of(data, batch_size=2)
    reader.n_read = 5
    assert read_all(reader) == ([5, 6], [5, 6])
    assert data.reads == [0] * 5 + [1] * 2


def test_reads_only_so_far_ahead(tmp_path: Path) -> None:
    data = Labels(tmp_path, 40)
    with reader_of(data, batch_size=3) as reader:
        next(reader.batches())
    assert 3 <= sum(data.reads) <= 3 + 2 * 3 + 2


def test_a_set_of_which_nothing_is_left() -> None:
    check_usable(1, [(0, "bad")])
    with pytest.raises(UserError) as caught:
        check_usable(0, [(4, "It is broken."), (5, "So is this.")])
    assert str(caught.value) == (
        "No image of the set can be used (2 skipped; the first: It is broken.): check it with `data-prep check`."
    )


# Labels


def test_labels_are_read_with_the_image_and_not_again(tmp_path: Path) -> None:
    data = Labels(tmp_path)
    cache = LabelCache(data)
    read_all(reader_of(data, label_cache=cache))
    read_all(reader_of(data, (2, 2), label_cache=cache))
    labels = cache[4]
    assert data.reads == [1] * 7
    assert labels.planes.shape == (2, 3, 5) and labels.planes.dtype == np.int32 and (labels.planes == 4).all()
    assert (labels.plane_category.tolist(), labels.whole_image.tolist()) == ([0, 0], [4])


def test_labels_beyond_the_ceiling_are_read_again_and_the_same(tmp_path: Path) -> None:
    data = Labels(tmp_path)
    ceiling = 80  # two planes of one value pack into a few dozen bytes
    cache = LabelCache(data, ceiling)
    for number in range(7):
        cache.read(number)
    assert data.reads == [1] * 7
    kept = [number for number in range(7) if number in cache._packed]
    assert 0 < len(kept) < 7
    assert sum(len(packed[0]) for packed in cache._packed.values()) <= ceiling
    for number in range(7):
        assert (cache[number].planes == number).all()
    assert data.reads == [1 if number in kept else 2 for number in range(7)]


def test_labels_of_a_broden_set_survive_packing(tiny_broden: Path) -> None:
    data = open_broden(tiny_broden)
    cache = LabelCache(data)
    for number in range(len(data.images)):  # the third has no label map at all
        cache.read(number)
        packed, plain = cache[number], data.read_labels(number)
        for field in ("planes", "plane_category", "whole_image"):
            np.testing.assert_array_equal(getattr(packed, field), getattr(plain, field))
        assert packed.shape == plain.shape


@pytest.mark.parametrize("on_bad_image", ["fail", "skip"])
def test_skipping_is_advised_only_where_it_was_not_asked_for(tmp_path: Path, on_bad_image: str) -> None:
    data = Labels(tmp_path, bad=())
    lost = data.images[1].path
    lost.unlink()
    with reader_of(data, on_bad_image=on_bad_image) as reader:
        if on_bad_image == "skip":
            list(reader.batches())
            assert reader.skipped == [(1, f"{lost} is missing: restore it.")]
        else:
            with pytest.raises(BadImageError) as caught:
                list(reader.batches())
            assert str(caught.value) == f"{lost} is missing: restore it, or set `on_bad_image` to skip."


def test_an_error_leaves_the_state_before_its_batch(tmp_path: Path) -> None:
    data = Labels(tmp_path, bad=())
    data.images[3].path.unlink()
    with reader_of(data, batch_size=2) as reader, pytest.raises(BadImageError):
        for numbers, _ in reader.batches():
            assert numbers.tolist() == [0, 1]
    assert reader.n_read == 2 and reader.digests[:2].any(axis=1).all()
