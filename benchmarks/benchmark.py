"""What dissection costs beside a bare forward pass, and how that grows: a table of ratios, and one picture.

    python benchmarks/benchmark.py                                    # the embedded set, networks that come along
    python benchmarks/benchmark.py --data path/to/broden --rounds 5
    python benchmarks/benchmark.py --only whole lanes --rounds 5

Works run in processes of their own, in turn with the bare forward pass that they are compared with, since machines drift: quote
ratios. The bare pass takes the batch size that is fastest here, and as many lanes of one thread as the run beside it.

    whole      the run without its report; the report alone; the bare pass on one lane and on all
    shipped    the same for a network that ships with the toolkit
    lanes      1 to as many as there are CPUs to use
    images, units, concepts, maps      each varied alone, on part of the set
    dense      the tally as one would write it first: every map upsampled, every pixel compared
    memory     the peak of memory for so many times the images (--many)
    busy       CPU and wall seconds beside processes that spin, and their limits: `check_cpu_seconds.py`

`--out` gets benchmark.csv, one row for each work with medians over the rounds, and benchmark.png. Columns: wall and cpu, seconds
of the work alone (`work.py`), and their ratios to the bare pass's; process_wall, from start to end; read, forward, thresholds,
tally, again, the run's own stages as its loop waits for them (forward includes read); rest, what is left: layers, hashes, tables.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import check_cpu_seconds
import pandas as pd
import tyro
from made_sets import embedded, made_set
from picture import draw
from timing import Timed, in_turn, median, timed
from work import LAYERS, NETWORK

from data_prep import open_broden
from data_prep.common.devices import usable_cpus
from data_prep.common.files import write_bytes

Section = Literal["whole", "shipped", "lanes", "images", "units", "concepts", "maps", "dense", "memory", "busy"]
SHIPPED = "mdl:imagenet12", ("18", "20", "22")
STAGES = {"read": "read", "forward": "forward", "thresholds": "thresholds", "tally": "tally", "again": "forward again"}
BATCH_SIZES = (2, 4, 8, 16)
IMAGE_SIZES = (96, 160, 224, 288)


@dataclass(kw_only=True)
class Benchmark:
    """data: folder of the label set. part: of a smaller one made of it. n: CPUs to use. rows: the table. missed: limits."""

    network: str
    layers: tuple[str, ...]
    data: Path
    part: Path
    folder: Path
    rounds: int
    many: int
    n: int = field(default_factory=usable_cpus)
    batch_size: int = 4
    rows: list[dict[str, object]] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    def work(self, name: str, **options: object) -> Timed:
        """One process of `work.py`; an option that is a tuple has several values, one that is None is left out."""
        words = [*check_cpu_seconds.WORK, name]
        for option, value in options.items():
            values = value if isinstance(value, tuple) else (value,)
            words += [f"--{option.replace('_', '-')}", *map(str, values)] if value is not None else []
        return timed(words)

    def compare(
        self,
        section: str,
        value: object,
        *,
        network: str | None = None,
        layers: tuple[str, ...] = (),
        data: Path | None = None,
        lanes: int | None = None,
        image_size: int | None = None,
        categories: tuple[str, ...] = (),
    ) -> None:
        """A run and the bare pass that goes with it, in turn; adds the row `value` of the section."""
        of_both: dict[str, object] = {
            "network": network or self.network,
            "data": data or self.part,
            "image_size": image_size,
        }
        of_run = {"layers": layers or self.layers, "categories": categories or None, "workers": lanes}
        took = in_turn(
            self.rounds,
            bare=partial(self.work, "bare", lanes=lanes or self.n, batch_size=self.batch_size, **of_both),
            run=partial(self.work, "run", **of_both, **of_run),
        )
        self.add(section, value, took["run"], took["bare"], lanes=lanes or self.n)

    def add(
        self, section: str, value: object, took: Sequence[Timed], bare: Sequence[Timed] = (), **columns: object
    ) -> None:
        """A row of medians; ratios are those of each round with its bare pass."""
        said = [each.said for each in took]
        row: dict[str, object] = {"section": section, "value": value, "rounds": len(took), **columns}
        row |= {name: said[0].get(name) for name in ("n_images", "n_units", "n_concepts", "n_map_values")}
        row |= {name: round(median([each[name] for each in said]), 3) for name in ("wall", "cpu")}
        row["process_wall"] = round(median([each.wall for each in took]), 3)
        row["peak_mib"] = round(median([each.peak_bytes for each in took]) / 2**20)
        if bare:
            for what in ("wall", "cpu"):
                row[f"bare_{what}"] = round(median([each.said[what] for each in bare]), 3)
                ratios = [one.said[what] / other.said[what] for one, other in zip(took, bare, strict=True)]
                row[f"{what}_ratio"] = round(median(ratios), 3)
        if "stages" in said[0]:
            row |= {
                name: round(median([each["stages"].get(key, 0.0) for each in said]), 3) for name, key in STAGES.items()
            }
            waited = [sum(seconds for key, seconds in each["stages"].items() if key != "read") for each in said]
            row["rest"] = round(median([each["wall"] - sum_ for each, sum_ in zip(said, waited, strict=True)]), 3)
        self.add_row(row)

    def add_row(self, row: dict[str, object]) -> None:
        """Print it, and write the table as it is now."""
        self.rows.append(row)
        print("  ".join(f"{name} {value}" for name, value in row.items() if value is not None), flush=True)
        write_bytes(self.folder / "benchmark.csv", pd.DataFrame(self.rows).to_csv(index=False).encode())

    # The sections.

    def choose_batch_size(self) -> None:
        """The batch size at which the bare pass is fastest here; a row for each."""
        works = {str(size): partial(self.work, "bare", network=self.network, data=self.part, lanes=self.n, batch_size=size)
                 for size in BATCH_SIZES}  # fmt: skip
        took = in_turn(2, **works)
        for size, times in took.items():
            self.add("batch", int(size), times, lanes=self.n)
        self.batch_size = int(min(took, key=lambda size: min(each.said["wall"] for each in took[size])))

    def whole(self) -> None:
        """A run with its report, the bare pass on one lane and on all."""
        of_bare = {"network": self.network, "data": self.data, "batch_size": self.batch_size}
        with tempfile.TemporaryDirectory() as folder:
            outs = (Path(folder) / str(n) for n in range(self.rounds))
            took = in_turn(
                self.rounds,
                one=partial(self.work, "bare", lanes=1, **of_bare),
                all=partial(self.work, "bare", lanes=self.n, **of_bare),
                run=lambda: self.work("run", network=self.network, layers=self.layers, data=self.data, out=next(outs)),
                report=lambda: self.work("report", run=max(Path(folder).iterdir())),
            )
        self.add("whole", "bare, one lane", took["one"], lanes=1)
        self.add("whole", "bare, all lanes", took["all"], took["one"], lanes=self.n)
        self.add("whole", "run against one lane", took["run"], took["one"], lanes=self.n)
        self.add("whole", "run against all lanes", took["run"], took["all"], lanes=self.n)
        self.add("whole", "report", took["report"], took["all"])

    def shipped(self) -> None:
        network, layers = SHIPPED
        self.compare("shipped", network, network=network, layers=layers, data=self.data)

    def lanes(self) -> None:
        for lanes in range(1, self.n + 1):
            self.compare("lanes", lanes, lanes=lanes)

    def images(self) -> None:
        n = len(open_broden(self.data).images)
        with tempfile.TemporaryDirectory() as folder:
            for part in (8, 4, 2, 1):
                made = made_set(Path(folder) / str(part), data=self.data, n_images=n // part)
                self.compare("images", n // part, data=made)

    def units(self) -> None:
        for n in range(1, len(self.layers) + 1):
            self.compare("units", " ".join(self.layers[-n:]), layers=self.layers[-n:])

    def concepts(self) -> None:
        categories = tuple(open_broden(self.data).categories)
        for n in range(1, len(categories) + 1):
            self.compare("concepts", categories[n - 1], categories=categories[:n])

    def maps(self) -> None:
        for size in IMAGE_SIZES:
            self.compare("maps", size, image_size=size)

    def dense(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            few = made_set(Path(folder) / "set", data=self.data, n_images=48)
            options = {"network": self.network, "layers": self.layers, "data": few}
            ran = self.work("run", out=Path(folder) / "run", workers=1, **options)
            took = self.work("dense", run=Path(folder) / "run", **options)
        ours = ran.said["stages"]["tally"]
        self.add("dense", "dense tally, one thread", [took], lanes=1, faster=round(took.said["wall"] / ours, 1),
                 same_share=took.said.get("same_share"))  # fmt: skip
        self.add("dense", "run", [ran], lanes=1)

    def memory(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            made = made_set(Path(folder) / "set", data=self.data, n_images=self.many)
            for data in (self.data, made):
                took = [self.work("run", network=self.network, layers=self.layers, data=data)]
                self.add("memory", took[0].said["n_images"], took, lanes=self.n)

    def busy(self) -> None:
        of_both = ["--network", self.network, "--data", str(self.part)]
        bare = [*check_cpu_seconds.WORK, "bare", *of_both, "--batch-size", str(self.batch_size)]
        run = [*check_cpu_seconds.WORK, "run", *of_both, "--layers", *self.layers]
        found = [each for _ in range(self.rounds) for each in check_cpu_seconds.one_round(bare, run)]
        self.missed += check_cpu_seconds.missed(found)
        for name in dict.fromkeys(each.circumstances for each in found):
            these = [each for each in found if each.circumstances == name]
            columns = {
                "cpu": [each.run_cpu for each in these],
                "wall": [each.run_wall for each in these],
                "bare_cpu": [each.bare_cpu for each in these],
                "cpu_ratio": [each.cpu_ratio for each in these],
                "wall_ratio": [each.wall_ratio for each in these],
            }
            medians = {column: round(median(values), 3) for column, values in columns.items() if any(values)}
            self.add_row({"section": "busy", "value": name, "rounds": len(these), "lanes": self.n, **medians})


def main(
    data: Path | None = None,
    network: str = NETWORK,
    layers: tuple[str, ...] = LAYERS,
    out: Path = Path("runs/benchmark"),
    rounds: int = 3,
    part: int = 400,
    many: int = 1600,
    only: tuple[Section, ...] = (),
) -> int:
    """Measure, print, write the table and the picture; status 1 where a limit of `check_cpu_seconds.py` is missed.

    Args:
        data: A label set in the Broden layout; the embedded one if not given.
        network: The network that most of it is measured with.
        layers: Its layers, depthwise and pointwise convolutions; those that come last are kept where units are varied.
        out: The folder for benchmark.csv and benchmark.png.
        rounds: Each row is the median of so many.
        part: Images of the part of the set that is used where not images are varied, but something else.
        many: Images of the larger set, for the peak of memory.
        only: Only these sections; all if none is given.
    """
    data = data or embedded()
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        n_images = min(part, len(open_broden(data).images))
        made = made_set(Path(folder) / "part", data=data, n_images=n_images)
        benchmark = Benchmark(
            network=network, layers=layers, data=data, part=made, folder=out, rounds=rounds, many=many
        )
        benchmark.choose_batch_size()
        for section in only or get_args(Section):
            getattr(benchmark, section)()
    draw(out / "benchmark.csv", out / "benchmark.png")
    for sentence in benchmark.missed:
        print(sentence)
    return 1 if benchmark.missed else 0


if __name__ == "__main__":
    sys.exit(tyro.cli(main, description=(__doc__ or "").partition("\n")[0]))
