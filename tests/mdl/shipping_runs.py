"""Finished runs of seven tiny networks, laid out as `mdl decathlon` leaves them, and how to damage them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from mdl.networks.multi_domain import MultiDomainNetwork
from mdl.networks.resnet26 import ResNet26, separable_resnet26
from mdl.networks.weight_files import save_body, save_domain
from mdl.results import Cost, Result, write_result
from mdl.shipped.make import RUNS
from mdl.training.recipe import load_recipe

WIDTH, N_CLASSES, SIZE = 2, 3, (16, 16)
NORMALISATION = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)}


def a_body(seed: int = 0) -> ResNet26:
    return separable_resnet26(N_CLASSES, WIDTH, seed=seed)


def write_runs(root: Path, body_seed: int = 0) -> dict[str, ResNet26]:
    """The runs' folders below `root`; what each network was when it was saved, by the name under which it is shipped."""
    body = a_body(body_seed)
    return {name: write_run(root, name, body) for name in RUNS}


def write_run(root: Path, name: str, body: ResNet26, poison: float | None = None, **meta: Any) -> ResNet26:
    """One run. poison: a number put into its weights. meta: what its file's metadata says otherwise."""
    weights = root / RUNS[name]
    system, domain = weights.parts[-3:-1]
    number = list(RUNS).index(name)  # makes each network another one
    is_base = system.startswith("base")
    recipe = asdict(load_recipe("mini").plan("pretrain" if is_base else "train", domain, "" if is_base else system))
    recipe["drops"] = list(recipe["drops"])
    meta = {"domain": domain, "data": "tiny", "recipe": recipe, "normalisation": NORMALISATION, **meta}
    if is_base:
        network = body
        save_body(body, weights, meta)
    else:
        net = MultiDomainNetwork(body, system)
        net.add(domain, N_CLASSES, seed=number)
        with torch.no_grad():
            net.network(domain).stage3[3].conv2.depthwise.weight.add_(number)
            if poison is not None:
                net.network(domain).head.bias[0] = poison
        save_domain(net, domain, weights, meta)
        network = net.export(domain)
    result = Result(
        domain=domain, system=system, method="pretrain" if is_base else system, data="tiny", split="test", n_classes=N_CLASSES,
        n_test=40, n_correct=30 + number, backbone="separable", width=WIDTH, recipe=recipe,
        cost=Cost(seconds=12.25, epochs=5, n_images_seen=500, device="cpu, 1 threads"), input_size=SIZE,
    )  # fmt: skip
    write_result(weights.parent, result)
    return network
