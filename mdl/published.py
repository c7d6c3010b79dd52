"""What is published: the ten domains of the Visual Decathlon and every row of the paper's Tables 2 and 3. No torch.

    row = PAPER_ROWS["pointwise-sharing"]     # "Proposed" in Table 2: 1x, S = 3507
    row.accuracy["dtd"]                       # 55.48, per cent
    official_domain("mini-dtd").max_error     # 0.8894: the ten names, plain or with the prefix `mini-`

The scores printed in the paper follow from its printed accuracies within 4 points (the accuracies have two decimals),
but for one: Classifier Only prints 2446, and its accuracies give 2456.9. Rounding of the accuracies moves S by at most 4
points, so it or an accuracy is misprinted; both are kept as printed. The mean of the ten
accuracies of the row `late` is 77.35.

Sources: Guo et al., AAAI 2019 (accuracies, scores, #par); Rebuffi, Bilen and Vedaldi, NeurIPS 2017 (largest errors);
the official test annotations (numbers of images and classes).
"""

from __future__ import annotations

from dataclasses import dataclass

from data_prep.common.errors import UserError

MINI_PREFIX = "mini-"
"""What the names of the embedded miniature decathlon begin with; the rest is the official name."""

BASE = "imagenet12"
"""The domain that every method starts from."""


@dataclass(frozen=True, slots=True)
class OfficialDomain:
    """One domain. `max_error` is E_max, the error at which a domain stops to score, in [0, 1]."""

    name: str
    abbreviation: str
    n_classes: int
    n_test: int
    max_error: float


@dataclass(frozen=True, slots=True)
class PaperRow:
    """One printed row. accuracy: per cent by official domain name; size: the printed `#par`, None in Table 3."""

    table: int
    system: str
    name: str
    size: str | None
    accuracy: dict[str, float]
    score: int


OFFICIAL = (
    OfficialDomain("imagenet12", "ImNet", 1000, 48_238, 0.8026),
    OfficialDomain("aircraft", "Airc", 100, 3_333, 0.7932),
    OfficialDomain("cifar100", "C100", 100, 10_000, 0.3576),
    OfficialDomain("daimlerpedcls", "DPed", 2, 19_600, 0.1436),
    OfficialDomain("dtd", "DTD", 47, 1_880, 0.8894),
    OfficialDomain("gtsrb", "GTSR", 43, 12_630, 0.0494),
    OfficialDomain("vgg-flowers", "Flwr", 102, 6_149, 0.3718),
    OfficialDomain("omniglot", "OGlt", 1623, 8_115, 0.2462),
    OfficialDomain("svhn", "SVHN", 10, 26_032, 0.0690),
    OfficialDomain("ucf101", "UCF", 101, 3_783, 0.9760),
)
"""In the order of the paper's tables."""

DOMAINS = tuple(domain.name for domain in OFFICIAL)

_BY_NAME = {domain.name: domain for domain in OFFICIAL}


def official_domain(name: str) -> OfficialDomain:
    """`official_domain("svhn")` or `official_domain("mini-svhn")`; raises `UserError` for any other name."""
    domain = _BY_NAME.get(name.removeprefix(MINI_PREFIX))
    if domain is None:
        raise UserError(
            f"{name!r} is no domain of the decathlon: give one of {', '.join(DOMAINS)}, or one of them behind `{MINI_PREFIX}`."
        )
    return domain


def is_official(name: str) -> bool:
    """Whether `official_domain(name)` knows the name."""
    return name.removeprefix(MINI_PREFIX) in _BY_NAME


def _row(table: int, system: str, name: str, size: str | None, score: int, *accuracy: float) -> PaperRow:
    return PaperRow(table, system, name, size, dict(zip(DOMAINS, accuracy, strict=True)), score)


PAPER_ROWS = {
    row.system: row
    for row in (
        _row(2, "series-adapters", "Serial RA", "2x", 2621,
             59.67, 61.87, 81.20, 93.88, 57.13, 97.57, 81.67, 89.62, 96.13, 50.12),
        _row(2, "parallel-adapters", "Parallel RA", "2x", 3412,
             60.32, 64.21, 81.91, 94.73, 58.83, 99.38, 84.68, 89.21, 96.54, 50.94),
        _row(2, "dan", "DAN", "2.17x", 2851,
             57.74, 64.12, 80.07, 91.30, 56.64, 98.46, 86.05, 89.67, 96.77, 49.38),
        _row(2, "piggyback", "Piggyback", "1.28x", 2838,
             57.69, 65.29, 79.87, 96.99, 57.45, 97.27, 79.09, 87.63, 97.24, 47.48),
        _row(2, "individual", "Individual", "5x", 2756,
             63.99, 65.71, 78.26, 88.29, 52.19, 98.76, 83.17, 90.04, 96.84, 48.35),
        _row(2, "classifier+bn", "Classifier Only", "0.6x", 2446,
             63.99, 51.04, 75.32, 94.49, 54.21, 98.48, 84.47, 86.66, 95.14, 43.75),
        _row(2, "depthwise-sharing", "Depthwise Sharing", "4x", 3234,
             63.99, 67.42, 74.46, 95.60, 54.85, 98.52, 87.34, 89.88, 96.62, 50.39),
        _row(2, "pointwise-sharing", "Proposed", "1x", 3507,
             63.99, 61.06, 81.20, 97.00, 55.48, 99.27, 85.67, 89.12, 96.16, 49.33),
        _row(3, "soft-sharing-early", "early", None, 3102,
             63.99, 58.69, 81.01, 95.44, 55.75, 98.75, 84.90, 88.80, 96.18, 48.86),
        _row(3, "soft-sharing-middle", "middle", None, 3086,
             63.99, 59.11, 80.93, 95.33, 54.74, 98.71, 85.42, 88.93, 96.09, 48.91),
        _row(3, "soft-sharing-late", "late", None, 3303,
             63.99, 58.81, 80.93, 96.63, 54.74, 98.91, 84.79, 89.35, 96.30, 49.01),
    )
}  # fmt: skip
"""By the name that the same system has here; "Classifier Only" was almost surely trained with its BN layers."""
