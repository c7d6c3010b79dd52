"""The kinds of error for a network: one that cannot be built, filled or shown an image, and a layer that cannot be tapped."""

from __future__ import annotations

from data_prep.common.errors import UserError


class ModelError(UserError):
    """A network that cannot be built or cannot take images, or weights that do not fit it."""


class TapError(UserError):
    """A layer that does not exist, does not fire as it was listed, or gives nothing that holds units."""
