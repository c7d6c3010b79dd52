"""Tables 1, 2 and 3 from result folders, with the published rows beside them. No torch.

    results = read_results("runs/decathlon/mini")
    print(to_markdown(table2(results)))       # or to_terminal, to_csv, to_html
    print(to_markdown(table3()))              # the published rows alone

Table 1 counts parameters, Table 2 compares the methods on the ten domains, Table 3 the systems that are made from the
trained domains of another one: the placements of soft sharing. A domain without a result is shown as missing. Mean and
S stand only where all ten domains are there; where a row lacks some, further columns give mean and S over the domains
that all measured rows have, for the published rows too. Domains of your own have a column each, after the ten, and are in no
mean and no S. `#par` of measured rows is counted from the parameters that the
results recorded, under the convention that the note names.

Results of a system that begins with `base` (a network that methods start from) complete the rows of their backbone and
width: no method changes the base domain, so its accuracy is theirs. `base-plain-series-adapters` was trained with that
method's modules in it and completes the rows of that method alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from data_prep.common.errors import UserError
from mdl.closed_form import (
    PUBLISHED_CLASSES,
    PUBLISHED_WIDTH,
    MethodRows,
    SystemMultiplyAdds,
    backbone_multiply_adds,
    body_counts,
    head_parameters,
)
from mdl.published import (
    BASE,
    DOMAINS,
    MINI_PREFIX,
    OFFICIAL,
    PAPER_ROWS,
    PROPOSED,
    PaperRow,
    is_official,
    official_domain,
)
from mdl.results import ParameterRow, Result
from mdl.scoring.ledger import BARE, by_kind, ledger_ratio, own_parameters, paper_claims
from mdl.scoring.rendering import Cell, Column, Table, in_order, to_csv, to_html, to_markdown, to_terminal
from mdl.scoring.score import Score, decathlon_score, paper_score

__all__ = [
    "Table",
    "by_system",
    "joint_rows",
    "table1",
    "table2",
    "table3",
    "to_csv",
    "to_html",
    "to_markdown",
    "to_terminal",
]

BASE_SYSTEM = "base"
PAPER, ARITHMETIC = "paper", "arithmetic"
PART_COLUMNS = ("depthwise", "pointwise", "conv", "bn", "linear")
"""The kinds that have a column in Table 1; the rest is summed."""

OF_EACH_DOMAIN = ("domain", "method", "phase", "weight_decay", "dropout", "flip", "whole")
"""What a recipe sets for each domain."""

Groups = dict[str, list[Result]]


Row = dict[str, Cell]
"""Cells by the titles of their columns."""


def table1(
    results: Sequence[Result] = (), *, method_rows: MethodRows, system_multiply_adds: SystemMultiplyAdds
) -> Table:
    """Parameters by kind, what a domain owns, and multiply-adds of one image.

    The first rows are arithmetic at the published widths with 1000 classes; a measured row is one system, counted on
    its first further domain. The notes compare the counts that the paper states and name each one's convention.
    method_rows, system_multiply_adds: those of `mdl.networks.sharing.arithmetic`, which this package does not import, as
    the methods come with torch.
    """
    columns = [Column("network", None), Column("from", None), *(Column(kind, 0) for kind in PART_COLUMNS)]
    columns += [Column("other", 0), Column("total", 0), Column("pointwise %", 1)]
    columns += [Column("own", 0), Column("own %", 1), Column("multiply-adds", 0)]
    rows = [_bare_network("separable"), _bare_network("plain")]
    rows += [_counted_system(system, method_rows, system_multiply_adds) for system in PAPER_ROWS]
    rows += [_measured_system(group) for group in by_system(results).values()]
    notes = [
        "own: what a further domain adds, its Linear and BN left out; own %: the same as a share of the row's total. "
        "A mask's weight counts as one here. Arithmetic rows: 1000 classes, ten domains, 64 x 64 pixels.",
        "The printed cells of the paper's Table 1 are not copied here; compared are the counts that the paper states:",
    ]
    for claim in paper_claims(method_rows):
        counted = f"{claim.value:,.4g}" if claim.value < 1e4 else f"{claim.value:,.0f}"
        remark = f" ({claim.remark})" if claim.remark else ""
        notes.append(f"{claim.what}: printed {claim.printed}, counted {counted}: {claim.convention}{remark}.")
    return Table("Table 1: parameters and multiply-adds", tuple(columns), in_order(columns, rows), tuple(notes))


def table2(results: Sequence[Result] = ()) -> Table:
    """`table2(results)`: accuracy of every system on the ten domains, mean and S, beside the paper's Table 2."""
    return _accuracies("Table 2: sharing methods", 2, results, lambda system, group: not _is_made_from_others(group))


