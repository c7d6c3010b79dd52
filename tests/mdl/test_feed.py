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
    Crops,
    Feed,
    batch_sizes,
    cut,
    fits,
    ordered_crops,
    shuffled_crops,
    to_input,
    uploaded,
)
from mdl.training.pictures import DecodedImages, InputRules, Normalisation, decode, input_rules, resized

CPU = torch.device("cpu")
NORMALISATION = Normalisation((0.5, 0.4, 0.3), (0.2, 0.25, 0.3))


def all_pixels(pictures: DecodedImages, crops: Crops) -> dict[int, np.ndarray]:
    return dict(zip(crops.numbers.tolist(), cut(pictures, crops), strict=True))


def numbers(crops: Crops) -> list[list[int]]:
    return [batch.numbers.tolist() for batch in crops.batches()]


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
    ours = all_pixels(pictures, ordered_crops(pictures, rules, 3))
    for i in range(4):
        theirs = np.asarray(transforms.center_crop(Image.fromarray(images.read(i)), 24))
        np.testing.assert_array_equal(ours[i], theirs)


def test_every_image_once_in_even_batches() -> None:
    assert batch_sizes(10, 4) == [4, 3, 3]
    assert batch_sizes(8, 4) == [4, 4]
    assert batch_sizes(3, 128) == [3]
    rules = input_rules("dtd", 24, 20)
    pictures = decode(make_images(n=10), rules)
    for crops in (
        shuffled_crops(pictures, rules, batch_size=4, seed=0, epoch=0),
        ordered_crops(pictures, rules, 4),
    ):
        assert [len(batch) for batch in numbers(crops)] == [4, 3, 3]
        assert sorted(crops.numbers) == list(range(10))


def test_pixels_depend_on_seed_epoch_and_image_alone() -> None:
    rules = input_rules("dtd", 24, 16, flip=True)
    pictures = decode(make_images(n=12), rules)
    whole = all_pixels(pictures, shuffled_crops(pictures, rules, batch_size=5, seed=3, epoch=2))
    again = all_pixels(pictures, shuffled_crops(pictures, rules, batch_size=4, seed=3, epoch=2))
    for n in range(12):
        np.testing.assert_array_equal(whole[n], again[n])
    other_epoch = all_pixels(pictures, shuffled_crops(pictures, rules, batch_size=5, seed=3, epoch=3))
    other_seed = all_pixels(pictures, shuffled_crops(pictures, rules, batch_size=5, seed=4, epoch=2))
    assert any((whole[n] != other_epoch[n]).any() for n in range(12))
    assert any((whole[n] != other_seed[n]).any() for n in range(12))


def test_processes_share_every_batch() -> None:
    rules = input_rules("dtd", 24, 16)
    pictures = decode(make_images(n=11), rules)
    order = {"batch_size": 4, "seed": 0, "epoch": 1}
    alone = numbers(shuffled_crops(pictures, rules, **order))
    parts = [numbers(shuffled_crops(pictures, rules, **order, share=(rank, 2))) for rank in (0, 1)]
    assert [sorted(a + b) for a, b in zip(*parts, strict=True)] == [sorted(n) for n in alone]
    tested = [n for rank in (0, 1) for part in numbers(ordered_crops(pictures, rules, 4, (rank, 2))) for n in part]
    assert sorted(tested) == list(range(11))


def test_crops_and_flips_are_cut_out_of_the_image() -> None:
    """Each pixel holds its own place, so that a crop tells where it was cut and whether it was mirrored."""
    rows, columns = np.mgrid[:24, :30]
    image = np.stack([rows, columns, np.zeros_like(rows)], -1).astype(np.uint8)
    rules = input_rules("dtd", 24, 16, flip=True)
    pictures = decode(FakeImages([image] * 400), rules)
    places, mirrored = set(), 0
    for crop in cut(pictures, shuffled_crops(pictures, rules, batch_size=64, seed=0, epoch=0)):
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
    images = to_input(pixels, NORMALISATION)
    expected = (pixels.astype(np.float64) / 255 - NORMALISATION.mean) / NORMALISATION.std
    np.testing.assert_allclose(images.permute(0, 2, 3, 1).numpy(), expected, atol=1e-5)
    assert images.dtype == torch.float32
    assert images.is_contiguous(memory_format=torch.channels_last)


