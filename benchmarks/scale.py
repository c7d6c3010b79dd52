"""Bytes and seconds of a dissection that nobody has run yet, from rates that were measured: what `docs/scale.md` says.

    python benchmarks/scale.py

prints the tables of that page. `Case` says how large it is, `Rates` what was measured; the formulas are below, one line each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dissect.thresholds import UpperTail

QUANTILE = 0.995
LABEL_AREA = 112 * 112
"""Pixels of a label map of Broden."""

KEPT_SHARE = {112: 0.90, 56: 0.84, 28: 0.78, 14: 0.58, 7: 0.33}
"""By the side of a map: the share of maps that can still pass when they are seen, over a whole pass. Measured on photographs,
efficientnet_lite0 and ResNet-50; that of 112 by extension. The larger a map, the likelier one of its values is among the top."""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """CPU seconds on one core: for each image, each value of its maps, each image and unit. AMD EPYC at 2.6 GHz (Zen 4)."""

    forward: float
    read: float = 0.9e-3
    labels: float = 1.4e-3
    thresholds: float = 4.5e-9
    tally: float = 0.8e-6


@dataclass(frozen=True, kw_only=True)
class Case:
    """units: their number by the side of their maps. n_processes: each has tails and count tables of its own."""

    n_images: int
    units: Mapping[int, int]
    n_concepts: int
    n_folds: int = 1
    n_processes: int = 1

    @property
    def n_units(self) -> int:
        """
        >>> CASES["ResNet-50, all convolutions"].n_units
        26560
        """
        return sum(self.units.values())

    @property
    def n_values(self) -> int:
        """Of all maps of one image."""
        return sum(n * side * side for side, n in self.units.items())

    @property
    def tail_bytes(self) -> int:
        """0.5 % of all activations and a quarter more, float32.

        >>> Case(n_images=1000, units={10: 1}, n_concepts=1).tail_bytes // 4      # of 100,000 values
        757
        """
        return self.n_processes * sum(
            UpperTail.bytes_needed(n, self.n_images * side * side, QUANTILE) for side, n in self.units.items()
        )

    @property
    def candidate_bytes(self) -> int:
        """Maps that wait for their threshold, in one pass."""
        return int(self.n_images * sum(n * side * side * 4 * KEPT_SHARE[side] for side, n in self.units.items()))

    @property
    def count_bytes(self) -> int:
        """Tables of (units, concepts), one for each fold: int32 where no count can pass 2^31, else int64.

        >>> Case(n_images=63_305, units={7: 1000}, n_concepts=1000).count_bytes
        4000000
        >>> Case(n_images=10**7, units={7: 1000}, n_concepts=1000).count_bytes
        8000000
        """
        width = 4 if self.n_images * LABEL_AREA < 2**31 else 8
        return self.n_processes * self.n_folds * self.n_units * self.n_concepts * width

    @property
    def label_bytes(self) -> int:
        """Label planes, compressed: 5,600 bytes an image, measured on photographs with 337 concepts."""
        return self.n_images * 5600

    def seconds(self, rates: Rates, *, two_passes: bool = False) -> dict[str, float]:
        """CPU seconds by stage. two_passes: as where the candidates would take too much disk.

        >>> {name: round(s) for name, s in CASES["efficientnet_lite0, 2,800 units"].seconds(Rates(forward=18.7e-3)).items()}
        {'forward': 54, 'read': 3, 'labels': 4, 'thresholds': 3, 'tally': 6}
        """
        n = self.n_images
        passes = 2 if two_passes else 1
        return {
            "forward": passes * n * rates.forward,
            "read": passes * n * rates.read,
            "labels": n * rates.labels,
            "thresholds": passes * n * self.n_values * rates.thresholds,
            "tally": n * self.n_units * rates.tally,
        }


RESNET50 = {112: 64, 56: 1536, 28: 3712, 14: 10_496, 7: 10_752}
"""Its 53 convolutions, by the side of their maps at 224 pixels."""

BRODEN = {"n_images": 63_305, "n_concepts": 1197}
LITE0_RATES, RESNET50_RATES = Rates(forward=18.7e-3), Rates(forward=100e-3)
CASES = {
    "efficientnet_lite0, 2,800 units": Case(n_images=2862, units={14: 592, 7: 2208}, n_concepts=337),
    "ResNet-50, ends of 4 stages": Case(units={56: 256, 28: 512, 14: 1024, 7: 2048}, n_folds=10, **BRODEN),
    "ResNet-50, all convolutions": Case(units=RESNET50, n_folds=10, **BRODEN),
    "100,000 units, 10 M images": Case(n_images=10**7, units={14: 50_000, 7: 50_000}, n_concepts=1197, n_processes=8),
}
CPU_RATES = [LITE0_RATES, RESNET50_RATES, RESNET50_RATES, RESNET50_RATES]


def memory_limit(units: Mapping[int, int], n_bytes: int) -> int:
    """Images beyond which the tails alone pass `n_bytes`.

    >>> memory_limit(RESNET50, 16 * 2**30)
    61831
    """
    return int(n_bytes / (4 * 1.25 * (1 - QUANTILE) * sum(n * side * side for side, n in units.items())))


def table() -> str:
    """The cases: gigabytes, and CPU hours on one core by stage, in one pass and in two."""
    lines = [f"{'':32} {'tails':>10} {'candidates':>11} {'counts':>7} {'labels':>7}   GB"]
    lines += [
        f"{name:32} {case.tail_bytes / 1e9:10,.2f} {case.candidate_bytes / 1e9:11,.1f} {case.count_bytes / 1e9:7,.2f} "
        f"{case.label_bytes / 1e9:7,.2f}"
        for name, case in CASES.items()
    ]
    stages = ("forward", "read", "labels", "thresholds", "tally")
    lines += ["", f"{'':32} " + " ".join(f"{name:>10}" for name in (*stages, "all", "two passes")) + "   CPU hours"]
    for (name, case), rates in zip(CASES.items(), CPU_RATES, strict=True):
        seconds = case.seconds(rates)
        two_passes = sum(case.seconds(rates, two_passes=True).values())
        hours = [s / 3600 for s in (*(seconds[stage] for stage in stages), sum(seconds.values()), two_passes)]
        lines.append(f"{name:32} " + " ".join(f"{each:10,.3f}" for each in hours))
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
