"""Several processes share the images, and end in the bits of one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import Said, sentence, stored
from drawn_broden import write_broden

from data_prep.common.errors import UserError
from data_prep.common.launcher import start_processes
from data_prep.common.processes import ALONE, Group, joined
from dissect.distributed import part_of
from dissect.run_store import open_run

OPTIONS = ("--layers", 1, 2, "--quantile", 0.9, "--folds", 3, "--strongest", 2, "--null", 2, "--workers", 1)

KILLED = '''
class Killed(Small):
    """The second of several processes is killed when the first one has seen some batches; the first is slow from then on."""

    def before(self, x):
        first, pressed = os.environ.get("RANK", "") == "0", HERE / "pressed"
        if first and self.calls == 9:
            (HERE / "under_way").touch()
            while not pressed.exists():
                time.sleep(0.01)
            time.sleep(1)
        if os.environ.get("RANK", "") == "1" and self.calls == 7 and not pressed.exists():
            while not (HERE / "under_way").exists():
                time.sleep(0.01)
            pressed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
'''


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Sixty images, some of which cannot be used: the last one, and all of one batch of four."""
    root = write_broden(tmp_path / "labels", 60)
    for number in (2, *range(8, 12), 59):
        (root / f"images/{number}.png").write_bytes(b"no picture")
    return root


def test_two_processes_end_in_the_bits_of_one(run, labels: Path, tmp_path: Path) -> None:
    options = (*OPTIONS, "--on-bad-image", "skip")
    for n in (1, 2):
        assert run(*options, "--processes", n, data=labels, out=tmp_path / str(n)).status == 0
    assert stored(tmp_path / "1") == stored(tmp_path / "2")
    one, two = (open_run(tmp_path / str(n)).info for n in (1, 2))
    assert one["data"] == two["data"]
    skipped = [image["name"] for image in two["data"]["skipped"]]
    assert skipped == ["2.png", "8.png", "9.png", "10.png", "11.png", "59.png"]
    assert (one["execution"]["processes"], two["execution"]["processes"]) == (1, 2)
    assert not (tmp_path / "2/partial").exists()


@pytest.mark.slow
def test_one_of_two_is_killed(run, labels: Path, nets: str, tmp_path: Path) -> None:
    """One sentence says so; the same command goes on, and ends in the bits of one process that nothing happened to."""
    Path(nets).write_text(Path(nets).read_text() + KILLED)
    options, both = (*OPTIONS, "--on-bad-image", "skip"), tmp_path / "both"
    command = ["run", f"{nets}:Killed", *options, "--min-images", 1, "--processes", 2, "--data", labels, "--out", both]
    argv = [sys.executable, "-m", "dissect", *map(str, command)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=240)
    assert sentence(Said(done.returncode, done.stdout, done.stderr), both) == (
        "Process 1 of 2 was ended by SIGKILL, as where memory runs out, and the others with it: give the same command again, "
        "which resumes."
    )
    with np.load(both / "partial/Killed/of-2-by-4/part-0/checkpoint.npz") as saved:
        assert 0 < saved["n_read"] < 32

    assert run(*options, "--processes", 2, data=labels, network="Killed", out=both).status == 0
    assert run(*options, data=labels, network="Killed", out=tmp_path / "one").status == 0
    assert stored(both) == stored(tmp_path / "one")
    assert not (both / "partial").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "batch_size", "way"),
    [
        (2, 4, ("--memory", 0.5)),
        (3, 7, ("--memory", 0.0003)),
        (3, 4, ("--memory", 0.0003, "--spill", 0)),
        (5, 20, ("--memory", 0.0003, "--spill", 0)),
    ],
)
def test_in_memory_on_disk_and_in_two_passes(
    run, labels: Path, tmp_path: Path, n: int, batch_size: int, way: tuple[object, ...]
) -> None:
    """Of five processes, two have no batch at all where there are three batches."""
    options = (*OPTIONS, "--on-bad-image", "skip")
    assert run(*options, "--batch-size", batch_size, data=labels, out=tmp_path / "one").status == 0
    several = ("--processes", n, "--batch-size", batch_size, *way)
    assert run(*options, *several, data=labels, out=tmp_path / "several").status == 0
    assert stored(tmp_path / "one") == stored(tmp_path / "several")


