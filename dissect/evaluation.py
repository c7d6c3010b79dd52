"""Networks in evaluation mode, for as long as somebody looks at them.

with evaluating(model):
    model(images)                         # dropout off, BatchNorm by its running statistics
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from data_prep.common.errors import reason
from dissect.errors import ModelError


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode in the `with` block, and every module in the mode it was in afterwards. Raises `ModelError` for a network
    that knows no evaluation mode."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        to_evaluation(model)
        try:
            yield
        finally:
            # A network may do more than set a flag, such as merge weights for evaluation: only `train` undoes that.
            if modes[0][1]:
                model.train()
    finally:
        for module, training in modes:
            module.training = training


def to_evaluation(model: nn.Module) -> None:
    """Evaluation mode. Raises `ModelError`."""
    try:
        model.eval()
    except Exception as error:  # the networks of torch.export have a mode built in; others may raise anything
        raise ModelError(
            f"The network cannot be put in evaluation mode ({reason(error)}), as one of torch.export cannot: give the nn.Module "
            f"that it was made from."
        ) from error
