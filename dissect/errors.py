"""The one kind of error for a network that cannot be built, filled or shown an image, and the words of other people's errors."""

from __future__ import annotations

import re

from data_prep.common.errors import UserError


class ModelError(UserError):
    """A network that cannot be built or cannot take images, or weights that do not fit it."""


class TapError(UserError):
    """A layer that does not exist, does not fire as it was listed, or gives nothing that holds units."""


def reason(error: BaseException) -> str:
    """The kind of the error and the first line of its words, without a terminal's colours.

    >>> reason(ValueError("too wide\\nby far"))
    'ValueError: too wide'
    """
    try:
        words = str(error)
    except Exception:  # somebody else's error may fail at telling what it is
        words = ""
    plain = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", words)
    return f"{type(error).__name__}: {(plain.strip().splitlines() or ['no reason given'])[0][:300]}"
