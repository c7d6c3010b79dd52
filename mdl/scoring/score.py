"""The decathlon score with its parts and its interval. No torch.

>>> score = decathlon_score({"svhn": (25_032, 26_032), "dtd": (1_043, 1_880)})     # domain: (n_correct, n_test)
>>> f"{score.total:.1f}", score.complete                       # over the two domains given, not the ten
('445.9', False)
>>> score.low < score.total < score.high                        # 95 % interval
True
>>> [f"{term.domain} {term.points:.1f}" for term in score.terms]    # what each domain adds
['dtd 249.4', 'svhn 196.5']

    S = sum over domains of 1000 * max(0, E_max - E)^2 / E_max^2,     E = top-1 error on the test images

A domain without an error adds 1000 points, so that the ten give 10,000. The interval is a parametric bootstrap: each
domain's number of correct images is drawn again and again from a binomial law, independently of the others, S is computed
of each draw, and the bounds are quantiles of these. It says what the finite test sets leave open and nothing else: not the seed
of the training, not the choice of a recipe. A domain's accuracy has Wilson's binomial interval.

E_max belongs to the official test sets (twice the error of a published baseline). On other images under the same names,
the `mini-` domains among them, S orders the systems of one table and says nothing beside published scores; `caveat`
says so where the numbers of test images are not the official ones.

Sources: Rebuffi, Bilen and Vedaldi, NeurIPS 2017 (the score); Wilson 1927 (the interval of a share).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from data_prep.common.errors import UserError
from mdl.published import DOMAINS, MINI_PREFIX, PaperRow, is_official, official_domain


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """What one domain adds. Accuracy and its 95 % interval lie in [0, 1], points in [0, 1000]; 0 for a domain of your own."""

    domain: str
    n_correct: int
    n_test: int
    accuracy_low: float
    accuracy_high: float
    points: float

    @property
    def accuracy(self) -> float:
        return self.n_correct / self.n_test


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The sum over `terms`, in the order of the paper's tables. `std` is the bootstrap's standard deviation of S.

    own: the terms of domains of your own, which have no E_max and are in no sum.
    """

    terms: tuple[Term, ...]
    total: float
    low: float
    high: float
    std: float
    own: tuple[Term, ...] = ()

    @property
    def mean_accuracy(self) -> float:
        """Mean of the accuracies over `terms`, each with the same weight, in [0, 1]; over `own` where there are no others."""
        terms = self.terms or self.own
        return sum(term.accuracy for term in terms) / len(terms)

    @property
    def missing(self) -> tuple[str, ...]:
        """Official names of the domains that have no term."""
        present = {term.domain.removeprefix(MINI_PREFIX) for term in self.terms}
        return tuple(name for name in DOMAINS if name not in present)

    @property
    def complete(self) -> bool:
        """Whether all ten domains are there: only then is `total` the decathlon score."""
        return not self.missing

    @property
    def e_max_caveat(self) -> str:
        """What to know before setting `total` beside a published score; "" where the test sets are the official ones."""
        other = [
            t.domain for t in self.terms if t.domain not in DOMAINS or t.n_test != official_domain(t.domain).n_test
        ]
        if not other:
            return ""
        return (
            f"E_max is that of the official test sets, which {', '.join(other)} here are not: "
            f"S orders systems on the same data and is no match for a published score."
        )

    @property
    def caveat(self) -> str:
        """`e_max_caveat`, and the domains that are missing from the sum; "" where there is nothing to say."""
        missing = own = ""
        if self.missing and self.terms:
            missing = f"S is summed over {len(self.terms)} of 10 domains; missing: {', '.join(self.missing)}."
        if self.own:
            names = ", ".join(term.domain for term in self.own)
            own = f"S holds for the ten domains of the decathlon alone: {names} {'are' if self.own[1:] else 'is'} not in it."
        return " ".join(filter(None, (self.e_max_caveat, missing, own)))


def points(domain: str, error: float | np.ndarray) -> float | np.ndarray:
    """What a top-1 error in [0, 1] earns in a domain, 0 to 1000.

    >>> float(points("svhn", 0.0345)), float(points("svhn", 0.07))
    (250.0, 0.0)
    """
    return 1000 * np.maximum(0.0, 1 - error / official_domain(domain).max_error) ** 2


