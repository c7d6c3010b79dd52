"""Networks made by hand, whose IoU can be worked out on paper, and the traps of method, part A.3."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from broden_writer import Categories, Picture, numbered, write_broden
from comparing import engine
from torch import nn

from data_prep.broden import open_broden
from data_prep.common.errors import UserError
from data_prep.formats import NO_CONCEPT, ImageLabels
from dissect.models import Network
from dissect.pipeline import run
from dissect.run_store import Run
from dissect.settings import Execution, Settings
from dissect.tally import Tally, flatten
from dissect.upsample import half_pixel_axis

SIDE = 20
RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def filled(colour: Sequence[int], **rectangles: Sequence[int]) -> np.ndarray:
    """(SIDE, SIDE, 3) pixels of one colour with rectangles: red=(top, bottom, left, right)."""
    pixels = np.full((SIDE, SIDE, 3), colour, np.uint8)
    for name, (top, bottom, left, right) in rectangles.items():
        pixels[top:bottom, left:right] = {"red": RED, "blue": BLUE}[name]
    return pixels


def plane(number: int, top: int, bottom: int, left: int, right: int) -> np.ndarray:
    numbers = np.zeros((SIDE, SIDE), int)
    numbers[top:bottom, left:right] = number
    return numbers


def network_of(model: nn.Module, **wishes) -> Network:
    return Network(name="handmade", model=model, input_size=(SIDE, SIDE), mean=(0.0,) * 3, std=(1.0,) * 3, **wishes)


def dissected(
    model: nn.Module, pictures: Sequence[Picture], categories: Categories, folder: Path, batch_size: int = 8, **settings
) -> Run:
    """The finished run over all layers of a handmade model."""
    data = open_broden(write_broden(folder / "set", categories, pictures))
    wanted = [name for name, _ in model.named_children()]
    return run(
        network_of(model), data, layers=wanted, settings=Settings(**{"min_images": 1} | settings), out=folder / "run",
        execution=Execution(device="cpu", batch_size=batch_size),
    )  # fmt: skip


def one_by_one(weights: Sequence[Sequence[float]], bias: Sequence[float]) -> nn.Module:
    """A network of a single 1 x 1 convolution; rows of `weights` are its units' weights of red, green and blue."""
    convolution = nn.Conv2d(3, len(weights), 1)
    with torch.no_grad():
        convolution.weight.copy_(torch.tensor(weights, dtype=torch.float32)[:, :, None, None])
        convolution.bias.copy_(torch.tensor(bias, dtype=torch.float32))
    return nn.Sequential(OrderedDict(tapped=convolution))


# Red. Ten images of 400 pixels: 16 red ones of 4000 are 0.4 %, so the threshold is what the others give.

COLOUR, OBJECT, SCENE = "color", "object", "scene"
CATEGORIES = {OBJECT: [1, 2, 700], COLOUR: [3, 4], SCENE: [5]}


def red_pictures() -> list[Picture]:
    """12 red pixels in image 0, 4 in image 1, none elsewhere; some labels meet them."""
    shape = (SIDE, SIDE)
    with_12 = Picture(filled(WHITE, red=(2, 5, 4, 8)), shape)
    with_12.planes = [
        (OBJECT, plane(1, 2, 5, 6, 16)),  # 30 pixels, 6 of them red
        (OBJECT, plane(1, 2, 3, 6, 8) + plane(700, 10, 20, 0, 20)),  # 2 red pixels once more, and 200 of label 700
        (COLOUR, plane(3, 2, 5, 4, 8) + plane(4, 10, 12, 0, 20)),
    ]
    with_4 = Picture(filled(WHITE, red=(0, 2, 0, 2)), shape, [(COLOUR, plane(3, 0, 2, 0, 2))], [(SCENE, 5)])
    blank = Picture(filled(WHITE), shape)
    others = [
        Picture(filled(WHITE), shape, [(OBJECT, plane(1, 0, 2, 0, 5))]),
        Picture(filled(WHITE), shape, [(OBJECT, np.zeros(shape, int)), (COLOUR, plane(4, 0, 20, 0, 20))]),
    ]
    return [with_12, with_4, *others, *[blank] * 6]


