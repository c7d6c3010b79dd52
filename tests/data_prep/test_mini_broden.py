"""The embedded miniature set: same bytes every time, true labels, a layout that holds together."""

import csv
import threading
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_prep import colours, mini_broden
from data_prep.broden_check import check_broden
from data_prep.common.errors import UserError
from data_prep.formats import decode_label_map
from data_prep.mini_broden import scenes, textures
from data_prep.mini_broden.shapes import MAP, PLANES, SIZE, Canvas, Frame, box, ellipse

PIXEL_PLANES = ("color", "object", "part", "material")


@pytest.fixture(scope="session")
def full_set() -> Path:
    """The whole set, from the cache; drawn at most once a version."""
    return mini_broden.ensure()


@pytest.fixture(scope="session")
def small_set(tmp_path_factory) -> Path:
    return mini_broden.make(tmp_path_factory.mktemp("mini") / "six", n_images=6, workers=1)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def read_map(root: Path, name: str) -> np.ndarray:
    pixels = np.asarray(Image.open(root / "images" / name))
    assert pixels.shape == (MAP, MAP, 3) and not pixels[..., 2].any()
    return decode_label_map(pixels)


# ---- the same bytes every time


def test_the_bytes_depend_on_neither_the_run_nor_the_number_of_workers(small_set, tmp_path):
    assert files(mini_broden.make(tmp_path / "again", n_images=6, workers=3)) == files(small_set)


def test_an_image_depends_on_its_number_and_the_seed_alone(small_set, tmp_path):
    def images(root):
        return {name: data for name, data in files(root).items() if name.endswith(".jpg")}

    fewer, other = (mini_broden.make(tmp_path / str(s), n_images=3, seed=s, workers=1) for s in (0, 1))
    assert images(fewer).items() <= images(small_set).items()
    assert len(images(fewer)) == 3
    assert not set(images(other).values()) & set(images(fewer).values())


def test_the_cached_set_is_what_the_code_draws_now(full_set, tmp_path):
    """A change of the drawing must raise VERSION, or the cache would hide it."""
    fresh = mini_broden.make(tmp_path / "fresh", n_images=8, workers=1)
    named = [{int(row["number"]): row["name"] for row in rows(root / "label.csv")} for root in (full_set, fresh)]
    for row in rows(fresh / "index.csv"):
        advice = f"{row['image']} is drawn differently now: raise mini_broden.VERSION"
        old, new = (np.asarray(Image.open(root / "images" / row["image"]), float) for root in (full_set, fresh))
        assert np.abs(old - new).mean() < 0.5, advice
        for name in (name for category in PIXEL_PLANES for name in row[category].split(";") if name):
            old, new = (
                np.vectorize({0: "", **names}.get)(read_map(root, name))
                for root, names in zip((full_set, fresh), named, strict=True)
            )
            assert (old == new).mean() > 0.98, advice


# ---- the layout


def test_the_index_is_in_the_published_layout(full_set):
    index = rows(full_set / "index.csv")
    assert list(index[0]) == ["image", "split", "ih", "iw", "sh", "sw", *mini_broden.CATEGORIES]
    assert len(index) == len({row["image"] for row in index}) == 400
    for row in index:
        assert (row["ih"], row["iw"], row["sh"], row["sw"]) == ("224", "224", "112", "112")
        assert Image.open(full_set / "images" / row["image"]).size == (SIZE, SIZE)
        kind = row["image"].split("/")[0]
        assert bool(row["texture"]) == (kind == "texture")
        assert bool(row["scene"]) == (kind == "scene")
        assert bool(row["object"]) == bool(row["material"]) == (kind != "texture")
        assert row["color"] and ";" not in row["color"]
    assert any(";" in row["object"] for row in index) and any(";" in row["part"] for row in index)


def test_every_concept_is_in_enough_images_to_be_a_label(full_set):
    """A run leaves out concepts of fewer images (`min_images`); the set that comes along should lose none by it."""
    few = [
        f"{category}: {row['name']}"
        for category in mini_broden.CATEGORIES
        for row in rows(full_set / f"c_{category}.csv")
        if int(row["frequency"]) < 10
    ]
    assert few == []


