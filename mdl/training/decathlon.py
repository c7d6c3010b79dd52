"""One row of a table: a base network, then every domain with one method, skipping what is done.

    results = run_row(setting, Path("runs/decathlon/mini"), "pointwise-sharing")

    ROOT/base-separable/imagenet12/               the base network, for all methods that share it
    ROOT/pointwise-sharing/cifar100/              each domain of each system
    ROOT/pointwise-sharing/imagenet12/            the base domain's cell: the base network's own result

An interrupted row goes on where it stopped when it is called again. Methods that start from something get it first:
`soft-sharing` the row `pointwise-sharing`, `series-adapters` a base network that was trained with such adapters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from data_prep.common.errors import UserError, choose
from mdl.networks.parameter_rows import parameter_rows
from mdl.networks.sharing import METHODS, sharing_method
from mdl.published import BASE, MINI_PREFIX
from mdl.results import Result, is_done, read_predictions, read_result, write_predictions, write_result
from mdl.training.feed import official_name
from mdl.training.one_domain import (
    BODY_FILE,
    BUILDERS,
    DOMAIN_FILE,
    DomainSets,
    Setting,
    open_network,
    pretrain,
    system_name,
    train_domain,
)

TRAINED_WITH = ("series-adapters",)
"""Methods whose base network is pre-trained with the method's own modules in it, as their papers have it."""

SOURCE = "pointwise-sharing"
"""The row that soft sharing mixes."""

Say = Callable[[str], None]


def base_domain(data: DomainSets) -> str:
    """The domain that the base network is pre-trained on: `imagenet12`, or its miniature."""
    found = [domain for domain in data.domains if official_name(domain) == BASE]
    if len(found) != 1:
        raise UserError(
            f"The data has {len(found)} domains called {BASE} or {MINI_PREFIX}{BASE} among {', '.join(data.domains)}; there "
            f"must be one to pre-train on."
        )
    return found[0]


def base_folder(root: Path, backbone: str, method: str, domain: str) -> Path:
    """Where the base network of a method lies below `root`."""
    return Path(root) / base_system(backbone, method) / domain


def base_system(backbone: str, method: str) -> str:
    return f"base-{backbone}" + (f"-{method}" if method in TRAINED_WITH else "")


def ensure_base(setting: Setting, root: Path, backbone: str, method: str, domain: str | None = None) -> Path:
    """The file of the base network that `method` starts from, trained first where it is not there."""
    domain = domain or base_domain(setting.data)
    folder = base_folder(root, backbone, method, domain)
    pretrain(setting, folder, domain, backbone, method if method in TRAINED_WITH else None)
    return folder / BODY_FILE


def check_choice(method: str, options: Mapping[str, object], backbone: str) -> None:
    """Raises `UserError` for options or a backbone that the method refuses, before hours go into a base network."""
    if method == "soft-sharing":  # which is made of its trained sources
        METHODS[method].check_options(options)
        method, options = SOURCE, {}
    with torch.device("meta"):
        sharing_method(method, **options).check_backbone(BUILDERS[backbone](None, 2))


def domain_files(root: Path, system: str) -> list[Path]:
    """The finished domain files of a system, in the order of their names."""
    return sorted(path for path in (Path(root) / system).glob(f"*/{DOMAIN_FILE}") if is_done(path.parent))


def run_row(
    setting: Setting,
    root: str | Path,
    method: str,
    options: Mapping[str, object] | None = None,
    backbone: str | None = None,
    domains: Sequence[str] = (),
    say: Say = lambda line: None,
) -> list[Result]:
    """Train whatever of the row is missing; the results of its domains, the base domain first.

    backbone: "separable" or "plain"; the one that the method was published on if not given. domains: only these.
    say: hears what comes next.
    """
    root, options = Path(root), dict(options or {})
    choose("method", method, METHODS)
    backbone = backbone or METHODS[method].published_on
    base = base_domain(setting.data)
    for domain in domains:
        choose("domain", domain, setting.data.domains)
    wanted = [domain for domain in setting.data.domains if domain != base and (not domains or domain in domains)]
    check_choice(method, options, backbone)
    sources: list[Path] = []
    if method == "soft-sharing":
        # Its gates mix the filters of every domain, whichever of them are wanted here.
        run_row(replace(setting, overwrite=False), root, SOURCE, None, backbone, (), say)
        sources = [root / SOURCE / domain / DOMAIN_FILE for domain in setting.data.domains if domain != base]
    say(f"{base_system(backbone, method)}, {base}")
    body = ensure_base(replace(setting, overwrite=False), root, backbone, method, base)
    net, _ = open_network(body, method, options, sources)
    system = system_name(net.method, backbone)
    results = [_base_cell(setting, root / system / base, body, net, system, base)]
    for domain in wanted:
        say(f"{system}, {domain}")
        results.append(train_domain(setting, root / system / domain, domain, method, body, options, sources))
    return results


def _base_cell(setting: Setting, folder: Path, body: Path, net: object, system: str, domain: str) -> Result:
    """The base domain's cell of the row: the base network's result, under the row's name and parameters."""
    trained = read_result(body.parent)
    result = replace(
        trained, system=system, method=net.method.name, options=net.method.options(), parameters=parameter_rows(net, domain),
        notes=(*trained.notes, "The base network, trained once for all rows; its cost is counted in each of them."),
    )  # fmt: skip
    if setting.group.is_first and not (is_done(folder) and asdict(read_result(folder)) == asdict(result)):
        predictions = read_predictions(body.parent)
        write_predictions(folder, list(predictions), list(predictions.values()))
        write_result(folder, result)
    setting.group.wait()
    return result