PAPER = {
    # category rule: A is 12 for objects (image 1 has none annotated), 16 for colours, 4 for scenes.
    "category": {
        (OBJECT, 1): (6, 12 + 40 - 6),
        (OBJECT, 700): (0, 12 + 200),
        (COLOUR, 3): (16, 16),
        (SCENE, 5): (4, 400),
    },
    "all-images": {(OBJECT, 1): (6, 16 + 40 - 6), (COLOUR, 3): (16, 16), (SCENE, 5): (4, 16 + 400 - 4)},
    "touched": {(OBJECT, 1): (6, 12 + 40 - 6), (COLOUR, 3): (16, 16), (SCENE, 5): (4, 400)},
}


@pytest.mark.parametrize("rule", PAPER)
@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_unit_that_answers_to_red(tmp_path, rule, batch_size):
    found = dissected(one_by_one([(1, -1, -1)], [0]), red_pictures(), CATEGORIES, tmp_path, batch_size, union=rule)
    counts, concepts = found.counts("handmade"), found.concepts.set_index(["category", "number"])
    for (category, number), (intersection, union) in PAPER[rule].items():
        concept = concepts.loc[(category, number), "concept"]
        k = list(CATEGORIES).index(category)
        assert counts["intersection_area"][0, concept] == intersection
        assert counts["mask_area"][0, k] + counts["concept_area"][concept] - intersection == union
    (unit,) = found.units.to_dict("records")
    assert (unit["category"], unit["label"], unit["iou"]) == (COLOUR, "label-3", 1.0)
    assert (unit["threshold"], unit["max_activation"]) == (-1, 1)
    assert unit["detector"] and not unit["dead"]
    assert found.concepts["concept_area"].sum() == 40 + 200 + 16 + 440 + 400
    best = found.unit_category.set_index("category")
    assert best.loc[OBJECT, "label"] == "label-1"
    assert best.loc[OBJECT, "iou"] == PAPER[rule][OBJECT, 1][0] / PAPER[rule][OBJECT, 1][1]


def test_the_mean_of_ious_is_another_number(tmp_path):
    """Pooled 6 / 46 for the object; the mean over the images that hold it would be (6 / 36 + 0 / 10) / 2."""
    found = dissected(one_by_one([(1, -1, -1)], [0]), red_pictures(), CATEGORIES, tmp_path)
    iou = found.unit_category.query("category == 'object'")["iou"].item()
    assert iou == 6 / 46 != (6 / 36 + 0) / 2


def test_label_0_is_no_concept(tmp_path):
    """label.csv lists it and most pixels carry it; a mask that covers only such pixels has no label."""
    pictures = [Picture(filled(WHITE), (SIDE, SIDE), [(OBJECT, plane(1, 15, 20, 0, 20))]) for _ in range(10)]
    pictures[0].pixels = filled(WHITE, red=(0, 3, 0, 4))
    found = dissected(one_by_one([(1, -1, -1)], [0]), pictures, CATEGORIES, tmp_path)
    assert found.concepts["number"].tolist() == [1, 2, 3, 4, 5, 700]
    (unit,) = found.units.to_dict("records")
    assert (unit["category"], unit["label"], unit["iou"], unit["detector"], unit["dead"]) == ("", "", 0, False, False)
    assert found.counts("handmade")["mask_area"].tolist() == [[12, 0, 0]]


def test_no_category_is_carried_into_the_next_image(tmp_path):
    """Each red image without labels follows one with labels; its mask belongs to no category's union."""
    shape, pictures = (SIDE, SIDE), []
    for _ in range(5):
        labelled = Picture(filled(WHITE), shape, [(OBJECT, plane(1, 0, 10, 0, 20))], [(SCENE, 5)])
        pictures += [labelled, Picture(filled(WHITE, red=(0, 1, 0, 2)), shape)]
    for batch_size in (1, 10):
        folder = tmp_path / str(batch_size)
        found = dissected(one_by_one([(1, -1, -1)], [0]), pictures, CATEGORIES, folder, batch_size)
        assert not found.counts("handmade")["mask_area"].any()
        everywhere = dissected(
            one_by_one([(1, -1, -1)], [0]), pictures, CATEGORIES, folder / "all", batch_size, union="all-images"
        )
        assert everywhere.counts("handmade")["mask_area"].tolist() == [[10, 10, 10]]


# Texture: a vertical edge filter on stripes.


