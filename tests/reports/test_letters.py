"""Letters that the figures' own font lacks come from other fonts of the machine, and who has none is told."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib.font_manager import findfont
from matplotlib.ft2font import FT2Font

from reports import letters
from reports.style import category_colours, figure_style, new_figure, render, text_inches


@pytest.fixture
def fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The paths of the fonts that the machine seems to have; what was remembered of the others is forgotten."""
    paths: list[str] = []
    monkeypatch.setattr(letters, "findSystemFonts", lambda: paths)
    remembered = (letters.families_for, letters._home_of, letters._installed, text_inches)
    for each in remembered:
        each.cache_clear()
    yield paths
    for each in remembered:
        each.cache_clear()


def test_a_letter_comes_from_the_font_that_has_it(fonts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the figures' own font one without Cyrillic letters, they would come from the one installed font that has them."""
    monkeypatch.setattr(letters, "_own_font", lambda: FT2Font(findfont("cmtt10")))
    assert letters.labels_without_letters(["lamp", "жук", "lamp", "жар"]) == ["жук", "жар"]
    fonts += [findfont("cmr10"), findfont("DejaVu Serif")]
    for each in (letters.families_for, letters._home_of, letters._installed):
        each.cache_clear()
    assert letters.labels_without_letters(["lamp", "жук"]) == []
    assert letters.families_for("lamp") == (letters.FAMILY,)
    assert letters.families_for("a жук") == (letters.FAMILY, "DejaVu Serif")
    with figure_style():
        figure = new_figure(1, 1)
        borrowed, plain = figure.text(0.1, 0.5, "a жук"), figure.text(0.1, 0.1, "a")
        render(figure, ["svg"])
    assert borrowed.get_fontfamily() == [letters.FAMILY, "DejaVu Serif"] and plain.get_fontfamily() == [letters.FAMILY]


def test_nothing_is_looked_for_in_vain(fonts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def never() -> list[str]:
        raise AssertionError("Latin, Greek, Cyrillic and Arabic need no other font")

    monkeypatch.setattr(letters, "findSystemFonts", never)
    assert letters.labels_without_letters(["lamp", "Größe\u200b\n", "λάμπα", "лампа", "مصباح"]) == []


def test_a_broken_font_is_passed_over(fonts: list[str], tmp_path: Path) -> None:
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    fonts += [str(tmp_path / "broken.ttf"), str(tmp_path / "gone.ttf")]
    assert letters.labels_without_letters(["\U0010fffd"]) == ["\U0010fffd"]


def test_every_category_has_a_colour_that_others_can_be_told_from() -> None:
    """By normal eyes and by those without red or green: twenty of them; and no colour ever comes twice."""
    names = ["object", "part", "scene", "material", "texture", "color", *(f"own {k}" for k in range(60))]
    colours = list(category_colours(names).values())
    assert len(set(colours)) == len(names)
    seen = [_lab(np.array([int(c[k : k + 2], 16) / 255 for k in (1, 3, 5)])) for c in colours[:20]]
    for a, b in itertools.combinations(seen, 2):
        assert np.linalg.norm(a - b, axis=1).min() > 14


def _lab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b* as three kinds of eyes see the colour (without red and green cones: Machado and others 2009), (3, 3)."""
    protanopia = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    deuteranopia = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    views = np.clip([linear, np.array(protanopia) @ linear, np.array(deuteranopia) @ linear], 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(np.maximum(views @ to_xyz.T / np.array([0.9505, 1, 1.089]), 0.008856)).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)
