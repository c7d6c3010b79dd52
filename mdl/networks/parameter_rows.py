"""Which parameters of a network are shared and which are a domain's own, by kind: what a result records.

    rows = parameter_rows(net, "dtd")          # of a domain of a `MultiDomainNetwork`
    rows = parameter_rows(body, "imagenet12")  # of a network that shares nothing

Names and kinds are those of `mdl.networks.sharing.arithmetic.method_rows`, so that the two can be compared row by row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from torch import nn

from mdl.networks.body import BATCH_NORMS, Body
from mdl.networks.multi_domain import MultiDomainNetwork
from mdl.networks.sharing import SharingMethod
from mdl.results import ParameterRow


def parameter_rows(
    net: MultiDomainNetwork | Body, domain: str, prepared_for: type[SharingMethod] | None = None
) -> tuple[ParameterRow, ...]:
    """One row for each kind, stored bits and owner, in the order of the network's parameters.

    What the domain's network borrows of other domains stands in the rows of those, not here. prepared_for: the method
    whose modules a base network was trained with.
    """
    counts: dict[tuple[str, float, str], int] = {}
    method = net.method if isinstance(net, MultiDomainNetwork) else prepared_for
    kinds = () if method is None else method.parameter_kinds
    for name, kind, parameter, is_shared in _parameters(net, domain, kinds):
        bits = 32 if isinstance(net, Body) else net.method.stored_bits(name)
        key = (kind, float(bits), "" if is_shared else domain)
        counts[key] = counts.get(key, 0) + parameter.numel()
    return tuple(
        ParameterRow(f"{owner or 'shared'} {kind}", kind, count, bits=bits, domain=owner)
        for (kind, bits, owner), count in counts.items()
    )


def _parameters(
    net: MultiDomainNetwork | Body, domain: str, kinds: Sequence[str]
) -> Iterable[tuple[str, str, nn.Parameter, bool]]:
    """(name, kind, parameter, whether it is shared) of each parameter that the domain's network reads, once."""
    network = net if isinstance(net, Body) else net.network(domain)
    shared = set() if isinstance(net, Body) else _shared(net.method.origin(net))
    modules = dict(network.named_modules())
    sites = {site.name: site.kind for site in network.sites()}
    for name, parameter in network.named_parameters():
        if isinstance(net, Body) or not net.method.borrows(name):
            yield name, _kind(name, modules, sites, kinds), parameter, id(parameter) in shared


def _shared(net: MultiDomainNetwork) -> set[int]:
    """The parameters of the body that a further domain reads too; tried out with one that is removed again.

    A domain that is not the body's own says the same by what it reads, so that only the base domain needs the trial.
    """
    of_body = {id(parameter) for name, parameter in net.body.named_parameters() if not name.startswith("head.")}
    further = [name for name in net.domains if net.domain_parameters(name)]
    if further:
        network = net.network(further[0])
        return {id(p) for name, p in network.named_parameters() if id(p) in of_body and not net.method.borrows(name)}
    active = net.active
    net.add(TRIAL, 2)
    try:
        return _shared(net)
    finally:
        net.remove(TRIAL)
        net.active = active


TRIAL = "trial-of-what-is-shared"


def _kind(name: str, modules: Mapping[str, nn.Module], sites: Mapping[str, str], kinds: Sequence[str]) -> str:
    """One of the method's own `kinds`, or what every network has (see `mdl.results.ParameterRow`)."""
    parts = name.split(".")
    for kind in kinds:
        if any(part == kind or part.startswith(f"{kind}_") for part in parts):
            return kind
    place = name.rpartition(".")[0]
    module = modules[place]
    if isinstance(module, BATCH_NORMS):
        return "bn"
    if isinstance(module, nn.Linear):
        return "linear"
    if parts[-1] == "bias":
        return "bias"
    return sites.get(place) or sites.get(place.rpartition(".of_domains.")[0]) or "other"
