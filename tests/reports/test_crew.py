"""Helpers change how long a report takes, and nothing else: not its bytes, and not whether it is made."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reports.crew import Crew, Task, helpers_worth_starting
from reports.figures import FIGURES
from reports.page import write_report

pytestmark = pytest.mark.skipif(os.name != "posix", reason="helpers are started on POSIX systems only")


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end, "the helper did nothing for a minute"
        time.sleep(0.01)


def test_without_helpers_all_is_done_here() -> None:
    with Crew(0) as crew:
        tasks = [crew.submit(pow, 2, k) for k in range(5)] + [crew.submit(os.getpid)]
        assert [crew.result(task) for task in tasks] == [1, 2, 4, 8, 16, os.getpid()]


def test_a_helper_is_another_process_and_is_gone_afterwards() -> None:
    with Crew(1) as crew:
        tasks = [crew.submit(os.getpid), crew.submit(pow, 2, 5)]
        wait_until(lambda: all(task.done for task in tasks))
        (helper,) = crew._helpers
        assert [crew.result(task) for task in tasks] == [helper.pid, 32]
        here = crew.submit(os.getpid, may_travel=False)
        assert crew.result(here) == os.getpid()
    assert helper.poll() is not None and not any(thread.is_alive() for thread in crew._threads)


def test_what_cannot_travel_is_done_here() -> None:
    with Crew(1) as crew:
        task = crew.submit(lambda: 7)
        wait_until(lambda: not task.may_travel)
        assert crew.result(task) == 7


def test_what_fails_in_a_helper_fails_here() -> None:
    with Crew(1) as crew:
        task = crew.submit(int, "no number")
        wait_until(lambda: not task.may_travel)
        with pytest.raises(ValueError, match="no number"):
            crew.result(task)
        after = crew.submit(os.getpid)
        wait_until(lambda: after.done)
        assert crew.result(after) != os.getpid()  # the helper goes on


def test_a_helper_that_dies_leaves_its_task_to_the_others() -> None:
    with Crew(1) as crew:
        task = crew.submit(os.getpid)
        wait_until(lambda: task.done)
        crew._helpers[0].kill()
        assert [crew.result(crew.submit(os.getpid)) for _ in range(3)] == [os.getpid()] * 3


def test_no_helper_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with Crew(2) as crew:
        assert crew.result(crew.submit(pow, 3, 2)) == 9


def test_a_report_has_the_same_bytes_with_a_helper(
    run_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = run_folder(networks={"n": [("1", "depthwise", 8), ("1", "pointwise", 8)]})
    figures = FIGURES[:1] + FIGURES[2:4]
    alone = write_report(folder, figures=figures, out=tmp_path / "alone")
    by_helper = 0
    result_of = Crew.result

    def result(crew: Crew, task: Task[Any]) -> Any:
        nonlocal by_helper
        wait_until(lambda: task.done or not task.may_travel)
        by_helper += task.done
        return result_of(crew, task)

    monkeypatch.setattr(Crew, "result", result)
    monkeypatch.setattr("reports.page.helpers_worth_starting", lambda n_units, n_images: 1)
    helped = write_report(folder, figures=figures, out=tmp_path / "helped")
    assert by_helper == 4  # three figures and the images
    files = sorted(path.relative_to(alone.parent) for path in alone.parent.rglob("*.*"))
    assert len(files) == 7 and files == sorted(path.relative_to(helped.parent) for path in helped.parent.rglob("*.*"))
    for file in files:
        assert (alone.parent / file).read_bytes() == (helped.parent / file).read_bytes(), file


@pytest.mark.parametrize(("n_running", "n_helpers"), [(1, 3), (2, 2), (4, 0), (30, 0)])
def test_helpers_take_free_processors_only(monkeypatch: pytest.MonkeyPatch, n_running: int, n_helpers: int) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {1, 2, 5, 7}, raising=False)
    monkeypatch.setattr("reports.crew._n_running", lambda: n_running)
    assert helpers_worth_starting(2816, 400) == helpers_worth_starting(168, 2862) == n_helpers
    assert helpers_worth_starting(168, 400) == 0  # a small report
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {3}, raising=False)
    assert helpers_worth_starting(2816, 400) == 0
