"""Options of a method as words in the name of a row, and back.

>>> spelling = Spelling({"controller": ("{}", "full"), "rank": ("{}", 8), "noise": ("noise-{}", False)})
>>> spelling.written({"controller": "low-rank", "rank": 4})
'low-rank-4'
>>> spelling.read("low-rank-4")
{'controller': 'low-rank', 'rank': 4}
>>> spelling.read("diagonal-noise-True")
{'controller': 'diagonal', 'noise': True}
>>> spelling.read("low rank") is None
True
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Spelling:
    """options: by name, in the order of the words, how each is written and its default, whose type its values have."""

    options: Mapping[str, tuple[str, object]]

    def written(self, values: Mapping[str, object]) -> str:
        """The words of these options, joined; underscores become hyphens."""
        words = [form.format(values[option]) for option, (form, _) in self.options.items() if option in values]
        return "-".join(words).replace("_", "-")

    def read(self, text: str) -> dict[str, object] | None:
        """The options that `text` names; None where it is nothing that `written` gives."""
        parts = []
        for option, (form, default) in self.options.items():
            before, after = (re.escape(part.replace("_", "-")) for part in form.split("{}"))
            parts.append(f"(?:-{before}(?P<{option}>{_kind(default)[0]}){after})?")
        found = re.fullmatch("".join(parts), f"-{text}" if text else "")
        if found is None:
            return None
        named = {option: word for option, word in found.groupdict().items() if word is not None}
        return {option: _value(word, self.options[option][1]) for option, word in named.items()}


_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "True|False"),
    (int, r"\d+"),
    (float, r"\d[\d.]*(?:e-?\d+)?"),
    (object, r"[A-Za-z][A-Za-z0-9-]*?"),
)
"""How the values of a type are written; the first that a default is of. bool is an int, so it comes first."""


def _kind(default: object) -> tuple[str, type]:
    return next((pattern, kind) for kind, pattern in _KINDS if isinstance(default, kind))


def _value(word: str, default: object) -> object:
    kind = _kind(default)[1]
    if kind is bool:
        return word == "True"
    return word if kind is object else kind(word)
