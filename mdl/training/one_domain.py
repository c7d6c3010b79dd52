"""One run from images to a finished result folder: pre-train a base network, or train one domain with one method.

    setting = Setting(data=open_decathlon(root), name="mini", recipe=load_recipe("mini"), cache=Path("cache"))
    pretrain(setting, "runs/base", "imagenet12", backbone="separable")
    train_domain(setting, "runs/dtd", "dtd", "pointwise-sharing", base=Path("runs/base/body.safetensors"))

A folder holds `body.safetensors` or `domain.safetensors`, the checkpoints `last` and `best`, the curves, and what
`mdl.results` defines; `DONE` last. The same call on a folder that is not finished resumes it, on a finished one it
returns the result, and with other settings it is refused. One process, or one group of them, works in a folder at a time. Where
the weights of a finished folder are lost, they are written again from the checkpoints.

Protocol: training on `train`, or on `train+val` if the recipe says so; `choose = "best"` keeps the epoch that is best
on val, which without a val split is the last; the result is counted on `test`, once, in float32 without TF32. Where the labels of
test are withheld, the classes given to its images are written for a submission and the result is counted on val.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import nn

from data_prep.common.errors import UserError, choose
from data_prep.common.locks import locked
from data_prep.common.terminal import Progress, silent
from mdl.networks.any_body import AnyBody
from mdl.networks.body import Body
from mdl.networks.multi_domain import MultiDomainNetwork
from mdl.networks.named import is_random, named_body
from mdl.networks.parameter_rows import parameter_rows
from mdl.networks.resnet26 import ResNet26, multiply_adds, plain_resnet26, separable_resnet26
from mdl.networks.sharing import SharingMethod, method_class, sharing_method
from mdl.networks.sharing.systems import system_name
from mdl.networks.weight_files import (
    body_hash,
    load_body,
    load_domain,
    read_meta,
    save_body,
    save_domain,
    shared_hash,
)
from mdl.results import Cost, Result, is_done, read_result, write_predictions, write_result
from mdl.training.base_place import PLACE_FILE, remember_base
from mdl.training.checks import check_before_training
from mdl.training.curves import EpochRow
from mdl.training.domain_images import DomainImages, DomainSets, read_domain
from mdl.training.feed import Feed
from mdl.training.loop import ALONE, Evaluation, Learner, Training, Watch, evaluate
from mdl.training.pictures import Normalisation
from mdl.training.processes import Processes
from mdl.training.recipe import Plan, Recipe
from mdl.training.state import TrainingState, refuse_other, written
from mdl.training.threads import THREADS, on_threads

BODY_FILE, DOMAIN_FILE = "body.safetensors", "domain.safetensors"
Placed = TypeVar("Placed", bound=nn.Module)
BUILDERS: dict[str, Callable[..., ResNet26]] = {"separable": separable_resnet26, "plain": plain_resnet26}
RANDOM_BASE = "The network that the domain starts from has random weights: what is shared was trained on nothing."
LEFT_BEHIND = (
    "results.json", "predictions.csv", "DONE", BODY_FILE, DOMAIN_FILE, "last.safetensors", "best.safetensors",
    "curve.csv", "curve.png", PLACE_FILE,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all runs of a session share. name: of the data, in results. cache: folder of decoded images, None for none.
    threads: of the CPU, for each process. overwrite: start over where a folder holds a run. progress: hears how many images are
    decoded."""

    data: DomainSets
    name: str
    recipe: Recipe
    group: Processes = ALONE
    cache: Path | None = None
    threads: int = THREADS
    watch: Watch = field(default_factory=Watch)
    overwrite: bool = False
    progress: Progress = silent

    def __post_init__(self) -> None:
        self.recipe.check_domains(self.data.domains)

    def images(self, domain: str, plan: Plan) -> DomainImages:
        """The images of a domain, decoded."""
        return read_domain(self.data, domain, plan, group=self.group, cache=self.cache, progress=self.progress)


def pretrain(
    setting: Setting, out: str | Path, domain: str, *, backbone: str, prepare_for: str | None = None
) -> Result:
    """`pretrain(setting, "runs/base", "imagenet12", backbone="separable")`: a base network, in `out`/body.safetensors.

    prepare_for: a method whose modules the body is trained with, such as "series-adapters".
    """
    choose("backbone", backbone, BUILDERS)
    prepared = method_class(prepare_for) if prepare_for else None
    if prepared:
        if not prepared.base_is_prepared:
            raise UserError(
                f"Method {prepared.name} starts from a base network that is prepared for none: leave `prepare_for` out."
            )
        prepared().check_backbone(backbone)
    plan = setting.recipe.plan("pretrain", domain)
    images = setting.images(domain, plan)
    width = getattr(setting.recipe.width, backbone)
    body = BUILDERS[backbone](images.n_classes, width, plan.dropout, plan.seed)
    if prepared:
        prepared.prepare(body)
    name = prepared.name if prepared else None

    weights = Path(out) / BODY_FILE

    def keep(meta: dict[str, Any]) -> None:
        save_body(body, weights, meta, prepared)

    return _run(
        setting,
        weights,
        plan=plan,
        images=images,
        learner=Learner.of_body(_placed(body, setting.group)),
        identity={
            "backbone": backbone,
            "width": width,
            "n_classes": images.n_classes,
            "prepared_for": name,
            **_code(prepared),
        },
        keep=keep,
        network=body,
        system=f"base-{backbone}" + (f"-{name}" if name else ""),
        prepared_for=prepared,
    )


