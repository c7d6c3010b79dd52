"""Decoding, its cache, crops, flips and order of the images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from fake_domains import FakeImages, make_images
from PIL import Image

from data_prep.common.errors import UserError
from mdl.training.feed import (
    Normalisation,
    batch_sizes,
    decode,
    input_rules,
    ordered_batches,
    resized,
    shuffled_batches,
    to_input,
)  # fmt: skip


def all_pixels(batches) -> dict[int, np.ndarray]:
    return {int(n): image for pixels, numbers in batches for n, image in zip(numbers, pixels, strict=True)}


@pytest.mark.parametrize(
    ("domain", "resize", "train_crop", "test_crop", "random"),
    [
        ("imagenet12", 72, 64, 72, True),
        ("mini-dtd", 72, 64, 72, True),
        ("gtsrb", 72, 72, 72, False),
        ("mini-omniglot", 72, 72, 72, False),
        ("svhn", 72, 72, 72, False),
        ("daimlerpedcls", (144, 72), None, None, False),
    ],
)
def test_published_rules(domain: str, resize, train_crop, test_crop, random: bool) -> None:
    rules = input_rules(domain)
    assert (rules.resize, rules.train_crop, rules.test_crop, rules.random) == (resize, train_crop, test_crop, random)
    assert not rules.flip


def test_rules_scale_with_resize() -> None:
    assert input_rules("daimlerpedcls", 36, 32).resize == (72, 36)
    assert input_rules("svhn", 36, 32).train_crop == 36
    with pytest.raises(UserError, match="Crop 40 does not fit into images resized to 36"):
        input_rules("dtd", 36, 40)


def test_resize_is_that_of_torchvision() -> None:
    transforms = pytest.importorskip("torchvision.transforms.functional")
    for height, width in ((37, 50), (80, 45), (20, 20), (9, 31)):
        image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        theirs = np.asarray(transforms.resize(Image.fromarray(image), 24))
        np.testing.assert_array_equal(resized(image, 24), theirs)


def test_centre_crop_is_that_of_torchvision() -> None:
    transforms = pytest.importorskip("torchvision.transforms.functional")
    rules = input_rules("dtd", 24, 20)
    images = make_images(n=4, size=(24, 31))
    pictures = decode(images, rules)
    ours = all_pixels(ordered_batches(pictures, rules, 3))
    for i in range(4):
        theirs = np.asarray(transforms.center_crop(Image.fromarray(images.read(i)), 24))
        np.testing.assert_array_equal(ours[i], theirs)


def test_every_image_once_in_even_batches() -> None:
    assert batch_sizes(10, 4) == [4, 3, 3]
    assert batch_sizes(8, 4) == [4, 4]
    assert batch_sizes(3, 128) == [3]
    rules = input_rules("dtd", 24, 20)
    pictures = decode(make_images(n=10), rules)
    for batches in (
        shuffled_batches(pictures, rules, batch_size=4, seed=0, epoch=0),
        ordered_batches(pictures, rules, 4),
    ):
        numbers = [n.tolist() for _, n in batches]
        assert [len(n) for n in numbers] == [4, 3, 3]
        assert sorted(n for batch in numbers for n in batch) == list(range(10))


def test_pixels_depend_on_seed_epoch_and_image_alone() -> None:
    rules = input_rules("dtd", 24, 16, flip=True)
    pictures = decode(make_images(n=12), rules)
    whole = all_pixels(shuffled_batches(pictures, rules, batch_size=5, seed=3, epoch=2))
    again = all_pixels(shuffled_batches(pictures, rules, batch_size=4, seed=3, epoch=2))
    for n in range(12):
        np.testing.assert_array_equal(whole[n], again[n])
    other_epoch = all_pixels(shuffled_batches(pictures, rules, batch_size=5, seed=3, epoch=3))
    other_seed = all_pixels(shuffled_batches(pictures, rules, batch_size=5, seed=4, epoch=2))
    assert any((whole[n] != other_epoch[n]).any() for n in range(12))
    assert any((whole[n] != other_seed[n]).any() for n in range(12))


def test_processes_share_every_batch() -> None:
    rules = input_rules("dtd", 24, 16)
    pictures = decode(make_images(n=11), rules)
    order = {"batch_size": 4, "seed": 0, "epoch": 1}
    alone = [n.tolist() for _, n in shuffled_batches(pictures, rules, **order)]
    parts = [[n.tolist() for _, n in shuffled_batches(pictures, rules, **order, share=(rank, 2))] for rank in (0, 1)]
    assert [sorted(a + b) for a, b in zip(*parts, strict=True)] == [sorted(n) for n in alone]
    tested = [n for rank in (0, 1) for _, part in ordered_batches(pictures, rules, 4, (rank, 2)) for n in part.tolist()]
    assert sorted(tested) == list(range(11))


def test_crops_and_flips_are_cut_out_of_the_image() -> None:
    """Each pixel holds its own place, so that a crop tells where it was cut and whether it was mirrored."""
    rows, columns = np.mgrid[:24, :30]
    image = np.stack([rows, columns, np.zeros_like(rows)], -1).astype(np.uint8)
    rules = input_rules("dtd", 24, 16, flip=True)
    pictures = decode(FakeImages([image] * 400), rules)
    places, mirrored = set(), 0
    for crop in all_pixels(shuffled_batches(pictures, rules, batch_size=64, seed=0, epoch=0)).values():
        straight = crop[0, 0, 1] < crop[0, -1, 1]
        crop = crop if straight else crop[:, ::-1]
        top, left = int(crop[0, 0, 0]), int(crop[0, 0, 1])
        np.testing.assert_array_equal(crop, image[top : top + 16, left : left + 16])
        places.add((top, left))
        mirrored += not straight
    assert {top for top, _ in places} == set(range(9))
    assert {left for _, left in places} == set(range(15))
    assert 150 < mirrored < 250  # 5 standard deviations about 200


def test_to_input_normalises_and_is_channels_last() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 6, 3), dtype=np.uint8)
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
    images = to_input(pixels, Normalisation(mean, std))
    expected = (pixels.astype(np.float64) / 255 - mean) / std
    np.testing.assert_allclose(images.permute(0, 2, 3, 1).numpy(), expected, atol=1e-5)
    assert images.dtype == torch.float32
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_cache_holds_the_same_pixels_and_is_used(tmp_path: Path) -> None:
    rules = input_rules("dtd", 24, 20)
    images = make_images(n=5, size=(30, 40))
    plain = decode(images, rules)
    first = decode(images, rules, tmp_path)
    images.n_read = 0
    second = decode(images, rules, tmp_path)
    assert images.n_read == 0
    for i in range(5):
        np.testing.assert_array_equal(plain[i], first[i])
        np.testing.assert_array_equal(plain[i], second[i])
    assert [path.suffix for path in tmp_path.iterdir()] == [".pixels"]


def test_cache_is_keyed_by_content_and_size(tmp_path: Path) -> None:
    images, others = make_images(n=5, seed=0), make_images(n=5, seed=1)
    decode(images, input_rules("dtd", 24, 20), tmp_path)
    images.n_read = 0
    assert decode(images, input_rules("dtd", 28, 20), tmp_path)[0].shape == (28, 28, 3)
    assert images.n_read == 5
    np.testing.assert_array_equal(decode(others, input_rules("dtd", 24, 20), tmp_path)[0], others.read(0))


def _flipped(content: bytes, where: float) -> bytes:
    damaged = bytearray(content)
    damaged[int(where * (len(content) - 1))] ^= 4
    return bytes(damaged)


CACHE_DAMAGE = {
    "cut off": lambda content: content[:-7],
    "empty": lambda content: b"",
    "something else": lambda content: b"no pixels",
    "longer": lambda content: content + b"\0",
    "one image fewer": lambda content: content[24 * 24 * 3 :],
    "two images swapped": lambda content: content[1728:3456] + content[:1728] + content[3456:],
    **{f"a bit at {where:.1%}": lambda content, where=where: _flipped(content, where) for where in (0, 0.3, 0.995, 1)},
}


@pytest.mark.parametrize("kind", CACHE_DAMAGE)
def test_a_damaged_cache_is_told_and_decoded_again(tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    rules, images = input_rules("dtd", 24, 20), make_images(n=5)
    decode(images, rules, tmp_path)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(CACHE_DAMAGE[kind](whole))
    images.n_read = 0
    again = decode(images, rules, tmp_path)
    assert [again[i].tolist() for i in range(5)] == [image.tolist() for image in images.images]
    assert images.n_read == 5
    assert caplog.messages == [f"{file} is damaged: its images are decoded again."]
    assert file.read_bytes() == whole and list(tmp_path.iterdir()) == [file]


def test_a_cache_that_takes_no_file_is_told_by_its_option(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for cache in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match=r"file.* cannot hold decoded images .*another folder as `cache`"):
            decode(make_images(n=2), input_rules("dtd", 24, 20), cache)


def test_an_empty_split_is_refused() -> None:
    with pytest.raises(UserError, match="The split train of dtd is empty"):
        decode(make_images(n=0), input_rules("dtd", 24, 20))
