"""The command on tiny networks and sets, in this process."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_line import Said, sentence
from drawn_broden import write_broden

from dissect import cli, lanes


@pytest.fixture
def nets(tmp_path: Path) -> str:
    """The file `small_networks.py` in a folder of the test's own."""
    return str(shutil.copy(Path(__file__).with_name("small_networks.py"), tmp_path / "nets.py"))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def one_thread() -> Iterator[None]:
    """For networks so small that PyTorch's threads only wait for each other."""
    with lanes.one_thread():
        yield


@pytest.fixture
def dissect(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> Callable[..., Said]:
    """`dissect("run", ...)`: the command in this process, without drawing the report."""
    monkeypatch.setattr(
        "reports.page.write_report", lambda folder, out=None, assets=None: Path(out or folder) / "report.html"
    )

    def call(*args: object) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main([str(arg) for arg in args])
        return Said(ended.value.code, *capsys.readouterr())

    return call


@pytest.fixture
def run(dissect, nets: str, tiny_broden: Path, out: Path) -> Callable[..., Said]:
    """`run("--layers", 1)`: the small network on the tiny set, unless told otherwise; it ends well."""

    def call(*args: object, network: str = "small", **options: object) -> Said:
        options = {"data": tiny_broden, "out": out, "min-images": 1, **options}  # no concept is in ten of so few images
        given = [text for name, value in options.items() for text in (f"--{name}", value)]
        return dissect("run", f"{nets}:{network}", *given, *(args or ("--layers", 1, 2)))

    return call


@pytest.fixture
def refused(run, out: Path) -> Callable[..., str]:
    """`refused("--layers", 9)`: the same, but it must end with one sentence, which is returned, and no result."""

    def call(*args: object, **options: object) -> str:
        return sentence(run(*args, **options), out)

    return call


@pytest.fixture(scope="session")
def sixty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty images with one object map each, and scenes."""
    return write_broden(tmp_path_factory.mktemp("sets") / "sixty", 60)
