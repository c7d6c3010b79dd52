"""The folder of decoded images keeps to its limit, and training does not notice."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from fake_domains import make_images

from mdl.training.pictures import decode, input_rules


def test_images_decoded_longest_ago_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = input_rules("dtd", 24, 20)
    sets = [make_images(5, domain=domain) for domain in ("a", "b", "c")]
    decoded = [decode(images, rules, tmp_path) for images in sets[:2]]
    files = {path.name[0]: path for path in tmp_path.iterdir()}
    assert sorted(files) == ["a", "b"]
    for n, name in enumerate("ab"):
        os.utime(files[name], (1e9 + n,) * 2)
    decode(sets[0], rules, tmp_path)  # now b is the one of use longest ago
    monkeypatch.setenv("DISSECT_CACHE_LIMIT", str(2.5 * files["a"].stat().st_size / 1e9))
    decode(sets[2], rules, tmp_path)
    assert sorted(path.name[0] for path in tmp_path.iterdir()) == ["a", "c"]
    expected = decode(sets[1], rules)
    assert all(np.array_equal(decoded[1][n], expected[n]) for n in range(5)), "who reads on reads the same"
    assert np.array_equal(decode(sets[1], rules, tmp_path).pixels, expected.pixels)
