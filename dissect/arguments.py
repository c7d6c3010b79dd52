"""Values of the command line: each is returned as the library wants it, or refused in one sentence.

device = usable_device("auto")            # "cuda" or "cpu"
n = int(between("--batch-size", 4, 1, 4096))
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from data_prep.formats import UserError


def usable_device(wanted: str) -> str:
    """`wanted` where PyTorch can use it; "auto" becomes what there is."""
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise UserError(f"--device is {wanted!r}; it must be cpu, cuda, cuda:N or auto.") from None
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"--device is {wanted!r}; it must be cpu, cuda, cuda:N or auto.")
    if device.type == "cuda" and not (torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()):
        raise UserError(
            f"--device is {wanted!r}, but PyTorch sees {torch.cuda.device_count()} CUDA devices: use --device cpu."
        )
    return wanted


def between(option: str, value: float, least: float, most: float) -> float:
    if not least <= value <= most:
        raise UserError(f"{option} is {value}; it must lie in {least}..{most}.")
    return value


def check_input(image_size: Sequence[int], mean: Sequence[float], std: Sequence[float]) -> None:
    """Raises `UserError` unless each is empty or describes an image that a network can take."""
    if len(image_size) not in (0, 1, 2) or any(side < 1 for side in image_size):
        raise UserError(
            f"--image-size is {' '.join(map(str, image_size))}; give one side, or height and width, in pixels."
        )
    for option, values in (("--mean", mean), ("--std", std)):
        usable = all(math.isfinite(value) and (value > 0 or option == "--mean") for value in values)
        if len(values) not in (0, 3) or not usable:
            raise UserError(
                f"{option} is {' '.join(map(str, values))}; give three numbers, for red, green and blue in 0..1."
            )


def slug(text: str) -> str:
    """`text` as a part of a file's name."""
    return "".join(c if c.isalnum() or c in "._" else "_" for c in text)
