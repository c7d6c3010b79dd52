"""Reading a decathlon: what comes out of folders and tars, and what is said where something is wrong."""

from __future__ import annotations

import concurrent.futures
import copy
import json
import multiprocessing
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_prep.common.errors import UserError
from data_prep.decathlon import open_decathlon
from data_prep.decathlon_tar import Tar
from data_prep.formats import BadImageError


def edit(root: Path, file: str, change: Callable[[dict], object]) -> None:
    path = root / "annotations" / file
    text = json.loads(path.read_text())
    change(text)
    path.write_text(json.dumps(text))


def test_what_was_written_comes_back(tiny_decathlon):
    data = open_decathlon(tiny_decathlon)
    assert data.domains == ("dtd", "svhn")
    train = data.split("dtd", "train")
    assert (train.domain, train.split, len(train), train.class_names) == ("dtd", "train", 2, ("banded", "woven"))
    assert train.labels.dtype == train.image_ids.dtype == np.int64
    assert train.labels.tolist() == [0, 1] and train.image_ids.tolist() == [40000001, 40000002]
    assert train.category_ids.tolist() == [40000001, 40000002] and train.shapes.tolist() == [[4, 6], [5, 5]]
    pixels = train.read(1)
    assert pixels.shape == (5, 5, 3) and pixels.dtype == np.uint8 and (pixels == 10).all() and pixels.flags.writeable


def test_tar_of_a_domain_without_the_leading_data(tiny_decathlon):
    data = open_decathlon(tiny_decathlon)
    values = {split: data.split("svhn", split) for split in ("train", "val", "test")}
    assert [int(values["train"].read(i)[0, 0, 0]) for i in range(2)] == [40, 50]
    assert values["train"].labels.tolist() == [2, 0] and values["test"].labels.tolist() == [1, 0]
    assert (values["test"].read(1) == 80).all()


def test_withheld_labels_are_minus_one_and_grey_becomes_rgb(tiny_decathlon):
    data = open_decathlon(tiny_decathlon)
    assert data.split("dtd", "test").labels.tolist() == [-1]
    grey = data.split("dtd", "val").read(0)
    assert grey.shape == (4, 4, 3) and (grey == 20).all()


def test_train_and_val_together(tiny_decathlon):
    both = open_decathlon(tiny_decathlon).split("svhn", "train+val")
    assert both.split == "train+val" and both.labels.tolist() == [2, 0, 0]
    assert [int(both.read(i)[0, 0, 0]) for i in range(3)] == [40, 50, 60]
    edit(tiny_decathlon, "svhn_val.json", lambda text: text["categories"].reverse())  # ids keep their names
    assert open_decathlon(tiny_decathlon).split("svhn", "train+val").labels.tolist() == [2, 0, 0]
    edit(tiny_decathlon, "svhn_val.json", lambda text: text["categories"][0].update(name="nine"))
    with pytest.raises(UserError, match="The classes of 'svhn' differ between train and val"):
        open_decathlon(tiny_decathlon).split("svhn", "train+val")


def test_a_fingerprint_follows_labels_names_and_sizes(tiny_decathlon):
    def prints() -> tuple[str, str]:
        data = open_decathlon(tiny_decathlon)
        return data.split("dtd", "train").fingerprint(), data.split("svhn", "train").fingerprint()

    before = prints()
    assert prints() == before
    (tiny_decathlon / "data/dtd/train/0001/a.png").write_bytes(b"shorter")
    changed = prints()
    assert changed[0] != before[0] and changed[1] == before[1]
    edit(tiny_decathlon, "svhn_train.json", lambda text: text["annotations"][0].update(category_id=80000001))
    assert prints()[1] != before[1]


def test_mean_and_std_stated_or_measured(tiny_decathlon):
    mean, std = open_decathlon(tiny_decathlon).mean_std("dtd")  # 24 pixels of 0 and 25 of 10
    assert np.allclose(mean, 25 * 10 / 255 / 49) and np.allclose(std, np.std([0] * 24 + [10 / 255] * 25))
    tables = {"official": {d: {"mean": [0.1] * 3, "std": [0.2] * 3} for d in ("dtd", "svhn")}}
    tables["pack"] = {"svhn": {"mean": [0.3, 0.4, 0.5], "std": [0.6] * 3}}
    (tiny_decathlon / "mean_std.json").write_text(json.dumps(tables))
    data = open_decathlon(tiny_decathlon)
    assert data.mean_std("dtd")[0].tolist() == [0.1] * 3 and data.mean_std("svhn")[0].tolist() == [0.3, 0.4, 0.5]
    for bad in (
        '{"pack": {"dtd": {"mean": [1, 2], "std": [1, 1, 1]}}}',
        '{"pack": {"dtd": {"mean": [1,1,1], "std": [0,1,1]}}}',
        "[",
    ):
        (tiny_decathlon / "mean_std.json").write_text(bad)
        with pytest.raises(UserError, match=r"mean_std\.json"):
            open_decathlon(tiny_decathlon).mean_std("dtd")


