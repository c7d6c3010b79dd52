"""Small domains made in memory, for tests of training: the class of an image is its colour."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from data_prep.common.errors import UserError


class FakeImages:
    """A `ClassifiedImages` of given arrays."""

    def __init__(
        self,
        images: Sequence[np.ndarray],
        *,
        labels: Sequence[int] | None = None,
        n_classes: int = 3,
        domain: str = "dtd",
        split: str = "train",
    ) -> None:
        self.images, self.domain, self.split = list(images), domain, split
        self.class_names = tuple(f"class {i}" for i in range(n_classes))
        self.labels = np.array([i % n_classes for i in range(len(self.images))] if labels is None else labels, np.int64)
        self.image_ids = np.arange(len(self.images), dtype=np.int64) + 100
        self.n_read = 0

    def __len__(self) -> int:
        return len(self.images)

    def read(self, index: int) -> np.ndarray:
        self.n_read += 1
        return self.images[index]

    def fingerprint(self) -> str:
        digest = hashlib.sha256(repr((self.domain, self.split, self.class_names, self.labels.tolist())).encode())
        for image in self.images:
            digest.update(image.tobytes())
        return digest.hexdigest()


def make_images(
    n: int,
    *,
    size: tuple[int, int] = (24, 24),
    n_classes: int = 3,
    seed: int = 0,
    domain: str = "dtd",
    split: str = "train",
) -> FakeImages:
    """Noise about a colour for each class, easily told apart."""
    rng = np.random.default_rng([seed, sum(map(ord, domain + split))])
    colours = np.random.default_rng(99).integers(40, 216, (n_classes, 3))
    images = [
        np.clip(colours[i % n_classes] + rng.normal(0, 25, (*size, 3)), 0, 255).astype(np.uint8) for i in range(n)
    ]
    return FakeImages(images, n_classes=n_classes, domain=domain, split=split)


class FakeDecathlon:
    """What `open_decathlon` gives, in memory: `splits` by (domain, split)."""

    def __init__(self, splits: dict[tuple[str, str], FakeImages]) -> None:
        self.splits = splits
        self.domains = tuple(dict.fromkeys(domain for domain, _ in splits))

    def split(self, domain: str, split: str) -> FakeImages:
        if split == "train+val":
            parts = [self.splits[domain, part] for part in ("train", "val")]
            labels = [*parts[0].labels, *parts[1].labels]
            images = parts[0].images + parts[1].images
            n_classes = len(parts[0].class_names)
            return FakeImages(images, labels=labels, n_classes=n_classes, domain=domain, split=split)
        if (domain, split) not in self.splits:
            raise UserError(f"There is no split {split} of {domain}.")
        return self.splits[domain, split]

    def mean_std(self, domain: str) -> tuple[np.ndarray, np.ndarray]:
        return np.full(3, 0.5), np.full(3, 0.25)


def make_decathlon(n_train: int = 24, domains: Sequence[str] = ("imagenet12", "dtd", "gtsrb")) -> FakeDecathlon:
    counts = {"train": n_train, "val": 9, "test": 12}
    return FakeDecathlon(
        {
            (domain, split): make_images(n, n_classes=3 + number, domain=domain, split=split)
            for number, domain in enumerate(domains)
            for split, n in counts.items()
        }
    )
