"""A sharing method from a file: named, counted, trained, stored and opened again like one that comes along."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from fake_domains import make_decathlon
from sharing_cases import body, images, one_thread, train  # noqa: F401

from data_prep.common.errors import UserError
from data_prep.common.user_code import module_name
from mdl.networks.multi_domain import MultiDomainNetwork
from mdl.networks.parameter_rows import parameter_rows
from mdl.networks.sharing import METHODS, sharing_method
from mdl.networks.sharing.systems import system_name
from mdl.networks.weight_files import load_body, load_domain, read_meta, save_body, save_domain
from mdl.scoring.ledger import by_kind
from mdl.scoring.tables import table2, table3
from mdl.training.decathlon import train_decathlon
from mdl.training.finished import open_finished
from mdl.training.loop import make_optimizers
from mdl.training.one_domain import Setting
from mdl.training.recipe import load_recipe
from mdl.training.state import refuse_other

FILE = """
from dataclasses import dataclass

import torch
from torch import nn

from mdl.networks.sharing import SharingMethod


class ScaledConv2d(nn.Module):
    def __init__(self, conv):
        super().__init__()
        self.conv = conv
        self.scale = nn.Parameter(torch.ones(conv.out_channels, 1, 1))

    def forward(self, x):
        return self.conv(x) * self.scale


@dataclass(frozen=True)
class Scales(SharingMethod):
    name, published_on, source = "scales", "plain", "this test"
    base_is_prepared, parameter_kinds = True, ("scale",)

    first: int = 25

    def owns(self, part):
        return part.kind == "bn" or isinstance(part.module, ScaledConv2d)

    @staticmethod
    def prepare(body):
        for site in list(body.sites()):
            if not isinstance(body.get_submodule(site.place), ScaledConv2d):
                body.set_submodule(site.place, ScaledConv2d(site.module))

    @staticmethod
    def is_prepared(body):
        return all(isinstance(body.get_submodule(site.place), ScaledConv2d) for site in body.sites())

    def optimizer(self, name):
        return "adam" if name.endswith(".scale") else "sgd"


class Nameless(SharingMethod):
    published_on, source = "plain", "this test"


class Taken(SharingMethod):
    name, published_on, source = "dan", "plain", "this test"


class Base(SharingMethod):
    name, published_on, source = "base-of-mine", "plain", "this test"


class Elsewhere(SharingMethod):
    name, published_on, source = "elsewhere", "resnet50", "this test"
