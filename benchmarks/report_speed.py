"""How long the report of a finished run takes: wall and CPU seconds, and the bytes of the page.

    python benchmarks/report_speed.py runs/embedded                # median of 5, with the helpers that it would start itself
    python benchmarks/report_speed.py runs/embedded --helpers 0    # everything in one process

CPU seconds are user and system, those of helpers included. They vary less on a machine that others use than the wall does;
where two versions are compared, run them in turn and quote the ratio.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

from dissect import open_run
from reports import page


def cpu_seconds() -> float:
    """User and system seconds of this process and of the children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one line for each report written, then the medians."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, help="a finished run folder; it is only read")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--helpers", type=int, help="processes beside this one; as many as the report chooses if not given"
    )
    options = parser.parse_args(arguments)
    run = open_run(options.run)
    chosen = page.helpers_worth_starting(len(run.units), len(run.images))
    helpers = chosen if options.helpers is None else options.helpers
    print(f"{len(run.units):,} units, {len(run.images):,} images, {helpers} helpers")
    times: list[tuple[float, float]] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.object(page, "helpers_worth_starting", lambda n_units, n_images: helpers),
    ):
        for _ in range(options.repeats):
            wall, cpu = time.perf_counter(), cpu_seconds()
            written = page.write_report(options.run, out=folder)
            times.append((time.perf_counter() - wall, cpu_seconds() - cpu))
            n_bytes = written.stat().st_size
            print(f"wall {times[-1][0]:6.2f} s   CPU {times[-1][1]:6.2f} s   page {n_bytes:,} bytes")
    walls, cpus = zip(*times, strict=True)
    print(f"median: wall {statistics.median(walls):.2f} s, CPU {statistics.median(cpus):.2f} s")


if __name__ == "__main__":
    main()
