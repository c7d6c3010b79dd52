"""Taps: they see what a plain forward computes, leave nothing behind, and refuse what is no activation map."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import pytest
import torch
from comparing import Function
from torch import Tensor, nn

from dissect.taps import TapError, forward, tap_layers

IMAGES = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))

pytestmark = pytest.mark.usefixtures("one_thread")


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(3, 4, 3, padding=1),
            bn=nn.BatchNorm2d(4),
            relu=nn.ReLU(inplace=True),
            conv2=nn.Conv2d(4, 5, 3, stride=2),
        )
    )


def tapping(function: Callable[[Tensor], object]) -> nn.Sequential:
    return nn.Sequential(OrderedDict(odd=Function(function), rest=Function(lambda x: x)))


def n_hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def refusal(model: nn.Module, *layers: str) -> str:
    with pytest.raises(TapError) as caught, tap_layers(model, layers) as look:
        look(IMAGES)
    assert n_hooks(model) == 0
    return str(caught.value)


def test_maps_equal_a_plain_forward() -> None:
    model = small()
    model.eval()
    with torch.no_grad():
        convolved = model.conv(IMAGES)
        normed = model.bn(convolved)
        last = model.conv2(torch.relu(normed))
    with tap_layers(model, ["conv2", "bn", "conv"]) as look:
        maps = look(IMAGES)
    assert list(maps) == ["conv2", "bn", "conv"]
    for name, expected in {"conv": convolved, "bn": normed, "conv2": last}.items():
        torch.testing.assert_close(maps[name], expected, rtol=0, atol=0)
        assert maps[name].dtype == torch.float32 and not maps[name].requires_grad


def test_an_in_place_relu_further_down_does_not_change_what_was_seen() -> None:
    with tap_layers(small(), ["bn", "conv2"]) as look:
        maps = look(IMAGES)
    assert maps["bn"].min() < 0


def test_maps_stay_after_the_next_look_and_after_the_end() -> None:
    model = small()
    with tap_layers(model, ["conv"]) as look:
        first = look(IMAGES)
        kept = first["conv"].clone()
        look(IMAGES + 1)
    assert torch.equal(first["conv"], kept)


def test_evaluation_inside_and_every_mode_as_it_was_outside() -> None:
    model = small()
    model.train()
    model.bn.eval()
    before = [module.training for module in model.modules()]
    mean = model.bn.running_mean.clone()
    with tap_layers(model, ["bn"]) as look:
        assert not any(module.training for module in model.modules())
        look(IMAGES)
    assert [module.training for module in model.modules()] == before
    assert torch.equal(model.bn.running_mean, mean)
    assert n_hooks(model) == 0


def test_what_evaluation_mode_did_to_weights_is_undone() -> None:
    """As with weights that are merged for evaluation."""

    class Merging(nn.Conv2d):
        def train(self, mode: bool = True) -> Merging:
            if mode != self.training:
                self.weight.data += -1 if mode else 1
            return super().train(mode)

    model = nn.Sequential(OrderedDict(conv=Merging(3, 4, 1), drop=nn.Dropout()))
    model.drop.eval()
    weight = model.conv.weight.data.fill_(0.5).clone()
    with tap_layers(model, ["conv"]) as look:
        look(IMAGES)
        assert torch.equal(model.conv.weight, weight + 1)
    assert torch.equal(model.conv.weight, weight)
    assert (model.training, model.conv.training, model.drop.training) == (True, True, False)


def test_hooks_and_modes_after_an_error_in_the_with_body() -> None:
    model = small()
    with pytest.raises(ZeroDivisionError), tap_layers(model, ["bn"]):
        assert n_hooks(model) == 1
        raise ZeroDivisionError
    assert n_hooks(model) == 0
    assert all(module.training for module in model.modules())


def test_hooks_and_modes_after_an_error_in_the_model() -> None:
    model = tapping(lambda x: x.view(7, 7))
    model.train()
    assert refusal(model, "rest") == (
        "The network fails on images of shape (2, 3, 8, 8) (RuntimeError: shape '[7, 7]' is invalid for input of size 384): "
        "try another `image_size`, a smaller `batch_size`, or correct the network."
    )
    assert all(module.training for module in model.modules())


def test_hooks_of_others_stay() -> None:
    model = small()
    model.conv.register_forward_hook(lambda module, inputs, output: output * 0)
    with tap_layers(model, ["conv"]) as look:
        assert not look(IMAGES)["conv"].any()
    assert n_hooks(model) == 1


def test_an_error_without_words_still_makes_a_sentence() -> None:
    def fail(x: Tensor) -> Tensor:
        raise AssertionError

    with pytest.raises(TapError, match=r"\(AssertionError: no reason given\)"):
        forward(Function(fail), IMAGES)


@pytest.mark.parametrize("kind", [torch.float16, torch.float64])
def test_a_network_of_another_precision_is_told_so(kind: torch.dtype) -> None:
    name = str(kind).removeprefix("torch.")
    assert refusal(small().to(kind), "conv").endswith(
        f": images are float32 and it has weights of {name}, so give it as float32 (`model.float()`)."
    )


def test_an_interruption_is_no_error_of_the_network() -> None:
    def interrupt(x: Tensor) -> Tensor:
        raise KeyboardInterrupt

    model = tapping(interrupt)
    with pytest.raises(KeyboardInterrupt), tap_layers(model, ["rest"]) as look:
        look(IMAGES)
    assert n_hooks(model) == 0


def test_forward_ends_after_the_last_tapped_layer() -> None:
    def explode(x: Tensor) -> Tensor:
        raise AssertionError("never to be reached")

    model = nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 4, 1), relu=nn.ReLU(), bomb=Function(explode)))
    with tap_layers(model, ["relu", "conv"]) as look:
        assert look(IMAGES)["relu"].shape == look(IMAGES)["conv"].shape == (2, 4, 8, 8)
    assert "never to be reached" in refusal(model, "conv", "bomb")


def test_forward_goes_on_where_its_end_tidies_up() -> None:
    """As in a network that keeps features in a list and empties it at its end."""

    class Skipping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.layer, self.skips = nn.Conv2d(3, 3, 1), nn.Identity(), []

        def forward(self, x: Tensor) -> Tensor:
            self.skips.append(self.conv(x))
            x = self.layer(x + self.skips[0])
            self.skips.clear()
            return x

    model = Skipping()
    with tap_layers(model, ["layer"]) as look, torch.no_grad():
        for images in (IMAGES, IMAGES * 2, IMAGES[:1], IMAGES[1:]):
            torch.testing.assert_close(look(images)["layer"], images + model.conv(images), rtol=0, atol=0)
    assert not model.skips


def test_a_batch_of_one_keeps_its_dimension() -> None:
    with tap_layers(small(), ["conv2"]) as look:
        one, both = look(IMAGES[:1])["conv2"], look(IMAGES)["conv2"]
    assert one.shape == (1, 5, 3, 3)
    torch.testing.assert_close(one, both[:1])


def test_a_map_of_one_cell_keeps_its_dimensions() -> None:
    model = nn.Sequential(nn.Conv2d(3, 1, 8))
    with tap_layers(model, ["0"]) as look:
        assert look(IMAGES[:1])["0"].shape == (1, 1, 1, 1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(dtype: torch.dtype) -> None:
    with tap_layers(tapping(lambda x: x.to(dtype)), ["odd"]) as look:
        maps = look(IMAGES)["odd"]
    assert maps.dtype == torch.float32
    assert torch.equal(maps, IMAGES.to(dtype).float())


def test_channels_last_comes_out_contiguous() -> None:
    model = small().to(memory_format=torch.channels_last)
    with tap_layers(model, ["bn"]) as look:
        maps = look(IMAGES.contiguous(memory_format=torch.channels_last))["bn"]
        plain = look(IMAGES)["bn"]
    assert maps.is_contiguous()
    torch.testing.assert_close(maps, plain)


def test_a_layer_named_twice_is_tapped_once() -> None:
    with tap_layers(small(), ["conv", "conv"]) as look:
        assert list(look(IMAGES)) == ["conv"]


def test_a_layer_that_fires_twice() -> None:
    shared = Function(torch.relu)
    model = nn.Sequential(OrderedDict(first=shared, second=shared, end=nn.Identity()))
    assert refusal(model, "first", "end") == (
        "Layer 'first' fires more than once a forward pass: name one of its calls, such as 'first@2'."
    )


def test_an_unknown_name() -> None:
    assert refusal(small(), "conv", "conv9") == (
        "The network has no module 'conv9': list its modules with `dissect layers`."
    )


def test_a_layer_that_never_fires() -> None:
    model = small()
    model.spare = nn.ModuleList([nn.Conv2d(3, 3, 1)])
    model.forward = lambda x: model.conv(x)
    assert refusal(model, "conv", "spare.0") == (
        "Layer 'spare.0' never fires in a forward pass: list those that do with `dissect layers`."
    )


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: (x, x), "Layer 'odd' gives a tuple, not a tensor: tap a module inside it."),
        (lambda x: {"out": x}, "Layer 'odd' gives a dict, not a tensor: tap a module inside it."),
        (
            lambda x: x.mean((2, 3)),
            "Layer 'odd' gives a tensor of shape (2, 3), not (B, U, h, w): give another `layout`, or tap a layer whose output is "
            "an activation map, tokens or a vector.",
        ),
        (lambda x: x.long(), "Layer 'odd' gives torch.int64 values; activations must be floating point."),
        (lambda x: x > 0, "Layer 'odd' gives torch.bool values; activations must be floating point."),
    ],
)
def test_outputs_that_are_no_map(function: Callable[[Tensor], object], words: str) -> None:
    assert refusal(tapping(function), "odd") == words


# Calls of a module that fires several times


def test_the_call_that_is_named() -> None:
    shared = Function(lambda x: x + 1)
    model = nn.Sequential(OrderedDict(first=shared, second=shared, end=shared))
    with tap_layers(model, ["first@1", "first@3", "first@2"]) as look:
        maps = look(IMAGES)
        assert list(maps) == ["first@1", "first@3", "first@2"]
        for name, n in (("first@1", 1), ("first@2", 2), ("first@3", 3)):
            torch.testing.assert_close(maps[name], IMAGES + n)
            assert torch.equal(maps[name], look(IMAGES)[name])


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ("first@3", "Layer 'first@3' fires only 2 times in a forward pass: list those that do with `dissect layers`."),
        ("first@0", "The network has no module 'first@0': list its modules with `dissect layers`."),
        ("nothing@2", "The network has no module 'nothing': list its modules with `dissect layers`."),
    ],
)
def test_a_call_that_does_not_happen(layer: str, words: str) -> None:
    shared = Function(torch.relu)
    assert refusal(nn.Sequential(OrderedDict(first=shared, second=shared)), layer) == words


def test_a_module_whose_own_name_has_a_number_behind_an_at() -> None:
    model = nn.Sequential()
    model.add_module("a@2", nn.Identity())
    with tap_layers(model, ["a@2"]) as look:
        assert torch.equal(look(IMAGES)["a@2"], IMAGES)
