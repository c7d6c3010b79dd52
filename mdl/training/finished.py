"""Networks of finished result folders: open one, evaluate it again, export it as an ordinary network.

    finished = open_finished("runs/decathlon/mini/pointwise-sharing/mini-dtd")
    logits = finished.network(images)                  # a `ResNet26`, or an `AnyBody`, in evaluation
    evaluation = evaluate_finished(finished, data.split("mini-dtd", "val"), cache=cache)
    path = export_finished(finished, "dtd.safetensors")

A domain's file needs the base network that it was trained on, and with soft sharing the domains that it mixes. Unless they are
given, they are looked for where they lay then, and where `mdl decathlon` puts them; others are refused, by their hash.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from data_prep.common.errors import UserError
from data_prep.common.files import write_bytes
from data_prep.common.precision import full_precision
from data_prep.formats import ClassifiedImages
from mdl.networks.any_body import AnyBody
from mdl.networks.body import Body
from mdl.networks.resnet26 import plain_resnet26, separable_resnet26
from mdl.networks.sharing import METHODS, method_class
from mdl.networks.weight_files import load_body, load_domain, read_meta
from mdl.results import RESULT_FILE, Result, ResultError, read_result
from mdl.training.base_place import remembered_base, remembered_sources
from mdl.training.decathlon import base_system, domain_files, source_system
from mdl.training.feed import Feed
from mdl.training.loop import ALONE, Evaluation, evaluate
from mdl.training.one_domain import BODY_FILE, DOMAIN_FILE, open_network
from mdl.training.pictures import Normalisation, decode
from mdl.training.processes import Processes
from mdl.training.recipe import Plan
from mdl.training.threads import THREADS, on_threads

METADATA_KEY = "dissection"
"""Under which `dissect` looks for what a file of weights says of its network; neither package imports the other."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A finished result with its network, an independent copy. folder: where the weights lie. fingerprints: of the splits that it
    was trained with; empty where an older file does not tell them."""

    folder: Path
    result: Result
    network: Body
    plan: Plan
    normalisation: Normalisation
    fingerprints: dict[str, str] = field(default_factory=dict)


def open_finished(
    folder: str | Path,
    *,
    base: str | Path | None = None,
    sources: Sequence[Path] = (),
    method: str | None = None,
    network: str | None = None,
) -> Finished:
    """`open_finished(folder)`, `open_finished(folder, base="base.safetensors")`: the network of a finished result folder.

    base: file of the base network. sources: for soft sharing, the domain files that it mixes. method: for one of your
    own, `path/to/file.py:Class` again, as no code is run on the word of a file. network: likewise a factory of your own.
    Raises `UserError` where a file is missing, damaged, of another body, or not of this result.
    """
    folder = Path(folder)
    result = read_result(folder)
    weights = _weights(folder, result, base, method)
    header = read_meta(weights, "body" if _is_base(result) else "domain")
    plan, normalisation = _trained(weights, header, result)
    if _is_base(result):
        whole = load_body(weights, method_class(method) if method else None, network)
    else:
        root = _row_root(folder)
        method = _method(folder, result, method, header.get("given_as", ""))
        options = {key: value for key, value in header["options"].items() if key != "sources"}
        if method_class(method).made_from and not sources:
            beside = domain_files(root, source_system(method, result.backbone), header["options"]["sources"])
            sources = remembered_sources(folder) or beside
        net, _ = open_network(
            base or remembered_base(folder) or _base_beside(root, result, method), method, options, sources, network
        )
        whole = net.export(load_domain(net, weights))
    return Finished(
        folder=folder,
        result=result,
        network=whole,
        plan=plan,
        normalisation=normalisation,
        fingerprints=header["meta"].get("fingerprints", {}),
    )


def evaluate_finished(
    finished: Finished,
    images: ClassifiedImages,
    *,
    cache: Path | None = None,
    group: Processes = ALONE,
    threads: int = THREADS,
) -> Evaluation:
    """The network on a split of its domain. threads: of the CPU, for each process.

    Raises `UserError` where the classes are not those it was trained for.
    """
    if len(images.class_names) != finished.result.n_classes:
        raise UserError(
            f"{images.domain} has {len(images.class_names)} classes here, the network in {finished.folder} has "
            f"{finished.result.n_classes}: give the data that it was trained on."
        )
    pictures = decode(images, finished.plan.input_rules, cache)
    feed = Feed(pictures, finished.plan.input_rules, finished.normalisation, group.device)
    with on_threads(threads):
        return evaluate(finished.network.to(group.device), feed, group=group)


def export_finished(finished: Finished, path: str | Path) -> Path:
    """The weights under the names of the plain or separable ResNet-26, for any tool that reads safetensors.

    Their metadata say, as JSON under the key "dissection", what they were trained with: `input_size` (H, W), `mean` and `std` of
    RGB in 0..1, `resize` in words, `domain`, and `network`, `backbone`, `width`, `n_classes`, of what network they are.
    Raises `UserError` where the method leaves modules in the network that those do not have.
    """
    result = finished.result
    if isinstance(finished.network, AnyBody):
        raise UserError(
            f"{finished.folder} holds no ResNet-26 but {result.backbone}: dissect it as mdl:{finished.folder}, or use "
            f"`mdl.open_finished` from Python, whose `network.plain()` is the module under its library's names."
        )
    build = {"separable": separable_resnet26, "plain": plain_resnet26}[result.backbone]
    state = finished.network.state_dict()
    ordinary = build(result.n_classes, result.width, finished.plan.dropout).eval()
    advice = "use `mdl.open_finished` from Python, which gives the module itself."
    if extra := sorted(state.keys() ^ ordinary.state_dict().keys()):
        raise UserError(
            f"Only one of the network of {result.system} and the {result.backbone} ResNet-26 has {extra[0]}: {advice}"
        )
    ordinary.load_state_dict(state)
    noise = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode(), full_precision():
        told, expected = ordinary(noise), finished.network.cpu()(noise)
    if not torch.allclose(told, expected, rtol=1e-3, atol=1e-4):
        raise UserError(
            f"The {result.backbone} ResNet-26 computes something else with the weights of {result.system}: {advice}"
        )
    tensors = {name: tensor.detach().contiguous() for name, tensor in state.items()}
    write_bytes(Path(path), save(tensors, {METADATA_KEY: json.dumps(file_facts(finished))}))
    return Path(path)


def network_name(result: Result) -> str:
    """By what name `mdl` builds such a network, untrained: "mdl:separable,width=16,classes=10"."""
    return f"mdl:{result.backbone},width={result.width},classes={result.n_classes}"


def file_facts(finished: Finished) -> dict[str, Any]:
    """What `export_finished` says of the network in a file's metadata."""
    result, rules = finished.result, finished.plan.input_rules
    size = result.input_size or (rules.test_crop and (rules.test_crop, rules.test_crop))
    shape = f"shorter side to {rules.resize}" if isinstance(rules.resize, int) else "{} x {}".format(*rules.resize)
    crop = f", centre crop {rules.test_crop}" if rules.test_crop else ""
    return {
        "network": network_name(result),
        "backbone": result.backbone,
        "width": result.width,
        "n_classes": result.n_classes,
        "domain": result.domain,
        **({"input_size": list(size)} if size else {}),
        "mean": list(finished.normalisation.mean),
        "std": list(finished.normalisation.std),
        "resize": f"{shape} pixels{crop}, bilinear",
    }


