"""Random rotations: uniform, repeatable, independent; what is observed is rotated exactly, and nothing else is."""

from __future__ import annotations

import json
import math
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from broden_writer import random_pictures, write_broden
from brute_force import brute_force, read_broden
from command_line import sentence, stored
from comparing import assert_equal, collected, engine

from data_prep.broden import Broden, open_broden
from data_prep.common.errors import UserError
from dissect import cli
from dissect.layers import Layer, list_layers, select_layers
from dissect.layouts import Layout
from dissect.models import load_network
from dissect.rotation import random_rotation, rotated, rotation_of
from dissect.run_store import open_run
from dissect.settings import Settings

N_IMAGES = 40
CATEGORIES = {"scene": [9, 4], "object": [3, 4, 258], "color": [1, 2]}

pytestmark = pytest.mark.usefixtures("one_thread")


# The matrices


@pytest.mark.parametrize("n_units", [1, 2, 7, 128])
def test_a_rotation_is_orthogonal(n_units: int) -> None:
    rotation = random_rotation(n_units, 1, "conv")
    assert rotation.shape == (n_units, n_units) and rotation.dtype == np.float64
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(n_units), rtol=0, atol=1e-13)


def test_a_rotation_comes_from_its_seed_and_layer() -> None:
    first = random_rotation(128, 1, "stage3.0.depthwise")
    assert random_rotation(128, 1, "stage3.0.depthwise").tobytes() == first.tobytes()
    for other in (random_rotation(128, 2, "stage3.0.depthwise"), random_rotation(128, 1, "stage3.0.pointwise")):
        # The entries have standard deviation 1/sqrt(128), so that of the sum of products of independent ones is 1.
        assert abs((first * other).sum()) < 5


def test_rotations_are_uniform() -> None:
    """Moments of Haar measure on O(4). Without the correction of signs the mean of the diagonal is far from zero."""
    n_draws, n = 4000, 4
    draws = np.stack([random_rotation(n, 7, f"layer-{k}") for k in range(n_draws)])
    assert abs(draws.mean(0)).max() < 5 * math.sqrt(1 / n / n_draws)
    assert abs((draws**2).mean(0) - 1 / n).max() < 5 * math.sqrt((3 / (n * (n + 2)) - 1 / n**2) / n_draws)
    assert abs((draws**4).mean() - 3 / (n * (n + 2))) < 0.003
    assert abs((np.linalg.det(draws) > 0).mean() - 0.5) < 5 * 0.5 / math.sqrt(n_draws)
    # Uniform also as seen from another basis: the trace of a fixed matrix times a draw has mean 0 and variance 1.
    for fixed in (np.eye(n), np.eye(n)[[1, 2, 3, 0]]):
        trace = np.einsum("ij,kji->k", fixed, draws)
        assert abs(trace.mean()) < 5 / math.sqrt(n_draws)
        assert abs((trace**2).mean() - 1) < 5 * math.sqrt(2 / n_draws)


# The maps


def layer_named(module: str, n_units: int) -> Layer:
    return Layer(module=module, operator="conv", label="1", layout=Layout(shape=(n_units, 3, 5)))


def test_rotated_maps_are_weighted_sums_of_maps() -> None:
    maps = np.random.default_rng(1).standard_normal((3, 6, 3, 5)).astype(np.float32)
    rotation = random_rotation(6, 1, "conv")
    found = rotated(torch.from_numpy(maps), torch.from_numpy(rotation)).numpy()
    assert found.shape == maps.shape and found.dtype == np.float32
    for b, k, y, x in np.ndindex(found.shape):
        exact = math.fsum(rotation[k, u] * float(maps[b, u, y, x]) for u in range(6))
        assert abs(found[b, k, y, x] - exact) <= np.spacing(np.float32(abs(exact))) / 2 * 1.001


def test_maps_are_rotated_alike_alone_and_in_company() -> None:
    rng = np.random.default_rng(2)
    maps = {name: torch.from_numpy(rng.standard_normal((9, 12, 3, 5)).astype(np.float32)) for name in ("a", "b")}
    layers = {name: layer_named(name, 12) for name in maps}
    together = rotation_of(list(layers.values()), 3)(maps)
    assert list(together) == ["a", "b"] and not torch.equal(together["a"], maps["a"])
    for name in maps:
        alone = rotation_of([layers[name]], 3)
        for image in range(9):
            assert torch.equal(alone({name: maps[name][image : image + 1]})[name][0], together[name][image])


