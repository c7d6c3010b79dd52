"""Letters of any script in figures: fonts of this machine for what the figures' own font lacks.

    families_for("照明 lamp")                  # ("DejaVu Sans", "WenQuanYi Zen Hei") where that font is installed
    labels_without_letters(["lamp", "照明"])   # ["照明"] where no font has its letters: a figure shows boxes instead
    give_letters(figure)                       # before a figure is drawn; `render` and `write_figure` do it

DejaVu Sans, which comes with matplotlib, has Latin, Greek, Cyrillic, Hebrew and Arabic letters. Others are looked for among the
fonts that are installed, and only when a text needs them: on Debian `fonts-noto-core` has most scripts, `fonts-noto-cjk` Chinese,
Japanese and Korean. From 3.11 on matplotlib also joins letters and turns lines as Arabic and Hindi need it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, findSystemFonts, fontManager
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

FAMILY = "DejaVu Sans"
_NOT_FOR_LABELS = ("last resort", "symbol", "math", "mono", "serif", "unicode bmp", "fallback")
"""Fonts that show boxes, signs or another kind of letter; they come after all others, and those of the first kind never."""


def labels_without_letters(labels: Iterable[str]) -> list[str]:
    """Those of the labels, in their order, that have a letter which no font here has; figures show it as a box.

    >>> labels_without_letters(["lamp", "лампа", "\\U0010fffd"])  # the last is a letter of nobody's script
    ['\\U0010fffd']
    """
    return [label for label in dict.fromkeys(labels) if any(_home_of(letter) is None for letter in _foreign(label))]


@lru_cache(maxsize=10_000)
def families_for(text: str) -> tuple[str, ...]:
    """The font families that `text` needs, the figures' own first; matplotlib takes each letter from the first that has it."""
    return tuple(dict.fromkeys([FAMILY, *(home for letter in _foreign(text) if (home := _home_of(letter)))]))


def give_letters(figure: Figure) -> None:
    """Give every text of the figure the fonts that its letters need."""
    for text in _texts(figure):
        families = families_for(text.get_text())
        if len(families) > 1:
            text.set_fontfamily(families)


def _texts(figure: Figure) -> Iterator[Text]:
    """Every text that may be seen. (`figure.findobj` would make the ticks of axes that show none, which takes long.)"""
    legends = [*figure.legends, *(legend for axis in figure.axes if (legend := axis.get_legend()))]
    yield from figure.texts
    for legend in legends:
        yield from legend.get_texts()
    for axis in figure.axes:
        yield from axis.texts
        yield from (artist for artist in axis.get_children() if isinstance(artist, Text))  # titles
        if axis.axison:
            yield from (axis.xaxis.label, axis.yaxis.label, *axis.get_xticklabels(), *axis.get_yticklabels())


def _foreign(text: str) -> list[str]:
    """Letters and signs of `text` that the figures' own font lacks; blanks and marks that only steer are never seen."""
    if text.isascii():
        return []
    own = _own_font()
    return [
        c
        for c in text
        if not own.get_char_index(ord(c)) and unicodedata.category(c) not in ("Cc", "Cf", "Zs", "Zl", "Zp")
    ]


@lru_cache(maxsize=1)
def _own_font() -> FT2Font:
    return FT2Font(findfont(FAMILY))


@lru_cache(maxsize=10_000)
def _home_of(letter: str) -> str | None:
    """The family that a letter is taken from, known to matplotlib from now on; None where no font has it."""
    home = next((family for family, _, font in _installed() if font.get_char_index(ord(letter))), None)
    known = {entry.name for entry in fontManager.ttflist}
    if home is not None and home not in known:  # installed after matplotlib made its list
        for family, path, _ in _installed():
            if family == home:
                fontManager.addfont(path)
    return home


@lru_cache(maxsize=1)
def _installed() -> list[tuple[str, str, FT2Font]]:
    """Every outline font of this machine as (family, path, font), those made for plain text first, always in one order."""
    fonts = []
    for path in findSystemFonts():
        try:
            font = FT2Font(path)
        except (OSError, RuntimeError):  # a broken file, or a kind that FreeType does not read
            continue
        if font.scalable and "last resort" not in font.family_name.lower():
            fonts.append((font.family_name, path, font))
    return sorted(fonts, key=_rank)


def _rank(entry: tuple[str, str, FT2Font]) -> tuple[bool, bool, bool, int, str]:
    family, path, font = entry
    name = family.lower()
    odd = any(word in name for word in _NOT_FOR_LABELS)
    plain = font.style_name.lower() in ("regular", "book", "roman", "medium")
    return (
        odd,
        "sans" not in name and "hei" not in name and "gothic" not in name,
        not plain,
        len(family),
        Path(path).name,
    )