def test_the_checker_finds_no_fault(full_set):
    report = check_broden(full_set)
    assert (report.n_faults, report.n_warnings) == (0, 0)


def test_the_tables_count_what_the_label_maps_hold(full_set):
    labels = {int(row["number"]): row for row in rows(full_set / "label.csv")}
    assert sorted(labels) == list(range(1, len(labels) + 1))
    images, area = defaultdict(int), defaultdict(float)
    for row in rows(full_set / "index.csv"):
        for category in PIXEL_PLANES:
            planes = [read_map(full_set, name) for name in row[category].split(";") if name]
            for number in {n for plane in planes for n in np.unique(plane).tolist()} - {0}:
                images[category, number] += 1
                area[category, number] += np.any([plane == number for plane in planes], axis=0).mean()
        for category in ("scene", "texture"):
            if row[category]:
                images[category, int(row[category])] += 1
                area[category, int(row[category])] += 1
    written = {}
    for category in mini_broden.CATEGORIES:
        table = rows(full_set / f"c_{category}.csv")
        assert [int(row["code"]) for row in table] == list(range(1, len(table) + 1))
        counts = [int(row["frequency"]) for row in table]
        assert counts == sorted(counts, reverse=True)
        for row in table:
            number = int(row["number"])
            written[category, number] = int(row["frequency"])
            assert row["name"] == labels[number]["name"]
            assert float(row["coverage"]) == pytest.approx(area[category, number], abs=1e-5)
    assert written == dict(images)
    for number, row in labels.items():
        served = {category: n for (category, at), n in images.items() if at == number}
        words = dict(word.rstrip(")").split("(") for word in row["category"].split(";"))
        assert {category: int(n) for category, n in words.items()} == served
        assert int(row["frequency"]) == sum(served.values())
    frequencies = [int(labels[n]["frequency"]) for n in sorted(labels)]
    assert frequencies == sorted(frequencies, reverse=True)
    for row in rows(full_set / "category.csv"):
        mine = [number for category, number in images if category == row["name"]]
        total = sum(n for (category, _), n in images.items() if category == row["name"])
        assert [int(row[k]) for k in ("first", "last", "count", "frequency")] == [
            min(mine),
            max(mine),
            len(mine),
            total,
        ]


def test_every_concept_is_there_often_enough(full_set):
    tables = {category: rows(full_set / f"c_{category}.csv") for category in mini_broden.CATEGORIES}
    assert {row["name"] for row in rows(full_set / "category.csv")} == set(tables)
    assert [row["name"] for table in tables.values() for row in table if int(row["frequency"]) < 8] == []
    assert sum(map(len, tables.values())) >= 70
    assert {row["name"] for row in tables["color"]} == set(colours.NAMES) and len(tables["color"]) == 11
    assert {row["name"] for row in tables["texture"]} == set(textures.TEXTURES)
    assert {row["name"] for row in tables["scene"]} == {f"{name}-s" for name in scenes.SCENES}
    assert {"wheel", "window", "head", "leg", "hull", "crown", "petal"} <= {row["name"] for row in tables["part"]}


def test_the_split_depends_on_the_name_alone(full_set, small_set):
    split = {row["image"]: row["split"] for row in rows(full_set / "index.csv")}
    assert set(split.values()) == {"train", "val"}
    assert 0.62 < np.mean([s == "train" for s in split.values()]) < 0.78
    small = {row["image"]: row["split"] for row in rows(small_set / "index.csv")}
    assert small.items() <= split.items()
    order = [image for image in split if image in small]
    assert order == list(small) != sorted(small)


# ---- colours


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((200, 30, 30), "red-c"), ((250, 250, 250), "white-c"), ((10, 10, 10), "black-c"), ((128, 128, 128), "grey-c"),
        ((30, 90, 200), "blue-c"), ((60, 150, 60), "green-c"), ((240, 220, 40), "yellow-c"), ((240, 130, 30), "orange-c"),
        ((110, 50, 150), "purple-c"), ((245, 160, 190), "pink-c"), ((110, 70, 35), "brown-c"),
    ],
)  # fmt: skip
def test_plain_colours_get_their_everyday_names(rgb, name):
    assert colours.NAMES[colours.colour_codes(np.uint8([[rgb]]))[0, 0] - 1] == name