def test_without_a_seed_nothing_is_touched() -> None:
    maps = {"a": torch.ones(1, 2, 3, 5)}
    assert rotation_of([layer_named("a", 2)], None)(maps)["a"] is maps["a"]


# The engine, on given maps


@pytest.fixture(scope="module")
def maps() -> dict[str, np.ndarray]:
    """Units of a network, dead ones among them; rotated, none of those is dead."""
    rng = np.random.default_rng(3)
    first = rng.standard_normal((N_IMAGES, 12, 8, 8)).astype(np.float32)
    first[:, 3:6] = np.maximum(first[:, 3:6], 0)
    first[:, 6], first[:, 7] = 0, 2.5
    first[:, 8] *= 50
    return {"first": first, "second": np.exp(rng.standard_normal((N_IMAGES, 7, 4, 6))).astype(np.float32)}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pictures = random_pictures(np.random.default_rng(4), CATEGORIES, [(24, 16), (11, 29)], N_IMAGES)
    return write_broden(tmp_path_factory.mktemp("sets") / "random", CATEGORIES, pictures)


@pytest.fixture(scope="module")
def data(root: Path) -> Broden:
    return open_broden(root)


def rotated_plainly(maps: np.ndarray, seed: int, module: str) -> np.ndarray:
    """Without a linear algebra library."""
    return np.einsum("ku,nuhw->nkhw", random_rotation(maps.shape[1], seed, module), maps).astype(np.float32)


@pytest.fixture(scope="module")
def reference(maps, root):
    return brute_force([rotated_plainly(its_maps, 1, name) for name, its_maps in maps.items()], read_broden(root))


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 3), (7, 1), (40, 2)])
def test_equals_brute_force_on_rotated_maps(maps, data, root, reference, tmp_path, batch_size, workers) -> None:
    plain = brute_force(list(maps.values()), read_broden(root))
    assert plain.dead.sum() == 2 and not reference.dead.any()
    assert (plain.intersection_area != reference.intersection_area).any()
    settings = Settings(rotate=1)
    with torch.autocast("cpu", torch.bfloat16):
        result = engine(maps, data, tmp_path, settings=settings, batch_size=batch_size, workers=workers)
    assert_equal(result, reference, data)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device on this machine")
def test_on_a_gpu(maps, data, reference, tmp_path) -> None:
    assert_equal(engine(maps, data, tmp_path, settings=Settings(rotate=1), device="cuda"), reference, data)


@pytest.mark.parametrize("stage", ["forward", "tally"])
def test_interrupted_and_resumed(maps, data, reference, tmp_path, stage) -> None:
    def press(this_stage: str, done: int, total: int) -> None:
        if (this_stage, done) == (stage, 14):
            os.kill(os.getpid(), signal.SIGINT)

    settings = Settings(rotate=1)
    with pytest.raises(KeyboardInterrupt):
        engine(maps, data, tmp_path, settings=settings, progress=press, batch_size=7)
    for other in (Settings(), Settings(rotate=2)):
        with pytest.raises(UserError, match="was left by a run on other weights, layers, data or settings"):
            engine(maps, data, tmp_path, settings=other)
    assert_equal(engine(maps, data, tmp_path, settings=settings, batch_size=3, workers=1), reference, data)


# The engine, on networks


def test_the_network_computes_on_with_its_own_maps(nets: str, sixty: Path, tmp_path: Path) -> None:
    """Layers one after the other: the maps of the later ones are those of a plain pass, each rotated by its own matrix."""
    network, data = load_network(f"{nets}:small"), open_broden(sixty)
    layers = select_layers(list_layers(network.model, network.input_size), ["1", "2"])
    maps = collected(network, layers, data, 8)
    turned = [rotated_plainly(its, 1, layer.module) for its, layer in zip(maps, layers, strict=True)]
    names = [layer.module for layer in layers]
    result = engine(network, data, tmp_path, names, Settings(rotate=1), batch_size=8)
    assert_equal(result, brute_force(turned, read_broden(sixty)), data)


