"""Centres and strides of receptive fields against sums on paper.

For a layer of kernel k, stride s, dilation d and p cells of padding before the first: the centre of cell 0 moves by
stride_in * (d * (k - 1) / 2 - p), and the stride is multiplied by s.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dissect.receptive_field import receptive_fields
from dissect.tally import positions_above
from dissect.taps import TapError
from dissect.upsample import Geometry, half_pixel_axis, receptive_field_axis

pytestmark = pytest.mark.usefixtures("one_thread")


def conv(kernel, **options: object) -> nn.Conv2d:
    return nn.Conv2d(options.pop("channels", 3), 3, kernel, **options)


class Sum(nn.Module):
    """A residual connection: both branches added."""

    def __init__(self, one: nn.Module, other: nn.Module) -> None:
        super().__init__()
        self.one, self.other = one, other

    def forward(self, x: Tensor) -> Tensor:
        return self.one(x) + self.other(x)


class Gate(nn.Module):
    """Squeeze and excitation: every cell sees the whole image."""

    def forward(self, x: Tensor) -> Tensor:
        return x * x.mean((2, 3), keepdim=True)


STACKS = {
    "odd kernel": ([conv(3, padding=1)], (0, 1), (0, 1)),
    "no padding": ([conv(5)], (2, 1), (2, 1)),
    "even kernel": ([conv(2, stride=2)], (0.5, 2), (0.5, 2)),
    "even kernel, padded": ([conv(4, stride=2, padding=1)], (0.5, 2), (0.5, 2)),
    "stride beyond the kernel": ([conv(1, stride=3)], (0, 3), (0, 3)),
    "kernel and stride differ by axis": ([conv((3, 5), stride=(1, 2), padding=(0, 1))], (1, 1), (1, 2)),
    "two strides": ([conv(3, stride=2, padding=1), conv(3, stride=2)], (0 + 2 * 1, 4), (2, 4)),
    "padded before only": ([nn.ZeroPad2d((1, 0, 2, 0)), conv(3, stride=2)], (1 - 2, 2), (1 - 1, 2)),
    "padded behind only": ([nn.ZeroPad2d((0, 1, 0, 1)), conv(3, stride=2)], (1, 2), (1, 2)),
    "a stem with a max pool": ([conv(7, stride=2, padding=3), nn.MaxPool2d(3, 2, 1)], (0, 4), (0, 4)),
    "even pool": ([conv(3, padding=1), nn.MaxPool2d(2), nn.AvgPool2d(2)], (0.5 + 2 * 0.5, 4), (1.5, 4)),
    "dilated": ([conv(3, dilation=3)], (3, 1), (3, 1)),
    "dilated behind a stride": (
        [conv(3, stride=2, padding=1), conv(3, dilation=2, padding=1)], (0 + 2 * (2 - 1), 2), (2, 2),
    ),
    "shortcut": ([Sum(conv(3, stride=2, padding=1), nn.AvgPool2d(2))], (0, 2), (0, 2)),
    "lopsided shortcut": ([Sum(conv(1), nn.Sequential(nn.ZeroPad2d((0, 2, 0, 0)), conv((1, 3))))], (0, 1), (1, 1)),
    "adaptive pool": ([nn.AdaptiveAvgPool2d((6, 10))], (1.5, 4), (1.5, 4)),
    "activations": (
        [conv(3, padding=1), nn.BatchNorm2d(3), nn.ReLU6(), nn.Hardswish(), nn.MaxPool2d(2)], (0.5, 2), (0.5, 2),
    ),
}  # fmt: skip


@pytest.mark.parametrize("stack", STACKS)
def test_centre_and_stride_on_paper(stack: str) -> None:
    modules, rows, columns = STACKS[stack]
    model = nn.Sequential(*modules)
    assert receptive_fields(model, str(len(modules) - 1), (24, 40)) == (rows, columns)


def test_weights_do_not_matter() -> None:
    model = nn.Sequential(conv(3, stride=2, padding=1), nn.ReLU(), conv(2, stride=2))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert receptive_fields(model, "2", (16, 16)) == ((1, 4), (1, 4))


def test_fields_that_the_border_cuts_off_everywhere() -> None:
    """A field of 1 + 2 + 4 + 6 * 8 = 55 pixels on an image of 24: the centre and stride are those of a longer image."""
    model = nn.Sequential(*(conv(3, stride=2, padding=1) for _ in range(2)), *(conv(3, padding=1) for _ in range(6)))
    assert receptive_fields(model, "7", (24, 32)) == ((0, 4), (0, 4))


def test_only_what_lies_before_the_layer_is_run() -> None:
    model = nn.Sequential(conv(3, padding=1), nn.Flatten(), nn.Linear(3, 3))
    assert receptive_fields(model, "0", (8, 8))[0] == (0, 1)


@pytest.mark.parametrize(
    "modules",
    [
        [conv(3), nn.AdaptiveAvgPool2d(1)],
        [conv(3), Gate(), conv(3)],
        [conv(3), nn.AdaptiveAvgPool2d(1), nn.Upsample((8, 8))],
        [conv(31, padding=15), nn.AdaptiveAvgPool2d(4)],  # its stride would depend on the input's length
        [nn.AdaptiveAvgPool2d(6)],  # its cells begin at 0, 2, 5, 8, 10, 13
        [conv(2, stride=2), nn.Upsample(scale_factor=2)],
        [conv(3), nn.InstanceNorm2d(3)],
    ],
    ids=[
        "global pool",
        "squeeze and excitation",
        "spread again",
        "adaptive pool of cut fields",
        "uneven adaptive pool",
        "cells in pairs",
        "instance norm",
    ],
)
def test_cells_that_have_no_centre(modules: list[nn.Module]) -> None:
    layer = str(len(modules) - 1)
    with pytest.raises(TapError) as caught:
        receptive_fields(nn.Sequential(*modules), layer, (16, 16))
    assert str(caught.value) == (
        f"The receptive fields of layer '{layer}' cover the whole input or are not evenly spaced, so that its cells have no "
        f"centres: set `upsample` to half-pixel."
    )


def test_leaves_no_trace_and_warns_of_nothing() -> None:
    model = nn.Sequential(conv(3), nn.BatchNorm2d(3))
    model.train()
    switches = torch.backends.mkldnn.flags, torch._C._get_mkldnn_enabled(), torch.backends.cudnn.enabled
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        receptive_fields(model, "1", (8, 8))
    assert switches == (torch.backends.mkldnn.flags, torch._C._get_mkldnn_enabled(), torch.backends.cudnn.enabled)
    assert all(module.training and not module._forward_hooks for module in model.modules())
    assert not model[1].running_mean.isnan().any()


# What the anchors are for


def test_interpolation_on_paper() -> None:
    """Two cells at input pixels 1.5 and 5.5 of 8; four label pixels, whose middles lie at 0.5, 2.5, 4.5, 6.5."""
    axis = receptive_field_axis(2, 4, n_input=8, centre=1.5, stride=4)
    np.testing.assert_array_equal(axis.start, [0, 3, 4])
    np.testing.assert_array_equal(axis.weight / axis.whole, [0, 0.25, 0.75, 0])
    positions = np.empty(4, np.int32)
    one_row = receptive_field_axis(1, 1, n_input=8, centre=3.5, stride=8)
    for threshold, mask in (
        (-1.0, [0, 1, 2, 3]),
        (0.0, [1, 2, 3]),
        (2.0, [2, 3]),
        (5.9, [2, 3]),
        (6.0, [3]),
        (8.0, []),
    ):
        n = positions_above(np.array([[0, 8]], np.float32), threshold, one_row, axis, positions)
        assert positions[:n].tolist() == mask


def test_cells_that_cover_the_input_evenly_are_half_pixel_centres() -> None:
    for n_cells, stride, n_pixels in ((7, 32, 112), (5, 4, 9), (3, 2, 31)):
        anchored = receptive_field_axis(
            n_cells, n_pixels, n_input=n_cells * stride, centre=(stride - 1) / 2, stride=stride
        )
        half_pixel = half_pixel_axis(n_cells, n_pixels)
        np.testing.assert_array_equal(anchored.start, half_pixel.start)
        np.testing.assert_allclose(anchored.weight / anchored.whole, half_pixel.weight / half_pixel.whole, atol=1e-12)


def test_a_layer_s_anchors_reach_its_axes() -> None:
    """A 3 x 3 kernel of stride 2, padded by 1: cells lie on the even pixels, half a pixel before half-pixel centres."""
    anchors = receptive_fields(nn.Sequential(conv(3, stride=2, padding=1)), "0", (8, 8))
    rows, columns = Geometry([(4, 4)], [anchors], (8, 8)).axes(0, (8, 8))
    np.testing.assert_array_equal(rows.weight / rows.whole, [0, 0.5, 0, 0.5, 0, 0.5, 0, 0])
    np.testing.assert_array_equal(columns.start, [0, 2, 4, 6, 8])