def test_lab_agrees_with_published_values():
    """Red, green and mid grey of sRGB in CIELAB (D65), as tabulated by Lindbloom."""
    lab = colours.to_lab(np.array([[255, 0, 0], [0, 255, 0], [119, 119, 119]]))
    np.testing.assert_allclose(lab, [[53.24, 80.09, 67.20], [87.73, -86.18, 83.18], [50.03, 0, 0]], atol=0.05)


def test_the_colour_map_names_the_pixels_of_the_jpeg(full_set):
    number = {row["name"]: int(row["number"]) for row in rows(full_set / "label.csv")}
    of_code = np.array([0, *(number[name] for name in colours.NAMES)])
    agree = []
    for row in rows(full_set / "index.csv")[::25]:
        pixels = np.asarray(Image.open(full_set / "images" / row["image"]), float)
        means = pixels.reshape(MAP, 2, MAP, 2, 3).mean((1, 3))
        named = read_map(full_set, row["color"])
        assert (named > 0).all()
        agree.append((named == of_code[colours.nearest_name(means)]).mean())
        assert (named == of_code[colours.colour_codes(np.floor(means + 0.5).astype(np.uint8))]).all()
    # The table of names has cells of 4 levels, so colours close to the border of two names may go either way.
    assert np.mean(agree) > 0.9 and min(agree) > 0.75


# ---- labels are true by construction


def label_grid() -> tuple[np.ndarray, np.ndarray]:
    """x and y (image pixels) of the centres of the label pixels."""
    centre = np.arange(MAP) * 2 + 1.0
    return np.meshgrid(centre, centre)


def plane(canvas: Canvas, index: int, name: str) -> np.ndarray:
    return canvas.planes[index] == canvas.code(name)


@pytest.mark.parametrize(
    "frame", [Frame(112, 112), Frame(60.3, 90.7, 0.6, tilt=30, flip=True), Frame(190, 20, 2.5, tilt=-10)]
)
def test_a_red_disc_is_labelled_where_it_is_red(frame):
    canvas = Canvas(np.random.default_rng(0))
    canvas.pen("ball", frame).fill(ellipse(3, -4, 20), (1.0, 0.0, 0.0), part="skin", material="rubber")
    (cx, cy), r = frame(np.array([[3.0, -4.0]]))[0], 20 * frame.scale
    x, y = label_grid()
    depth = r - np.hypot(x - cx, y - cy)
    labelled = plane(canvas, 0, "ball")
    assert labelled[depth > 0.5].all() and not labelled[depth < -0.5].any()
    assert (plane(canvas, 2, "skin") == labelled).all() and (plane(canvas, 4, "rubber") == labelled).all()
    assert not canvas.planes[1].any() and not canvas.planes[3].any()
    at = np.arange(SIZE) + 0.5
    edge = r - np.hypot(at[None] - cx, at[:, None] - cy)
    redness = canvas.rgb[..., 0] - canvas.rgb[..., 1]
    assert (redness[edge > 1] == 1).all() and (redness[edge < -1] == 0).all()
    assert redness.sum() == pytest.approx(np.clip(edge + 0.5, 0, 1).sum(), rel=0.03)


def test_what_is_hidden_is_not_labelled_and_marks_leave_labels_alone():
    canvas = Canvas(np.random.default_rng(0))
    canvas.pen("dog").fill(box(20, 20, 120, 120), (0.5, 0.3, 0.1), part=("eye", "head"), material="fur")
    canvas.pen("fence").fill(box(60, 0, 80, 224), (0.9, 0.9, 0.9))
    canvas.pen("dog").mark(box(0, 0, 224, 224), (0.0, 0.0, 1.0))
    canvas.pen("dog").shadow(box(0, 0, 224, 224))
    x, y = label_grid()
    fence = (x > 60) & (x < 80)
    dog = (x > 20) & (x < 120) & (y > 20) & (y < 120) & ~fence
    assert (plane(canvas, 0, "fence") == fence).all() and (plane(canvas, 0, "dog") == dog).all()
    assert (plane(canvas, 2, "eye") == dog).all() and (plane(canvas, 3, "head") == dog).all()
    assert (plane(canvas, 4, "fur") == dog).all()


