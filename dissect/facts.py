"""What networks and files of weights say of themselves: how they want their images, and what is known of the weights.

    carried("nets.py:small", factory, model)               # {'input_size': (32, 32), 'trained': True}
    facts_of_file(path, metadata)                          # the same, from the metadata of a safetensors file

A safetensors file says it under the key "dissection" of its metadata, as JSON; `mdl export` writes it, and so can anybody:

    facts = {"input_size": [36, 36], "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2], "domain": "dtd"}
    save_file(model.state_dict(), "mine.safetensors", {"dissection": json.dumps(facts)})
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from data_prep.common.errors import short
from dissect.errors import ModelError
from dissect.preprocessing import DEFAULT_SIZE, IMAGENET_MEAN, IMAGENET_STD, as_colour, is_colour, is_side

METADATA_KEY = "dissection"
PREPROCESSING = ("input_size", "mean", "std")
"""The facts whose source is recorded."""


class Fact(NamedTuple):
    """allowed: whether a value will do. example: of one, where any other value is a mistake; without an example, the network
    has something else of that name, which is left alone. more: what else to say of a value."""

    allowed: Callable[[Any], bool]
    example: tuple[float, ...] = ()
    more: str = ""


def _is_size(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(map(is_side, value))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_OF_COLOURS = " of red, green and blue in 0..1, so divide what counts bytes by 255"
FACTS = {
    "input_size": Fact(_is_size, DEFAULT_SIZE),
    "mean": Fact(lambda value: is_colour("mean", value), IMAGENET_MEAN, _OF_COLOURS),
    "std": Fact(lambda value: is_colour("std", value), IMAGENET_STD, _OF_COLOURS),
    "resize": Fact(_is_text),
    "trained": Fact(lambda value: value is None or isinstance(value, bool)),
    "domain": Fact(_is_text),
    "note": Fact(_is_text),
    "weights": Fact(lambda value: value is None or _is_text(value)),
}
"""How a network wants its images, (H, W) and mean and std of RGB in [0, 1], `resize` in words how its training resized them, and
what its weights are: `trained` is None where nobody knows, `note` is a sentence for the reader of the report, `weights` names a
file."""


def carried(whose: str, *carriers: object) -> dict[str, Any]:
    """The facts that the first of the carriers to have each one carries. Raises `ModelError` for one that cannot be meant.

    >>> class Net:
    ...     input_size, std = (32, 32), [1, 1, 1]
    >>> carried("Net", Net)
    {'input_size': (32, 32), 'std': (1, 1, 1)}
    """
    found: dict[str, Any] = {}
    for key in FACTS:
        values = (getattr(carrier, key) for carrier in carriers if hasattr(carrier, key))
        # A property of a class that serves as the factory tells nothing before there is a network; a method is no fact.
        for value in (value for value in values if not hasattr(value, "__get__")):
            remedy = f"set {key} of the factory to one"
            if isinstance(value, Tensor):  # a buffer, by which the network itself normalises
                remedy = "where the network normalises its images itself, let its factory have mean = (0, 0, 0), std = (1, 1, 1)"
            if _take(found, whose, key, value, remedy=remedy):
                break
    return found


def facts_of_file(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """What the metadata of a safetensors file say of its weights; nothing where they are silent. Raises `ModelError`.

    >>> facts_of_file(Path("w.safetensors"), {"dissection": '{"mean": [0.5, 0.5, 0.5], "domain": "dtd", "width": 16}'})
    {'mean': (0.5, 0.5, 0.5), 'domain': 'dtd'}
    """
    if METADATA_KEY not in metadata:
        return {}
    try:
        said = json.loads(metadata[METADATA_KEY])
        if not isinstance(said, dict):
            raise ValueError(f"it is a {type(said).__name__}")
    except ValueError as error:
        raise ModelError(
            f"What {path} says of itself is no JSON object ({error}): write the {METADATA_KEY!r} of its metadata again."
        ) from error
    found: dict[str, Any] = {}
    for key in (*PREPROCESSING, "resize", "domain", "note"):
        if key in said:
            _take(found, str(path), key, said[key], remedy="write its metadata again")
    return found


def _take(found: dict[str, Any], whose: str, key: str, value: Any, *, remedy: str) -> bool:
    """Whether `value` will do; then it is put into `found`."""
    fact = FACTS[key]
    if isinstance(value, list):
        value = tuple(value)
    if fact.allowed(value):
        found[key] = as_colour(value) if key in ("mean", "std") else value
        return True
    if fact.example:
        raise ModelError(
            f"{whose} has {key} = {short(value)}; it must be a tuple like {fact.example}{fact.more}: {remedy}."
        )
    return False