@pytest.mark.slow
def test_the_embedded_set(tmp_path: Path) -> None:
    command = ["run", "mdl:imagenet12", "mdl:gtsrb", "--layers", "18", "22", "--folds", "5"]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for name in ("1", "2", "3", "torchrun"):
        start = (
            [*torchrun, "-m", "dissect", *command]
            if name == "torchrun"
            else ["-m", "dissect", *command, "--processes", name]
        )
        start = [sys.executable, *start, "--out", str(tmp_path / name)]
        done = subprocess.run(start, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("report: ") == 1
        assert stored(tmp_path / name) == stored(tmp_path / "1")


@pytest.mark.slow
def test_an_image_that_one_process_cannot_use(run, sixty: Path, labels: Path, tmp_path: Path) -> None:
    """It ends all, and is told once, whichever process finds it; once all are restored, the same command goes on."""
    out, found = tmp_path / "out", []
    for number in range(8, 12):
        (labels / f"images/{number}.png").write_bytes((sixty / f"images/{number}.png").read_bytes())
    while (said := run(*OPTIONS, "--processes", 2, data=labels, out=out)).status:
        words = sentence(said, out)
        assert len(found) < 2, words
        assert words.endswith("restore it, or set --on-bad-image to skip."), words
        (number,) = (n for n in (2, 59) if f"/{n}.png cannot be read" in words)
        found.append(number)
        (labels / f"images/{number}.png").write_bytes((sixty / f"images/{number}.png").read_bytes())
    assert sorted(found) == [2, 59]
    assert run(*OPTIONS, data=labels, out=tmp_path / "one").status == 0
    assert stored(out) == stored(tmp_path / "one")


@pytest.mark.slow
def test_what_is_wrong_for_all_is_said_once(run, labels: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert sentence(run("--layers", 9, "--processes", 3, data=labels, out=out), out).startswith(
        "There is no convolution 9"
    )


def test_more_processes_than_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr("data_prep.common.processes.usable_device", lambda _: "cuda")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(UserError, match="There are 2 processes and 1 CUDA devices on this machine"), joined("auto"):
        raise AssertionError


def test_work_that_was_shared_out_otherwise_begins_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "network"
    with part_of(folder, ALONE, 4):
        (folder / "checkpoint.npz").touch()
    with part_of(folder, ALONE, 8):
        assert (folder / "checkpoint.npz").exists() and not caplog.text
    with part_of(folder, Unheard(0, 3), 4) as part:
        assert not (folder / "checkpoint.npz").exists()
        (part / "checkpoint.npz").touch()
    assert "was left by other processes, or by batches of another size: the pass begins again" in caplog.text
    with part_of(folder, Unheard(0, 3), 4) as same:
        assert (same / "checkpoint.npz").exists()
        # The work of a run whose first process was killed may still go on here.
        with pytest.raises(UserError, match="a part of a run"), part_of(folder, Unheard(0, 3), 4):
            raise AssertionError
    with part_of(folder, Unheard(0, 3), 8):
        assert not same.exists()
    with part_of(folder, ALONE, 8):
        assert list(folder.iterdir()) == []


class Unheard(Group):
    def wait(self) -> None:
        """Nobody else is there."""


EXCHANGE = """
import sys
import numpy as np
from data_prep.common import processes
from data_prep.common.processes import joined

processes.CHUNK_BYTES = int(sys.argv[2])
with joined("cpu") as group:
    rng = np.random.default_rng(group.rank)
    counts = rng.integers(0, 2**62 // 3, (5, 3))
    rows = rng.standard_normal((2 * group.rank, 3)).astype(np.float32)
    own = rng.random((4, 2)) < 0.5
    gathered = list(group.gather(rows))
    added = counts.copy()
    group.add_to_first(added)
    np.savez(
        f"{sys.argv[1]}/{group.rank}.npz", counts=counts, rows=rows, own=own, first=group.broadcast(own),
        total=group.total(counts.T), added=added, half=group.total([0.5, group.rank]),
        gathered=np.concatenate([np.zeros((0, 3)), *gathered]), lengths=[len(part) for part in gathered],
    )
"""


@pytest.mark.slow
@pytest.mark.parametrize(("n", "chunk_bytes"), [(2, 7), (3, 7), (3, 2**26)])
def test_what_processes_tell_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n: int, chunk_bytes: int
) -> None:
    """Integers beyond what a float64 holds, rows in any number and none, arrays that do not lie in one piece."""
    (tmp_path / "exchange.py").write_text(EXCHANGE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert start_processes(n, "exchange", [str(tmp_path), str(chunk_bytes)]) == 0
    each = [dict(np.load(tmp_path / f"{rank}.npz")) for rank in range(n)]
    for told in each:
        assert (told["total"] == sum(one["counts"] for one in each).T).all() and told["total"].dtype == np.int64
        assert (each[0]["added"] == told["total"].T).all()
        assert told["half"].tolist() == [0.5 * n, sum(range(n))]
        assert (told["first"] == each[0]["own"]).all()
    assert [one["lengths"].tolist() for one in each] == [[0, 2, 4][:n], [], []][:n]
    assert (each[0]["gathered"] == np.concatenate([one["rows"] for one in each])).all()
