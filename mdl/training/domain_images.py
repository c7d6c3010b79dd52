"""The images of one domain as a run wants them: every split that its plan needs, decoded.

images = read_domain(data, "dtd", plan, cache=Path("cache"))
images.pictures["train"], images.n_classes
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from data_prep.common.errors import UserError
from data_prep.common.terminal import Progress, silent
from data_prep.formats import ClassifiedImages
from mdl.training.loop import ALONE
from mdl.training.pictures import DecodedImages, Normalisation, decode
from mdl.training.processes import Processes
from mdl.training.recipe import Plan


class DomainSets(Protocol):
    """Many domains: what `data_prep.open_decathlon` gives."""

    @property
    def domains(self) -> tuple[str, ...]: ...

    def split(self, domain: str, split: str, /) -> ClassifiedImages: ...

    def mean_std(self, domain: str, /) -> tuple[np.ndarray, np.ndarray]: ...


@dataclass(frozen=True)
class DomainImages:
    """The images of one domain as a plan wants them: `pictures` by "train", "val" (if it is not trained on), "test"."""

    name: str
    pictures: dict[str, DecodedImages]
    normalisation: Normalisation
    n_classes: int

    def identity(self) -> dict[str, Any]:
        """What a run's result depends on, as plain values."""
        return {
            "normalisation": asdict(self.normalisation),
            "fingerprints": {split: pictures.fingerprint for split, pictures in self.pictures.items()},
        }

    def input_size(self, plan: Plan) -> tuple[int, int]:
        """(H, W) of a test image as the network sees it."""
        rules = plan.input_rules
        if rules.test_crop is not None:
            return rules.test_crop, rules.test_crop
        height, width = self.pictures["test"].sizes[0]
        return int(height), int(width)


def read_domain(
    data: DomainSets,
    domain: str,
    plan: Plan,
    *,
    group: Processes = ALONE,
    cache: Path | None = None,
    progress: Progress = silent,
) -> DomainImages:
    """Every split of a domain that a plan needs, decoded.

    cache, progress: as in `mdl.training.pictures.decode`. Raises `UserError` where splits differ in their classes, and for an
    image to train on without a label.
    """
    names = {"train": plan.train_on, "val": "val", "test": "test"}
    if plan.train_on == "train+val":
        del names["val"]
    splits = {name: data.split(domain, split) for name, split in names.items()}
    classes = tuple(splits["train"].class_names)
    for split in splits.values():
        if tuple(split.class_names) != classes:
            raise UserError(
                f"The split {split.split} of {domain} has {len(split.class_names)} classes and train has {len(classes)}, "
                f"or they have other names: all annotation files of a domain must list the same categories."
            )
    if (unlabelled := int((np.asarray(splits["train"].labels) < 0).sum())) > 0:
        raise UserError(f"{unlabelled} images of {domain} {plan.train_on} have no label: training needs one for each.")
    if len(splits["train"]) < group.n:
        raise UserError(f"{domain} has {len(splits['train'])} images to train on, fewer than processes: start fewer.")
    if not group.is_first and cache:
        group.wait()  # the first process decodes, the others find it in the cache
    heard = progress if group.is_first else silent
    pictures = {name: decode(split, plan.input_rules, cache, heard) for name, split in splits.items()}
    if group.is_first and cache:
        group.wait()
    return DomainImages(domain, pictures, Normalisation.of(*data.mean_std(domain)), len(classes))
