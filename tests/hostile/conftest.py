"""What hostile cases share: one small run, finished and interrupted, made once; and a box that nothing may leave.

A case damages something in the box, in a way that its seed decides, and gives it to a command. Each ends in a documented error,
in a counted skip or in the right result: never in a traceback, a file outside the box's own folders, or a changed number.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from drawn_broden import write_broden
from hostile_box import N_IMAGES, NETS, SETTINGS, TIGHT, command

import dissect
from data_prep.broden import open_broden
from dissect.lanes import one_thread
from reports import page


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Reports without figures, and one thread."""
    real = page.write_report
    monkeypatch.setattr(page, "write_report", lambda folder, out=None, assets=None: real(folder, figures=(), out=out))
    with one_thread():
        yield


@pytest.fixture
def in_time() -> Iterator[None]:
    """A case that hangs fails after half a minute."""
    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it hangs"))
    signal.alarm(30)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Broden set of small images with one object map each, and scenes."""
    return write_broden(tmp_path_factory.mktemp("hostile") / "labels", N_IMAGES)


@pytest.fixture(scope="session")
def finished(labels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; only copies of it are damaged."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    assert command("run", f"{NETS}:small", "--data", labels, "--out", folder, *SETTINGS).status == 0
    return folder


@pytest.fixture(scope="session")
def other_run(labels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another finished run of the same network, whose files have the same shapes."""
    folder = tmp_path_factory.mktemp("other") / "run"
    said = command("run", f"{NETS}:small", "--data", labels, "--out", folder, *SETTINGS, "--seed", 1, "--domains", "d")
    assert said.status == 0
    return folder


@pytest.fixture(scope="session")
def interrupted(labels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run with the first of two networks finished, stopped in the middle of the second, with maps in files."""
    folder = tmp_path_factory.mktemp("interrupted") / "run"

    def press(stage: str, done: int, _total: int) -> None:
        if stage.startswith("b: forward") and done == 16:
            signal.raise_signal(signal.SIGINT)

    networks = [dissect.load_network(f"{NETS}:small", name=name) for name in ("a", "b")]
    execution = dissect.Execution(batch_size=4, memory=float(TIGHT[1]))
    with pytest.raises(KeyboardInterrupt):
        dissect.run(
            networks, open_broden(labels), out=folder, layers=["1", "2"], progress=press, execution=execution,
            settings=dissect.Settings(quantile=0.9, folds=3, strongest=2),
        )  # fmt: skip
    assert len(list((folder / "partial/b").glob("candidates-*.npz"))) > 1 and (folder / "counts/a.npz").exists()
    return folder


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Path]:
    """A folder two floors down: what is in it besides `run`, `exported` and `report`, and anything above it, stays as it is."""
    inner = tmp_path / "upper" / "box"
    inner.mkdir(parents=True)
    (tmp_path / "bystander").write_text("mine")
    yield inner
    strays = {
        path.relative_to(tmp_path).as_posix()
        for path in (*tmp_path.iterdir(), *inner.parent.iterdir(), *inner.iterdir())
    }
    own = {"upper", "bystander", "upper/box", *(f"upper/box/{name}" for name in ("run", "exported", "report", "other"))}
    assert strays <= own and (tmp_path / "bystander").read_text() == "mine"


@pytest.fixture
def damaged(box: Path) -> Callable[[Path], Path]:
    """`damaged(finished)`: a copy in the box."""
    return lambda folder: Path(shutil.copytree(folder, box / "run"))