def table3(results: Sequence[Result] = ()) -> Table:
    """`table3(results)`: systems made from the trained domains of another one, with the row and the base they start from."""
    return _accuracies(
        "Table 3: soft sharing",
        3,
        results,
        lambda system, group: _is_made_from_others(group) or system == PROPOSED or _is_base(system),
    )


def _is_made_from_others(group: Iterable[Result]) -> bool:
    return any("sources" in result.options for result in group)


def _is_base(system: str) -> bool:
    return system.split("-")[0] == BASE_SYSTEM


def by_system(results: Iterable[Result]) -> Groups:
    """Results by system, in the order of the paper's rows and then by name; each in the order of the domains.

    A base network goes into the rows that it completes (see above) and keeps a row of its own where there are none.
    Raises `UserError` where results do not compare: other data, another split, two networks or base networks under one name.
    """
    results = list(results)
    for what, found in (("data", {r.data for r in results}), ("split", {r.split for r in results})):
        if len(found) > 1:
            raise UserError(
                f"The results are of different {what} ({', '.join(sorted(found))}), whose accuracies do not compare: "
                f"give the folder of one."
            )
    groups: Groups = {}
    for result in sorted(results, key=lambda r: _place(r.domain)):
        groups.setdefault(result.system, []).append(result)
    for system, group in groups.items():
        networks = {f"{r.backbone} of width {r.width}" for r in group}
        if len(networks) > 1:
            raise UserError(
                f"Row {system} mixes networks ({', '.join(sorted(networks))}): give the folders of one network."
            )
        _check_shared(system, group)
    _complete(groups)
    order = {name: place for place, name in enumerate(PAPER_ROWS)}
    return {name: groups[name] for name in sorted(groups, key=lambda name: (order.get(name, len(order)), name))}


def _check_shared(system: str, group: Iterable[Result]) -> None:
    """Raises `UserError` where a row's domains do not start from one base network, or do not share the same; older results, which
    do not say what they share, pass."""
    for what, hashes in (
        ("start from different base networks", {r.domain: r.base_hash for r in group if r.base_hash}),
        ("are made from different trained domains", {r.domain: r.shared_hash for r in group if r.shared_hash}),
    ):
        if len(set(hashes.values())) > 1:
            told = ", ".join(f"{domain} {content[:8]}" for domain, content in hashes.items())
            raise UserError(f"The domains of row {system} {what} ({told}): give the folders of one.")


def mixed_recipes(group: Sequence[Result]) -> str:
    """A note on a row whose domains were trained by recipes that differ in more than what a recipe sets for each domain; ""
    where there is nothing to say. The base network has a recipe of its own."""
    plans = [result.recipe for result in group if result.recipe.get("phase") not in (None, "pretrain")]
    keys = dict.fromkeys(key for plan in plans for key in plan if key not in OF_EACH_DOMAIN)
    mixed = [key for key in keys if any(plan.get(key) != plans[0].get(key) for plan in plans)]
    return f"The domains of {group[0].system} were trained with different {', '.join(mixed)}." if mixed else ""


def _place(domain: str) -> tuple[int, str]:
    """The ten as in the paper's tables, then domains of your own by name."""
    if is_official(domain):
        return DOMAINS.index(official_domain(domain).name), ""
    return len(DOMAINS), domain


def joint_rows(group: Sequence[Result]) -> list[ParameterRow]:
    """What all domains of one system need together: shared rows once (every result lists them), own rows each."""
    shared = {row.name: row for result in group for row in result.parameters if not row.domain}
    return [*shared.values(), *(row for result in group for row in result.parameters if row.domain)]


def _complete(groups: Groups) -> None:
    """Give each row the result of the base network that it started from, and drop the rows of bases that served."""
    bases = {name: groups[name] for name in groups if _is_base(name)}
    served = set()
    for system, group in groups.items():
        fitting = [name for name in bases if system not in bases and _starts(group[0], name, bases[name][0])]
        for base in bases[max(fitting, key=len)] if fitting else ():  # the longest name is the most particular base
            served.add(base.system)
            if all(result.domain != base.domain for result in group):
                group.insert(0, _base_in(group, base))
    for name in served:
        del groups[name]


def _starts(result: Result, base_system: str, base: Result) -> bool:
    """Whether the method of `result` starts from this base network."""
    made_for = base_system.removeprefix(BASE_SYSTEM).removeprefix(f"-{base.backbone}").removeprefix("-")
    same = (result.backbone, result.width, result.data) == (base.backbone, base.width, base.data)
    same = same and (result.base_hash == base.base_hash or not result.base_hash or not base.base_hash)
    return same and made_for in ("", result.method)