"""


@pytest.fixture
def spec(tmp_path: Path) -> str:
    path = tmp_path / "my_methods.py"
    path.write_text(FILE)
    return f"{path}:Scales"


def test_it_is_named_and_trained_like_the_others(spec):
    method = sharing_method(spec, first=3)
    assert system_name(method, "plain") == "scales-first-3"
    assert system_name(sharing_method(spec), "separable") == "scales-separable"
    net = MultiDomainNetwork(body("plain"), method, base_domain="imagenet12")
    net.add("dtd", 4)
    before = net(images(), domain="imagenet12")
    train(net, "dtd")
    assert torch.equal(net(images(), domain="imagenet12"), before)
    kinds = by_kind(row for row in parameter_rows(net, "dtd") if row.domain)
    assert kinds == {"scale": 4 + 8 * (8 + 16 + 32), "bn": 2 * (4 + 8 * (8 + 16 + 32) + 32), "linear": 4 * 33}
    optimizers = make_optimizers(dict(net.domain_parameters("dtd")), load_recipe("mini").plan("train", "dtd"),
                                 net.method.optimizer)  # fmt: skip
    assert len(optimizers["adam"].param_groups[0]["params"]) == 25


def test_one_process_has_one_class_for_a_file(spec):
    """Else a body that was prepared by one would not be known to the other."""
    assert type(sharing_method(spec)) is type(sharing_method(spec))
    assert "scales" not in METHODS


def test_its_files_tell_where_it_is_from_and_run_nothing(spec, tmp_path):
    method = sharing_method(spec)
    net = MultiDomainNetwork(body("plain"), method)
    net.add("dtd", 4)
    train(net, "dtd", n_steps=1)
    base = save_body(net.body, tmp_path / "body.safetensors", method=type(method))
    domain = save_domain(net, "dtd", tmp_path / "dtd.safetensors")
    assert read_meta(domain)["method"] == "scales" and read_meta(domain)["given_as"] == spec
    with pytest.raises(
        UserError, match=r"prepared for the method scales.*give the method again as path/to/file\.py:Cla"
    ):
        load_body(base)
    again = MultiDomainNetwork(load_body(base, type(method)), method)
    load_domain(again, domain)
    assert torch.equal(again(images()), net(images()))


def test_a_row_of_it_is_trained_listed_and_opened_again(spec, tmp_path):
    recipe = load_recipe("mini-fast", ["epochs=1", "width.plain=4", "input.resize=18", "input.crop=16"])
    setting = Setting(data=make_decathlon(), name="fake", recipe=recipe)
    results = train_decathlon(setting, tmp_path, spec, options={"first": 3}, domains=["dtd"])
    assert [(r.system, r.method, r.domain, r.options) for r in results] == [
        ("scales-first-3", "scales", domain, {"first": 3}) for domain in ("imagenet12", "dtd")
    ]
    assert "scale" in by_kind(results[0].parameters)
    assert (tmp_path / "base-plain-scales" / "imagenet12" / "DONE").exists()
    again = train_decathlon(setting, tmp_path, spec, options={"first": 3}, domains=["dtd"])
    assert [result.cost for result in again] == [result.cost for result in results]  # found, not trained again
    assert "scales-first-3" in [row[0] for row in table2(results).rows]
    assert "scales-first-3" not in [row[0] for row in table3(results).rows]
    folder = tmp_path / "scales-first-3" / "dtd"
    with pytest.raises(UserError, match=rf"trained with scales, a method of your own: give it again as .*{spec}"):
        open_finished(folder)
    with pytest.raises(UserError, match="a method of your own"):
        open_finished(folder.with_name("imagenet12"))
    network = open_finished(folder, method=spec).network
    assert network(images()).shape == (3, results[1].n_classes)
    assert open_finished(folder.with_name("imagenet12"), method=spec).result == results[0]

    path = Path(spec.rpartition(":")[0])
    path.write_text(FILE + "\n# changed")
    del sys.modules[module_name(path)]  # as another process has it
    with pytest.raises(UserError, match=r"base-plain-scales/imagenet12 holds a run with network.code = '[0-9a-f]{64}'"):
        train_decathlon(setting, tmp_path, spec, options={"first": 3}, domains=["dtd"])


def test_a_folder_that_does_not_tell_its_code_is_taken():
    refuse_other(Path("old"), {"network": {"code": "a", "width": 4}}, {"network": {"width": 4}})
    with pytest.raises(UserError, match=r"old holds a run with network.code = 'b', not 'a'"):
        refuse_other(Path("old"), {"network": {"code": "a"}}, {"network": {"code": "b"}})


@pytest.mark.parametrize(
    ("class_name", "words"),
    [
        ("Scale", "has no sharing method 'Scale'; it has Scales, .*nearest: Scales"),
        ("ScaledConv2d", "has no sharing method 'ScaledConv2d'"),
        ("Nameless", "has the name None; give it lower-case letters"),
        ("Taken", "has the name 'dan', which other rows of the tables have"),
        ("Base", "has the name 'base-of-mine', which other rows of the tables have"),
        ("Elsewhere", "needs `published_on`, one of separable, plain"),
    ],
)
def test_what_is_no_method(spec, class_name, words):
    with pytest.raises(UserError, match=words):
        sharing_method(spec.replace(":Scales", f":{class_name}"))


def test_files_that_are_no_methods(tmp_path):
    with pytest.raises(UserError, match=r"nowhere.py does not exist: write the method as path/to/file.py:Class"):
        sharing_method("nowhere.py:Scales")
    broken = tmp_path / "broken.py"
    broken.write_text("1 / 0")
    for _ in range(2):  # a file that failed is not taken for loaded
        with pytest.raises(UserError, match=r"broken.py cannot be loaded \(ZeroDivisionError: division by zero\)"):
            sharing_method(f"{broken}:Scales")
    empty = tmp_path / "empty.py"
    empty.write_text("x = 1")
    with pytest.raises(UserError, match=r"empty.py has no sharing method 'Scales'; it has none"):
        sharing_method(f"{empty}:Scales")