def _is_base(result: Result) -> bool:
    """Whether the network is a base network, from its own folder or from the base domain's cell in a row."""
    return result.method == "pretrain" or result.recipe.get("phase") == "pretrain"


def _weights(folder: Path, result: Result, base: str | Path | None, method: str | None) -> Path:
    """The file that the result's network lies in: a domain's own, or that of a base network."""
    own = folder / (BODY_FILE if _is_base(result) else DOMAIN_FILE)
    if _is_base(result) and base is not None:
        return Path(base)
    if _is_base(result) and result.method != "pretrain" and not own.exists():  # the base domain's cell in a row
        return _base_beside(_row_root(folder), result, _method(folder, result, method, ""))
    if not own.is_file():
        raise ResultError(
            f"{folder} has no {own.name}, which holds the network of {result.system} on {result.domain}: run the command that "
            f"made it again, which writes it from the checkpoints there, or copy the file back."
        )
    return own


def _trained(weights: Path, header: dict[str, Any], result: Result) -> tuple[Plan, Normalisation]:
    """(plan, normalisation) of a file of weights. Raises `ResultError` where it is not the one of the result."""
    try:
        meta = header["meta"]
        plan, normalisation = Plan.of(meta["recipe"]), Normalisation.of(**meta["normalisation"])
    except (KeyError, TypeError, ValueError) as error:
        raise ResultError(f"{weights} does not say how it was trained ({error}): train it with `mdl train`.") from error
    for what in ("domain", "backbone", "width", "n_classes"):
        told = meta.get(what) if what == "domain" else header.get(what)
        if told != getattr(result, what):
            raise ResultError(
                f"{weights} holds a network with {what} {told!r}, the result beside it one with {getattr(result, what)!r}: "
                f"give the file that was trained with this result."
            )
    if meta["recipe"] != result.recipe:
        raise ResultError(
            f"{weights} and {RESULT_FILE} are of different trainings: give the file of this result's own."
        )
    return plan, normalisation


def _method(folder: Path, result: Result, method: str | None, given_as: str) -> str:
    """What to open the folder's method by: its name, or the file that the caller gives again."""
    if method is None and result.method not in (*METHODS, "pretrain"):
        example = given_as or "path/to/file.py:Class"
        raise UserError(
            f"{folder} was trained with {result.method}, a method of your own: give it again as `method`, {example}."
        )
    return method or result.method


def _row_root(folder: Path) -> Path:
    """The folder of all systems, where `mdl decathlon` wrote this one."""
    return folder.resolve().parent.parent


def _base_beside(root: Path, result: Result, method: str) -> Path:
    folder = root / base_system(result.backbone, "" if method == "pretrain" else method)
    found = sorted(folder.glob(f"*/{BODY_FILE}"))
    if len(found) != 1:
        raise UserError(
            f"There are {len(found)} base networks in {folder}, where one is needed for {result.system}: give its file as "
            f"`base`."
        )
    return found[0]
