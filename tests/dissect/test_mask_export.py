"""Masks over all images as COCO run lengths: those that were counted, and refused where they would be others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
from command_line import Said, sentence
from drawn_broden import write_broden
from pycocotools.coco import COCO
from torch import nn

import dissect as toolkit
from data_prep.broden import open_broden
from dissect.mask_export import export_masks

pytestmark = pytest.mark.usefixtures("one_thread")

N = 12
"""Images: as many as the run keeps masks of, so that it knows every mask."""


@pytest.fixture
def twelve(tmp_path: Path) -> Path:
    return write_broden(tmp_path / "twelve", N)


@pytest.fixture
def finished(nets: str, twelve: Path, out: Path) -> Callable[..., toolkit.Run]:
    def make(**settings: object) -> toolkit.Run:
        network = toolkit.load_network(f"{nets}:small")
        chosen = toolkit.Settings(strongest=N, quantile=0.9, min_images=1, **settings)
        return toolkit.run(network, open_broden(twelve), layers=["1", "2"], settings=chosen, out=out)

    return make


def decoded(path: Path) -> tuple[COCO, dict[tuple[int, int], np.ndarray]]:
    """The file as pycocotools has it, and its masks by (unit, row of images.csv)."""
    coco = COCO(path)
    masks = {(each["category_id"] - 1, each["image_id"] - 1): coco.annToMask(each) for each in coco.anns.values()}
    assert len(masks) == len(coco.anns)
    return coco, masks


@pytest.mark.parametrize("settings", [{}, {"rotate": 3, "tap": "relu"}, {"upsample": "receptive-field"}])
def test_the_masks_are_those_that_were_counted(finished, twelve: Path, tmp_path: Path, settings: dict) -> None:
    run = finished(**settings)
    data, name = open_broden(twelve), run.networks[0]["name"]
    paths = export_masks(run, data, tmp_path / "masks")
    assert [str(path.relative_to(tmp_path / "masks")) for path in paths] == [
        f"{name}/{layer}/masks.json" for layer in ("1-conv", "2-depthwise", "2-pointwise")
    ]
    kept, counts, first = run.strongest_masks(name), run.counts(name), 0
    annotated = [{data.concepts[c].category for c in np.unique(_concepts(data, k))} for k in range(N)]
    for path, layer in zip(paths, run.networks[0]["layers"], strict=True):
        coco, masks = decoded(path)
        for unit in range(layer["n_units"]):
            row = first + unit
            on = {image: kept.mask(row, rank) for rank, image in enumerate(kept.image[row].tolist()) if image >= 0}
            wanted = {image: mask for image, mask in on.items() if mask.any()}
            assert {image for u, image in masks if u == unit} == set(wanted)
            for image, mask in wanted.items():
                np.testing.assert_array_equal(masks[unit, image], mask)
            areas = [
                sum(int(mask.sum()) for image, mask in wanted.items() if category in annotated[image])
                for category in data.categories
            ]
            assert areas == counts["mask_area"][row].tolist()
        assert all(
            each["area"] == masks[each["category_id"] - 1, each["image_id"] - 1].sum() for each in coco.anns.values()
        )
        assert [image["file_name"] for image in coco.dataset["images"]] == list(run.images["name"])
        first += layer["n_units"]
    assert masks, "no mask at all"


def _concepts(data, k: int) -> np.ndarray:
    labels = data.read_labels(k)
    return np.concatenate([labels.planes[labels.planes >= 0], labels.whole_image])


def test_chosen_units_of_a_chosen_layer(finished, dissect, twelve: Path, tmp_path: Path) -> None:
    run, sets = finished(), tmp_path / "sets.py"
    sets.write_text(f"from data_prep import open_broden\ndef mine():\n    return open_broden({str(twelve)!r})\n")
    said: Said = dissect(
        "export", run.path, "--format", "masks", "--layers", 2, "--operators", "pointwise", "--units", 5, 1, "--out",
        tmp_path / "masks", "--data", f"{sets}:mine",
    )  # fmt: skip
    assert said.status == 0, said
    (path,) = map(Path, said.out.split())
    coco, masks = decoded(path)
    assert [each["name"] for each in coco.dataset["categories"]] == ["unit 5", "unit 1"]
    assert {unit for unit, _ in masks} <= {5, 1}
    facts = run.units[run.units["operator"] == "pointwise"].iloc[5]
    first = coco.dataset["categories"][0]
    assert (first["label"], first["iou"], first["threshold"]) == (facts["label"], facts["iou"], facts["threshold"])


def test_modules_that_are_called_by_numbers(twelve: Path, out: Path, tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU())
    network = toolkit.Network(name="mine", model=model, input_size=(16, 16))
    run = toolkit.run(network, open_broden(twelve), layers=["[3]", "[1]", "1"], out=out)
    assert run.units["layer"].unique().tolist() == ["[3]", "[1]", "1"]
    paths = export_masks(run, open_broden(twelve), tmp_path / "masks", loaded={"mine": network}, units=[0])
    facts = [json.loads(path.read_text())["info"] for path in paths]
    assert [(fact["layer"], fact["module"]) for fact in facts] == [("[3]", "3"), ("[1]", "1"), ("1", "0")]


def test_what_cannot_be_loaded_again_is_refused(finished, dissect, nets: str, twelve: Path, tmp_path: Path) -> None:
    run = finished()

    def refused(*args: object) -> str:
        return sentence(dissect("export", run.path, "--format", "masks", "--out", tmp_path / "masks", *args))

    assert refused("--layers", "seven").startswith("Unknown layer 'seven'; known: 1, ")
    assert refused("--units", 99).startswith("No layer chosen of small has a unit of --units [99]")
    assert refused("--data", tmp_path / "away").endswith("is no folder: give the one where it lies as --data.")
    label_map = next((twelve / "images").rglob("*.png"))
    label_map.write_bytes(next(p for p in (twelve / "images").rglob("*.png") if p != label_map).read_bytes())
    assert "its fingerprint is another" in refused()
    assert not (tmp_path / "masks").exists()


def test_another_network_under_the_name_is_refused(finished, nets: str, twelve: Path, tmp_path: Path) -> None:
    run, data = finished(), open_broden(twelve)

    def refusal(**options: object) -> str:
        with pytest.raises(toolkit.UserError) as caught:
            export_masks(run, data, tmp_path / "masks", **options)
        return str(caught.value)

    other = toolkit.load_network(f"{nets}:small", seed=1)
    assert "(their hash is another)" in refusal(loaded={"small": other})
    larger = toolkit.load_network(f"{nets}:small", image_size=20)
    assert "of another size, mean or std" in refusal(loaded={"small": larger})
    info = json.loads((run.path / "run.json").read_text())
    info["networks"][0]["model"] = ""
    by_hand = toolkit.Run(run.path, info)
    with pytest.raises(toolkit.UserError, match=r"made by hand .* give it as `loaded`"):
        export_masks(by_hand, data, tmp_path / "masks")
    same = toolkit.load_network(f"{nets}:small")
    assert export_masks(by_hand, data, tmp_path / "masks", loaded={"small": same}, units=[0])


def test_a_mask_that_is_another_is_refused(finished, twelve: Path, tmp_path: Path) -> None:
    """As where a version of PyTorch rounds otherwise: the thresholds of the run are moved a little."""
    run = finished()

    class Moved(toolkit.Run):
        def counts(self, network: str) -> dict[str, np.ndarray]:
            found = super().counts(network)
            return found | {"threshold": found["threshold"] - np.float32(0.05)}

    with pytest.raises(toolkit.UserError, match="no longer answers as it did"):
        export_masks(Moved(run.path, run.info), open_broden(twelve), tmp_path / "masks")
    assert not list((tmp_path / "masks").rglob("*.json"))


def test_weights_of_a_file_are_asked_for(nets: str, twelve: Path, dissect, out: Path, tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    safetensors.torch.save_model(toolkit.load_network(f"{nets}:small", seed=5).model, str(weights))
    network = toolkit.load_network(f"{nets}:small", weights=weights)
    toolkit.run(network, open_broden(twelve), layers=["1"], out=out)
    command = ("export", out, "--format", "masks", "--units", 0, "--out", tmp_path / "masks")
    assert sentence(dissect(*command)).endswith("those that were dissected from the file 'w.safetensors' as --weights.")
    assert "give it as NETWORK=FILE" not in dissect(*command, "--weights", weights).err
    assert (tmp_path / "masks/small/1-conv/masks.json").is_file()