def decathlon_score(
    counts: Mapping[str, tuple[int, int]], level: float = 0.95, n_draws: int = 10_000, seed: int = 0
) -> Score:
    """`decathlon_score({domain: (n_correct, n_test)})`; equal seeds give equal bounds.

    Domains of other names than the ten are your own: they have accuracies and intervals and are in no sum.
    Raises `UserError` for one of the ten given twice (plain and with `mini-`), none at all, or counts that
    cannot be.
    """
    if not counts:
        raise UserError(
            "There is no domain to score: give at least one, with its counts of correct and of all test images."
        )
    if not 0 < level < 1 or n_draws < 100:
        raise UserError(
            f"No interval at level {level} from {n_draws} draws: give a level between 0 and 1 and 100 draws or more."
        )
    ordered = sorted(
        (item for item in counts.items() if is_official(item[0])),
        key=lambda item: DOMAINS.index(official_domain(item[0]).name),
    )
    names = [official_domain(name).name for name, _ in ordered]
    if len(set(names)) < len(names):
        raise UserError(
            f"A domain comes twice in {', '.join(counts)}: score the official and the `{MINI_PREFIX}` domains apart."
        )
    generator = np.random.default_rng(seed)
    draws = np.zeros(n_draws)
    terms = []
    for name, (n_correct, n_test) in ordered:
        terms.append(_term(name, n_correct, n_test, level))
        # Half a success and half a failure are added, else a domain without an error would claim no uncertainty.
        drawn = generator.binomial(n_test, (n_correct + 0.5) / (n_test + 1), n_draws)
        draws += points(name, 1 - drawn / n_test)
    own = [_term(name, *of_own, level) for name, of_own in sorted(counts.items()) if not is_official(name)]
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    total = sum(term.points for term in terms)
    return Score(
        terms=tuple(terms),
        total=total,
        low=min(float(low), total),
        high=max(float(high), total),
        std=float(draws.std(ddof=1)),
        own=tuple(own),
    )


def _term(name: str, n_correct: int, n_test: int, level: float) -> Term:
    """Counts of one domain, with its interval and what it earns."""
    if n_test < 1 or not 0 <= n_correct <= n_test or int(n_correct) != n_correct or int(n_test) != n_test:
        raise UserError(
            f"Domain {name} has {n_correct} correct of {n_test} test images; give whole numbers with 0 <= correct <= images."
        )
    low, high = wilson(n_correct, n_test, level)
    earned = float(points(name, 1 - n_correct / n_test)) if is_official(name) else 0.0
    return Term(domain=name, n_correct=n_correct, n_test=n_test, accuracy_low=low, accuracy_high=high, points=earned)


def score_of_accuracies(accuracy: Mapping[str, float]) -> float:
    """S of accuracies in per cent, as tables print them.

    >>> round(score_of_accuracies({"dtd": 55.48}), 1)
    249.4
    """
    return float(sum(points(name, 1 - percent / 100) for name, percent in accuracy.items()))


def paper_score(row: PaperRow, domains: Iterable[str] = DOMAINS) -> Score:
    """`paper_score(PAPER_ROWS["piggyback"])`: S of a printed row with the interval that the official test sets leave it.

    Points and total are of the accuracies as printed; counts are the nearest whole numbers of test images to them.
    """
    chosen = [official_domain(name) for name in domains]
    counts = {d.name: (round(row.accuracy[d.name] / 100 * d.n_test), d.n_test) for d in chosen}
    score = decathlon_score(counts)
    terms = tuple(replace(t, points=float(points(t.domain, 1 - row.accuracy[t.domain] / 100))) for t in score.terms)
    return replace(score, terms=terms, total=sum(term.points for term in terms))


def wilson(n_correct: int, n_test: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share.

    >>> ["%.3f" % bound for bound in wilson(50, 100)]
    ['0.404', '0.596']
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = n_correct / n_test
    middle = share + z * z / (2 * n_test)
    half = z * math.sqrt(share * (1 - share) / n_test + (z / (2 * n_test)) ** 2)
    scale = 1 + z * z / n_test
    # Rounding must not put the share itself outside, as it would at 0 and 1.
    return max(0.0, min(share, (middle - half) / scale)), min(1.0, max(share, (middle + half) / scale))