def test_holes_and_clips_cut_colour_and_labels_alike():
    canvas = Canvas(np.random.default_rng(0))
    pen = canvas.pen("wheel")
    pen.fill(box(20, 20, 200, 200), (1, 1, 1), holes=[box(60, 60, 100, 100)], clip=box(0, 0, 160, 224), glowing=True)
    x, y = label_grid()
    inside = (x > 20) & (x < 160) & (y > 20) & (y < 200) & ~((x > 60) & (x < 100) & (y > 60) & (y < 100))
    assert (plane(canvas, 0, "wheel") == inside).mean() > 0.995
    white = canvas.rgb.reshape(MAP, 2, MAP, 2, 3).mean((1, 3, 4)) > 0.95
    assert (white == plane(canvas, 0, "wheel")).mean() > 0.98


def test_painting_off_the_image_changes_nothing():
    canvas = Canvas(np.random.default_rng(0))
    before = canvas.rgb.copy()
    canvas.pen("bird").fill(box(-50, 10, -5, 60), (1, 0, 0), relief=4)
    assert (canvas.rgb == before).all() and not canvas.planes.any()


@pytest.mark.parametrize("name", sorted(scenes.SCENES))
def test_a_scene_is_labelled_almost_everywhere(name):
    canvas = scenes.draw_scene(name, np.random.default_rng([7, 7]))
    assert canvas.rgb.shape == (SIZE, SIZE, 3) and canvas.rgb.min() >= 0 and canvas.rgb.max() <= 1
    assert canvas.rgb.std() > 0.05
    assert (canvas.planes[PLANES.index("object")] > 0).mean() > 0.97
    assert canvas.planes[PLANES.index("material")].any()


def test_a_backdrop_carries_no_label():
    canvas = scenes.draw_object("car", np.random.default_rng(3))
    car = plane(canvas, 0, "car")
    assert 0.05 < car.mean() < 0.6
    assert not canvas.planes[:, ~car].any()


@pytest.mark.parametrize("name", ["striped", "zigzagged", "chequered", "grid"])
def test_a_regular_texture_repeats(name):
    """Its spectrum, slow changes of light left out, has peaks far above those of the same pixels shuffled."""
    grey = textures.draw_texture(name, np.random.default_rng(1)).mean(-1)
    shuffled = np.random.default_rng(0).permutation(grey.ravel()).reshape(grey.shape)
    cycles = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE)[None]) * SIZE
    peak, chance = (np.abs(np.fft.rfft2(a))[cycles > 3].max() for a in (grey, shuffled))
    assert peak > 5 * chance


# ---- where sets are written


def test_make_refuses_an_empty_set(tmp_path):
    with pytest.raises(UserError, match="`n_images` is 0"):
        mini_broden.make(tmp_path / "none", n_images=0)


def test_make_into_an_empty_folder_reports_its_progress(tmp_path):
    calls = []
    root = mini_broden.make(tmp_path, n_images=2, workers=1, progress=lambda *counts: calls.append(counts))
    assert root == tmp_path and (root / "index.csv").is_file()
    assert calls == [("drawing", 1, 2), ("drawing", 2, 2)]


def test_a_run_that_fails_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(mini_broden, "split_by_hash", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        mini_broden.make(tmp_path / "set", n_images=1, workers=1)
    assert list(tmp_path.iterdir()) == []


def test_two_at_once_get_one_set_and_it_is_drawn_no_more(tmp_path, monkeypatch):
    make, made = mini_broden.make, []

    def small(root, progress):
        made.append(root)
        barrier.wait(timeout=30)
        return make(root, n_images=2, workers=1)

    monkeypatch.setattr(mini_broden, "make", small)
    barrier = threading.Barrier(2)
    found = []
    threads = [threading.Thread(target=lambda: found.append(mini_broden.ensure(tmp_path))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    root = tmp_path / f"mini-broden-v{mini_broden.VERSION}"
    assert found == [root, root] and len(made) == 2
    assert [path.name for path in tmp_path.iterdir()] == [root.name]
    assert len(rows(root / "index.csv")) == 2
    assert mini_broden.ensure(tmp_path) == root and len(made) == 2