@pytest.mark.parametrize("upsample", ["half-pixel", "receptive-field"])
def test_a_rotation_that_renumbers_units_renumbers_results(
    nets: str, sixty: Path, tmp_path: Path, monkeypatch, upsample
) -> None:
    network, data = load_network(f"{nets}:small"), open_broden(sixty)
    names, settings = ["stem.2", "pointwise"], {"quantile": 0.9, "upsample": upsample}
    plain = engine(network, data, tmp_path / "plain", names, Settings(**settings))
    monkeypatch.setattr("dissect.rotation.random_rotation", lambda n_units, seed, layer: np.eye(n_units)[::-1].copy())
    turned = engine(network, data, tmp_path / "turned", names, Settings(**settings, rotate=1))
    order = [3, 2, 1, 0, 9, 8, 7, 6, 5, 4]
    assert plain.counts.mask_area.any()
    np.testing.assert_array_equal(turned.threshold, plain.threshold[order])
    np.testing.assert_array_equal(turned.max_activation, plain.max_activation[order])
    np.testing.assert_array_equal(turned.counts.intersection_area, plain.counts.intersection_area[order])
    np.testing.assert_array_equal(turned.counts.mask_area, plain.counts.mask_area[order])
    np.testing.assert_array_equal(turned.masks.image, plain.masks.image[order])


# Settings and the command


@pytest.mark.parametrize("seed", [-1, 2**63, 1.0, True, "1"])
def test_seeds_out_of_range(seed: object) -> None:
    with pytest.raises(UserError) as caught:
        Settings(rotate=seed)
    assert str(caught.value) == (
        f"`rotate` is {seed!r}; it must be a whole number in 0..2^63 - 1, the seed of the rotation, or not be given."
    )


def test_the_command_refuses_a_seed(refused, dissect) -> None:
    assert refused("--layers", 1, "--rotate", -1).startswith("--rotate is -1; it must be a whole number")
    assert "Error parsing --rotate" in sentence(dissect("run", "--rotate", "left"))


def test_a_plain_and_a_rotated_run_side_by_side(dissect, nets: str, tiny_broden: Path, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = ("run", f"{nets}:small", "--data", tiny_broden, "--layers", 1)
    words = "note: The units are not the network's own: each layer was dissected in a randomly rotated basis (rotation seed 0)"
    assert words not in dissect(*options).out
    assert words in dissect(*options, "--rotate", 0).out
    plain, turned = tmp_path / "runs/tiny-small-1", tmp_path / "runs/tiny-small-1-rotated-0"
    assert words in dissect("report", turned).out
    assert open_run(plain).info["settings"]["rotate"] is None and open_run(turned).info["settings"]["rotate"] == 0
    assert stored(plain) != stored(turned)
    for there, args, says in ((plain, ("--rotate", 0), "None, this run has 0"), (turned, (), "0, this run has None")):
        words = sentence(dissect(*options, "--out", there, *args))
        assert words.startswith(f"{there} was made with settings.rotate = {says}")


def test_a_folder_from_before_there_were_rotations(run, dissect, out: Path) -> None:
    run("--layers", 1)
    info = json.loads((out / "run.json").read_text())
    del info["settings"]["rotate"]
    (out / "run.json").write_text(json.dumps(info))
    assert dissect("report", out).status == 0
    assert "was already finished with these settings" in run("--layers", 1).out


def test_the_page_says_that_the_units_are_rotated(nets: str, tiny_broden: Path, out: Path, tmp_path: Path) -> None:
    pages = {}
    for name, args in {"plain": [], "turned": ["--rotate", "5"]}.items():
        with pytest.raises(SystemExit) as ended:
            cli.main(
                ["run", f"{nets}:small", "--data", str(tiny_broden), "--out", str(out / name), "--layers", "1", *args]
            )
        assert ended.value.code == 0
        pages[name] = (out / name / "report.html").read_text(encoding="utf-8")
    for words in ("randomly rotated basis (rotation seed 5)", "rotated at random, seed"):
        assert words in pages["turned"] and words not in pages["plain"]
