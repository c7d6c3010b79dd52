"""How a network is trained: a typed recipe, read from TOML, in which any value can be overridden.

    >>> recipe = load_recipe("mini", overrides=["lr=0.05", "weight_decay.dtd=1e-3", "train.drops=[10, 15]"])
    >>> plan = recipe.plan("train", domain="mini-dtd", method="pointwise-sharing")      # what one run will do
    >>> plan.weight_decay, plan.learning_rate(epoch=9), plan.learning_rate(epoch=10)
    (0.001, 0.05, 0.005)

A recipe is one of `RECIPES` or the path of a TOML file. It opens with its source, the command that runs it, what that
costs and the number to expect. A key that no recipe has, a value of another type or out of range is a `UserError` that
offers the nearest keys. An override is KEY=VALUE with the value as TOML writes it; a key of `pretrain`, `train` and
`soft_sharing` that is given without its section counts for all three.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from data_prep.common.errors import UserError, choose
from mdl.published import DOMAINS
from mdl.training.pictures import InputRules, input_rules, official_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RECIPES = ("paper", "released", "study-full", "study", "mini", "mini-fast", "own")

PHASES = ("pretrain", "train", "soft_sharing")
"""The parts of a recipe that are schedules: for a base network, for a domain, and for a domain with soft sharing."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """SGD with momentum. drops: epochs (counted from 0) at which the learning rate is divided by ten."""

    epochs: int
    lr: float
    drops: tuple[int, ...]
    batch_size: int
    weight_decay: float


@dataclass(frozen=True)
class Width:
    """Channels of the stem."""

    separable: int
    plain: int


@dataclass(frozen=True)
class Input:
    """resize, crop: pixels, see `pictures.input_rules`. flip: domains whose images are mirrored at random in training. whole:
    domains whose images are cut in training as they are in testing, to the centre square of side `resize`: the sides of an oblong
    image are lost, nothing else; besides those that the decathlon uses so."""

    resize: int
    crop: int
    flip: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one run does, resolved: saved with the result and compared when the run is resumed. See `Recipe`."""

    recipe: str
    phase: str
    domain: str
    method: str
    epochs: int
    lr: float
    drops: tuple[int, ...]
    batch_size: int
    weight_decay: float
    dropout: float
    momentum: float
    mask_lr: float
    resize: int
    crop: int
    flip: bool
    train_on: str
    choose: str
    precision: str
    seed: int
    whole: bool = False

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Plan:
        """The plan that was saved as plain values with a result or a network."""
        kept = {f.name: values[f.name] for f in fields(cls) if f.default is MISSING or f.name in values}
        return cls(**{**kept, "drops": tuple(values["drops"])})

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; `of` reads them back. What no recipe could say at first is left out where it says nothing, so
        that earlier results compare."""
        return {key: value for key, value in asdict(self).items() if key != "whole" or value}

    def learning_rate(self, epoch: int) -> float:
        """The rate of an epoch, counted from 0.

        >>> paper = load_recipe("paper").plan("train", "dtd")
        >>> paper.drops, [round(paper.learning_rate(epoch), 6) for epoch in (59, 60, 80)]
        ((60, 80), [0.1, 0.01, 0.001])
        """
        return self.lr / 10 ** sum(epoch >= drop for drop in self.drops)

    @property
    def input_rules(self) -> InputRules:
        return input_rules(self.domain, self.resize, self.crop, flip=self.flip, whole=self.whole)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A recipe as resolved; `load_recipe` makes it.

    weight_decay: of a domain's run; a domain without an entry has `train.weight_decay`. dropout: before the last layer,
    likewise, 0 without an entry. A `mini-` domain without an entry of its own has its namesake's.
    mask_lr: the rate of Adam, for piggyback's masks.
    train_on: the images to train on. choose: which epoch's weights are kept, the best one on val or the last one.
    """

    source: str
    command: str
    cost: str
    expect: str
    width: Width
    input: Input
    pretrain: Schedule
    train: Schedule
    soft_sharing: Schedule
    weight_decay: dict[str, float] = field(default_factory=dict)
    dropout: dict[str, float] = field(default_factory=dict)
    momentum: float = 0.9
    mask_lr: float = 1e-4
    train_on: Literal["train", "train+val"] = "train"
    choose: Literal["best", "last"] = "best"
    precision: Literal["float32", "bfloat16"] = "float32"
    seed: int = 0
    name: str = ""

    def plan(self, phase: str, domain: str, method: str = "") -> Plan:
        """What a run of `phase`, one of `PHASES`, on `domain` does. Without a val split to choose on, the last epoch is kept.

        >>> load_recipe("released").plan("train", "svhn").choose
        'last'
        """
        choose("phase", phase, PHASES)
        names = (domain, official_name(domain))
        schedule: Schedule = getattr(self, phase)
        decays = self.weight_decay if phase == "train" else {}
        return Plan(
            recipe=self.name,
            phase=phase,
            domain=domain,
            method=method,
            epochs=schedule.epochs,
            lr=schedule.lr,
            drops=schedule.drops,
            batch_size=schedule.batch_size,
            weight_decay=_first(decays, names, schedule.weight_decay),
            dropout=_first(self.dropout, names, 0.0),
            momentum=self.momentum,
            mask_lr=self.mask_lr,
            resize=self.input.resize,
            crop=self.input.crop,
            flip=not set(names).isdisjoint(self.input.flip),
            whole=not set(names).isdisjoint(self.input.whole),
            train_on=self.train_on,
            choose="last" if self.train_on == "train+val" else self.choose,
            precision=self.precision,
            seed=self.seed,
        )

    def check_domains(self, known: Iterable[str]) -> None:
        """Raises `UserError` for a value that is set for a domain which is none of the ten and not among the `known`."""
        names = {*DOMAINS, *known}
        set_for = {
            "weight_decay": self.weight_decay, "dropout": self.dropout, "input.flip": self.input.flip,
            "input.whole": self.input.whole,
        }  # fmt: skip
        for key, domains in set_for.items():
            for domain in domains:
                if domain not in names:
                    raise _unknown(f"{key}.{domain}", [f"{key}.{name}" for name in sorted(names)])

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; `recipe_from` reads them back."""
        return asdict(self)


def load_recipe(name: str | Path, overrides: Iterable[str] = ()) -> Recipe:
    """`load_recipe("paper")`, `load_recipe("mine.toml", ["epochs=3", "train.lr=0.05"])`; see the module's docstring."""
    if str(name) in RECIPES:
        text = (files("mdl.training") / "recipes" / f"{name}.toml").read_text(encoding="utf-8")
    elif str(name).endswith(".toml"):
        try:
            text = Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"The recipe {name} cannot be read ({error}): give {', '.join(RECIPES)} or a TOML file."
            ) from None
    else:
        raise UserError(
            f"There is no recipe {str(name)!r}; there are {', '.join(RECIPES)}, or give a path that ends in .toml."
        )
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"The recipe {name} is no TOML ({error}): correct it there.") from None
    return recipe_from(table, overrides, Path(name).stem if str(name).endswith(".toml") else str(name))