def _base_in(group: Sequence[Result], base: Result) -> Result:
    """The base network's result as one of a row: what the row's domains share is shared, the rest is the base's own."""
    shared = [row for row in group[0].parameters if not row.domain]
    counts = by_kind(shared)
    own = [(row, row.count - counts.get(row.kind, 0)) for row in base.parameters]
    rows = [replace(row, count=count, domain=base.domain) for row, count in own if count > 0]
    parameters = (*shared, *rows) if base.parameters else ()
    return replace(base, system=group[0].system, method=group[0].method, parameters=parameters)


def _accuracies(
    title: str, number: int, results: Sequence[Result], belongs: Callable[[str, Sequence[Result]], bool]
) -> Table:
    groups = {system: group for system, group in by_system(results).items() if belongs(system, group)}
    results = [result for group in groups.values() for result in group]
    scores = {system: _score(group) for system, group in groups.items()}
    common = _common(scores.values())
    columns = [Column("system", None), Column("from", None), Column("#par", 2)]
    columns += [Column(domain.abbreviation, 2) for domain in OFFICIAL]
    own = sorted({term.domain for score in scores.values() for term in score.own})
    columns += [Column(_own_title(domain), 2) for domain in own]
    columns += [Column("mean", 2), Column("S", 0), Column("S low", 0), Column("S high", 0), Column("S printed", 0)]
    if common:
        of = f" of {len(common)}"
        columns += [Column(f"mean{of}", 2), Column(f"S{of}", 0), Column(f"S low{of}", 0), Column(f"S high{of}", 0)]
    rows, groups_of_all = [], list(groups.values())
    for row in PAPER_ROWS.values():
        if row.table == number:
            rows.append(_paper_row(row, common))
            if row.system in groups:
                rows.append(_measured_row(groups.pop(row.system), scores[row.system], common))
    rows += [_measured_row(group, scores[system], common) for system, group in groups.items()]
    notes = ["Accuracy in per cent. S low, S high: 95 % parametric bootstrap over the test images alone, for the paper's "
             "rows with the sizes of the official test sets."]  # fmt: skip
    if number == 2:
        notes.append("Classifier Only is beside classifier+bn: almost surely it was trained with its own BN.")
        notes.append(
            "Classifier Only: the printed S, 2446, does not follow from the printed accuracies, which give 2456.9; rounding "
            "them to two decimals moves S by 4 points at most, so S or an accuracy is misprinted."
        )
    notes += filter(None, map(mixed_recipes, groups_of_all))
    notes += _result_notes(results, scores, common)
    return Table(title, tuple(columns), in_order(columns, rows), tuple(notes))


def _score(group: Iterable[Result]) -> Score:
    return decathlon_score({result.domain: (result.n_correct, result.n_test) for result in group})


def _common(scores: Iterable[Score]) -> tuple[str, ...]:
    """Official names of the domains that all measured rows have; none where no row lacks any."""
    present = [{official_domain(term.domain).name for term in score.terms} for score in scores if score.terms]
    if not present or all(len(names) == len(DOMAINS) for names in present):
        return ()
    return tuple(name for name in DOMAINS if all(name in names for names in present))


def _paper_row(row: PaperRow, common: Sequence[str]) -> Row:
    """Accuracies as printed, not as the nearest whole numbers of images."""
    name = f"{row.name} ({row.system})"
    cells: Row = {"system": name, "from": PAPER, "#par": row.size, "S printed": row.score}
    return cells | _scored(row.accuracy, paper_score(row), paper_score(row, common) if common else None)


def _measured_row(group: Sequence[Result], score: Score, common: Sequence[str]) -> Row:
    cells: Row = {"system": group[0].system, "from": group[0].data, "#par": _size(group)}
    accuracy = {official_domain(term.domain).name: 100 * term.accuracy for term in score.terms}
    counts = {t.domain: (t.n_correct, t.n_test) for t in score.terms if official_domain(t.domain).name in common}
    cells |= {_own_title(term.domain): 100 * term.accuracy for term in score.own}
    return cells | _scored(accuracy, score, decathlon_score(counts) if counts else None)


def _own_title(domain: str) -> str:
    """The title of a column of one's own, which is no other column's."""
    return f"{domain} (own)"


def _scored(accuracy: Mapping[str, float], score: Score, of_common: Score | None) -> Row:
    """accuracy: per cent by official name. of_common: the score over what all measured rows have, where one lacks some."""
    cells: Row = {domain.abbreviation: accuracy.get(domain.name) for domain in OFFICIAL}
    if score.complete:
        cells |= _sums(score, accuracy, "")
    if of_common is not None:
        cells |= _sums(of_common, accuracy, f" of {len(of_common.terms)}")
    return cells