def test_a_unit_that_answers_to_stripes(tmp_path):
    """Stripes four pixels wide begin at columns 2, 6, ... 18: five rising edges of 20 pixels, 100 in the one striped image.
    The texture covers its 400 pixels: IoU 100 / 400, for the flat images' textures are annotated but hold no edge."""
    convolution = nn.Conv2d(3, 2, (1, 3), padding=(0, 1), padding_mode="replicate", bias=False)
    with torch.no_grad():
        convolution.weight.zero_()
        convolution.weight[0, 0, 0] = torch.tensor([-1.0, 1.0, 0.0])
        convolution.weight[1, 0, 0] = torch.tensor([1.0, -1.0, 0.0])  # falling edges: columns 4, 8, 12, 16
    stripes = np.where(np.arange(SIDE) % 4 >= 2, 255, 0)[None, :, None].repeat(SIDE, 0).repeat(3, 2).astype(np.uint8)
    flat = [Picture(filled((g, g, g)), (SIDE, SIDE), whole=[("texture", 2)]) for g in range(0, 220, 4)]
    pictures = [*flat, Picture(stripes, (SIDE, SIDE), whole=[("texture", 1)])]
    assert 100 / (len(pictures) * 400) < 0.005
    found = dissected(
        nn.Sequential(OrderedDict(edges=convolution)), pictures, {"texture": [1, 2], "object": [3]}, tmp_path
    )
    assert found.units["label"].tolist() == ["label-1", "label-1"]
    assert found.units["iou"].tolist() == [100 / 400, 80 / 400]
    assert found.units["intersection_area"].tolist() == [100, 80]
    assert found.units["union_area"].tolist() == [400, 400]
    assert found.units["threshold"].tolist() == [0, 0]


