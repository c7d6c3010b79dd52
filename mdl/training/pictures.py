"""Images of one domain as they lie ready for training: decoded and resized once, by the rules of their domain.

    rules = input_rules("gtsrb", resize=72, crop=64)
    pictures = decode(data_set.split("gtsrb", "train"), rules, cache=Path("cache"))
    pictures[7]                                # (H, W, 3) uint8

`mdl.training.feed` makes batches of them. Sizes are in pixels. Rules per domain: the published code of Guo et al. 2019
(Resize 72, crop 64); flips: Rebuffi et al. 2018, off by default.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from data_prep.common.errors import UserError
from data_prep.common.pictures import in_threads
from data_prep.common.terminal import Progress, silent
from data_prep.formats import ClassifiedImages
from mdl.published import MINI_PREFIX
from mdl.training.decoded import decoded_file, read_decoded, write_decoded

CENTRE_CROPPED = ("gtsrb", "omniglot", "svhn")
"""Domains whose images are cut in training as in testing, to the centre square: another crop or a flip may change the class."""
TALL = ("daimlerpedcls",)
"""Domains whose images are twice as high as wide and are not cropped at all: 144 x 72 for resize 72."""


def official_name(domain: str) -> str:
    """The domain whose rules a miniature inherits.

    >>> official_name("mini-gtsrb")
    'gtsrb'
    """
    return domain.removeprefix(MINI_PREFIX)


@dataclass(frozen=True, slots=True, kw_only=True)
class InputRules:
    """How images of one domain enter the network.

    resize: length of the shorter side; (H, W) where the domain has one fixed shape.
    train_crop, test_crop: side of the square that is cut out; None where images enter whole. In training the square
    lies anywhere if `random`, else in the centre, as it always does in testing.
    """

    resize: int | tuple[int, int]
    train_crop: int | None
    test_crop: int | None
    random: bool
    flip: bool


def input_rules(
    domain: str, resize: int = 72, crop: int = 64, *, flip: bool = False, whole: bool = False
) -> InputRules:
    """The rules of a domain, or of its namesake for a `mini-` domain, at any `resize`.

    >>> input_rules("dtd")
    InputRules(resize=72, train_crop=64, test_crop=72, random=True, flip=False)
    >>> input_rules("mini-svhn").train_crop, input_rules("daimlerpedcls", resize=36, crop=32).resize
    (72, (72, 36))

    whole: cut the images to the centre square in training too, as those of `CENTRE_CROPPED` are; an oblong image loses its sides.
    Raises `UserError` where `crop` exceeds `resize`.
    """
    if not 0 < crop <= resize:
        raise UserError(f"Crop {crop} does not fit into images resized to {resize}: give a crop from 1 to {resize}.")
    name = official_name(domain)
    if name in TALL:
        return InputRules(resize=(2 * resize, resize), train_crop=None, test_crop=None, random=False, flip=flip)
    centred = whole or name in CENTRE_CROPPED
    train_crop = resize if centred else crop
    return InputRules(resize=resize, train_crop=train_crop, test_crop=resize, random=not centred, flip=flip)


@dataclass(frozen=True, slots=True)
class Normalisation:
    """Mean and standard deviation of red, green and blue, in 0..1."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @classmethod
    def of(cls, mean: Iterable[float], std: Iterable[float]) -> Normalisation:
        """
        >>> Normalisation.of([0.5, 0.4, 0.3], np.ones(3))
        Normalisation(mean=(0.5, 0.4, 0.3), std=(1.0, 1.0, 1.0))
        """
        (red, green, blue), (red_std, green_std, blue_std) = map(float, mean), map(float, std)
        return cls((red, green, blue), (red_std, green_std, blue_std))


@dataclass(frozen=True, kw_only=True)
class DecodedImages:
    """One split, decoded and resized: image i is `pictures[i]`, (H, W, 3) uint8.

    labels, image_ids: (N,) int64; a label is -1 where it is withheld. pixels: all images one after the other, in memory or
    mapped from a file. sizes: (N, 2) int32, H and W of each. starts: (N,) int64, where each begins in `pixels`.
    """

    domain: str
    split: str
    class_names: tuple[str, ...]
    labels: np.ndarray
    image_ids: np.ndarray
    fingerprint: str
    pixels: np.ndarray
    sizes: np.ndarray
    starts: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> np.ndarray:
        height, width = self.sizes[index]
        start = self.starts[index]
        return self.pixels[start : start + 3 * height * width].reshape(height, width, 3)


def decode(
    images: ClassifiedImages, rules: InputRules, cache: Path | None = None, progress: Progress = silent
) -> DecodedImages:
    """`decode(split, rules, cache)`: every image decoded and resized, or mapped from the file that did it before.

    cache: folder of decoded files (`mdl.training.decoded`), named by the split's fingerprint and the resize; None to keep them in
    memory only. Raises `UserError` for an empty split or a folder that takes no files, `BadImageError` for an image that cannot
    be read.
    """
    if not len(images):
        raise UserError(
            f"The split {images.split} of {images.domain} is empty: there is nothing to train or test on; see "
            f"`data-prep decathlon check`."
        )
    fingerprint = images.fingerprint()
    if cache is None:
        parts = list(_resized_images(images, rules, progress))
        pixels, sizes = np.concatenate([part.ravel() for part in parts]), np.array([part.shape[:2] for part in parts])
    else:
        path = decoded_file(Path(cache), f"{images.domain}-{images.split}", f"{fingerprint} {rules.resize}")
        found = read_decoded(path, len(images))
        if found is None:
            write_decoded(path, _resized_images(images, rules, progress))
            found = read_decoded(path, len(images))
        if found is None:
            raise UserError(f"{path} does not hold what was just written: give another folder as `cache`.")
        pixels, sizes = found
    lengths = 3 * sizes.astype(np.int64).prod(1)
    return DecodedImages(
        domain=images.domain,
        split=images.split,
        class_names=tuple(images.class_names),
        labels=np.asarray(images.labels, np.int64),
        image_ids=np.asarray(images.image_ids, np.int64),
        fingerprint=fingerprint,
        pixels=pixels,
        sizes=sizes.astype(np.int32),
        starts=np.cumsum(lengths) - lengths,
    )


def resized(image: np.ndarray, size: int | tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8 with its shorter side, or both sides, as `size` says; bilinear, antialiased (Pillow).

    >>> resized(np.zeros((40, 60, 3), np.uint8), 20).shape
    (20, 30, 3)
    """
    height, width = image.shape[:2]
    if isinstance(size, int):
        shorter = min(height, width)
        height, width = int(size * height / shorter), int(size * width / shorter)
    else:
        height, width = size
    if image.shape[:2] == (height, width):
        return np.ascontiguousarray(image)
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def _resized_images(images: ClassifiedImages, rules: InputRules, progress: Progress) -> Iterator[np.ndarray]:
    """Every image in order, decoded by a few threads."""
    decoded = in_threads(lambda number: resized(images.read(number), rules.resize), range(len(images)))
    for n_done, image in enumerate(decoded, 1):
        yield image
        progress("decoding", n_done, len(images))