def test_threads_and_forked_workers_read_at_once(drawn_decathlon):
    """One descriptor, no shared position: 64 images read by eight threads and by two processes are those read alone."""
    split = open_decathlon(drawn_decathlon).split("mini-svhn", "train")
    alone = [split.read_bytes(i) for i in range(64)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(split.read_bytes, list(range(64)) * 8)) == alone * 8
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        assert list(pool.map(split.read_bytes, range(64))) == alone
    assert copy.deepcopy(split).read_bytes(63) == alone[63]  # taken apart and put together, as for a spawned worker


def test_a_tar_and_its_unpacked_folder_are_the_same(drawn_decathlon, tmp_path):
    packed = open_decathlon(drawn_decathlon).split("mini-gtsrb", "test")
    (tmp_path / "annotations").symlink_to(drawn_decathlon / "annotations")
    with tarfile.open(drawn_decathlon / "data/mini-gtsrb_test.tar") as tar:
        tar.extractall(tmp_path, filter="data")
    unpacked = open_decathlon(tmp_path).split("mini-gtsrb", "test")
    assert unpacked.fingerprint() == packed.fingerprint()
    assert all(np.array_equal(unpacked.read(i), packed.read(i)) for i in range(len(packed)))


# Wrong input: what to do to the tiny set, what to ask for, and the words that must come.


def _set(file: str, *path: object) -> Callable[[Path], None]:
    """Sets the entry at `path[:-1]` of an annotation file to `path[-1]`."""
    *keys, last, value = path

    def change(text: dict) -> None:
        for key in keys:
            text = text[key]
        text[last] = value

    return lambda root: edit(root, file, change)


def _copy(source: str, target: str) -> Callable[[Path], object]:
    return lambda root: (root / "annotations" / target).write_bytes((root / "annotations" / source).read_bytes())


