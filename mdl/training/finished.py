"""Networks of finished result folders: open one, evaluate it again, export it as an ordinary network.

    kept = open_kept("runs/decathlon/mini/pointwise-sharing/mini-dtd")
    kept.network(images)                       # a `ResNet26` in evaluation
    evaluation = evaluate_kept(kept, data.split("mini-dtd", "val"), cache)
    export_kept(kept, "dtd.safetensors")

A domain's file needs the base network that it was trained on. It is looked for where `mdl decathlon` puts it beside the
system's folder, unless it is given; another one is refused, by its hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from safetensors.torch import save

from data_prep.common.errors import UserError
from data_prep.common.files import write_bytes
from data_prep.formats import ClassifiedImages
from mdl.networks.resnet26 import ResNet26, plain_resnet26, separable_resnet26
from mdl.networks.weight_files import load_body, load_domain, read_meta
from mdl.results import Result, read_result
from mdl.training.decathlon import SOURCE, base_system, domain_files
from mdl.training.feed import Normalisation, decode
from mdl.training.loop import ALONE, Evaluation, evaluate
from mdl.training.one_domain import BODY_FILE, DOMAIN_FILE, open_network
from mdl.training.processes import Processes
from mdl.training.recipe import Plan


@dataclass(frozen=True)
class Kept:
    """A finished result with its network, an independent copy. folder: where the weights lie."""

    folder: Path
    result: Result
    network: ResNet26
    plan: Plan
    normalisation: Normalisation


def open_kept(folder: str | Path, base: str | Path | None = None, sources: Sequence[Path] = ()) -> Kept:
    """`open_kept(folder)`, `open_kept(folder, base="base.safetensors")`: the network that a result folder keeps.

    base: file of the base network. sources: for soft sharing, the domain files that it mixes.
    Raises `UserError` where a file is missing, damaged or of another body.
    """
    folder = Path(folder)
    result = read_result(folder)
    if (folder / DOMAIN_FILE).exists():
        weights = folder / DOMAIN_FILE
        root = folder.resolve().parents[1]
        header = read_meta(weights)
        options = {key: value for key, value in header["options"].items() if key != "sources"}
        if result.method == SOFT and not sources:
            order = {name: n for n, name in enumerate(header["options"]["sources"])}
            sources = sorted(
                (path for path in domain_files(root, SOURCE) if path.parent.name in order),
                key=lambda p: order[p.parent.name],
            )
        net, _ = open_network(base or _base_beside(root, result), result.method, options, sources)
        network = net.export(load_domain(net, weights))
    else:  # a base network, or its cell in a row
        weights = Path(base) if base else folder / BODY_FILE
        weights = weights if weights.exists() else _base_beside(folder.resolve().parents[1], result)
        network, header = load_body(weights), read_meta(weights)
    meta = header["meta"]
    recipe = {**meta["recipe"], "drops": tuple(meta["recipe"]["drops"])}
    plan = Plan(**{f.name: recipe[f.name] for f in fields(Plan)})
    normalisation = Normalisation(tuple(meta["normalisation"]["mean"]), tuple(meta["normalisation"]["std"]))
    return Kept(folder, result, network, plan, normalisation)


def evaluate_kept(
    kept: Kept, images: ClassifiedImages, cache: Path | None = None, group: Processes = ALONE
) -> Evaluation:
    """The network on a split of its domain; raises `UserError` where the classes are not those it was trained for."""
    if len(images.class_names) != kept.result.n_classes:
        raise UserError(
            f"{images.domain} has {len(images.class_names)} classes here, the network in {kept.folder} has "
            f"{kept.result.n_classes}: give the data that it was trained on."
        )
    pictures = decode(images, kept.plan.input_rules, cache)
    return evaluate(kept.network.to(group.device), pictures, kept.plan.input_rules, kept.normalisation, group=group)


def export_kept(kept: Kept, path: str | Path) -> Path:
    """The weights under the names of the plain or separable ResNet-26, for any tool that reads safetensors.

    Raises `UserError` where the method leaves modules in the network that those do not have.
    """
    result = kept.result
    build = {"separable": separable_resnet26, "plain": plain_resnet26}[result.backbone]
    state = kept.network.state_dict()
    known = build(result.n_classes, result.width, kept.plan.dropout).state_dict()
    if extra := sorted(state.keys() - known.keys()):
        raise UserError(
            f"The network of {result.system} has {extra[0]}, which the {result.backbone} ResNet-26 does not: use "
            f"`mdl.training.finished.open_kept` from Python, which gives the module itself."
        )
    tensors = {name: tensor.detach().contiguous() for name, tensor in state.items()}
    write_bytes(Path(path), save(tensors, {"network": f"{result.backbone} ResNet-26", "domain": result.domain}))
    return Path(path)


SOFT = "soft-sharing"


def _base_beside(root: Path, result: Result) -> Path:
    method = result.method if result.method != "pretrain" else ""
    folder = root / base_system(result.backbone, method)
    found = sorted(folder.glob(f"*/{BODY_FILE}"))
    if len(found) != 1:
        raise UserError(
            f"There are {len(found)} base networks in {folder}, where one is needed for {result.system}: give its file with "
            f"--base."
        )
    return found[0]
