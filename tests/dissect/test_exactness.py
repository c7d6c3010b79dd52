"""The engine against a dense brute force that shares nothing with it: thresholds, counts and labels, bit for bit."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
from pathlib import Path

import brute_force
import numpy as np
import pytest
import torch
from broden_writer import random_pictures, write_broden
from comparing import Chosen, assert_equal, engine, look_up_network
from numba.core.dispatcher import Dispatcher

import dissect
from data_prep.broden import Broden, open_broden
from data_prep.common.errors import UserError
from data_prep.formats import ImageLabels
from dissect import scores
from dissect.found import Found
from dissect.layers import list_layers, select_layers
from dissect.run_store import StrongestMasks
from dissect.settings import Settings
from dissect.tally import Tally, flatten
from dissect.unit_tables import counts_arrays, unit_table
from dissect.upsample import receptive_field_axis

N_IMAGES = 60
TIGHT = 140_000 / 2**30
"""Bytes of memory just above what the tails need, so that candidates must go to disk."""
CATEGORIES = {"scene": [9, 4], "part": [3, 5, 700], "object": [3, 4, 258], "color": [1, 2]}
# Ratios to the maps of 8 x 8 and 4 x 6: powers of two, thirds, fifths, not whole, less than one.
LABEL_SHAPES = [(32, 24), (16, 48), (24, 18), (11, 29), (5, 3)]


def random_maps(rng: np.random.Generator, h: int, w: int) -> np.ndarray:
    """(N_IMAGES, U, h, w) float32: every kind of unit that a network may have, four of each."""
    normal = rng.standard_normal((4, 12, N_IMAGES, h, w)).astype(np.float32)
    for axis in (-1, -2):  # smooth, as maps are, so that masks are blobs
        normal += np.roll(normal, 1, axis)
    kinds = [
        normal[:, 0],
        np.maximum(normal[:, 1], 0),
        np.clip(3 + 2 * normal[:, 2], 0, 6),  # saturated: the threshold is the plateau
        np.clip(normal[:, 3] * rng.uniform(0.2, 2, (4, N_IMAGES, 1, 1)), 0, 6),  # plateaus above the threshold
        np.where(rng.random((4, N_IMAGES, h, w)) < 0.002, normal[:, 4] ** 2, 0),  # the threshold is 0
        np.where(rng.random((4, N_IMAGES, 1, 1)) < 0.1, normal[:, 5], -1),
        np.rint(4 * normal[:, 6]),  # ties everywhere
        np.minimum(np.rint(normal[:, 7]), 2),
        normal[:, 8] * np.array([1e-30, 1e30, 1e-42, 1])[:, None, None, None],
        -np.exp(4 * normal[:, 9]),
        np.broadcast_to(np.array([0, -1, 6, 1e-8])[:, None, None, None], normal[:, 10].shape),  # constant
        normal[:, 11] + 1e4,
    ]
    return np.ascontiguousarray(np.concatenate(kinds).swapaxes(0, 1), np.float32)


@pytest.fixture(scope="module")
def maps() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {"first": random_maps(rng, 8, 8), "second": random_maps(rng, 4, 6)}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pictures = random_pictures(np.random.default_rng(2), CATEGORIES, LABEL_SHAPES, N_IMAGES)
    return write_broden(tmp_path_factory.mktemp("sets") / "random", CATEGORIES, pictures)


@pytest.fixture(scope="module")
def data(root: Path) -> Broden:
    return open_broden(root)


@pytest.fixture(scope="module")
def reference(maps: dict[str, np.ndarray], root: Path) -> brute_force.Reference:
    return brute_force.brute_force(list(maps.values()), brute_force.read_broden(root))


def test_the_set_holds_every_difficulty(reference, root):
    """Otherwise the tests below would show less than they say."""
    broden = brute_force.read_broden(root)
    live = ~reference.dead
    assert 10 < reference.dead.sum() < 40 and (reference.label()[live] >= 0).any()
    assert (reference.thresholds == 6).any() and (reference.thresholds == 0).any() and (reference.thresholds < 0).any()
    assert len({broden.concepts[c][1] for c in range(len(broden.concepts))}) < len(broden.concepts)  # names serve two
    areas = reference.mask_area
    assert (areas["touched"] <= areas["category"]).all() and (areas["category"] <= areas["all-images"]).all()
    for smaller, larger in (("touched", "category"), ("category", "all-images")):
        assert (areas[smaller] < areas[larger]).any()
    assert any(not broden.dense_labels(image) for image in broden.images)
    both = [{c for c, _ in image.maps} & {c for c, _ in image.whole} for image in broden.images]
    assert any(both)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("batch_size", [1, 7, 32])
def test_equals_brute_force(maps, data, reference, tmp_path, batch_size, workers):
    assert_equal(engine(maps, data, tmp_path, batch_size=batch_size, workers=workers), reference, data)


@pytest.mark.parametrize("rule", brute_force.UNION_RULES)
def test_every_union_rule(maps, data, reference, tmp_path, rule):
    assert_equal(engine(maps, data, tmp_path, settings=Settings(union=rule)), reference, data, rule)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.999])
def test_other_quantile_levels(maps, data, root, tmp_path, level):
    reference = brute_force.brute_force(list(maps.values()), brute_force.read_broden(root), level)
    assert_equal(engine(maps, data, tmp_path, settings=Settings(quantile=level)), reference, data)


@pytest.mark.parametrize("order", [np.arange(N_IMAGES)[::-1], np.random.default_rng(3).permutation(N_IMAGES)])
def test_order_of_images_does_not_matter(maps, data, reference, tmp_path, order):
    assert_equal(engine(maps, Chosen(data, order), tmp_path, batch_size=7), reference, data)


def test_candidates_on_disk(maps, data, reference, tmp_path):
    result = engine(maps, data, tmp_path, batch_size=7, memory=TIGHT)
    assert len(list(tmp_path.glob("candidates-*.npz"))) > 3
    assert_equal(result, reference, data)


def test_layers_tapped_separately(maps, data, reference, tmp_path):
    alone = [engine(maps, data, tmp_path / name, [name]) for name in maps]
    swapped = engine(maps, data, tmp_path / "swapped", ["second", "first"])
    first, second = alone
    assert np.concatenate([first.threshold, second.threshold]).tobytes() == reference.thresholds.tobytes()
    assert np.concatenate([second.threshold, first.threshold]).tobytes() == swapped.threshold.tobytes()
    for field in ("intersection_area", "mask_area"):
        parts = [getattr(result.counts, field) for result in alone]
        expected = reference.mask_area["category"] if field == "mask_area" else reference.intersection_area
        np.testing.assert_array_equal(np.concatenate(parts), expected)
        np.testing.assert_array_equal(np.concatenate(parts[::-1]), getattr(swapped.counts, field))


def interrupt_at(stage: str, done: int):
    """A progress callback that presses Ctrl-C."""

    def progress(this_stage: str, this_done: int, total: int) -> None:
        if (this_stage, this_done) == (stage, done):
            os.kill(os.getpid(), signal.SIGINT)

    return progress


@pytest.mark.parametrize(
    ("stage", "done"), [("forward", 7), ("forward", 35), ("forward", N_IMAGES), ("tally", 7), ("tally", 28)]
)
@pytest.mark.parametrize("memory", [TIGHT, 0.5])
def test_interrupted_and_resumed(maps, data, reference, tmp_path, stage, done, memory):
    with pytest.raises(KeyboardInterrupt):
        engine(maps, data, tmp_path, progress=interrupt_at(stage, done), batch_size=7, memory=memory)
    assert (tmp_path / "checkpoint.npz").is_file()
    seen = []
    note = lambda stage, done, total: seen.append((stage, done))  # noqa: E731
    result = engine(maps, data, tmp_path, progress=note, batch_size=4, workers=1, memory=memory)
    again = {"forward": done + 7 + 4, "tally": N_IMAGES + 4}[stage]  # the pass stops one batch after the interruption
    assert min([at for s, at in seen if s == "forward"], default=N_IMAGES) >= min(again, N_IMAGES)
    assert min(at for s, at in seen if s == "tally") > (done if stage == "tally" else 0)
    assert_equal(result, reference, data)


def test_interrupted_again_and_again(maps, data, reference, tmp_path):
    for batch_size in (1, 5, 11, 13):
        with pytest.raises(KeyboardInterrupt):
            engine(
                maps, data, tmp_path, batch_size=batch_size, memory=TIGHT,
                progress=lambda *_: os.kill(os.getpid(), signal.SIGINT),
            )  # fmt: skip
    assert_equal(engine(maps, data, tmp_path, memory=TIGHT), reference, data)


def crash_at(stage: str, done: int):
    def progress(this_stage: str, this_done: int, total: int) -> None:
        if (this_stage, this_done) == (stage, done):
            raise OSError("disk full")

    return progress


@pytest.mark.parametrize("memory", [TIGHT, 0.5])
def test_a_checkpoint_after_every_batch(maps, data, reference, tmp_path, memory):
    """Also during the tally, when what is in memory moves to disk while it is being counted."""
    result = engine(maps, data, tmp_path, batch_size=7, memory=memory, checkpoint_every=0)
    assert_equal(result, reference, data)


@pytest.mark.parametrize("crash", [("forward", 42), ("tally", 21)])
def test_a_crash_some_time_after_a_checkpoint(maps, data, reference, tmp_path, crash):
    """The files written since then must not count; they lie there still."""
    with pytest.raises(KeyboardInterrupt):
        engine(maps, data, tmp_path, progress=interrupt_at("forward", 7), batch_size=7, memory=TIGHT)
    n_files = len(list(tmp_path.glob("candidates-*.npz")))
    with pytest.raises(OSError, match="disk full"):
        engine(maps, data, tmp_path, progress=crash_at(*crash), batch_size=7, memory=TIGHT)
    assert len(list(tmp_path.glob("candidates-*.npz"))) > n_files
    assert_equal(engine(maps, data, tmp_path, batch_size=5, memory=0.5), reference, data)


def test_autocast_does_not_reach_the_counts(maps, data, reference, tmp_path):
    with torch.autocast("cpu", torch.bfloat16):
        assert_equal(engine(maps, data, tmp_path), reference, data)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device on this machine")
def test_on_a_gpu(maps, data, reference, tmp_path):
    assert_equal(engine(maps, data, tmp_path, device="cuda"), reference, data)


@pytest.mark.parametrize("name", [path.stem for path in sorted(Path(dissect.__file__).parent.glob("*.py"))])
def test_compiled_code_calls_none_of_another_file(name):
    """Numba keys the cache of a function by that function's file alone: a change of what it calls elsewhere would not be
    noticed, and old code would still count (method, part A.3: caches not keyed by all that they depend on)."""
    module = importlib.import_module(f"dissect.{name}")
    compiled = {key: value for key, value in vars(module).items() if isinstance(value, Dispatcher)}
    for function in (f for f in compiled.values() if f.py_func.__module__ == module.__name__):
        called = set(function.py_func.__code__.co_names) & compiled.keys()
        assert {compiled[key].py_func.__module__ for key in called} <= {module.__name__}


@pytest.mark.parametrize(
    ("n_cells", "n_pixels", "n_input", "centre", "stride"),
    [(18, 100, 72, 0, 4), (9, 112, 72, 3.5, 8), (7, 50, 112, 7.5, 16), (5, 37, 48, -2.5, 11)],
)
def test_plateaus_between_anchored_cells(n_cells, n_pixels, n_input, centre, stride):
    """With cells at the centres of their receptive fields: columns of cells at the threshold beside columns above it."""
    threshold, rng = np.float32(6), np.random.default_rng(5)
    maps = np.full((3, n_cells, n_cells), threshold)
    maps[0, :, 1::2] += 1
    maps[1, 1::2] += 1
    maps[2] = rng.integers(4, 9, maps[2].shape)
    # Numerators over n_pixels * stride * 2, all whole.
    scale = int(2 * n_pixels * stride)
    place = (2 * np.arange(n_pixels) + 1) * n_input - n_pixels - int(2 * centre) * n_pixels
    low, part = np.divmod(np.clip(place, 0, scale * (n_cells - 1)), scale)
    matrix = np.zeros((n_pixels, n_cells), np.int64)
    np.add.at(matrix, (np.arange(n_pixels), low), scale - part)
    np.add.at(matrix, (np.arange(n_pixels), np.minimum(low + 1, n_cells - 1)), part)
    expected = [int((matrix @ m.astype(np.int64) @ matrix.T > 6 * scale**2).sum()) for m in maps]

    labels = ImageLabels(np.zeros((1, n_pixels, n_pixels), np.int32), np.zeros(1, np.int32), np.zeros(0, np.int32))
    axis = receptive_field_axis(n_cells, n_pixels, n_input=n_input, centre=centre, stride=stride)
    tally, seen = Tally(3, 1, 1, "category"), flatten(labels, np.zeros(1, np.int32), 1)
    tally.add_masks(
        seen, maps.astype(np.float32), unit_rows=np.arange(3), thresholds=np.full(3, threshold), rows=axis, columns=axis
    )
    assert tally.mask_area[:, 0].tolist() == expected


def test_signed_zeros_give_one_threshold(maps, data, tmp_path):
    """Hard-swish yields -0.0 beside 0.0: they are equal, so the order in which they come must not show."""
    zeros = np.where(np.random.default_rng(4).random(maps["second"].shape) < 0.5, -0.0, 0.0).astype(np.float32)
    results = []
    for n, order in enumerate((np.arange(N_IMAGES), np.arange(N_IMAGES)[::-1])):
        results.append(engine({"zeros": zeros}, Chosen(data, order), tmp_path / str(n), ["zeros"]))
    assert results[0].threshold.tobytes() == results[1].threshold.tobytes()
    assert results[0].max_activation.tobytes() == results[1].max_activation.tobytes()
    assert all(result.dead.all() and not result.counts.intersection_area.any() for result in results)


@pytest.mark.parametrize("block", [scores.BLOCK, 100])
def test_the_table_of_units(maps, data, reference, tmp_path, monkeypatch, block):
    monkeypatch.setattr(scores, "BLOCK", block)
    network = look_up_network(maps)
    layers = select_layers(list_layers(network.model, network.input_size), list(maps))
    stored = counts_arrays(engine(maps, data, tmp_path), [])
    label, iou = reference.label(), reference.iou()
    cut = float(np.sort(iou.max(axis=1)[~reference.dead])[10])  # one unit has just this IoU, so it is no detector
    settings = Settings(iou_cut=cut, min_images=1)
    table = unit_table(Found(network=network, layers=layers, stored=stored, data=data, settings=settings))
    union = reference.mask_area["category"][:, reference.category_of] + reference.concept_area
    expected = {
        "threshold": reference.thresholds,
        "max_activation": reference.maximum,
        "category": [data.concepts[c].category if c >= 0 else "" for c in label],
        "label": [data.concepts[c].name if c >= 0 else "" for c in label],
        **{key: [iou[u, c] if c >= 0 else 0 for u, c in enumerate(label)] for key in ("iou", "score")},
        "n_images": [reference.n_images[c] if c >= 0 else 0 for c in label],
        "detector": reference.detector(iou_threshold=cut),
        "dead": reference.dead,
        "intersection_area": [reference.intersection_area[u, c] if c >= 0 else 0 for u, c in enumerate(label)],
        "union_area": [(union - reference.intersection_area)[u, c] if c >= 0 else 0 for u, c in enumerate(label)],
    }
    for name, values in expected.items():
        column = table[name].to_numpy()
        assert column.astype(np.asarray(values).dtype).tolist() == list(values), name
    assert table["detector"].sum() == (~reference.dead).sum() - 11


def test_strongest_images_and_their_masks(maps, root, data, reference, tmp_path):
    """The masks that a report draws are those that were counted."""
    strongest = StrongestMasks(**engine(maps, data, tmp_path, settings=Settings(strongest=5)).masks.arrays())
    images = brute_force.read_broden(root).images
    every = [layer[:, u] for layer in maps.values() for u in range(layer.shape[1])]
    for row, (unit_maps, threshold) in enumerate(zip(every, reference.thresholds, strict=True)):
        peaks = unit_maps.max(axis=(1, 2))
        order = sorted(range(N_IMAGES), key=lambda i: (-peaks[i], i))[:5]
        order = [i if peaks[i] > threshold else -1 for i in order]
        assert strongest.image[row].tolist() == order
        for rank, i in enumerate(order):
            if i >= 0:
                assert strongest.peak[row, rank] == peaks[i]
                mask = brute_force.exact_masks(unit_maps[i][None], threshold[None], *images[i].shape)[0]
                np.testing.assert_array_equal(strongest.mask(row, rank), mask)


@pytest.mark.parametrize("what", ["layer", "weights", "data", "quantile", "strongest"])
def test_a_checkpoint_of_another_call_gives_no_wrong_number(maps, data, root, reference, tmp_path, what):
    """Method, part A.3: caches not keyed by layer, model and data. Either refused, or right."""
    first = maps["first"]
    both = {"first": first, "second": first[:, ::-1].copy()}
    with pytest.raises(KeyboardInterrupt):
        engine(both, data, tmp_path, ["first"], progress=interrupt_at("forward", 16))
    settings = {"quantile": Settings(quantile=0.5), "strongest": Settings(strongest=3)}.get(what, Settings())
    again = {"first": first[:, ::-1].copy()} if what == "weights" else both
    other = Chosen(data, np.roll(np.arange(N_IMAGES), 30)) if what == "data" else data
    name = "second" if what == "layer" else "first"
    with contextlib.suppress(UserError):
        result = engine(again, other, tmp_path, [name], settings)
        expected = brute_force.brute_force([again[name]], brute_force.read_broden(root), settings.quantile)
        assert_equal(result, expected, data)
        assert result.masks.image.shape[1] == settings.strongest


def test_an_interruption_at_the_very_end_is_not_lost(maps, data, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        engine(maps, data, tmp_path, progress=interrupt_at("tally", N_IMAGES))
