"""Recipes: the published numbers, types, names, ranges, overrides."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from data_prep.common.errors import UserError
from mdl.training.recipe import RECIPES, Plan, load_recipe, recipe_from

PUBLISHED_DECAY = {
    "dtd": 2e-3, "aircraft": 5e-4, "cifar100": 5e-4, "daimlerpedcls": 5e-4, "omniglot": 5e-4, "ucf101": 5e-4,
    "gtsrb": 3e-4, "svhn": 3e-4, "vgg-flowers": 3e-4,
}  # fmt: skip


def test_paper() -> None:
    recipe = load_recipe("paper")
    base = recipe.plan("pretrain", "imagenet12")
    assert (base.epochs, base.batch_size, base.weight_decay, base.momentum) == (120, 256, 1e-4, 0.9)
    assert [base.learning_rate(epoch) for epoch in (0, 79, 80, 99, 100, 119)] == pytest.approx(
        [0.1, 0.1, 0.01, 0.01, 1e-3, 1e-3]
    )
    domain = recipe.plan("train", "dtd")
    assert domain.epochs == 100
    assert [domain.learning_rate(epoch) for epoch in (59, 60, 80)] == pytest.approx([0.1, 0.01, 1e-3])
    soft = recipe.plan("soft_sharing", "dtd")
    assert (soft.epochs, soft.learning_rate(4), soft.learning_rate(5)) == (10, 0.1, pytest.approx(0.01))
    assert {name: recipe.plan("train", name).weight_decay for name in PUBLISHED_DECAY} == PUBLISHED_DECAY
    dropout = {name for name in PUBLISHED_DECAY if recipe.plan("train", name).dropout}
    assert dropout == {"gtsrb", "ucf101", "daimlerpedcls"}
    assert (recipe.width.separable, recipe.width.plain, recipe.mask_lr) == (64, 32, 1e-4)
    assert (domain.train_on, domain.choose, domain.resize, domain.crop, domain.flip) == ("train", "best", 72, 64, False)


def test_released_differs_where_the_code_does() -> None:
    paper, released = load_recipe("paper"), load_recipe("released")
    base = released.plan("pretrain", "imagenet12")
    assert (base.weight_decay, base.batch_size, base.train_on, base.choose) == (5e-4, 128, "train+val", "last")
    domain = released.plan("train", "cifar100")
    assert [domain.learning_rate(epoch) for epoch in (39, 40, 99)] == pytest.approx([0.1, 0.01, 0.01])
    changed = {
        n for n in PUBLISHED_DECAY if released.plan("train", n).weight_decay != paper.plan("train", n).weight_decay
    }
    assert changed == {"svhn", "vgg-flowers"}


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_opens_with_source_command_cost_and_expectation(name: str) -> None:
    text = (files("mdl.training") / "recipes" / f"{name}.toml").read_text(encoding="utf-8")
    heads = [line.split(":")[0] for line in text.splitlines() if line.startswith("# ") and line[2] != " "]
    assert heads[:4] == ["# Source", "# Command", "# Cost", "# Expect"]
    recipe = load_recipe(name)
    assert all(len(part) > 10 for part in (recipe.source, recipe.command, recipe.cost, recipe.expect))
    assert recipe.plan("train", "mini-gtsrb").dropout == 0.5
    assert recipe_from(recipe.as_dict()) == recipe


def test_overrides() -> None:
    recipe = load_recipe(
        "mini", ["lr=0.07", "epochs=4", "train.drops=[1, 3]", "weight_decay.dtd=1e-3", "train_on=train+val"]
    )
    assert {recipe.plan(phase, "dtd").lr for phase in ("pretrain", "train", "soft_sharing")} == {0.07}
    plan = recipe.plan("train", "mini-dtd")
    assert (plan.epochs, plan.drops, plan.weight_decay, plan.choose) == (4, (1, 3), 1e-3, "last")
    assert load_recipe("mini", ["weight_decay=1e-2"]).plan("train", "dtd").weight_decay == 1e-2


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("epoch=3", "no setting 'epoch' in a recipe: did you mean .*epochs"),
        ("train.leraning=3", "no setting 'train.leraning'"),
        ("trian.lr=1", "did you mean train"),
        ("epoch=3", "no setting 'epoch' in a recipe: did you mean epochs"),
        ("lr=fast", "lr is 'fast'; it must be a number"),
        ("epochs=2.5", "epochs is 2.5; it must be a whole number"),
        ("epochs=0", "epochs is 0; it must be 1 or more"),
        ("lr=nan", "lr is nan; it must be above 0"),
        ("lr=-1", "lr is -1.0; it must be above 0"),
        ("momentum=1.0", "momentum is 1.0; it must be from 0 to below 1"),
        ("drops=[3, 2]", "ascending order"),
        ("train=3", "train is 3; it must be a section of keys"),
        ("lr.x=3", "There is no setting 'lr' in a recipe"),
        ("train.lr.x=3", "did you mean|There is no setting|no part"),
        ("input.crop=80", "Crop 80 does not fit"),
        ("precision=float16", "precision is 'float16'; it must be 'float32' or 'bfloat16'"),
        ("seed=-1", "seed is -1; it must be from 0"),
        ("epochs", "write KEY=VALUE"),
        ("=3", "write KEY=VALUE"),
    ],
)
def test_a_wrong_override_is_one_sentence(override: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        load_recipe("mini", [override])


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("dropout.dtx=0.5", "no setting 'dropout.dtx' in a recipe: did you mean dropout.dtd"),
        ("input.flip=['dtx']", "no setting 'input.flip.dtx'"),
        ("input.whole=['my-sign']", "did you mean input.whole.my-signs"),
    ],
)
def test_a_domain_that_nobody_has_is_told_with_the_data(override: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        load_recipe("mini", [override]).check_domains(["my-signs"])


def test_a_domain_of_ones_own() -> None:
    values = [
        "weight_decay.my-signs=0.01",
        "dropout.my-signs=0.25",
        "input.flip=['my-signs']",
        "input.whole=['my-signs']",
    ]
    recipe = load_recipe("mini", values)
    recipe.check_domains(["my-signs"])
    plan, other = recipe.plan("train", "my-signs"), recipe.plan("train", "my-flowers")
    assert (plan.weight_decay, plan.dropout, plan.flip) == (0.01, 0.25, True)
    assert (plan.input_rules.train_crop, plan.input_rules.random) == (36, False)
    assert (other.weight_decay, other.dropout, other.flip) == (recipe.train.weight_decay, 0.0, False)
    assert (other.input_rules.train_crop, other.input_rules.random) == (32, True)
    assert Plan.of(plan.as_dict()) == plan
    assert "whole" not in other.as_dict(), "results of earlier versions would not compare"
    assert Plan.of(other.as_dict()) == other


@pytest.mark.parametrize("name", ["dtd", "mini-dtd"])
def test_a_miniature_has_its_own_values_and_else_its_namesakes(name: str) -> None:
    values = [f"weight_decay.{name}=0.1", f"dropout.{name}=0.5", f"input.flip=['{name}']", f"input.whole=['{name}']"]
    recipe = load_recipe("mini", values)
    recipe.check_domains(["mini-dtd"])
    plan = recipe.plan("train", "mini-dtd")
    assert (plan.weight_decay, plan.dropout, plan.flip, plan.whole) == (0.1, 0.5, True, True)
    both = load_recipe("mini", ["dropout.dtd=0.25", "dropout.mini-dtd=0"])
    assert (both.plan("train", "dtd").dropout, both.plan("train", "mini-dtd").dropout) == (0.25, 0)


def test_files(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    text = (files("mdl.training") / "recipes" / "mini.toml").read_text(encoding="utf-8")
    own.write_text(text.replace("momentum = 0.9", "momentum = 0.8"))
    assert (load_recipe(own).momentum, load_recipe(own).name) == (0.8, "own")
    own.write_text(text.replace("momentum", "momentun"))
    with pytest.raises(UserError, match="no setting 'momentun' in a recipe: did you mean momentum"):
        load_recipe(own)
    own.write_text("width = [")
    with pytest.raises(UserError, match="is no TOML"):
        load_recipe(own)
    own.write_text("source = 'x'")
    with pytest.raises(UserError, match="The recipe has no command"):
        load_recipe(own)
    with pytest.raises(UserError, match="cannot be read"):
        load_recipe(tmp_path / "none.toml")
    with pytest.raises(UserError, match="There is no recipe 'papr'"):
        load_recipe("papr")