DEVICES = [CPU, *([torch.device("cuda:0")] if torch.cuda.is_available() else [])]

WAYS_IN = {
    "random crops, mirrored": input_rules("dtd", 24, 16, flip=True),
    "random crops": input_rules("dtd", 24, 16),
    "centre crops, mirrored": InputRules(resize=24, train_crop=17, test_crop=18, random=False, flip=True),
    "whole images": InputRules(resize=(24, 30), train_crop=None, test_crop=None, random=False, flip=True),
}


def of_many_sizes(rules: InputRules, n: int = 23) -> DecodedImages:
    rng = np.random.default_rng(7)
    shapes = [(24 + int(a), 24 + int(b)) for a, b in rng.integers(0, 20, (n, 2))]
    return decode(FakeImages([rng.integers(0, 256, (*shape, 3), np.uint8) for shape in shapes]), rules)


@pytest.mark.parametrize("device", DEVICES, ids=str)
@pytest.mark.parametrize("rules", WAYS_IN.values(), ids=WAYS_IN)
def test_images_on_the_device_are_cut_to_the_same_bits(rules: InputRules, device: torch.device) -> None:
    """By index on the device, sent by threads, and by one thread on a CPU; of images of many sizes, shared by two processes."""
    pictures = of_many_sizes(rules)
    assert rules.train_crop is None or len(np.unique(pictures.sizes, axis=0)) > 5
    order = {"batch_size": 5, "seed": 1, "epoch": 2, "share": (1, 2)}
    crops = shuffled_crops(pictures, rules, **order)
    pixels, seen = cut(pictures, crops), 0
    expected = [to_input(part, NORMALISATION) for part in np.split(pixels, np.cumsum(crops.sizes)[:-1])]
    for resident in (True, False):
        feed = Feed(pictures, rules, NORMALISATION, device, resident=resident)
        for first in (0, 2):
            batches = list(feed.shuffled(**order, first=first))
            for batch, part, images in zip(batches, crops.batches(first), expected[first:], strict=True):
                assert torch.equal(batch.images.cpu(), images)
                assert batch.images.is_contiguous(memory_format=torch.channels_last)
                assert batch.images.device == batch.labels.device == device
                np.testing.assert_array_equal(batch.numbers, part.numbers)
                np.testing.assert_array_equal(batch.labels.cpu(), pictures.labels[part.numbers])
                seen += len(images)
        tested = torch.cat([batch.images for batch in feed.ordered(6)]).cpu()
        assert torch.equal(tested, to_input(cut(pictures, ordered_crops(pictures, rules, 6)), NORMALISATION))
    assert seen == 2 * (sum(crops.sizes) + sum(crops.sizes[2:]))


def test_several_threads_keep_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = input_rules("dtd", 24, 16)
    pictures = of_many_sizes(rules, 60)
    one = list(Feed(pictures, rules, NORMALISATION, CPU).shuffled(batch_size=4, seed=0, epoch=0))
    monkeypatch.setattr(Feed, "n_readers", 4)
    several = list(Feed(pictures, rules, NORMALISATION, CPU).shuffled(batch_size=4, seed=0, epoch=0))
    assert [batch.numbers.tolist() for batch in several] == [batch.numbers.tolist() for batch in one]
    assert all(torch.equal(a.images, b.images) for a, b in zip(several, one, strict=True))


def test_a_file_larger_than_a_part_is_sent_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = input_rules("dtd", 24, 16)
    pictures = of_many_sizes(rules)
    monkeypatch.setattr("mdl.training.feed.UPLOAD_BYTES", 1000)
    np.testing.assert_array_equal(uploaded(pictures.pixels, CPU), pictures.pixels)


def test_half_of_the_free_memory_is_for_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 2000))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    assert fits(500, torch.device("cuda", 0)) and not fits(501, torch.device("cuda", 0))
    assert not fits(1, CPU)


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
