"""What a user can fix, in one sentence: what, which value, what is allowed, what to do next. Parameters stand in backticks.

    raise UserError("`quantile` is 2; it must lie strictly between 0 and 1: 0.995 is usual.")
    choose("method", "pointwise", ["pointwise-sharing", "dan"])      # Unknown method 'pointwise'; known: ...; nearest: ...

Whoever calls the library catches `UserError`; the commands print its sentence and end with status 2.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable


class UserError(Exception):
    """Something the user can fix. The message is one sentence: what, which value, what is allowed, what to do next."""


MOST_LISTED = 40
"""Names that an error lists; of a set with a thousand concepts the nearest ones help, and not all."""


def choose(what: str, value: object, known: Iterable[str], *, where: object = "") -> None:
    """Raises `UserError` unless `value` is one of the `known` names, those in `where`, offering the nearest.

    >>> choose("method", "dans", ["dan", "piggyback"])
    Traceback (most recent call last):
    data_prep.common.errors.UserError: Unknown method 'dans'; known: dan, piggyback; nearest: dan.
    """
    names = list(known)
    if value not in names:
        more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
        listed = f"known: {', '.join(names[:MOST_LISTED])}{more}" if names else "there is none yet"
        place = f" in {where}" if where else ""
        raise UserError(f"Unknown {what} {value!r}{place}; {listed}{nearest(value, names)}.")


def nearest(name: object, known: Iterable[str], n: int = 3) -> str:
    """The nearest names, to be put at the end of a sentence; "" where none is near.

    >>> nearest("pointwize", ["depthwise", "pointwise", "dan"], n=1)
    '; nearest: pointwise'
    """
    near = difflib.get_close_matches(str(name), list(known), n, 0.4)
    return f"; nearest: {', '.join(near)}" if near else ""


def check_number(what: str, value: object, low: float, high: float, *, advice: str) -> None:
    """Raises `UserError` unless low <= value < high; `advice` says what to give, as in "0 for none".

    >>> check_number("Dropout", 1, 0, 1, advice="0 for none")
    Traceback (most recent call last):
    data_prep.common.errors.UserError: Dropout 1 is not usable; give a number from 0 to below 1, 0 for none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value < high:
        raise UserError(f"{what} {value!r} is not usable; give a number from {low:g} to below {high:g}, {advice}.")


def check_range(what: str, value: float, least: float, most: float) -> None:
    """Raises `UserError` unless least <= value <= most, both included; a value that is not a number is refused.

    >>> check_range("`iou_cut`", 4, 0, 1)
    Traceback (most recent call last):
    data_prep.common.errors.UserError: `iou_cut` is 4; it must lie in 0..1.
    """
    if not (math.isfinite(value) and least <= value <= most):
        raise UserError(f"{what} is {value}; it must lie in {least}..{most}.")


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


def short(value: object) -> str:
    """A value as a sentence shows it: on one line, its end cut off where it is long.

    >>> short("x" * 100)[-8:], short([1, 2])
    ('xxxxx...', '[1, 2]')
    """
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
