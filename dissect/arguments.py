"""Values of the command line: each is returned as the library wants it, or refused in one sentence.

n = int(between("--batch-size", 4, 1, 4096))
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from data_prep.common.errors import UserError


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
