"""The engine on given activations, and its comparison with a brute force.

    result = engine({"first": maps}, data, folder, batch_size=7)
    assert_equal(result, brute_force([maps], read_broden(root)), data)

Maps are (N, U, h, w), and picture i must be `broden_writer.numbered(i)`. A look-up network reads an image's number off
its pixels and returns the maps stored for it: no convolution library takes part, so whatever batch, order or thread an
image comes in, its activations are the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from brute_force import Reference
from torch import Tensor, nn

from data_prep.common.terminal import Progress
from data_prep.formats import ImageLabels, LabelledImages
from dissect.engine import Dissection, dissect
from dissect.images import read_image
from dissect.layers import Layer, list_layers, select_layers
from dissect.models import Network
from dissect.scores import best_concepts, category_numbers, intersection_over_union
from dissect.settings import Execution, Settings


class _Stored(nn.Module):
    def __init__(self, maps: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("maps", torch.from_numpy(maps))

    def forward(self, numbers: Tensor) -> Tensor:
        return self.maps[numbers.clamp(0, len(self.maps) - 1)]  # layers are listed with images of no number


class _LookUp(nn.Module):
    def __init__(self, layers: Mapping[str, np.ndarray]) -> None:
        super().__init__()
        for name, maps in layers.items():
            self.add_module(name, _Stored(maps))

    def forward(self, images: Tensor) -> None:
        low, high = images[:, 0, 0, 0].round().long(), images[:, 1, 0, 0].round().long()
        for layer in self.children():
            layer(low + 256 * high)


def look_up_network(layers: Mapping[str, np.ndarray]) -> Network:
    """layers: module name -> (N, U, h, w) float32."""
    return Network(
        name="looked-up",
        model=_LookUp(layers),
        input_size=(4, 4),
        mean=(0.0, 0.0, 0.0),
        std=(1 / 255, 1 / 255, 1 / 255),
    )


class Function(nn.Module):
    """A function as a module, so that a tap can be put on it."""

    def __init__(self, function: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> object:
        return self.function(x)


def collected(network: Network, layers: Sequence[Layer], data: LabelledImages, batch_size: int) -> list[np.ndarray]:
    """Raw activations of each layer, (N, U, h, w) float32, by a plain forward pass under hooks.

    The engine must be given the same batch size: a convolution library may round differently for another one, and for
    another memory layout, so that is the engine's too.
    """
    model = network.model.to(memory_format=torch.channels_last).eval()
    seen: dict[str, list[Tensor]] = {layer.module: [] for layer in layers}
    modules = dict(model.named_modules())
    handles = [
        modules[name].register_forward_hook(lambda _module, _inputs, output, kept=kept: kept.append(output.clone()))
        for name, kept in seen.items()
    ]
    try:
        for first in range(0, len(data.images), batch_size):
            batch = [read_image(record.path, network.input_size) for record in data.images[first : first + batch_size]]
            with torch.inference_mode():
                model(network.prepare(torch.from_numpy(np.stack(batch))))
    finally:
        for handle in handles:
            handle.remove()
    return [np.ascontiguousarray(torch.cat(kept).numpy()) for kept in seen.values()]


class Chosen:
    """The images of a set with the given numbers, in that order."""

    def __init__(self, data: LabelledImages, numbers: np.ndarray) -> None:
        self.data, self.numbers = data, numbers
        self.name, self.image_root, self.categories, self.concepts = (
            getattr(data, name) for name in ("name", "image_root", "categories", "concepts")
        )
        self.images = [data.images[i] for i in numbers]

    def read_labels(self, index: int) -> ImageLabels:
        return self.data.read_labels(int(self.numbers[index]))

    def fingerprint(self) -> str:
        return f"{self.data.fingerprint()}, {self.numbers.tolist()}"


def engine(
    activations: Network | Mapping[str, np.ndarray], data: LabelledImages, folder: Path,
    names: Sequence[str] | None = None, settings: Settings | None = None, progress: Progress = lambda *_: None, **execution,
) -> Dissection:  # fmt: skip
    """Dissect a network, or the given maps by layer: all of those, or the layers that `names` names."""
    if not isinstance(activations, Network):
        names = names or list(activations)
        activations = look_up_network(activations)
    layers = select_layers(list_layers(activations.model, activations.input_size), names or ())
    chosen = Execution(**{"device": "cpu"} | execution)
    return dissect(activations, layers, data, folder=folder, settings=settings, execution=chosen, progress=progress)


def assert_equal(result: Dissection, reference: Reference, data: LabelledImages, rule: str = "category") -> None:
    """Thresholds, largest activations, counts, IoU, dead units, labels and detectors: all of them, all bits."""
    assert result.threshold.dtype == result.max_activation.dtype == np.float32
    assert result.threshold.tobytes() == reference.thresholds.tobytes()
    assert result.max_activation.tobytes() == reference.maximum.tobytes()
    counts = result.counts
    np.testing.assert_array_equal(counts.concept_area, reference.concept_area)
    np.testing.assert_array_equal(counts.n_images, reference.n_images)
    np.testing.assert_array_equal(counts.intersection_area, reference.intersection_area)
    np.testing.assert_array_equal(counts.mask_area, reference.mask_area[rule])
    assert all(array.dtype == np.int64 for array in counts)
    category = category_numbers([concept.category for concept in data.concepts], data.categories)
    iou = intersection_over_union(counts, category)
    assert iou.tobytes() == reference.iou(rule).tobytes()
    np.testing.assert_array_equal(result.dead, reference.dead)
    np.testing.assert_array_equal(np.where(result.dead, -1, best_concepts(iou)), reference.label(rule))
