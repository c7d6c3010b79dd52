"""The miniature decathlon: official in layout, the same bytes every time, neither trivial nor noise."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from PIL import Image

from data_prep import mini_decathlon
from data_prep.common.errors import UserError
from data_prep.decathlon import open_decathlon
from data_prep.decathlon_check import check_decathlon
from data_prep.decathlon_tables import DOMAIN_NUMBERS, OFFICIAL_ORDER


def test_it_passes_its_own_check(drawn_decathlon):
    report = check_decathlon(drawn_decathlon)
    assert (report.faults, report.warnings, report.n_domains, report.n_splits) == ((), (), 10, 30)
    assert report.n_images == sum(sum(domain.n_images) for domain in mini_decathlon.DOMAINS.values())


def test_domains_are_named_and_numbered_like_the_official_ones(drawn_decathlon):
    data = open_decathlon(drawn_decathlon)
    assert data.domains == tuple(f"mini-{name}" for name in OFFICIAL_ORDER) == tuple(mini_decathlon.DOMAINS)
    for domain in data.domains:
        number = DOMAIN_NUMBERS[domain.removeprefix("mini-")] * 10**7
        splits = [data.split(domain, split) for split in ("train", "val", "test")]
        assert list(splits[0].class_names) == sorted(splits[0].class_names)
        ids = np.concatenate([split.image_ids for split in splits]) - number
        n = [len(split) for split in splits]
        assert ids.tolist() == [
            *range(1, n[0] + 1),
            *range(100001 + n[0], 100001 + n[0] + n[1]),
            *range(200001 + n[0] + n[1], 200001 + sum(n)),
        ]
        for split in splits:
            assert np.ptp(np.bincount(split.labels, minlength=len(split.class_names))) <= 1, "classes are balanced"
        test = splits[2]
        assert test.file_names[0] == f"data/{domain}/test/000001.jpg" and (np.diff(test.labels) < 0).any(), (
            "flat and shuffled"
        )
        assert splits[0].file_names[-1].split("/")[3] == f"{len(test.class_names):04d}"


def test_the_stripped_test_set_is_the_test_set_without_labels(drawn_decathlon):
    full, stripped = (
        json.loads((drawn_decathlon / f"annotations/mini-ucf101_test{suffix}.json").read_text())
        for suffix in ("", "_stripped")
    )
    assert stripped["annotations"] == [] and len(full["annotations"]) == len(full["images"]) > 0
    assert {**full, "annotations": []} == stripped


def test_grey_and_shapes_are_those_of_the_official_domains(drawn_decathlon):
    data = open_decathlon(drawn_decathlon)
    for domain in data.domains:
        split = data.split(domain, "val")
        grey = all((pixels[..., :1] == pixels).all() for pixels in map(split.read, range(20)))
        assert grey == (domain in ("mini-omniglot", "mini-daimlerpedcls"))
        assert split.shapes.min() >= 24 and split.shapes.max() <= 84
    height, width = data.split("mini-daimlerpedcls", "train").shapes.T
    assert (height == 2 * width).all() and len(data.split("mini-daimlerpedcls", "train").class_names) == 2
    assert data.mean_std("mini-omniglot")[0].max() < 0.2, "white strokes on black"
    assert np.allclose(data.mean_std("mini-ucf101")[0], 0.5, atol=0.02), "motions are blended about mid-grey"


def test_stated_mean_and_std_are_those_of_the_pixels(drawn_decathlon):
    data = open_decathlon(drawn_decathlon)
    train = data.split("mini-gtsrb", "train")
    pixels = np.concatenate([train.read(i).reshape(-1, 3) for i in range(len(train))]) / 255
    assert np.allclose(data.mean_std("mini-gtsrb"), [pixels.mean(0), pixels.std(0)])


def test_the_same_seed_draws_the_same_bytes_whatever_the_order(drawn_decathlon, tmp_path):
    for folder in ("annotations", "data"):
        (tmp_path / folder).mkdir()
    for name, split, what in (("mini-svhn", 1, "val"), ("mini-dtd", 2, "test")):
        mini_decathlon._draw_split(tmp_path, 0, name, split)
        again, first = (open_decathlon(root).split(name, what) for root in (tmp_path, drawn_decathlon))
        assert again.fingerprint() == first.fingerprint()
        assert _hash(again) == _hash(first)
    tar = "data/mini-svhn_val.tar"
    assert (tmp_path / tar).read_bytes() == (drawn_decathlon / tar).read_bytes()
    mini_decathlon._draw_split(tmp_path, 1, "mini-svhn", 1)
    assert (tmp_path / tar).read_bytes() != (drawn_decathlon / tar).read_bytes()


def _hash(split) -> str:
    return hashlib.sha256(b"".join(split.read_bytes(i) for i in range(len(split)))).hexdigest()


def test_no_image_is_in_two_splits(drawn_decathlon):
    data = open_decathlon(drawn_decathlon)
    for domain in data.domains:
        seen = [
            split.read_bytes(i)
            for split in (data.split(domain, s) for s in ("train", "val", "test"))
            for i in range(len(split))
        ]
        assert len(set(seen)) == len(seen)


def test_domains_can_be_learnt_but_not_by_comparing_pixels(drawn_decathlon):
    """A nearest-mean classifier on 8 x 8 thumbnails is above chance over the ten domains, yet far from solving them."""
    data, gains = open_decathlon(drawn_decathlon), []
    for domain in data.domains:
        train, test = data.split(domain, "train"), data.split(domain, "test")
        x, y = (np.stack([_thumbnail(split.read(i)) for i in range(len(split))]) for split in (train, test))
        means = np.stack([x[train.labels == k].mean(0) for k in range(len(train.class_names))])
        right = (((y[:, None] - means) ** 2).sum(2).argmin(1) == test.labels).mean()
        gains.append(right - 1 / len(means))
        assert right < 0.95, f"{domain} is trivial"
    assert np.mean(gains) > 0.1


def _thumbnail(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize((8, 8), Image.Resampling.BOX), np.float32).ravel()


def test_a_set_is_made_in_a_new_folder_only_and_found_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(mini_decathlon, "DOMAINS", {"mini-svhn": mini_decathlon.DOMAINS["mini-svhn"]})
    steps = []
    root = mini_decathlon.ensure(tmp_path / "cache", progress=lambda *step: steps.append(step))
    assert steps == [("drawing", n, 660) for n in (400, 500, 660)]
    before = (root / "mean_std.json").stat().st_mtime_ns
    assert mini_decathlon.ensure(tmp_path / "cache") == root and (root / "mean_std.json").stat().st_mtime_ns == before
    with pytest.raises(UserError, match="is already there; a set is only made in a new folder"):
        mini_decathlon.make(root)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="could not be written"):
        mini_decathlon.make(tmp_path / "file/set")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "file"], "nothing half made is left"
