"""The commands that train: `mdl pretrain`, `mdl train`, `mdl decathlon`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from data_prep.common.command import given
from data_prep.common.errors import UserError
from data_prep.common.launcher import start_processes
from mdl.cli.options import (
    DEFAULTS,
    Backbone,
    File,
    Folder,
    How,
    MethodOptions,
    base_network,
    base_or_network,
    method_options,
    own_code,
    training_setting,
)
from mdl.published import PROPOSED

if TYPE_CHECKING:
    from mdl.results import Result
    from mdl.training.one_domain import Setting

Base = Annotated[str | None, tyro.conf.arg(metavar="mdl:NAME|DIR|FILE")]

EXAMPLES = {
    "pretrain": "mdl pretrain --recipe mini-fast --set epochs=2",
    "train": "mdl train --domain mini-dtd --method pointwise-sharing --recipe mini-fast",
    "decathlon": "mdl decathlon --data data/mine --base mdl:imagenet12",
}


def pretrain(
    *,
    backbone: Backbone = "separable",
    domain: str | None = None,
    prepare_for: str | None = None,
    out: Folder = None,
    how: How = DEFAULTS,
) -> int:
    """Train a base network, which the sharing methods start from.

    Args:
        backbone: The ResNet-26 to train.
        domain: The domain to train on; imagenet12 or mini-imagenet12 if not given.
        prepare_for: Put this method's modules into the network before training; series-adapters wants that.
        out: The result folder; runs/decathlon/DATA/base-BACKBONE/DOMAIN if not given.
    """
    if (status := start_processes(how.processes, "mdl", given())) is not None:
        return status
    from mdl.training import one_domain as run
    from mdl.training.decathlon import base_domain, base_folder

    with training_setting(how) as (setting, root, display):
        domain = domain or base_domain(setting.data)
        folder = out or base_folder(root, backbone, prepare_for or "", domain)
        display.begin(f"base network, {domain}")
        result = run.pretrain(setting, folder, domain, backbone=backbone, prepare_for=prepare_for)
        _tell(setting, result, folder)
    return 0


def train(
    *,
    domain: str,
    method: str,
    base: Base = None,
    network: str | None = None,
    weights: File = None,
    options: MethodOptions = (),
    sources: tuple[Path, ...] = (),
    backbone: Backbone | None = None,
    out: Folder = None,
    how: How = DEFAULTS,
) -> int:
    """Train one domain on a base network with one sharing method.

    Args:
        domain: The domain, such as dtd; `mdl domains` lists them.
        method: The sharing method, such as pointwise-sharing, or one of your own as path/to/file.py:Class.
        base: The base network: mdl:imagenet12, which comes along, the folder of `mdl pretrain`, or a file; the one in
            runs/decathlon/DATA if not given.
        network: Another network instead: torchvision:NAME, efficientnet_lite0, package.module:factory or
            path/to/file.py:factory, with a Linear at its end.
        weights: Its weights: a safetensors file or a PyTorch checkpoint.
        options: The method's options, such as controller=diagonal or region=late.
        sources: For soft-sharing, the domains that it mixes: folders of `mdl train`; all that stand beside if not given.
        backbone: The ResNet-26 whose base network is taken, where --base is not given; that of the method's paper.
        out: The result folder; runs/decathlon/DATA/SYSTEM/DOMAIN if not given.
    """
    if (status := start_processes(how.processes, "mdl", given())) is not None:
        return status
    from data_prep.common.errors import choose
    from mdl.networks.sharing import method_class
    from mdl.networks.sharing.systems import system_name
    from mdl.networks.weight_files import read_meta
    from mdl.training import one_domain as run
    from mdl.training.decathlon import base_domain, base_folder, check_choice, domain_files, source_system

    kind = backbone or method_class(method).published_on
    chosen = method_options(options)
    with training_setting(how, base or network) as (setting, root, display):
        choose("domain", domain, setting.data.domains)
        base = base_or_network(root, base, network, weights)
        if base is None:
            check_choice(method, chosen, kind)
            folder = base_folder(root, kind, method, base_domain(setting.data))
            if not (folder / run.BODY_FILE).exists():
                raise UserError(
                    f"There is no base network in {folder}: make one with `mdl pretrain`, or give it with --base, such as "
                    f"--base mdl:imagenet12, which comes along."
                )
        body = base_network(base or str(folder))
        files = [path / run.DOMAIN_FILE if path.is_dir() else path for path in sources]
        if not files and (beside := source_system(method, read_meta(body, "body")["backbone"])):
            files = domain_files(root, beside, setting.data.domains)
        net, _ = run.open_network(body, method, chosen, files, own_code(network))
        system = system_name(net.method, net.body.backbone)
        folder = out or root / system / domain
        display.begin(f"{system}, {domain}")
        result = run.train_domain(
            setting, folder, domain, method, base=body, options=chosen, sources=files, network=own_code(network)
        )
        _tell(setting, result, folder)
    return 0


def decathlon(
    *,
    method: str = PROPOSED,
    base: Base = None,
    network: str | None = None,
    weights: File = None,
    options: MethodOptions = (),
    backbone: Backbone | None = None,
    domains: tuple[str, ...] = (),
    out: Folder = None,
    how: How = DEFAULTS,
) -> int:
    """Train one row of the table: the base network and all domains with one method, skipping what is done.

    After an interruption the same command resumes.

    Args:
        method: The sharing method, such as pointwise-sharing, or one of your own as path/to/file.py:Class.
        base: A base network that is there already, instead of one that is trained on imagenet12 of the data: mdl:imagenet12,
            which comes along, the folder of `mdl pretrain`, or a file.
        network: Another network instead: torchvision:NAME, efficientnet_lite0, package.module:factory or
            path/to/file.py:factory, with a Linear at its end.
        weights: Its weights: a safetensors file or a PyTorch checkpoint.
        options: The method's options, such as controller=diagonal or region=late.
        backbone: The ResNet-26 to use, where --base is not given; that of the method's paper if not given.
        domains: Only these domains besides the base domain.
        out: The folder of all systems; runs/decathlon/DATA if not given.
    """
    if (status := start_processes(how.processes, "mdl", given())) is not None:
        return status
    from mdl.training.decathlon import train_decathlon

    with training_setting(how, base or network) as (setting, root, display):
        base = base_or_network(out or root, base, network, weights)
        results = train_decathlon(
            setting,
            out or root,
            method,
            options=method_options(options),
            backbone=backbone,
            base=None if base is None else base_network(base),
            network=own_code(network),
            domains=domains,
            say=display.begin,
        )
        if setting.group.is_first:
            for result in results:
                print(_line(result))
            print(f"table: mdl table {out or root}")
    return 0


def _tell(setting: Setting, result: Result, folder: Path) -> None:
    if setting.group.is_first:
        print(_line(result))
        print(f"result: {folder}")


def _line(result: Result) -> str:
    return (
        f"{result.system}, {result.domain}: {result.accuracy:.2%} on {result.split} ({result.n_correct:,} of {result.n_test:,}), "
        f"trained on {result.trained_on}, {result.cost.epochs} epochs, {result.cost.seconds:,.0f} s"
    )
