"""Whether the values that a file gave to a dataclass are what its annotations say.

@dataclass
class Cost:
    seconds: float
    notes: tuple[str, ...] = ()

wrong_field(Cost("long"))            # ("seconds", "a number"); None where all is well
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

LARGEST = 2**63 - 1
"""Of whole numbers: larger ones are damage, and no table or array holds them."""


def wrong_field(instance: Any) -> tuple[str, str] | None:
    """(its name, what belongs there) of the first field that holds something else; None where there is none.

    A number is finite, a whole number is no bool and fits into 64 bits; a field of type `Any` holds anything.
    """
    hints = get_type_hints(type(instance))
    for field in fields(instance):
        if not fits(getattr(instance, field.name), hints[field.name]):
            return field.name, in_words(hints[field.name])
    return None


def fits(value: object, hint: Any) -> bool:
    """Whether the value is of a type: a dataclass, `Any`, or what is made of int, float, str, bool, None, dict and tuple.

    >>> fits((3, None), tuple[int | None, ...]), fits(True, int), fits(float("nan"), float), fits(2, float)
    (True, False, False, True)
    """
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, UnionType):
        return any(fits(value, one) for one in inner)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        each = (inner[0],) * len(value) if inner[1:] == (...,) else inner
        return len(each) == len(value) and all(map(fits, value, each))
    if origin is dict:
        return isinstance(value, Mapping) and all(fits(k, inner[0]) and fits(v, inner[1]) for k, v in value.items())
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST
    if hint is float:
        return fits(value, int) or (isinstance(value, float) and math.isfinite(value))
    return isinstance(value, NoneType if hint is None else hint)


def in_words(hint: Any) -> str:
    """What a value of the type is called in a message.

    >>> in_words(int | None), in_words(tuple[str, ...]), in_words(tuple[int, int])
    ('a whole number or nothing', 'a list', 'a list of 2')
    """
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(in_words(one) for one in inner)
    if origin is tuple:
        return "a list" if inner[1:] == (...,) else f"a list of {len(inner)}"
    if origin is dict or is_dataclass(hint):
        return "a section of keys"
    words = {int: "a whole number", float: "a number", str: "text", bool: "true or false", NoneType: "nothing"}
    return words.get(hint, "something else")