def train_domain(
    setting: Setting,
    out: str | Path,
    domain: str,
    method: str,
    *,
    base: str | Path,
    options: Mapping[str, object] | None = None,
    sources: Sequence[Path] = (),
    network: str | None = None,
) -> Result:
    """`train_domain(setting, "runs/dtd", "dtd", "dan", base="base/body.safetensors", options={"controller": "diagonal"})`.

    method: a name, or path/to/file.py:Class. base: file of the base network. sources: domain files that the method is made
    from, such as those that soft sharing mixes, trained on the same base network. network: the factory that the base network is
    made by, where it is one of your own. Raises `UserError` for a base network whose
    width is not the recipe's and whatever does not fit together.
    """
    net, base_domain = open_network(base, method, options, sources, network)
    header = read_meta(base, "body")
    backbone, width = net.body.backbone, net.body.width
    wanted = getattr(setting.recipe.width, backbone, width)
    if width != wanted:
        raise UserError(
            f"The base network {base} has width {width}, the recipe {setting.recipe.name} says {wanted}: give a `base` "
            f"that was pre-trained with this recipe, or `overrides` width.{backbone}={width}."
        )
    if domain == base_domain:
        raise UserError(f"{domain} is the domain that {base} was pre-trained on: choose another, or use `mdl eval`.")
    plan = setting.recipe.plan(net.method.phase, domain, system_name(net.method, backbone))
    images = setting.images(domain, plan)
    if isinstance(net.body, AnyBody) and net.body.mean and net.body.std:
        # What is shared was trained on images that were normalised so.
        images = replace(images, normalisation=Normalisation.of(net.body.mean, net.body.std))
    net.add(domain, images.n_classes, plan.dropout, plan.seed)
    identity = {
        "backbone": backbone,
        "width": width,
        "n_classes": images.n_classes,
        "method": net.method.name,
        "options": net.method.options(),
        "shared": shared_hash(net),
        **_code(type(net.method)),
    }
    _placed(net, setting.group)

    weights = Path(out) / DOMAIN_FILE

    def keep(meta: dict[str, Any]) -> None:
        save_domain(net, domain, weights, meta)
        remember_base(Path(out), base, sources)

    return _run(
        setting,
        weights,
        plan=plan,
        images=images,
        learner=Learner.of_domain(net, domain),
        identity=identity,
        keep=keep,
        network=net,
        system=plan.method,
        base_hash=header["body_hash"],
        said=[RANDOM_BASE] if header["meta"].get("random") else [],
    )


def keep_body(out: str | Path, name: str, weights: str | Path | None = None) -> Path:
    """`keep_body("runs/decathlon/mine/base-efficientnet_lite0", "efficientnet_lite0")`: another network as a base network.

    name, weights: as `mdl.networks.named.named_body` takes them. The file, which is left as it is where it holds the same body
    already. Raises `UserError` where it holds another.
    """
    body = named_body(name, weights)
    path = Path(out) / BODY_FILE
    if path.exists():
        if read_meta(path, "body")["body_hash"] != body_hash(body):
            raise UserError(
                f"{path} holds {name} with other weights: give the weights again that it was made with, or delete that folder."
            )
        return path
    with locked(Path(out), f"keeping {name}"):
        return save_body(body, path, {"random": True} if is_random(name, weights) else None)


def open_network(
    base: str | Path,
    method: str,
    options: Mapping[str, object] | None = None,
    sources: Sequence[Path] = (),
    network: str | None = None,
) -> tuple[MultiDomainNetwork, str | None]:
    """The multi-domain network over a body file, its base domain in it if the file says which, and that domain.

    sources: files of the trained domains that the method is made from, if it is made from any. network: as in `train_domain`.
    """
    chosen = sharing_method(method, **dict(options or {}))
    body = load_body(base, type(chosen), network)
    base_domain = read_meta(base)["meta"].get("domain")
    mixed = MultiDomainNetwork(body, chosen.made_from, base_domain=base_domain) if chosen.made_from else None
    if mixed is not None:
        for path in sources:
            load_domain(mixed, path)
    return MultiDomainNetwork(body, chosen, base_domain=base_domain, sources=mixed), base_domain


