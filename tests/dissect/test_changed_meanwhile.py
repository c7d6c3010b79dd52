"""Runs whose data, code or files changed while they were interrupted or after they had finished; and names that are numbers."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import edit, sentence, stored

import dissect
from data_prep.broden import open_broden
from dissect.run_store import open_run

OPTIONS = ("--layers", 1, 2, "--quantile", 0.9, "--batch-size", 4)


def test_a_changed_forward_is_another_run(run, nets: str, out: Path) -> None:
    assert run(*OPTIONS).status == 0
    assert open_run(out).networks[0]["source_hash"]
    edit(Path(nets), "x = self.pointwise(self.depthwise(self.stem(x)))", "x = self.pointwise(self.stem(x))")
    words = sentence(run(*OPTIONS))
    assert words == (
        f"{out} was made when the code of the network was another (networks[0].source_hash differs): give another folder as "
        f"--out, or --overwrite it."
    )


def test_a_changed_neighbour_of_the_network_is_another_run(run, nets: str, out: Path) -> None:
    helper = Path(nets).with_name("helper_of_nets.py")
    helper.write_text("def double(x):\n    return 2 * x\n")
    edit(Path(nets), "import torch\n", "import torch\nfrom helper_of_nets import double\n")
    assert run(*OPTIONS).status == 0
    assert run(*OPTIONS).status == 0
    helper.write_text("def double(x):\n    return 2.5 * x\n")
    assert "when the code of the network was another" in sentence(run(*OPTIONS))
    sys.modules.pop("helper_of_nets")


def test_pixels_changed_at_equal_size_are_another_set(run, sixty: Path, tmp_path: Path, out: Path) -> None:
    root = Path(shutil.copytree(sixty, tmp_path / "mine"))
    assert run(*OPTIONS, data=root).status == 0
    a, b = root / "images/1_object.png", root / "images/2_object.png"
    content = a.read_bytes()
    a.write_bytes(b.read_bytes().ljust(len(content), b"\0")[: len(content)])
    assert "was made with data.fingerprint" in sentence(run(*OPTIONS, data=root))
    a.write_bytes(content)
    assert "already finished" in run(*OPTIONS, data=root).out


@pytest.mark.parametrize("image", [0, 29, 59])
@pytest.mark.parametrize("kind", ["image", "label map"])
def test_a_restored_image_is_resumed_from(
    run, sixty: Path, tmp_path: Path, out: Path, caplog, image: int, kind: str
) -> None:
    root = Path(shutil.copytree(sixty, tmp_path / "mine"))
    file = root / "images" / (f"{image}.png" if kind == "image" else f"{image}_object.png")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert str(file) in sentence(run(*OPTIONS, data=root), out)
    checkpoint = out / "partial/small/checkpoint.npz"
    if image >= 4:
        with np.load(checkpoint) as arrays:
            assert arrays["n_read"] == image // 4 * 4
    file.write_bytes(whole)
    seen: list[int] = []
    done = dissect.run(
        dissect.load_network(json.loads((out / "run.json").read_text())["networks"][0]["model"]), open_broden(root),
        layers=["1", "2"], settings=dissect.Settings(quantile=0.9, min_images=1),
        execution=dissect.Execution(batch_size=4), out=out,
        progress=lambda stage, done, total: seen.append(done) if stage == "forward" else None,
    )  # fmt: skip
    assert seen[0] == image // 4 * 4 + 4, "what was done before is not done again"
    assert "set aside" not in caplog.text
    assert run(*OPTIONS, data=sixty, out=tmp_path / "whole").status == 0
    assert stored(done.path) == stored(tmp_path / "whole")


def test_an_image_changed_behind_the_checkpoint_begins_again(
    run, sixty: Path, tmp_path: Path, out: Path, caplog
) -> None:
    root = Path(shutil.copytree(sixty, tmp_path / "mine"))
    late = root / "images/40.png"
    whole = late.read_bytes()
    late.write_bytes(b"no image")
    sentence(run(*OPTIONS, data=root), out)
    late.write_bytes(whole)
    shutil.copy(root / "images/5.png", root / "images/3.png")
    with caplog.at_level(logging.WARNING):
        assert run(*OPTIONS, data=root).status == 0
    assert (
        "(images that it has seen were changed since): it is set aside, and the pass over the images begins again"
        in caplog.text
    )
    assert run(*OPTIONS, data=root, out=tmp_path / "whole").status == 0
    assert stored(out) == stored(tmp_path / "whole") and not (out / "partial").exists()


def test_a_stored_network_of_other_data_is_dissected_again(
    dissect, nets: str, sixty: Path, tmp_path, out: Path
) -> None:
    """The first of two networks was finished when an image was changed."""
    root = Path(shutil.copytree(sixty, tmp_path / "mine"))
    command = ("run", f"{nets}:small", f"{nets}:Interrupted", "--data", root, "--layers", 1, 2, "--batch-size", 4)
    assert dissect(*command, "--out", out).status == 130
    assert (out / "counts/small.npz").exists()
    shutil.copy(root / "images/5.png", root / "images/3.png")
    assert dissect(*command, "--out", out).status == 0
    assert dissect(*command, "--out", tmp_path / "whole").status == 0
    assert stored(out) == stored(tmp_path / "whole")


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("restored", "again"), [(True, {"b"}), (False, {"a"})])
def test_an_image_that_only_one_of_two_networks_saw(
    nets: str, tiny_broden: Path, out: Path, tmp_path: Path, restored: bool, again: set[str]
) -> None:
    data, image = open_broden(tiny_broden), tiny_broden / "images/a/two.jpg"
    away = image.with_suffix(".away")
    data.fingerprint = lambda: "of a set that does not read its images for it"
    networks = [dissect.load_network(f"{nets}:small", name=name, seed=k) for k, name in enumerate("ab")]
    seen: set[str] = set()

    def run(out: Path, vanish: bool = False) -> dissect.Run:
        def watch(stage: str, done: int, total: int) -> None:
            seen.add(stage.partition(":")[0])
            if vanish and stage == "a: tally" and done == total:
                image.rename(away)

        return dissect.run(
            networks, data, layers="1", settings=dissect.Settings(quantile=0.9, min_images=1, null=2), out=out,
            execution=dissect.Execution(on_bad_image="skip"), progress=watch,
        )  # fmt: skip

    with pytest.raises(
        dissect.UserError, match=r"^The image a/two\.jpg could be used for the network a, and not for b: give"
    ):
        run(out, vanish=True)
    assert not (out / "DONE").exists()
    if restored:
        away.rename(image)
    seen.clear()
    healed = run(out)
    assert seen == again and len(healed.images) == 3 + restored
    assert stored(out) == stored(run(tmp_path / "whole").path)


@pytest.mark.parametrize("name", ["counts/small.npz", "strongest/small.npz"])
@pytest.mark.parametrize("damage", ["missing", "shortened", "of another network"])
def test_a_stored_network_that_was_damaged_is_dissected_again(
    dissect, nets, sixty, tmp_path, out, name, damage
) -> None:
    command = ("run", f"{nets}:small", f"{nets}:Interrupted", "--data", sixty, "--layers", 1, 2, "--quantile", 0.9)
    assert dissect(*command, "--out", out).status == 130
    if damage == "missing":
        (out / name).unlink()
    elif damage == "shortened":
        (out / name).write_bytes((out / name).read_bytes()[:-100])
    else:
        other = ("run", f"{nets}:small", "--data", sixty, "--layers", 1, 2, "--quantile", 0.5)
        assert dissect(*other, "--out", tmp_path / "other").status == 0
        shutil.copy(tmp_path / "other" / name, out / name)
    assert dissect(*command, "--out", out).status == 0
    assert dissect(*command, "--out", tmp_path / "whole").status == 0
    assert stored(out) == stored(tmp_path / "whole")


def test_networks_named_like_numbers(dissect, nets: str, sixty: Path, out: Path, tmp_path: Path) -> None:
    command = ("run", f"{nets}:small", f"{nets}:small", "--data", sixty, "--layers", 1, "--folds", 3)
    assert dissect(*command, "--names", "010", "020", "--domains", "1", "NA", "--out", out).status == 0
    run = open_run(out)
    for table in (run.units, run.unit_category, run.replicates):
        assert table is not None and table["network"].unique().tolist() == ["010", "020"]
        assert set(table["layer"]) == {"1"}
    assert run.units["domain"].unique().tolist() == ["1", "NA"]
    assert len(run.iou("020")) == 4 and run.unit("010", 1, 0).facts["network"] == "010"
    told = dissect("export", out, "--out", tmp_path / "tally")
    assert told.status == 0
    assert told.out.split() == [str(tmp_path / f"tally/{name}/1-conv/tally.csv") for name in ("010", "020")]


def test_names_that_would_share_a_file_are_refused(dissect, nets: str, sixty: Path, out: Path) -> None:
    said = dissect("run", f"{nets}:small", f"{nets}:small", "--names", "Net", "net", "--data", sixty, "--out", out)
    assert sentence(said, out).startswith("The networks Net and net would share their files where upper and lower case")


def test_a_name_of_one_s_own_network_never_leads_out(nets: str, tiny_broden: Path, out: Path) -> None:
    network = dissect.Network(name="../../evil", model=dissect.load_network(f"{nets}:small").model, input_size=(16, 16))
    with pytest.raises(dissect.UserError, match=r"^The network name '../../evil' must have at most 128 bytes"):
        dissect.run(network, open_broden(tiny_broden), layers="1", out=out)
    assert not out.exists()
