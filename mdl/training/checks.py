"""What is found out before hours go into a training instead of after them.

check_before_training(learner, images, plan, device)
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from data_prep.common.errors import UserError, reason
from mdl.training.domain_images import DomainImages
from mdl.training.loop import Learner
from mdl.training.recipe import Plan


def check_before_training(learner: Learner, images: DomainImages, plan: Plan, device: torch.device) -> None:
    """Raises `UserError` where nothing would be left to count on, and for a network that does not give (B, classes) logits of
    images as the plan cuts them, in training and in testing. The network and torch's random state stay as they are."""
    if plan.train_on == "train+val" and not (images.pictures["test"].labels >= 0).any():
        raise UserError(
            f"The labels of {plan.domain} test are withheld and val is trained on, so nothing would be left to count on: train "
            f"with `overrides` train_on=train."
        )
    rules = plan.input_rules
    learner.training()
    trial = copy.deepcopy(learner.network)  # whose statistics may move
    with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.no_grad():
        for crop, split in ((rules.train_crop, "train"), (rules.test_crop, "test")):
            height, width = (crop, crop) if crop else map(int, images.pictures[split].sizes[0])
            try:
                logits = trial(torch.zeros(2, 3, height, width, device=device))
                if not isinstance(logits, Tensor) or logits.shape != (2, images.n_classes):
                    raise TypeError(f"it returns {_described(logits)} instead of (2, {images.n_classes}) logits")
            except Exception as error:
                raise UserError(
                    f"The network cannot be shown the {split} images of {plan.domain}, {height} x {width} pixels "
                    f"({reason(error)}): set another `overrides` input.resize and input.crop, or choose another network."
                ) from error
            trial.eval()


def _described(logits: object) -> str:
    return str(tuple(logits.shape)) if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
