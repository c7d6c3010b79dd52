"""From finished runs to the folder of shipped networks: checked, copied, and told on a card.

    ship("runs/decathlon/decathlon_mini", "mdl/shipped/weights")

    RUNS/base-separable/imagenet12/          body.safetensors, results.json    ->  imagenet12
    RUNS/individual/cifar100/                domain.safetensors, ...           ->  cifar100-individual
    RUNS/pointwise-sharing/<domain>/         the same                          ->  <domain>

Files are copied byte for byte, so that weights stay float32 and keep their hashes. Nothing is written before everything
is checked: every run finished, every domain trained on this very base, weights and results of one training, all numbers
finite, no path in a file's metadata, less than 32 MB in all.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import torch

from data_prep.common.errors import UserError
from data_prep.common.files import file_hash, write_bytes
from mdl.networks.weight_files import load_body, read_meta
from mdl.results import Result, read_result
from mdl.shipped.card import card
from mdl.shipped.reader import BASE_NAME, CARD_FILE, FACTS_FILE, FORMAT_VERSION, Shipped, domain_network
from mdl.training.one_domain import BODY_FILE, DOMAIN_FILE

MAX_BYTES = 32_000_000
RUNS = {
    BASE_NAME: Path("base-separable", BASE_NAME, BODY_FILE),
    "cifar100-individual": Path("individual", "cifar100", DOMAIN_FILE),
    **{
        domain: Path("pointwise-sharing", domain, DOMAIN_FILE)
        for domain in ("cifar100", "dtd", "gtsrb", "omniglot", "vgg-flowers")
    },
}
"""Name of each shipped network, and where its weights lie below the folder of runs."""


def ship(runs: str | Path, folder: str | Path, *, data: str | None = None, device: str | None = None) -> list[Shipped]:
    """Write the shipped networks of the finished runs below `runs` into `folder`, facts and card with them.

    data, device: what to call the data set, and what the networks were trained on, where the results say it otherwise: a
    result that was counted again on another machine names that one.
    Raises `UserError`, before anything is written, for a run that is missing or unfinished and whatever does not fit.
    """
    runs, folder = Path(runs), Path(folder)
    base = runs / RUNS[BASE_NAME]
    read_result(base.parent)  # the others cannot be checked without it
    facts = [_facts(name, runs / place, base) for name, place in RUNS.items()]
    facts = [replace(one, data=data or one.data, device=device or one.device) for one in facts]
    contents = {one.file: (runs / RUNS[one.name]).read_bytes() for one in facts}
    listed = {"format": FORMAT_VERSION, "networks": [asdict(one) for one in facts]}
    contents[CARD_FILE] = card(facts, {one.file: len(contents[one.file]) for one in facts}).encode()
    # Last, since it makes the others count: what an interruption leaves is refused by its hashes.
    contents[FACTS_FILE] = (json.dumps(listed, indent=1, allow_nan=False) + "\n").encode()
    total = sum(map(len, contents.values()))
    if total >= MAX_BYTES:
        raise UserError(
            f"The weights take {total / 1e6:.1f} MB, less than {MAX_BYTES / 1e6:.0f} MB may be shipped: train narrower networks."
        )
    for file, content in contents.items():
        write_bytes(folder / file, content)
    return facts


def _facts(name: str, weights: Path, base: Path) -> Shipped:
    """What `weights.json` says of one run, with everything checked on the way."""
    result, header = read_result(weights.parent), read_meta(weights)
    body = load_body(base)
    network = body if weights == base else domain_network(body, weights.parts[-3], weights)
    if not all(torch.isfinite(tensor).all() for tensor in network.state_dict().values()):
        raise UserError(f"{weights} holds a number that is not finite: train {result.domain} again.")
    if header["meta"].get("recipe") != result.recipe or result.domain != weights.parent.name:
        raise UserError(
            f"{weights} and the results beside it are of different trainings: put back the file that belongs there."
        )
    if any(sign in json.dumps(header) for sign in ("/", "\\")):
        raise UserError(f"The metadata of {weights} holds a path of this machine: save the file without it.")
    return Shipped(
        name=name, file=f"{name}.safetensors", sha256=file_hash(weights), domain=result.domain,
        method=result.method, data=result.data, width=result.width, n_classes=result.n_classes,
        n_parameters=sum(parameter.numel() for parameter in network.parameters()), split=result.split,
        n_test=result.n_test, n_correct=result.n_correct, trained_on=result.trained_on,
        n_train=result.cost.n_images_seen // result.cost.epochs, epochs=result.cost.epochs,
        seconds=result.cost.seconds, device=result.cost.device, input_size=_input_size(result),
        **header["meta"]["normalisation"], recipe=result.recipe,
    )  # fmt: skip


def _input_size(result: Result) -> tuple[int, int]:
    if result.input_size is None:
        raise UserError(f"The result of {result.domain} does not say how large its images are: train it again.")
    return result.input_size
