"""Does a run stay calm, whatever else the machine does? Ends with status 1, and says which limit was missed, if not.

    python benchmarks/check_cpu_seconds.py                            # efficientnet_lite0 on the embedded set
    python benchmarks/check_cpu_seconds.py --data path/to/broden

Two limits, each for the median over the rounds, of which there are no more than it takes to keep them:

- CPU seconds (user and system) of `dissect.run` are at most 1.3 times those of a bare forward pass on one thread: with
  OMP_NUM_THREADS unset, with 16, and beside 8 processes that only spin.
- Wall seconds beside them are at most 1.5 times the fair share: what the run would take if each of its lanes got as much of the
  machine as each spinning process. Of the CPUs that run and spinning processes had together (their CPU seconds / wall seconds:
  both cores of a machine of two, or what other work left of them) L lanes beside S processes get L / (L + S), so the fair share
  is (CPU seconds of the run) / (CPUs * L / (L + S)). On a machine of more than 8 CPUs S is their number, so that none idles.

In: reading and decoding images and labels, the listing of layers, the forward pass, thresholds, tally, hashing, tables. Out, on
both sides: starting Python, loading libraries, network and the tables of the set, and the first eight images, which go the same
way beforehand so that everything is loaded and compiled (`work.py`). The report is out. The bare pass reads the same images and
shows them to the whole network, without labels, taps or thresholds. Its CPU seconds are taken under the same load as those of the
run that they are compared with, as a busy processor does less in a second.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from made_sets import embedded, made_set
from timing import Timed, median, spinning, timed
from work import LAYERS, NETWORK

from data_prep.common.devices import usable_cpus

CPU_LIMIT = 1.3
WALL_LIMIT = 1.5
N_SPINNING = 8
WORK = (sys.executable, str(Path(__file__).with_name("work.py")))


@dataclass(frozen=True, kw_only=True)
class Found:
    """Seconds of the bare pass and of the run in one round. share: CPUs that were the run's by right, beside others."""

    circumstances: str
    bare_cpu: float
    run_cpu: float
    run_wall: float
    share: float | None = None

    @property
    def cpu_ratio(self) -> float:
        """CPU seconds of the run / those of the bare pass."""
        return self.run_cpu / self.bare_cpu

    @property
    def wall_ratio(self) -> float:
        """Wall seconds of the run / those of the fair share."""
        return self.run_wall * self.share / self.run_cpu if self.share else 0.0


def one_round(bare: Sequence[str], run: Sequence[str]) -> list[Found]:
    """Each circumstance once. bare, run: commands of `work.py`, the bare pass with one lane."""
    found = []
    for omp in (None, "16"):
        environment = {"OMP_NUM_THREADS": omp}
        found.append(_found(f"OMP_NUM_THREADS {omp or 'unset'}", timed(bare, environment), timed(run, environment)))
    return [*found, beside_spinning(bare, run)]


def beside_spinning(bare: Sequence[str], run: Sequence[str]) -> Found:
    """One round beside processes that spin."""
    lanes, n = usable_cpus(), max(N_SPINNING, usable_cpus())
    with spinning(n):
        bare_took = timed(bare)
    with spinning(n) as spinners:
        took = timed(run)
    cpus = (spinners.cpu + took.cpu) / took.wall
    return _found(f"beside {n} spinning processes", bare_took, took, cpus * lanes / (lanes + n))


def _found(circumstances: str, bare: Timed, run: Timed, share: float | None = None) -> Found:
    found = Found(
        circumstances=circumstances,
        bare_cpu=bare.said["cpu"],
        run_cpu=run.said["cpu"],
        run_wall=run.said["wall"],
        share=share,
    )
    wall = f", wall / fair share {found.wall_ratio:.2f}" if share else ""
    print(
        f"{circumstances}: run {found.run_cpu:.1f} CPU s in {found.run_wall:.1f} s, bare forward pass {found.bare_cpu:.1f} "
        f"CPU s, ratio {found.cpu_ratio:.2f}{wall}",
        flush=True,
    )
    return found


def missed(found: Sequence[Found]) -> list[str]:
    """A sentence for each limit that was missed.

    >>> calm = Found(circumstances="beside 8 spinning processes", bare_cpu=10, run_cpu=12, run_wall=40, share=0.4)
    >>> missed([calm])
    []
    >>> missed([Found(circumstances="OMP_NUM_THREADS 16", bare_cpu=10, run_cpu=40, run_wall=40)])
    ['OMP_NUM_THREADS 16: a run takes 4.00 times the CPU seconds of a bare forward pass; at most 1.3 are allowed.']
    """
    sentences = []
    for name in dict.fromkeys(each.circumstances for each in found):
        cpu = median([each.cpu_ratio for each in found if each.circumstances == name])
        wall = median([each.wall_ratio for each in found if each.circumstances == name])
        if cpu > CPU_LIMIT:
            sentences.append(
                f"{name}: a run takes {cpu:.2f} times the CPU seconds of a bare forward pass; at most {CPU_LIMIT} are allowed."
            )
        if wall > WALL_LIMIT:
            sentences.append(
                f"{name}: a run takes {wall:.2f} times its fair share of wall; at most {WALL_LIMIT} are allowed."
            )
    return sentences


def main(
    data: Path | None = None,
    n_images: int | None = None,
    network: str = NETWORK,
    layers: tuple[str, ...] = LAYERS,
    batch_size: int = 4,
    rounds: int = 3,
) -> int:
    """Measure, print, and end with status 1 where a limit is missed.

    Args:
        data: A label set in the Broden layout; the embedded one if not given.
        n_images: So many of its images, some of them several times where there are fewer; all of them if not given.
        network: The network.
        layers: Its layers; depthwise and pointwise convolutions among them.
        batch_size: Images in a batch of the bare pass.
        rounds: So many rounds at most; medians so far within the limits end it.
    """
    with tempfile.TemporaryDirectory() as folder:
        data = data or embedded()
        if n_images:
            data = made_set(Path(folder) / "set", data=data, n_images=n_images)
        of_both = ["--network", network, "--data", str(data)]
        bare = [*WORK, "bare", *of_both, "--batch-size", str(batch_size)]
        found: list[Found] = []
        for _ in range(rounds):
            found += one_round(bare, [*WORK, "run", *of_both, "--layers", *layers])
            sentences = missed(found)
            if not sentences:
                break
    for sentence in sentences:
        print(sentence)
    return 1 if sentences else 0


if __name__ == "__main__":
    sys.exit(tyro.cli(main, description=(__doc__ or "").partition("\n")[0]))