def _run(
    setting: Setting,
    weights: Path,
    *,
    plan: Plan,
    images: DomainImages,
    learner: Learner,
    identity: dict[str, Any],
    keep: Callable[[dict[str, Any]], None],
    network: Body | MultiDomainNetwork,
    system: str,
    prepared_for: type[SharingMethod] | None = None,
    base_hash: str = "",
    said: Sequence[str] = (),
) -> Result:
    """Train, or resume, or return what is done; write weights, predictions and the result.

    weights: the file that `keep` writes, with these metadata, into the run's folder. identity: what is trained, as plain values.
    base_hash: of the base network that it starts from. said: notes of the result.
    """
    out = weights.parent
    whole = {"plan": plan.as_dict(), "network": identity, "data": images.identity(), "processes": setting.group.n}
    state = TrainingState(out, whole)
    if not setting.overwrite:
        state.check()
        if is_done(out) and weights.is_file():
            result = read_result(out)
            _refuse_other_result(out, whole, result, read_meta(weights))  # the checkpoints may be gone
            return result
    check_before_training(learner, images, plan, setting.group.device)
    with on_threads(setting.threads), _alone_in(out, f"the training of {plan.domain}", setting.group):
        if setting.overwrite and setting.group.is_first:
            _clear(out)
        setting.group.wait()
        state.check()  # again, now that nobody else writes there
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
        counted, split, notes = _count(learner, images, plan, group=setting.group, out=out)
        size = images.input_size(plan)
        # Controllers and masks work once, not for each image: what counts is the network without them.
        folded = network.export(plan.domain) if isinstance(network, MultiDomainNetwork) else network
        result = Result(
            domain=plan.domain,
            system=system,
            method=identity.get("method", "pretrain"),
            data=setting.name,
            split=split,
            n_classes=images.n_classes,
            n_test=counted.n_test,
            n_correct=counted.n_correct,
            backbone=identity["backbone"],
            width=identity["width"],
            trained_on=plan.train_on,
            seed=plan.seed,
            options=identity.get("options", {}),
            recipe=plan.as_dict(),
            cost=_cost(history, images, setting.group),
            parameters=parameter_rows(network, plan.domain, prepared_for),
            multiply_adds=multiply_adds(folded, size),
            input_size=size,
            versions=versions(),
            notes=(*notes, *said),
            base_hash=base_hash or body_hash(cast("Body", network)),
            shared_hash=identity.get("shared", ""),
        )
        if setting.group.is_first:
            with written(out):
                keep(
                    {
                        "domain": plan.domain,
                        "data": setting.name,
                        "recipe": plan.as_dict(),
                        **images.identity(),
                        **({"code": identity["code"]} if "code" in identity else {}),
                    }
                )
                write_result(out, result)
        setting.group.wait()
        return result


def _code(method: type[SharingMethod] | None) -> dict[str, str]:
    """The hash of the file that a method of the user's own lies in; nothing for those that come along."""
    return {"code": method.code_hash} if method is not None and method.code_hash else {}


def _refuse_other_result(folder: Path, whole: Mapping[str, Any], result: Result, header: Mapping[str, Any]) -> None:
    """Raises `TrainingStateError` where a finished folder's result and its file of weights tell of another run than `whole`.

    What an older file does not tell is not compared.
    """
    told = {**header, **header["meta"], "shared": header.get("shared_hash")}
    found = {part: {key: told[key] for key in whole[part] if key in told} for part in ("network", "data")}
    wanted = {part: {key: whole[part][key] for key in found[part]} for part in found}
    refuse_other(folder, {**wanted, "plan": whole["plan"]}, {**found, "plan": result.recipe})


@contextmanager
def _alone_in(folder: Path, what: str, group: Processes) -> Iterator[None]:
    """The folder is this group's own: its first process, which writes, holds the lock."""
    with locked(folder, what) if group.is_first else nullcontext():
        yield


def _count(
    learner: Learner, images: DomainImages, plan: Plan, *, group: Processes, out: Path
) -> tuple[Evaluation, str, list[str]]:
    """(evaluation, the split it is of, notes): on test, or on val where the labels of test are withheld."""

    def evaluated(split: str) -> Evaluation:
        feed = Feed(images.pictures[split], plan.input_rules, images.normalisation, group.device)
        return evaluate(learner.network, feed, group=group)

    counted = evaluated("test")
    if group.is_first:
        test = images.pictures["test"]
        with written(out):
            write_predictions(out, test.image_ids.tolist(), counted.predicted.tolist(), n_classes=images.n_classes)
    if counted.n_test:
        return counted, "test", []
    chose = ", which chose the epoch" if plan.choose == "best" else ""
    return evaluated("val"), "val", [f"The labels of test are withheld: the accuracy is that on val{chose}."]


def _cost(history: Sequence[EpochRow], images: DomainImages, group: Processes) -> Cost:
    threads = torch.get_num_threads()
    device = f"cpu, {threads} thread{'s' if threads > 1 else ''}"
    if group.device.type == "cuda":
        device = torch.cuda.get_device_name(group.device)
    if group.n > 1:
        device += f", {group.n} processes"
    n_seen = len(history) * len(images.pictures["train"])
    seconds = round(sum(row.seconds for row in history), 3)
    return Cost(seconds=seconds, epochs=len(history), n_images_seen=n_seen, device=device)


def _placed(network: Placed, group: Processes) -> Placed:
    """On the group's device, channels last: on a CPU that is 1.4 to 1.7 times as fast for depthwise convolutions."""
    return network.to(group.device).to(memory_format=torch.channels_last)


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
