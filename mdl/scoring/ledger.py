"""The parameter ledger: how many parameters a set of domains needs, and under which convention one says so.

    >>> own = [ParameterRow(name, kind, n) for name in ("dtd", "svhn") for kind, n in body_counts("separable").items()]
    >>> ledger_size(own, BARE)                            # two separate networks, without heads
    5313334.0
    >>> f"{ledger_ratio(own, BARE):.3f}"                  # in units of a plain ResNet-26
    '0.914'

`paper_claims` recomputes every count that the paper prints. Rows are what a trained network wrote into its result, or
`mdl.networks.sharing.arithmetic.method_rows` of a system that nobody trained here.

Published counts leave out heads, or batch normalisation, or count a mask's weight as a 32nd of a parameter, and divide
by one network or another. A `Convention` names each choice. `explain` tries all of them and says which give a printed
number, to its printed digits; where several do, or only an unusual one, the claim's remark says so, as a match may be chance.

No torch: counts in, counts out. A row is `mdl.results.ParameterRow`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

from data_prep.common.errors import UserError
from mdl.closed_form import MethodRows, body_counts, body_parameters, head_parameters
from mdl.published import BASE, PAPER_ROWS
from mdl.results import ParameterRow

Heads = Literal["out", "further", "in"]

UNITS = {
    "plain ResNet-26 without Linear": ("plain", None),
    "plain ResNet-26 with 1000 classes": ("plain", 1000),
    "separable ResNet-26 without Linear": ("separable", None),
    "separable ResNet-26 with 1000 classes": ("separable", 1000),
}
"""What 1x means: (backbone, classes of its Linear)."""

NOT_COUNTED_HERE = "no convention of the ledger"


@dataclass(frozen=True, slots=True, kw_only=True)
class Convention:
    """What is counted, and in which unit.

    heads: the domains' Linear layers: out, in, or those of the `further` domains only (all but the base).
    bn: scales and shifts of batch normalisation; running statistics never count. biases: biases of convolutions.
    stored_bits: a value kept with n bits counts as n / 32; else every value counts as one.
    unit: a key of `UNITS`, at the width of the rows' network (see `unit_parameters`); with its batch normalisation.
    """

    heads: Heads = "out"
    bn: bool = True
    biases: bool = True
    stored_bits: bool = True
    unit: str = "plain ResNet-26 without Linear"

    def __str__(self) -> str:
        heads = {"out": "heads out", "in": "all heads in", "further": "heads in but the base's"}[self.heads]
        bn = "BN in" if self.bn else "BN out"
        biases = "" if self.biases else ", biases of convolutions out"
        bits = "stored bits / 32" if self.stored_bits else "every value as one"
        return f"{heads}, {bn}{biases}, {bits}, unit {self.unit}"


BARE = Convention()
"""The convention of the tables here: no heads, BN in, bits as stored, plain ResNet-26 without Linear = 1x."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A printed number and what the ledger makes of it. `value` is in the unit of `printed`; exact where it can be.

    holds: the value rounds to the printed digits. convention: which one, or `NOT_COUNTED_HERE`.
    remark: what a reader should know, such as how many conventions of how many tried give the number.
    """

    what: str
    printed: str
    value: float
    convention: str
    holds: bool
    remark: str = ""


def unit_parameters(unit: str = BARE.unit, separable_width: int = 64) -> int:
    """Parameters of what counts as 1x. The plain network is half as wide as the separable one beside it.

    >>> unit_parameters(), unit_parameters("separable ResNet-26 with 1000 classes")
    (5814688, 3169667)
    """
    if unit not in UNITS:
        raise UserError(f"Unit {unit!r} is unknown; known: {'; '.join(UNITS)}.")
    if separable_width < 2 or separable_width % 2:
        raise UserError(f"Width {separable_width} has no plain network of half the width beside it: give an even one.")
    backbone, classes = UNITS[unit]
    width = separable_width // 2 if backbone == "plain" else separable_width
    return body_parameters(backbone, width) + (0 if classes is None else head_parameters(backbone, classes, width))


def ledger_size(rows: Iterable[ParameterRow], convention: Convention = BARE, base: str = BASE) -> float:
    """Parameters, as full ones of 32 bits, of all `rows` that the convention counts."""
    total = 0.0
    for row in rows:
        if row.kind == "linear" and (
            convention.heads == "out" or (convention.heads == "further" and row.domain in ("", base))
        ):
            continue
        if (row.kind == "bn" and not convention.bn) or (row.kind == "bias" and not convention.biases):
            continue
        total += row.count * (row.bits / 32 if convention.stored_bits else 1)
    return total


def ledger_ratio(
    rows: Iterable[ParameterRow], convention: Convention = BARE, base: str = BASE, separable_width: int = 64
) -> float:
    """`#par`: `ledger_size` in units of one network."""
    return ledger_size(rows, convention, base) / unit_parameters(convention.unit, separable_width)


def storage_bytes(rows: Iterable[ParameterRow]) -> int:
    """Bytes of all values at their stored bits, heads and BN included, running statistics and file headers not."""
    return round(sum(row.count * row.bits for row in rows) / 8)


def by_kind(rows: Iterable[ParameterRow]) -> dict[str, int]:
    """Number of values by kind, each as one.

    >>> by_kind([ParameterRow("shared conv", "conv", 900), ParameterRow("dtd conv", "conv", 100, domain="dtd")])
    {'conv': 1000}
    """
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.kind] = counts.get(row.kind, 0) + row.count
    return counts


def own_parameters(rows: Iterable[ParameterRow], domain: str, heads: bool = False, bn: bool = False) -> int:
    """Values that belong to one domain.

    >>> rows = [ParameterRow("shared conv", "conv", 900), ParameterRow("dtd mask", "mask", 300, bits=1, domain="dtd")]
    >>> own_parameters(rows, "dtd")
    300
    """
    left_out = {kind for kind, kept in (("linear", heads), ("bn", bn)) if not kept}
    return sum(row.count for row in rows if row.domain == domain and row.kind not in left_out)


def conventions() -> list[Convention]:
    """Every combination that is tried, the plainest first."""
    heads_kinds: tuple[Heads, ...] = ("out", "further", "in")
    grid = product(UNITS, heads_kinds, (True, False), (True, False), (True, False))
    return [
        Convention(heads=heads, bn=bn, biases=biases, stored_bits=bits, unit=unit)
        for unit, heads, bits, bn, biases in grid
    ]


def agrees(value: float, printed: str) -> bool:
    """Whether the value rounds to the printed digits; a half may go either way.

    >>> agrees(4.569, "5x"), agrees(4.49, "5x"), agrees(0.3227, "0.3 M")
    (True, False, True)
    """
    digits = printed.strip().rstrip("x×%M ").strip()
    step = 10.0 ** -len(digits.partition(".")[2])
    return abs(value - float(digits)) <= step / 2 + 1e-9


def explain(printed: str, rows: Sequence[ParameterRow], base: str = BASE) -> list[Convention]:
    """Every convention under which the rows come out as printed: `explain("5x", method_rows("individual"))`.

    Conventions that count the very same rows (no biases to leave out, say) are listed once.
    """
    found: dict[tuple[float, str], Convention] = {}
    for convention in conventions():
        size = ledger_size(rows, convention, base)
        if agrees(size / unit_parameters(convention.unit), printed):
            found.setdefault((size, convention.unit), convention)
    return list(found.values())


def paper_claims(method_rows: MethodRows) -> tuple[Claim, ...]:
    """Every count that the paper prints, recomputed at the published widths for the ten official domains."""
    counts = body_counts("separable")
    total = body_parameters("separable") + head_parameters("separable", 1000)
    own = own_parameters(method_rows("pointwise-sharing"), "dtd")
    share, added = 100 * counts["pointwise"] / total, 100 * own / total
    of_all = "separable ResNet-26 with 1000 classes, Linear and BN in"
    bare_own = "depthwise 1-25 and pointwise 25, heads and BN out"
    of_network = Claim(
        what="parameters of the network",
        printed="3,169,667",
        value=total,
        convention=of_all,
        holds=total == 3_169_667,
    )
    of_pointwise = Claim(
        what="share of the pointwise convolutions",
        printed="80 %",
        value=share,
        convention=of_all,
        holds=round(share, -1) == 80,
        remark="81.4 %: 80 to the nearest ten",
    )
    of_domain = Claim(
        what="added by a domain",
        printed="0.3 M",
        value=own / 1e6,
        convention=bare_own,
        holds=agrees(own / 1e6, "0.3 M"),
        remark=f"{own:,} exactly",
    )
    as_share = Claim(
        what="added by a domain, as a share of the network",
        printed="10 %",
        value=added,
        convention=f"{bare_own}; unit {of_all}",
        holds=agrees(added, "10 %"),
        remark="11 % with its BN",
    )
    sizes = [_size_claim(method_rows(row.system), row.name, row.size) for row in PAPER_ROWS.values() if row.size]
    return (of_network, of_pointwise, of_domain, as_share, *sizes)


def _size_claim(rows: Sequence[ParameterRow], name: str, printed: str) -> Claim:
    """What the ledger makes of a printed `#par`: the tables' own convention, else the first that gives its digits."""
    found = explain(printed, rows)
    bare = f"{ledger_ratio(rows, BARE):.2f}x with {BARE}"
    if BARE in found:
        chosen, remark = BARE, ""
    elif found:
        tried = len({(ledger_size(rows, c), c.unit) for c in conventions()})
        remark = f"{bare}; {len(found)} of {tried} different countings give the printed digits, so it may be chance"
        chosen = found[0]
    else:
        chosen, remark = BARE, bare
    return Claim(
        what=f"#par of {name}",
        printed=printed,
        value=ledger_ratio(rows, chosen),
        convention=str(chosen) if found else NOT_COUNTED_HERE,
        holds=bool(found),
        remark=remark,
    )
