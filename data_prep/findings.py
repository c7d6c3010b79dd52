"""What the check of a whole set finds: every fault counted, the first of them told.

    faults, warnings = Findings(limit=20), Findings(limit=20)
    faults.add("index.csv", 7, "the image is missing; put it there.")
    for line in CheckReport(root, faults.n, tuple(faults.first), 0, ()).lines(): print(line)

A fault makes something unusable; a warning tells what looks wrong but changes no number.
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


@dataclass
class Findings:
    """Counts every finding and keeps the first `limit`. Raises `UserError` for a limit below 0."""

    limit: int
    n: int = 0
    first: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.limit < 0:
            raise UserError(f"limit is {self.limit}: give 0 or the number of faults to tell.")

    def add(self, file: str, place: int | str, sentence: str) -> None:
        self.n += 1
        if len(self.first) < self.limit:
            self.first.append(Finding(file, place, sentence))


@dataclass(frozen=True)
class CheckReport:
    """What was found; a subclass adds what was looked at, as fields `n_...`."""

    root: Path
    n_faults: int
    faults: tuple[Finding, ...]
    n_warnings: int
    warnings: tuple[Finding, ...]

    def lines(self) -> Iterator[str]:
        """The report as a command prints it: the findings, then all counts."""
        for what, n, first in (("fault", self.n_faults, self.faults), ("warning", self.n_warnings, self.warnings)):
            yield from (f"{what}: {finding}" for finding in first)
            if n > len(first):
                yield f"{what}: {n - len(first):,} more, not told; raise --limit to read them."
        yield str(self.root)
        found = ["n_faults", "n_warnings"]
        counts = [f.name for f in fields(self) if f.name.startswith("n_") and f.name not in found] + found
        words = [name.removeprefix("n_").replace("_", " ") for name in counts]
        for name, word in zip(counts, words, strict=True):
            yield f"  {word:{max(map(len, words))}}  {getattr(self, name):>9,}"
