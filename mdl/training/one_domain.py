"""One run from images to a finished result folder: pre-train a base network, or train one domain with one method.

    setting = Setting(data=open_decathlon(root), name="mini", recipe=load_recipe("mini"), cache=Path("cache"))
    pretrain(setting, "runs/base", domain="imagenet12", backbone="separable")
    train_domain(setting, "runs/dtd", "dtd", "pointwise-sharing", body=Path("runs/base/body.safetensors"))

A folder holds `body.safetensors` or `domain.safetensors`, the checkpoints `last` and `best`, the curves, and what
`mdl.results` defines; `DONE` last. The same call on a folder that is not finished goes on with it, on a finished one it
returns the result, and with other settings it is refused.

Protocol: training on `train`, or on `train+val` if the recipe says so; `choose = "best"` keeps the epoch that is best
on val, which without a val split is the last; the result is counted on `test`, once, in float32. Where the labels of
test are withheld, the classes given to its images are written for a submission and the result is counted on val.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from data_prep.common.errors import UserError, choose
from data_prep.common.terminal import Progress, silent
from data_prep.formats import ClassifiedImages
from mdl.networks.multi_domain import MultiDomainNetwork
from mdl.networks.parameter_rows import parameter_rows
from mdl.networks.resnet26 import ResNet26, multiply_adds, plain_resnet26, separable_resnet26
from mdl.networks.sharing import method_class, sharing_method
from mdl.networks.sharing.base import backbone as backbone_of
from mdl.networks.sharing.systems import system_name
from mdl.networks.weight_files import load_body, load_domain, read_meta, save_body, save_domain, shared_hash
from mdl.results import Cost, Result, is_done, read_result, write_predictions, write_result
from mdl.training.curves import EpochRow
from mdl.training.feed import DecodedImages, Normalisation, decode
from mdl.training.loop import ALONE, Evaluation, Learner, Training, Watch, evaluate
from mdl.training.processes import Processes
from mdl.training.recipe import Plan, Recipe
from mdl.training.state import TrainingState

BODY_FILE, DOMAIN_FILE = "body.safetensors", "domain.safetensors"
BUILDERS: dict[str, Callable[..., ResNet26]] = {"separable": separable_resnet26, "plain": plain_resnet26}
LEFT_BEHIND = (
    "results.json", "predictions.csv", "DONE", BODY_FILE, DOMAIN_FILE, "last.safetensors", "best.safetensors",
    "curve.csv", "curve.png",
)  # fmt: skip


class DomainSets(Protocol):
    """Many domains: what `data_prep.decathlon.open_decathlon` gives."""

    domains: tuple[str, ...]

    def split(self, domain: str, split: str) -> ClassifiedImages: ...

    def mean_std(self, domain: str) -> tuple[np.ndarray, np.ndarray]: ...


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all runs of a session share. name: of the data, in results. cache: folder of decoded images, None for none.
    overwrite: start over where a folder holds a run. progress: hears how many images are decoded."""

    data: DomainSets
    name: str
    recipe: Recipe
    group: Processes = ALONE
    cache: Path | None = None
    watch: Watch = field(default_factory=Watch)
    overwrite: bool = False
    progress: Progress = silent


@dataclass(frozen=True)
class Domain:
    """The images of one domain as a plan wants them: `pictures` by "train", "val" (if it is not trained on), "test"."""

    name: str
    pictures: dict[str, DecodedImages]
    normalisation: Normalisation
    n_classes: int

    def identity(self) -> dict[str, Any]:
        return {
            "normalisation": asdict(self.normalisation),
            "fingerprints": {split: pictures.fingerprint for split, pictures in self.pictures.items()},
        }


def pretrain(
    setting: Setting, folder: str | Path, domain: str, backbone: str, prepare_for: str | None = None
) -> Result:
    """`pretrain(setting, folder, "imagenet12", "separable")`: a network for a base domain, kept in `body.safetensors`.

    prepare_for: a method whose modules the body is trained with, such as "series-adapters".
    """
    choose("backbone", backbone, BUILDERS)
    plan = setting.recipe.plan("pretrain", domain)
    images = read_domain(setting, domain, plan)
    width = getattr(setting.recipe.width, backbone)
    body = BUILDERS[backbone](images.n_classes, width, plan.dropout, plan.seed)
    prepared = method_class(prepare_for) if prepare_for else None
    if prepared:
        prepared.prepare(body)
    learner = Learner.of_body(_placed(body, setting.group))
    network = {"backbone": backbone, "width": width, "n_classes": images.n_classes,
               "prepared_for": prepared.name if prepared else None}  # fmt: skip
    system = f"base-{backbone}" + (f"-{prepared.name}" if prepared else "")

    def keep(meta: dict[str, Any]) -> None:
        save_body(body, Path(folder) / BODY_FILE, meta, prepared)

    return _run(
        setting, Path(folder), plan, images, learner, network, keep, system=system, backbone=backbone, width=width
    )