def test_a_tie_goes_to_the_lower_concept(tmp_path):
    """Three concepts on the same pixels: the lower number wins; for one number, the category that category.csv names first."""
    pictures = [Picture(filled(WHITE), (SIDE, SIDE)) for _ in range(10)]
    numbers = plane(7, 0, 3, 0, 4)
    pictures[0] = Picture(
        filled(WHITE, red=(0, 3, 0, 4)), (SIDE, SIDE), [("a", numbers // 7 * 9), ("b", numbers), ("c", numbers)]
    )
    found = dissected(one_by_one([(1, -1, -1)], [0]), pictures, {"c": [7], "a": [9], "b": [7, 8]}, tmp_path)
    assert found.units[["category", "label", "iou"]].values.tolist() == [["c", "label-7", 1.0]]


# Units that must not become detectors, and values that must not be used.


@pytest.mark.parametrize("whole", [[], [(SCENE, 5)]])
def test_a_constant_unit_is_dead(tmp_path, whole):
    """Also one that saturates: it reaches its largest value at more than 0.5 % of all positions."""
    pictures = [Picture(filled(WHITE), (SIDE, SIDE), [(COLOUR, plane(3, 0, 20, 0, 20))], whole) for _ in range(10)]
    pictures[0].pixels = filled(WHITE, red=(0, 5, 0, 5))  # 25 of 4000
    found = dissected(one_by_one([(0, 0, 0), (0, 0, 0), (1, -1, -1)], [3, 0, 0]), pictures, CATEGORIES, tmp_path)
    assert found.units["dead"].tolist() == [True] * 3
    assert found.units["threshold"].tolist() == [3, 0, 1]
    assert found.units["label"].tolist() == found.units["category"].tolist() == [""] * 3
    assert not found.units["detector"].any() and not found.units["iou"].any()
    assert (found.strongest_masks("handmade").image == -1).all()


class Spoilt(nn.Module):
    """The first convolution's unit 2 gives a bad value at one position of the images with a blue pixel."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.good = nn.Conv2d(3, 4, 1)
        self.bad = nn.Identity()
        self.value = value

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.good(images)
        blue = (images[:, 2] == 1) & (images[:, 0] == 0)
        return self.bad(maps.masked_fill(blue[:, None] & (torch.arange(4) == 2)[:, None, None], self.value))


@pytest.mark.parametrize(("value", "word"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")])
def test_a_value_that_is_not_finite_is_refused(tmp_path, value, word):
    pictures = [Picture(filled(WHITE), (SIDE, SIDE), whole=[(SCENE, 5)]) for _ in range(10)]
    pictures[7].pixels = filled(WHITE, blue=(3, 4, 5, 6))
    model = Spoilt(value)
    with pytest.raises(UserError, match=rf"Layer 'bad' gives {word} for unit 2") as caught:
        dissected(model, pictures, CATEGORIES, tmp_path, batch_size=4)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "DONE").exists()
    assert not any(module._forward_hooks for module in model.modules())
    # The tap before it is sound, and the same model can be used again.
    result = engine(network_of(model), open_broden(tmp_path / "set"), tmp_path / "again", ["good"])
    assert np.isfinite(result.threshold).all()


# Counters and shapes.


def test_counts_go_on_beyond_2_to_the_24():
    """float32 sums stop there: 2^24 + 1 is 2^24. Four images of 2048 x 2048 full of mask and label, and one of one pixel."""
    tally = Tally(1, 2, 2, "category")
    for side in (2048, 2048, 2048, 2048, 1):
        labels = ImageLabels(np.zeros((1, side, side), np.int32), np.zeros(1, np.int32), np.ones(1, np.int32))
        seen = flatten(labels, np.array([0, 1], np.int32), 2)
        axis = half_pixel_axis(1, side)
        tally.add_labels(seen)
        maps, rows = np.ones((1, 1, 1), np.float32), np.zeros(1, np.int64)
        tally.add_masks(seen, maps, unit_rows=rows, thresholds=np.zeros(1, np.float32), rows=axis, columns=axis)
    expected = 2**24 + 1
    assert int(np.float32(2**24) + np.float32(1)) != expected
    assert tally.concept_area.tolist() == [expected, expected]
    assert tally.intersection_area.tolist() == [[expected, expected]]
    assert tally.mask_area.tolist() == [[expected, expected]]


def test_one_image_of_one_unit_of_one_cell(tmp_path):
    """Nothing is squeezed away: a batch of one, one unit, a map of 1 x 1, a label map of 1 x 1."""
    data = open_broden(write_broden(tmp_path / "set", {SCENE: [5]}, [Picture(numbered(0), (1, 1), whole=[(SCENE, 5)])]))
    result = engine({"only": np.full((1, 1, 1, 1), 2.5, np.float32)}, data, tmp_path / "scratch", batch_size=1)
    assert (result.threshold.tolist(), result.max_activation.tolist(), result.dead.tolist()) == ([2.5], [2.5], [True])
    assert result.counts.concept_area.tolist() == [1] and result.counts.intersection_area.tolist() == [[0]]


def test_a_batch_of_one_at_the_end(tmp_path):
    """Nine images in batches of four leave one."""
    pictures = red_pictures()[:9]
    results = [
        dissected(one_by_one([(1, -1, -1)], [0]), pictures, CATEGORIES, tmp_path / str(n), n, quantile=0.99)
        for n in (4, 9)
    ]
    pd.testing.assert_frame_equal(results[0].units, results[1].units)
    assert results[0].units["intersection_area"].item() == 16


def test_image_without_a_category_and_one_pixel_labelled_by_all(tmp_path):
    """A plane, a second plane and the whole image carry one concept: every pixel counts once."""
    pictures = [Picture(filled(WHITE), (SIDE, SIDE)) for _ in range(10)]
    numbers = plane(1, 0, 3, 0, 4)
    pictures[0] = Picture(
        filled(WHITE, red=(0, 3, 0, 4)), (SIDE, SIDE), [(OBJECT, numbers), (OBJECT, numbers)], [(OBJECT, 1)]
    )
    found = dissected(one_by_one([(1, -1, -1)], [0]), pictures, CATEGORIES, tmp_path)
    counts = found.counts("handmade")
    assert counts["concept_area"][0] == 400 and counts["intersection_area"][0, 0] == 12
    assert counts["mask_area"][0].tolist() == [12, 0, 0]
    assert found.units["iou"].item() == 12 / 400


def test_labels_flatten_to_one_a_pixel():
    labels = ImageLabels(
        np.array([[[0, 1, NO_CONCEPT]], [[0, 0, 2]], [[3, 3, NO_CONCEPT]], [[0, 1, 2]]], np.int32),
        np.array([0, 0, 1, 0], np.int32),
        np.array([2], np.int32),
    )
    seen = flatten(labels, np.array([0, 0, 0, 1], np.int32), 3)
    tally = Tally(1, 4, 3, "category")
    tally.add_labels(seen)
    assert tally.concept_area.tolist() == [2, 1, 3, 2]
    assert seen.annotated.tolist() == [True, True, False]
