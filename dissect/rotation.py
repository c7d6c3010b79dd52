"""The same layer in a randomly rotated basis: the control for concepts that align with single units.

    rotate = rotation_of(layers, seed=1)
    maps = rotate(look(images))               # {layer: (B, U, h, w)} again; unit k is now a random direction of the layer

>>> rotation = random_rotation(3, seed=1, layer="conv")
>>> np.allclose(rotation @ rotation.T, np.eye(3))
True

A rotation keeps all that a layer tells and mixes its units. If rotated units detect as many concepts as the network's
own, the concepts lie in the layer and not in its units (Bau et al. 2017, section 3.2). Only what is dissected is
rotated: the network itself computes with its own maps.

Promise: a rotation depends on the seed, the layer's module name and its number of units, not on what else is tapped; in
two networks, layers of the same name and size are rotated alike. An image's rotated maps are computed from that image alone,
in float64, and rounded once to float32: neither its batch nor autocast matters, and the last bits in which linear
algebra libraries and thread counts differ almost never survive the rounding.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from dissect.layers import Layer


def random_rotation(n_units: int, seed: int, layer: str = "") -> np.ndarray:
    """(U, U) float64 orthogonal matrix, uniform (Haar) over O(U); layers of different names get independent ones.

    Bau et al. draw from SO(U). Reflections make no difference to the control: every U - 1 rows are distributed alike in
    both, and negating a unit of a random basis gives an equally random one.
    """
    name = int.from_bytes(hashlib.sha256(layer.encode()).digest(), "big")
    gaussian = np.random.default_rng([seed, name]).standard_normal((n_units, n_units))
    q, r = np.linalg.qr(gaussian)
    # The factorisation is unique, and Q uniform, only where the diagonal of R is positive; libraries choose other signs.
    return q * np.sign(np.diagonal(r))


def rotated(maps: Tensor, rotation: Tensor) -> Tensor:
    """maps: (B, U, h, w) float32; rotation: (U, U) float64 on their device. The same shape, with unit k the sum of all
    units weighted by row k."""
    # Image by image: a library may round a product of another shape, as another batch has, differently.
    products = [(rotation @ image.flatten(1).to(rotation.dtype)).to(maps.dtype) for image in maps]
    return torch.stack(products).view(maps.shape)


def rotation_of(
    layers: Sequence[Layer], seed: int | None, device: str = "cpu"
) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    """A function from the maps of each layer to its rotated maps; it returns the maps unchanged where `seed` is None."""
    if seed is None:
        return lambda maps: maps
    rotations = {
        layer.module: torch.from_numpy(random_rotation(layer.n_units, seed, layer.module)).to(device)
        for layer in layers
    }
    return lambda maps: {name: rotated(its_maps, rotations[name]) for name, its_maps in maps.items()}