def train_domain(
    setting: Setting,
    folder: str | Path,
    domain: str,
    method: str,
    body: str | Path,
    options: dict[str, object] | None = None,
    sources: Sequence[Path] = (),
) -> Result:
    """`train_domain(setting, folder, "dtd", "dan", "base/body.safetensors", {"controller": "diagonal"})`.

    body: file of the base network. sources: domain files that `soft-sharing` mixes, trained with pointwise-sharing on
    the same body. Raises `UserError` for a body whose width is not the recipe's and whatever does not fit together.
    """
    net, base_domain = open_network(body, method, options, sources)
    kind, width = backbone_of(net.body), net.body.n_features // 8
    wanted = getattr(setting.recipe.width, kind)
    if width != wanted:
        raise UserError(
            f"The base network {body} has width {width}, the recipe {setting.recipe.name} says {wanted}: give a base "
            f"that was pre-trained with this recipe, or --set width.{kind}={width}."
        )
    if domain == base_domain:
        raise UserError(f"{domain} is the domain that {body} was pre-trained on: choose another, or use `mdl eval`.")
    plan = setting.recipe.plan(net.method.phase, domain, system_name(net.method, kind))
    images = read_domain(setting, domain, plan)
    net.add(domain, images.n_classes, plan.dropout, plan.seed)
    network = {
        "backbone": kind, "width": width, "n_classes": images.n_classes, "method": net.method.name,
        "options": net.method.options(), "shared": shared_hash(net),
    }  # fmt: skip
    _placed(net, setting.group)

    def keep(meta: dict[str, Any]) -> None:
        save_domain(net, domain, Path(folder) / DOMAIN_FILE, meta)

    return _run(
        setting, Path(folder), plan, images, Learner.of_domain(net, domain), network, keep, net=net,
        system=plan.method, backbone=kind, width=width,
    )  # fmt: skip


def open_network(
    body: str | Path, method: str, options: Mapping[str, object] | None = None, sources: Sequence[Path] = ()
) -> tuple[MultiDomainNetwork, str | None]:
    """The multi-domain network over a body file, its base domain in it if the file says which, and that domain.

    sources: files of the trained domains that the method is made from, if it is made from any.
    """
    chosen = sharing_method(method, **dict(options or {}))
    base = load_body(body, type(chosen))
    base_domain = read_meta(body)["meta"].get("domain")
    mixed = MultiDomainNetwork(base, chosen.made_from, base_domain=base_domain) if chosen.made_from else None
    if mixed is not None:
        for path in sources:
            load_domain(mixed, path)
    return MultiDomainNetwork(base, chosen, base_domain=base_domain, sources=mixed), base_domain


def read_domain(setting: Setting, domain: str, plan: Plan) -> Domain:
    """Every split of a domain that a plan needs, decoded. Raises `UserError` where splits differ in their classes."""
    names = {"train": plan.train_on, "val": "val", "test": "test"}
    if plan.train_on == "train+val":
        del names["val"]
    splits = {name: setting.data.split(domain, split) for name, split in names.items()}
    classes = tuple(splits["train"].class_names)
    for split in splits.values():
        if tuple(split.class_names) != classes:
            raise UserError(
                f"The split {split.split} of {domain} has {len(split.class_names)} classes and train has {len(classes)}, "
                f"or they have other names: all annotation files of a domain must list the same categories."
            )
    if (unlabelled := int((splits["train"].labels < 0).sum())) > 0:
        raise UserError(f"{unlabelled} images of {domain} {plan.train_on} have no label: training needs one for each.")
    if len(splits["train"]) < setting.group.n:
        raise UserError(f"{domain} has {len(splits['train'])} images to train on, fewer than processes: start fewer.")
    if not setting.group.is_first and setting.cache:
        setting.group.wait()  # the first process decodes, the others find it in the cache
    progress = setting.progress if setting.group.is_first else silent
    pictures = {name: decode(split, plan.input_rules, setting.cache, progress) for name, split in splits.items()}
    if setting.group.is_first and setting.cache:
        setting.group.wait()
    mean, std = setting.data.mean_std(domain)
    normalisation = Normalisation(tuple(float(v) for v in mean), tuple(float(v) for v in std))
    return Domain(domain, pictures, normalisation, len(classes))


