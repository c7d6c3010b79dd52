"""What the check of a whole set finds: every fault counted, the first of them kept.

    faults = Findings(limit=20)
    faults.add("index.csv", 7, "the image is missing; put it there.")
    CheckReport(root=root, n_faults=faults.n, faults=tuple(faults.first), n_warnings=0, warnings=())

A fault makes something unusable; a warning says what looks wrong but changes no number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path

from data_prep.common.errors import UserError


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault or a warning: in which file, where in it, and one sentence.

    place: a row, counted as in a spreadsheet, where the header is row 1; or an entry in words.
    """

    file: str
    place: int | str
    sentence: str

    def __str__(self) -> str:
        place = f"row {self.place}" if isinstance(self.place, int) else self.place
        return f"{self.file}, {place}: {self.sentence}"


LIMIT = 20
"""How many faults, and how many warnings, a check keeps unless asked for more or fewer."""


@dataclass
class Findings:
    """Counts every finding and keeps the first `limit`. Raises `UserError` for a limit below 0.

    >>> faults = Findings(limit=1)
    >>> faults.add("index.csv", 7, "the image is missing; put it there.")
    >>> faults.add("index.csv", 9, "the image is missing; put it there.")
    >>> faults.n, [str(fault) for fault in faults.first]
    (2, ['index.csv, row 7: the image is missing; put it there.'])
    """

    limit: int
    n: int = 0
    first: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.limit < 0:
            raise UserError(f"`limit` is {self.limit}: give 0 or the number of faults to show.")

    def add(self, file: str, place: int | str, sentence: str) -> None:
        self.n += 1
        if len(self.first) < self.limit:
            self.first.append(Finding(file, place, sentence))


@dataclass(frozen=True, kw_only=True)
class CheckReport:
    """What was found; a subclass adds what was looked at, as fields `n_...`."""

    root: Path
    n_faults: int
    faults: tuple[Finding, ...]
    n_warnings: int
    warnings: tuple[Finding, ...]

    def findings(self) -> Iterator[tuple[str, Finding]]:
        """("fault" or "warning", what was found), faults first."""
        yield from (("fault", fault) for fault in self.faults)
        yield from (("warning", warning) for warning in self.warnings)

    def left_out(self) -> Iterator[str]:
        """A line about the faults, and one about the warnings, that were counted but not kept."""
        for what, n, first in (("fault", self.n_faults, self.faults), ("warning", self.n_warnings, self.warnings)):
            if n > len(first):
                yield f"{what}: {n - len(first):,} more, not shown; raise `limit` to see them."

    def counts(self) -> dict[str, int]:
        """What was looked at and found, by name: images, ..., faults, warnings.

        >>> report = CheckReport(root=Path("broden"), n_faults=0, faults=(), n_warnings=3, warnings=())
        >>> report.counts(), list(report.left_out())
        ({'faults': 0, 'warnings': 3}, ['warning: 3 more, not shown; raise `limit` to see them.'])
        """
        found = ["n_faults", "n_warnings"]
        names = [f.name for f in fields(self) if f.name.startswith("n_") and f.name not in found] + found
        return {name.removeprefix("n_").replace("_", " "): getattr(self, name) for name in names}