TRAIN = "dtd_train.json"
WRONG = {
    "image without file": (
        lambda r: (r / "data/dtd/train/0001/a.png").unlink(),
        "image 40000001: 'data/dtd/train/0001/a.png' is not in",
    ),
    "image not in the tar": (
        _set("svhn_train.json", "images", 0, "file_name", "data/svhn/x.png"),
        "'data/svhn/x.png' is not in .*svhn.tar",
    ),
    "annotation without image": (
        _set(TRAIN, "annotations", 0, "image_id", 7),
        "annotation of image 7: there is no such image",
    ),
    "image without annotation": (
        lambda r: edit(r, TRAIN, lambda t: t["annotations"].pop()),
        "image 40000002: the image has no usable",
    ),
    "category above": (
        _set(TRAIN, "annotations", 1, "category_id", 40000003),
        r"category_id 40000003 is not in 40000001\.\.40000002",
    ),
    "category below": (_set(TRAIN, "annotations", 1, "category_id", 40000000), "category_id 40000000 is not in"),
    "two annotations": (
        _set(TRAIN, "annotations", 1, "image_id", 40000001),
        "image 40000001: the image has two annotations; keep one",
    ),
    "the same id twice": (_set(TRAIN, "images", 1, "id", 40000001), "image 40000001: its id is there twice"),
    "the same file twice": (
        _set(TRAIN, "images", 1, "file_name", "data/dtd/train/0001/a.png"),
        "is there twice; list each image once",
    ),
    "a path upwards": (
        _set(TRAIN, "images", 0, "file_name", "data/../../x.png"),
        r"'data/\.\./\.\./x.png' leads out of the root",
    ),
    "an absolute path": (_set(TRAIN, "images", 0, "file_name", "/x.png"), "'/x.png' leads out of the root"),
    "a size of zero": (
        _set(TRAIN, "images", 0, "width", 0),
        "needs an integer id, .* a file_name, and a width and height in 1",
    ),
    "an id that is no number": (_set(TRAIN, "images", 0, "id", "1"), "image entry 1: it needs an integer id"),
    "another domain's numbers": (
        _copy("svhn_train.json", TRAIN),
        r"lie in 80000001\.\.80000003, but its 3 classes of 'dtd' must have 40000001",
    ),
    "a gap in the categories": (_set(TRAIN, "categories", 1, "id", 40000005), "without a gap"),
    "a class name twice": (_set(TRAIN, "categories", 1, "name", "banded"), "its id or name is there twice"),
    "no image at all": (
        lambda r: edit(r, TRAIN, lambda t: (t["images"].clear(), t["annotations"].clear())),
        "dtd_train.json holds no image: an empty split",
    ),
    "no category": (_set(TRAIN, "categories", []), "holds no category"),
    "no list of images": (_set(TRAIN, "images", {}), "has no list 'images'"),
    "cut off": (
        lambda r: (r / "annotations" / TRAIN).write_text('{"images": ['),
        "dtd_train.json cannot be read as JSON",
    ),
    "no annotation file": (
        lambda r: (r / "annotations" / TRAIN).unlink(),
        "dtd_train.json is missing, but 'dtd' has test_stripped, val",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_is_told_in_one_sentence(tiny_decathlon, name):
    damage, words = WRONG[name]
    damage(tiny_decathlon)
    domain = "svhn" if "tar" in name else "dtd"
    with pytest.raises(UserError, match=words) as caught:
        open_decathlon(tiny_decathlon).split(domain, "train")
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


def test_unknown_names_offer_the_nearest(tiny_decathlon, tmp_path):
    data = open_decathlon(tiny_decathlon)
    with pytest.raises(UserError, match=r"Unknown domain 'svnh' in .*; known: dtd, svhn; nearest: svhn\."):
        data.split("svnh", "train")
    with pytest.raises(UserError, match=r"Unknown split 'valid'; known: train, val, test, train\+val"):
        data.split("svhn", "valid")
    with pytest.raises(UserError, match="is no decathlon"):
        open_decathlon(tmp_path / "nowhere")


# Tars


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def test_a_tar_that_is_cut_off_anywhere_is_refused(tiny_decathlon):
    path = tiny_decathlon / "data/svhn.tar"
    whole = path.read_bytes()
    end = 5 * 1024  # each image takes a header and a block
    assert len(Tar(path).members) == 5 and not any(whole[end:])
    for size in (0, 100, 512, 600, 1024, 2048 + 100, 4 * 1024, end - 1, end, end + 100):
        path.write_bytes(whole[:size])
        with pytest.raises(UserError, match=r"svhn\.tar is no whole uncompressed tar"):
            Tar(path)


def test_a_damaged_header_is_refused(tiny_decathlon):
    path = tiny_decathlon / "data/svhn.tar"
    data = bytearray(path.read_bytes())
    data[2 * 1024 + 5] ^= 1  # in the name of the third image; `tarfile` alone would stop there without a word
    path.write_bytes(data)
    with pytest.raises(UserError, match="the header at byte 2,048 is damaged"):
        open_decathlon(tiny_decathlon).split("svhn", "train")


def test_compressed_tars_doubled_names_and_missing_tars_are_refused(tiny_decathlon):
    path = tiny_decathlon / "data/svhn.tar"
    members = {name: Tar(path).read(name) for name in Tar(path).members}
    for mode, names, words in (
        ("w:gz", list(members), "no whole uncompressed tar"),
        ("w", [*members, next(iter(members))], "twice"),
    ):
        with tarfile.open(path, mode) as tar:
            for name in names:
                member = tarfile.TarInfo(name)
                tar.addfile(member)
        with pytest.raises(UserError, match=words):
            Tar(path)
    with pytest.raises(UserError, match="is missing"):
        Tar(path.with_name("none.tar"))


def test_long_names_are_read(tmp_path):
    name = "data/" + "x" * 180 + ".png"
    for layout in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with tarfile.open(tmp_path / "long.tar", "w", format=layout) as tar:
            member = tarfile.TarInfo(f"./{name}")
            tar.addfile(member)
        assert list(Tar(tmp_path / "long.tar").members) == [name]


def test_a_tar_that_shrinks_while_open_and_a_broken_image_are_told(tiny_decathlon):
    train = open_decathlon(tiny_decathlon).split("svhn", "train")
    cut(tiny_decathlon / "data/svhn.tar", 600)
    with pytest.raises(BadImageError, match=r"svhn.tar ends before byte"):
        train.read(1)
    files = open_decathlon(tiny_decathlon).split("dtd", "train")
    cut(tiny_decathlon / "data/dtd/train/0001/a.png", 40)
    (tiny_decathlon / "data/dtd/train/0002/b.png").unlink()
    for index, words in ((0, "a.png cannot be read"), (1, "b.png cannot be read .*put it there again")):
        with pytest.raises(BadImageError, match=words):
            files.read(index)
    Image.new("I;16", (4, 6)).save(tiny_decathlon / "data/dtd/train/0001/a.png")
    with pytest.raises(BadImageError, match="its mode I;16 is none of"):
        files.read(0)


# Real data


def test_real_domains_in_folders_and_tars(decathlon_mini):
    data = open_decathlon(decathlon_mini)
    assert data.domains == ("imagenet12", "cifar100", "dtd", "gtsrb", "vgg-flowers", "omniglot")
    counts = {
        d: [len(data.split(d, s)) for s in ("train", "val", "test")] for d in ("cifar100", "gtsrb", "omniglot", "dtd")
    }
    assert counts == {
        "cifar100": [6000, 999, 1999],
        "gtsrb": [2236, 427, 767],
        "omniglot": [2662, 968, 1210],
        "dtd": [400, 396, 388],
    }
    test = data.split("gtsrb", "test")
    assert len(test.class_names) == 43 and test.class_names[1] == "TrafficSign10" and test.labels.max() == 42
    assert test.read(0).shape == (*test.shapes[0], 3)
    stated = json.loads((decathlon_mini / "mean_std.json").read_text())["pack"]["dtd"]
    data.__dict__["_stated_mean_std"] = {}  # so that it is measured
    assert np.allclose(data.mean_std("dtd"), [stated["mean"], stated["std"]], atol=1e-5)
