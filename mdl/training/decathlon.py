"""One row of a table: a base network, then every domain with one method, skipping what is done.

    results = train_decathlon(setting, "runs/decathlon/mini", "pointwise-sharing")

    OUT/base-separable/imagenet12/               the base network, for all methods that share it
    OUT/pointwise-sharing/cifar100/              each domain of each system
    OUT/pointwise-sharing/imagenet12/            the base domain's cell: the base network's own result

An interrupted row resumes when it is called again. Methods that start from something get it first:
`soft-sharing` the row that it mixes (`made_from`), `series-adapters` a base network that was trained with such adapters
(`base_is_prepared`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from data_prep.common.errors import UserError, choose
from data_prep.common.locks import locked
from mdl.networks.multi_domain import MultiDomainNetwork
from mdl.networks.parameter_rows import parameter_rows
from mdl.networks.sharing import method_class, sharing_method
from mdl.networks.sharing.systems import system_name
from mdl.networks.weight_files import load_body, read_meta, shared_hash
from mdl.published import BASE, MINI_PREFIX
from mdl.results import Result, is_done, read_predictions, read_result, write_predictions, write_result
from mdl.training.one_domain import (
    BODY_FILE,
    DOMAIN_FILE,
    DomainSets,
    Setting,
    open_network,
    pretrain,
    train_domain,
)
from mdl.training.pictures import official_name

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
    """The row of the base network that `method` starts from; "" for no method in particular.

    >>> base_system("plain", "series-adapters"), base_system("plain", "dan")
    ('base-plain-series-adapters', 'base-plain')
    """
    chosen = method_class(method) if method else None
    return f"base-{backbone}" + (f"-{chosen.name}" if chosen and chosen.base_is_prepared else "")


def ensure_base(setting: Setting, root: Path, backbone: str, method: str) -> Path:
    """The file of the base network that `method` starts from, trained first where it is not there."""
    domain = base_domain(setting.data)
    folder = base_folder(root, backbone, method, domain)
    prepare_for = method if method_class(method).base_is_prepared else None
    pretrain(setting, folder, domain, backbone=backbone, prepare_for=prepare_for)
    return folder / BODY_FILE


def check_choice(method: str, options: Mapping[str, object], backbone: str) -> None:
    """Raises `UserError` for options or a backbone that the method refuses, before hours go into a base network."""
    sharing_method(method, **options).check_backbone(backbone)


def domain_files(root: Path, system: str, domains: Sequence[str]) -> list[Path]:
    """The files of a system's finished ones among these domains, in their order: another order has other gates."""
    files = (Path(root) / system / domain / DOMAIN_FILE for domain in domains)
    return [file for file in files if file.is_file() and is_done(file.parent)]


def source_system(method: str, backbone: str) -> str:
    """The row whose trained domains `method` is made from; "" where it is made from none.

    >>> source_system("soft-sharing", "separable"), source_system("dan", "plain")
    ('pointwise-sharing', '')
    """
    made_from = method_class(method).made_from
    return system_name(sharing_method(made_from), backbone) if made_from else ""


def train_decathlon(
    setting: Setting,
    out: str | Path,
    method: str,
    *,
    options: Mapping[str, object] | None = None,
    backbone: str | None = None,
    base: str | Path | None = None,
    network: str | None = None,
    domains: Sequence[str] = (),
    say: Say = lambda line: None,
) -> list[Result]:
    """Train whatever of the row is missing; the results of its domains, the base domain first.

    out: the folder of all systems. method: a name, or path/to/file.py:Class. options: of the method. backbone: "separable" or
    "plain"; the one that the method was published on if not given. base: the file of a base network that is there already,
    whose domain then has no cell in the row; it says the backbone. network: the factory that it is made by, where that is one of
    your own. domains: only these. say: is told what comes next.
    """
    root, options = Path(out), dict(options or {})
    chosen = method_class(method)
    for domain in domains:
        choose("domain", domain, setting.data.domains)
    if base is None:
        backbone, base_name = backbone or chosen.published_on, base_domain(setting.data)
    else:
        header = read_meta(base, "body")
        backbone, base_name = header["backbone"], header["meta"].get("domain", "")
    wanted = [domain for domain in setting.data.domains if domain != base_name and (not domains or domain in domains)]
    if not wanted:
        raise UserError(
            f"No domain is left to train: the base network is of {base_name} itself; give further `domains`."
        )
    if base is None:
        check_choice(method, options, backbone)
    else:
        sharing_method(method, **options).check_body(load_body(base, chosen, network))
    sources: list[Path] = []
    if chosen.made_from:
        # Soft sharing's gates mix the filters of every domain, whichever of them are wanted here.
        again = replace(setting, overwrite=False)
        train_decathlon(again, root, chosen.made_from, backbone=backbone, base=base, network=network, say=say)
        beside = root / source_system(method, backbone)
        sources = [beside / domain / DOMAIN_FILE for domain in setting.data.domains if domain != base_name]
    if base is None:
        say(f"{base_system(backbone, method)}, {base_name}")
        body = ensure_base(replace(setting, overwrite=False), root, backbone, method)
    else:
        body = Path(base)
    net, _ = open_network(body, method, options, sources, network)
    system = system_name(net.method, backbone)
    results = [_base_cell(setting, root / system / base_name, body, net)] if base is None else []
    for domain in wanted:
        say(f"{system}, {domain}")
        results.append(
            train_domain(
                setting,
                root / system / domain,
                domain,
                method,
                base=body,
                options=options,
                sources=sources,
                network=network,
            )
        )
    return results


def _base_cell(setting: Setting, folder: Path, body: Path, net: MultiDomainNetwork) -> Result:
    """The base domain's cell of the row: the base network's result, under the row's name and parameters."""
    trained = read_result(body.parent)
    result = replace(
        trained,
        system=folder.parent.name,
        method=net.method.name,
        options=net.method.options(),
        parameters=parameter_rows(net, folder.name),
        shared_hash=shared_hash(net),
        notes=(*trained.notes, "The base network, trained once for all rows; its cost is counted in each of them."),
    )
    if setting.group.is_first and not (is_done(folder) and asdict(read_result(folder)) == asdict(result)):
        n_classes = result.n_classes
        predictions = read_predictions(body.parent, n_classes)
        with locked(folder, "a row's base cell"):
            write_predictions(folder, list(predictions), list(predictions.values()), n_classes=n_classes)
            write_result(folder, result)
    setting.group.wait()
    return result
