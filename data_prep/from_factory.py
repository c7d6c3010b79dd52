"""A label set from code of one's own: what `dissect run --data` takes beside a folder.

    data = labels_from_factory("my_sets.py:shapes")           # or package.module:factory
    data = labels_from_factory("my_sets.py:shapes", split="val", categories=["color"])

The factory returns an object with the protocol `data_prep.LabelledImages`. What is asked for, a split or some categories, it gets
as arguments of these names. An example is `examples/label_set.py`.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from data_prep.common.errors import UserError, nearest, reason
from data_prep.common.user_code import load_file, make_importable
from data_prep.formats import LabelledImages

NEEDED = ("name", "image_root", "categories", "concepts", "images", "read_labels", "fingerprint")


def is_factory(text: str) -> bool:
    """
    >>> is_factory("my_sets.py:shapes"), is_factory("my_package.sets:shapes"), is_factory("data/broden")
    (True, True, False)
    """
    where, colon, name = text.rpartition(":")
    return bool(colon) and name.isidentifier() and (where.endswith(".py") or where.replace(".", "").isidentifier())


def labels_from_factory(
    specification: str, split: str | None = None, categories: Sequence[str] | None = None
) -> LabelledImages:
    """What the factory returns. Raises `UserError` where it cannot be called, or returns what is no label set."""
    where, _, name = specification.rpartition(":")
    module = _module(where)
    factory = getattr(module, name, None)
    if not callable(factory):
        raise UserError(f"{where} has no function {name!r}{nearest(name, vars(module))}.")
    asked = {"split": split, "categories": categories}
    wanted = {key: value for key, value in asked.items() if value is not None}
    taken = inspect.signature(factory).parameters
    for key in wanted:
        if key not in taken:
            raise UserError(
                f"{specification} takes no `{key}`: leave it out, or give the factory an argument of this name."
            )
    made = _called(specification, factory, **wanted)
    if lacking := [key for key in NEEDED if not hasattr(made, key)]:
        raise UserError(
            f"{specification} returned a {type(made).__name__} without {', '.join(lacking)}: it must return a label set with all "
            f"that `data_prep.LabelledImages` has."
        )
    if not len(made.images) or not len(made.concepts):
        raise UserError(
            f"{specification} returned a set of {len(made.images)} images and {len(made.concepts)} concepts."
        )
    return cast("LabelledImages", made)


def _module(where: str) -> Any:
    if where.endswith(".py"):
        if not Path(where).is_file():
            raise UserError(f"The file {where} does not exist: write the label set as path/to/file.py:factory.")
        return _called(where, load_file, Path(where))
    make_importable(Path.cwd())
    return _called(where, importlib.import_module, where)


def _called(what: str, function: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Other people's code: whatever it raises becomes a `UserError` about `what`."""
    try:
        return function(*args, **kwargs)
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # a script without a main guard may end itself
        raise UserError(f"{what} cannot be used ({reason(error)}): correct its name or its code.") from error