def _sums(score: Score, accuracy: Mapping[str, float], of: str) -> Row:
    mean = sum(accuracy[official_domain(term.domain).name] for term in score.terms) / len(score.terms)
    return {f"mean{of}": mean, f"S{of}": score.total, f"S low{of}": score.low, f"S high{of}": score.high}


def _size(group: Sequence[Result]) -> float | None:
    """`#par` of the domains that are there; None where one of them recorded no parameters, or where a separable network of odd
    width has no plain one of half its width. A network that is no ResNet-26 is measured in the published one."""
    if not all(result.parameters for result in group):
        return None
    backbone, width = group[0].backbone, group[0].width
    separable_width = {"separable": width, "plain": 2 * width}.get(backbone, PUBLISHED_WIDTH["separable"])
    return None if separable_width % 2 else ledger_ratio(joint_rows(group), BARE, separable_width=separable_width)


def _result_notes(results: Sequence[Result], scores: Mapping[str, Score], common: Sequence[str]) -> list[str]:
    if not results:
        return []
    seconds: dict[str, float] = {}
    for result in results:
        seconds[result.system] = seconds.get(result.system, 0.0) + result.cost.seconds
    notes = [
        f"Measured on {results[0].data}, split {results[0].split}; trained on {_joined(r.trained_on for r in results)}.",
        "Training time in minutes, the base network's in each: "
        + ", ".join(f"{name} {s / 60:.1f}" for name, s in sorted(seconds.items()))
        + ".",
        f"#par of measured rows, over the domains that are there: {BARE}.",
    ]
    of_all = {t.domain: (t.n_correct, t.n_test) for s in scores.values() for t in s.terms}
    if of_all and (caveat := decathlon_score(of_all).e_max_caveat):
        notes.append(caveat)
    notes += [
        f"{system} lacks {', '.join(score.missing)}."
        for system, score in scores.items()
        if score.missing and score.terms
    ]
    if own := [f"{t.domain} of {s}: {100 * t.accuracy_low:.2f} .. {100 * t.accuracy_high:.2f} % (95 %, {t.n_test} images)"
               for s, score in scores.items() for t in score.own]:  # fmt: skip
        notes.append(f"Domains of your own are in no mean and no S. {'; '.join(own)}.")
    if common:
        notes.append(f"The last columns are over what all measured rows have: {', '.join(common)}.")
    return notes


def _joined(values: Iterable[str]) -> str:
    return ", ".join(sorted(set(values)))


def _bare_network(backbone: str) -> Row:
    counts = body_counts(backbone) | {"linear": head_parameters(backbone, 1000)}
    cells: Row = {"network": f"{backbone} ResNet-26", "from": ARITHMETIC}
    return cells | _counted(counts) | {"multiply-adds": backbone_multiply_adds(backbone, 1000)}


def _counted_system(system: str, method_rows: MethodRows, system_multiply_adds: SystemMultiplyAdds) -> Row:
    """One domain's network among ten: what is shared, plus its own part with a Linear of 1000 classes."""
    domain = DOMAINS[1]
    rows = [row for row in method_rows(system, PUBLISHED_CLASSES | {domain: 1000}) if row.domain in ("", domain)]
    cells: Row = {"network": system, "from": ARITHMETIC, "multiply-adds": system_multiply_adds(system, 1000)}
    return cells | _counted(by_kind(rows), own_parameters(rows, domain))


def _measured_system(group: Sequence[Result]) -> Row:
    further = [result for result in group if result.domain.removeprefix(MINI_PREFIX) != BASE]
    result = (further or list(group))[0]
    own = own_parameters(result.parameters, result.domain) if result.parameters else None
    cells: Row = {"network": f"{result.system} on {result.domain}", "from": result.data}
    return cells | _counted(by_kind(result.parameters), own) | {"multiply-adds": result.multiply_adds}


def _counted(counts: Mapping[str, int], own: int | None = None) -> Row:
    """The cells of one network's parameters by kind, of which `own` belong to its domain."""
    total = sum(counts.values())
    other = sum(count for kind, count in counts.items() if kind not in PART_COLUMNS)
    return {
        **{kind: counts.get(kind) for kind in PART_COLUMNS},
        "other": other or None,
        "total": total or None,
        "pointwise %": 100 * counts["pointwise"] / total if counts.get("pointwise") else None,
        "own": own,
        "own %": 100 * own / total if own is not None and total else None,
    }