def recipe_from(table: Mapping[str, Any], overrides: Iterable[str] = (), name: str = "") -> Recipe:
    """A recipe from plain values, as `Recipe.as_dict` gives them; raises `UserError` as `load_recipe` does."""
    merged = {key: dict(value) if isinstance(value, Mapping) else value for key, value in table.items()}
    for override in overrides:
        _override(merged, override)
    recipe: Recipe = _typed(Recipe, {**merged, "name": name or merged.get("name", "")}, "")
    _check(recipe)
    return recipe


def as_value(text: str) -> Any:
    """A value as TOML writes it; anything else is a word without its quotes.

    >>> as_value("[2, 3]"), as_value("1e-3"), as_value("early")
    ([2, 3], 0.001, 'early')
    """
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _first(values: Mapping[str, float], names: Iterable[str], default: float) -> float:
    """The value of the first name that has one."""
    return next((values[name] for name in names if name in values), default)


def _override(table: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UserError(f"{override!r} is no setting: write KEY=VALUE, such as train.lr=0.05 or epochs=3.")
    value = as_value(text)
    section, dot, last = key.rpartition(".")
    if dot:
        part = table.setdefault(section, {})
        if not isinstance(part, dict):
            raise UserError(f"{section!r} has no part {last!r}: it is one value; set {section}=VALUE.")
        part[last] = value
    elif key in (names := {f.name for f in fields(Recipe)}) and key != "weight_decay":
        table[key] = value
    elif key in {f.name for f in fields(Schedule)}:
        for phase in PHASES:
            table.setdefault(phase, {})[key] = value
        if key == "weight_decay":
            table["weight_decay"] = {}  # one value for all domains
    else:
        raise _unknown(
            key,
            {*names, *(f"{section}{f.name}" for section in ("", *(f"{p}." for p in PHASES)) for f in fields(Schedule))},
        )


def _typed(kind: Any, value: Any, key: str) -> Any:
    """`value` as the type `kind` of a field; ints pass as floats, lists as tuples, nothing else as something else.

    >>> _typed(tuple[int, ...], [60, 80], "drops."), _typed(float, 1, "lr.")
    ((60, 80), 1.0)
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and hasattr(kind, "__dataclass_fields__"):
        _expect(isinstance(value, Mapping), key, value, "a section of keys")
        hints, known = get_type_hints(kind), {f.name: f for f in fields(kind)}
        for name in value:
            if name not in known:
                raise _unknown(f"{key}{name}", [f"{key}{n}" for n in known])
        for name, f in known.items():
            if name not in value and f.default is MISSING and f.default_factory is MISSING:
                raise UserError(f"The recipe has no {key}{name}: every recipe needs one.")
        return kind(**{name: _typed(hints[name], v, f"{key}{name}.") for name, v in value.items()})
    if origin is Literal:
        _expect(value in arguments, key, value, " or ".join(map(repr, arguments)))
        return value
    if origin is dict:
        _expect(isinstance(value, Mapping), key, value, "a section of domains")
        return {name: _typed(arguments[1], v, f"{key}{name}.") for name, v in value.items()}
    if origin is tuple:
        _expect(isinstance(value, list | tuple), key, value, "a list, such as [60, 80]")
        return tuple(_typed(arguments[0], v, key) for v in value)
    if kind is float:
        _expect(isinstance(value, int | float) and not isinstance(value, bool), key, value, "a number")
        return float(value)
    names = {int: "a whole number", str: "text", bool: "true or false"}
    _expect(isinstance(value, kind) and (kind is bool or not isinstance(value, bool)), key, value, names[kind])
    return value


def _check(recipe: Recipe) -> None:
    """Ranges; `input_rules` has its own."""
    input_rules("cifar100", recipe.input.resize, recipe.input.crop)
    for phase in PHASES:
        schedule: Schedule = getattr(recipe, phase)
        for name in ("epochs", "batch_size"):
            _range(f"{phase}.{name}", getattr(schedule, name), getattr(schedule, name) >= 1, "1 or more")
        _range(f"{phase}.lr", schedule.lr, 0 < schedule.lr < float("inf"), "above 0")
        _range(f"{phase}.weight_decay", schedule.weight_decay, 0 <= schedule.weight_decay < 1, "from 0 to below 1")
        ascending = list(schedule.drops) == sorted(set(schedule.drops)) and all(d > 0 for d in schedule.drops)
        _range(f"{phase}.drops", list(schedule.drops), ascending, "epochs above 0 in ascending order")
    for name in ("separable", "plain"):
        _range(f"width.{name}", getattr(recipe.width, name), getattr(recipe.width, name) >= 1, "1 or more")
    for name, value in recipe.weight_decay.items():
        _range(f"weight_decay.{name}", value, 0 <= value < 1, "from 0 to below 1")
    for name, value in recipe.dropout.items():
        _range(f"dropout.{name}", value, 0 <= value < 1, "from 0 to below 1")
    _range("momentum", recipe.momentum, 0 <= recipe.momentum < 1, "from 0 to below 1")
    _range("mask_lr", recipe.mask_lr, 0 < recipe.mask_lr < float("inf"), "above 0")
    _range("seed", recipe.seed, 0 <= recipe.seed < 2**63, "from 0 to 2^63 - 1")


def _range(key: str, value: object, good: bool, allowed: str) -> None:
    if not good:
        raise UserError(
            f"{key} is {value}; it must be {allowed}: change it in the recipe or with `overrides` {key}=VALUE."
        )


def _expect(good: bool, key: str, value: object, allowed: str) -> None:
    if not good:
        key = key.rstrip(".")
        raise UserError(
            f"{key} is {value!r}; it must be {allowed}: change it in the recipe or with `overrides` {key}=VALUE."
        )


def _unknown(key: str, known: Iterable[str]) -> UserError:
    known = sorted(known)
    near = difflib.get_close_matches(key, known, 3, 0.5) or difflib.get_close_matches(
        key, [k.rpartition(".")[2] for k in known], 3
    )
    advice = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}."
    return UserError(f"There is no setting {key!r} in a recipe: {advice}")
