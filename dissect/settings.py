"""The choices that decide a result; each is recorded with it.

    settings = Settings(quantile=0.99, union="all-images")

Defaults are the definitions of method, part A.1. A value out of range is refused here, once.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from data_prep.common.errors import UserError
from dissect.layers import TapPoint
from dissect.tally import UnionRule

UpsampleRule = Literal["half-pixel", "receptive-field"]


@dataclass(frozen=True)
class Settings:
    """quantile: level of the threshold, in (0, 1). iou_cut: a detector's best IoU lies strictly above it.
    n_strongest: images kept a unit. split, categories: the part of the data set used, None for all.
    n_folds: folds of the images for which counts are kept (`folds`); 1 for none.
    rotate: seed of the random rotation of each layer's units (`basis`), None for the network's own units."""

    quantile: float = 0.995
    iou_cut: float = 0.04
    tap: TapPoint = "conv"
    upsample: UpsampleRule = "half-pixel"
    union: UnionRule = "category"
    split: str | None = None
    categories: tuple[str, ...] | None = None
    n_strongest: int = 8
    rotate: int | None = None
    n_folds: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.quantile < 1:
            raise UserError(
                f"The quantile level is {self.quantile}; it must lie strictly between 0 and 1: 0.995 keeps the top 0.5 %."
            )
        if not 0 <= self.iou_cut < 1:
            raise UserError(f"The IoU cut is {self.iou_cut}; it must be at least 0 and below 1: the field uses 0.04.")
        if self.n_strongest < 1:
            raise UserError(f"The number of strongest images is {self.n_strongest}; it must be at least 1.")
        if not 1 <= self.n_folds <= 100:
            raise UserError(f"The number of folds is {self.n_folds}; it must be 1, for none, or 2 to 100: 10 is usual.")
        if self.rotate is not None and not (type(self.rotate) is int and 0 <= self.rotate < 2**63):
            raise UserError(
                f"The seed of the rotation is {self.rotate!r}; it must be a whole number in 0..2^63 - 1, or not be given."
            )
        for name, allowed in (("tap", TapPoint), ("upsample", UpsampleRule), ("union", UnionRule)):
            if getattr(self, name) not in get_args(allowed):
                raise UserError(f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(get_args(allowed))}.")

    def as_json(self) -> dict[str, Any]:
        values = asdict(self)
        values["categories"] = list(self.categories) if self.categories else None
        return values
