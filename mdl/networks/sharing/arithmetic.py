"""Parameters and multiply-adds of whole systems by name, from widths alone: no network is built.

>>> rows = method_rows("pointwise-sharing")               # the ten official domains at the published width
>>> sum(row.count for row in rows if not row.domain)      # shared: pointwise 1 to 24
2318528
>>> system_multiply_adds("parallel-adapters", 1000) - system_multiply_adds("dan", 1000)
94765056

Each method counts in its own file, `SharingMethod.split` and `added_multiply_adds`. A network's own counts are checked
against these, and the tables show them for networks that nobody trained here.
"""

from __future__ import annotations

from collections.abc import Mapping

from data_prep.common.errors import UserError
from mdl.closed_form import (
    PUBLISHED_CLASSES,
    NetworkSize,
    backbone_multiply_adds,
    conv_positions,
    head_parameters,
    network_width,
)
from mdl.networks.sharing.systems import read_system
from mdl.published import BASE
from mdl.results import ParameterRow


def method_rows(
    system: str, n_classes: Mapping[str, int] | None = None, width: int | None = None, base: str = BASE
) -> list[ParameterRow]:
    """`method_rows("dan")`: every parameter that all domains need together under one system.

    system: as rows of the tables are called: `dan`, `dan-low-rank-8`, `soft-sharing-late`, `individual-plain`.
    n_classes: by domain, the base among them; None for the ten official ones. The base domain uses what is shared and,
    where the method splits the network, its own part as any other domain. Raises `UserError` for an unknown system.
    """
    method, backbone = read_system(system)
    n_classes = dict(PUBLISHED_CLASSES if n_classes is None else n_classes)
    if base not in n_classes:
        raise UserError(f"The base domain {base!r} is not among {', '.join(n_classes)}: name it, or another base.")
    width = network_width(backbone, width)
    split = method.split(NetworkSize(backbone, width, len(n_classes)))
    rows = [ParameterRow(f"shared {part.kind}", part.kind, part.count, bits=part.bits) for part in split.shared]
    for domain, classes in n_classes.items():
        rows.append(
            ParameterRow(f"{domain} linear", "linear", head_parameters(backbone, classes, width), domain=domain)
        )
        own = split.of_base if domain == base else split.own
        rows += [ParameterRow(f"{domain} {p.kind}", p.kind, p.count, bits=p.bits, domain=domain) for p in own]
    return rows


def system_multiply_adds(
    system: str, n_classes: int | None, *, size: int = 64, width: int | None = None, n_domains: int = 10
) -> int:
    """`system_multiply_adds("parallel-adapters", 1000)`: of one image of `size` x `size` pixels, in evaluation.

    Controllers and masks are applied to the filters once, not to each image. n_domains: that soft sharing mixes.
    """
    method, backbone = read_system(system)
    total = backbone_multiply_adds(backbone, n_classes, size, width)
    for conv, n_positions in conv_positions(network_width(backbone, width), size):
        total += method.added_multiply_adds(conv, n_positions, n_domains)
    return total