def _run(
    setting: Setting,
    folder: Path,
    plan: Plan,
    images: Domain,
    learner: Learner,
    network: dict[str, Any],
    keep: Callable[[dict[str, Any]], None],
    net: MultiDomainNetwork | None = None,
    **facts: Any,
) -> Result:
    """Train, or go on, or return what is done; write weights, predictions and the result."""
    identity = {"plan": asdict(plan), "network": network, "data": images.identity(), "processes": setting.group.n}
    if setting.overwrite and setting.group.is_first:
        _clear(folder)
    setting.group.wait()
    state = TrainingState(folder, identity)
    state.check()
    if is_done(folder):
        return read_result(folder)
    training = Training(
        learner=learner,
        pictures=images.pictures,
        normalisation=images.normalisation,
        plan=plan,
        state=state,
        group=setting.group,
        watch=setting.watch,
    )
    history = training.fit()
    counted, split, notes = _count(learner, images, plan, setting.group, folder)
    size = _input_size(images, plan)
    folded = learner.network if net is None else net.export(plan.domain)  # controllers and masks: once, not per image
    result = Result(
        domain=plan.domain, method=network.get("method", "pretrain"), data=setting.name, split=split, n_classes=images.n_classes,
        n_test=counted.n_test, n_correct=counted.n_correct, trained_on=plan.train_on, seed=plan.seed,
        options=network.get("options", {}), recipe=asdict(plan), cost=_cost(history, images, setting.group),
        parameters=parameter_rows(learner.network if net is None else net, plan.domain),
        multiply_adds=multiply_adds(folded, size), input_size=size, versions=versions(), notes=tuple(notes), **facts,
    )  # fmt: skip
    if setting.group.is_first:
        keep(
            {
                "domain": plan.domain,
                "data": setting.name,
                "recipe": asdict(plan),
                "normalisation": asdict(images.normalisation),
            }
        )
        write_result(folder, result)
    setting.group.wait()
    return result


def _count(
    learner: Learner, images: Domain, plan: Plan, group: Processes, folder: Path
) -> tuple[Evaluation, str, list[str]]:
    """(evaluation, the split it is of, notes): on test, or on val where the labels of test are withheld."""
    counted = evaluate(learner.network, images.pictures["test"], plan.input_rules, images.normalisation, group=group)
    if group.is_first:
        write_predictions(folder, images.pictures["test"].image_ids.tolist(), counted.predicted.tolist())
    if counted.n_test:
        return counted, "test", []
    if "val" not in images.pictures:
        raise UserError(
            f"The labels of {plan.domain} test are withheld and val was trained on, so nothing is left to count on; the "
            f"classes of its images are in {folder}: score them as a submission, or train with --set train_on=train."
        )
    counted = evaluate(learner.network, images.pictures["val"], plan.input_rules, images.normalisation, group=group)
    return counted, "val", ["The labels of test are withheld: the accuracy is that on val, which chose the epoch."]


def _cost(history: Sequence[EpochRow], images: Domain, group: Processes) -> Cost:
    threads = torch.get_num_threads()
    device = f"cpu, {threads} thread{'s' if threads > 1 else ''}"
    if group.device.type == "cuda":
        device = torch.cuda.get_device_name(group.device)
    if group.n > 1:
        device += f", {group.n} processes"
    n_seen = len(history) * len(images.pictures["train"])
    return Cost(round(sum(row.seconds for row in history), 3), len(history), n_seen, device)


def _input_size(images: Domain, plan: Plan) -> tuple[int, int]:
    """(H, W) of a test image as the network sees it."""
    rules = plan.input_rules
    if rules.test_crop is not None:
        return rules.test_crop, rules.test_crop
    height, width = images.pictures["test"].sizes[0]
    return int(height), int(width)


def _placed(network: torch.nn.Module, group: Processes) -> Any:
    """On the group's device, channels last: on a CPU that is 1.4 to 1.7 times as fast for depthwise convolutions."""
    return network.to(group.device, memory_format=torch.channels_last)


def _clear(folder: Path) -> None:
    """Remove what an earlier run left, and nothing else."""
    for name in LEFT_BEHIND:
        (folder / name).unlink(missing_ok=True)


def versions() -> dict[str, str]:
    """Of Python and the libraries that a result depends on."""
    found = {"python": platform.python_version()}
    for name in ("multidomain-dissection", "torch", "numpy", "Pillow"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
