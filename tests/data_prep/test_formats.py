"""The encoding of label maps: R + 256 * G, and its inverse."""

from __future__ import annotations

import numpy as np
import pytest

from data_prep.common.errors import UserError
from data_prep.formats import ImageLabels, decode_label_map, encode_label_map


def test_every_number_survives_the_round_trip():
    numbers = np.arange(65_536, dtype=np.int32).reshape(256, 256)
    rgb = encode_label_map(numbers)
    assert rgb.shape == (256, 256, 3) and rgb.dtype == np.uint8
    assert np.array_equal(decode_label_map(rgb), numbers)


def test_red_is_the_low_byte_and_green_the_high_one():
    assert encode_label_map(np.array([[1, 256, 300, 65_535]])).tolist() == [
        [[1, 0, 0], [0, 1, 0], [44, 1, 0], [255, 255, 0]]
    ]


def test_any_integer_type_and_shape_gives_the_same_pixels():
    rng = np.random.default_rng(0)
    for shape in ((0, 0), (1, 1), (3, 5), (112, 112)):
        numbers = rng.integers(0, 65_536, shape)
        for dtype in (np.uint16, np.int32, np.uint32, np.int64):
            assert np.array_equal(decode_label_map(encode_label_map(numbers.astype(dtype))), numbers)


def test_decoding_does_not_overflow_in_eight_bits():
    assert decode_label_map(np.full((1, 1, 3), 255, np.uint8)).item() == 65_535


@pytest.mark.parametrize(("number", "range_told"), [(-1, "-1..0"), (65_536, "0..65536")])
def test_a_number_that_does_not_fit_is_refused(number, range_told):
    with pytest.raises(UserError, match=r"must lie in 0\.\.65535.*renumber") as refusal:
        encode_label_map(np.array([[0, number]]))
    assert range_told in str(refusal.value)


def test_the_shape_of_labels_holds_without_any_plane():
    nothing = np.empty(0, np.int32)
    assert ImageLabels(np.empty((0, 6, 10), np.int32), nothing, nothing).shape == (6, 10)
