"""Interrupted runs whose files were damaged since: the same command ends with the numbers of a run that nothing happened to."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from damaged_runs import OF_ANY_ARRAYS, OF_BYTES, Damage, Rng, swap
from hostile_box import NETS, SETTINGS, TIGHT, Said, command, rng_of

STORED = ("units.csv", "unit_category.csv", "concepts.csv", "images.csv", "replicates.csv", "counts", "strongest")


def stored(folder: Path) -> dict[str, bytes]:
    files = [path for name in STORED for path in ((folder / name), *(folder / name).glob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def resumed(folder: Path, labels: Path, *more: object) -> Said:
    """The command that the interrupted run began with."""
    loaded = [f"{NETS}:small", f"{NETS}:small"]
    return command("run", *loaded, "--names", "a", "b", "--data", labels, "--out", folder, *SETTINGS, *TIGHT, *more)


def _set(name: str, value: Callable[[np.ndarray], object]) -> Damage:
    def damage(path: Path, _rng: Rng) -> None:
        with np.load(path) as file:
            arrays = dict(file)
        np.savez(path, **{**arrays, name: value(arrays[name])})  # type: ignore[arg-type]

    return damage


OF_CHECKPOINT: Mapping[str, Damage] = {
    "more read than there is": _set("n_read", lambda a: np.array(10**6)),
    "less than none read": _set("n_read", lambda a: np.array(-1)),
    "fewer read": _set("n_read", lambda a: a - 4),
    "other images seen": _set("n_seen", lambda a: a - 1),
    "skipped no JSON": _set("skipped", lambda a: np.array("[")),
    "skipped of another kind": _set("skipped", lambda a: np.array('{"a": 1}')),
    "skipped of text": _set("skipped", lambda a: np.array('[["x", "y"]]')),
    "digests of fewer": _set("digests", lambda a: a[:-1]),
    "values of another shape": _set("0.values", lambda a: a[:, 1:]),
    "values of another kind": _set("1.values", lambda a: a.astype(np.float64)),
    "peak of another shape": _set("0.peak", lambda a: a[:-1]),
    "fewer files": _set("files", lambda a: a[:-1]),
    "files of others": _set("files", lambda a: np.array(["0" * 64] * len(a))),
}
"""Whole files with contents that do not fit."""


@pytest.fixture(scope="module")
def whole(labels: Path, interrupted: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a run gives that resumes undamaged, which a run at one go gives too."""
    folder, alone = (tmp_path_factory.mktemp("whole") / name for name in ("run", "alone"))
    shutil.copytree(interrupted, folder)
    assert resumed(folder, labels).status == 0
    assert resumed(alone, labels).status == 0
    assert stored(folder) == stored(alone)
    return stored(alone)


def ends_well(folder: Path, labels: Path, whole: dict[str, bytes]) -> None:
    said = resumed(folder, labels)
    assert said.status == 0, said
    assert stored(folder) == whole
    assert not (folder / "partial").exists() and not list(folder.rglob("*.set-aside"))


@pytest.mark.parametrize("how", [*OF_BYTES, *(f"bit {n}" for n in range(3)), *OF_ANY_ARRAYS, *OF_CHECKPOINT])
def test_checkpoints(damaged, interrupted: Path, labels: Path, whole, caplog, how: str) -> None:
    folder = damaged(interrupted)
    damage = {**OF_BYTES, **OF_ANY_ARRAYS, **OF_CHECKPOINT}[how.split()[0] if how.startswith("bit ") else how]
    damage(folder / "partial/b/checkpoint.npz", rng_of(how))
    ends_well(folder, labels, whole)
    harmless = ("missing", "longer", "array too many", "bit")
    assert "it is set aside, and the pass over the images begins again" in caplog.text or how.startswith(harmless)


@pytest.mark.parametrize("how", [*OF_BYTES, *(f"bit {n}" for n in range(2)), "swapped", "of another run"])
def test_candidates(damaged, interrupted: Path, labels: Path, whole, caplog, how: str) -> None:
    folder = damaged(interrupted)
    first, second, *_ = sorted((folder / "partial/b").glob("candidates-*.npz"))
    if how == "swapped":
        swap(first, second)
    elif how == "of another run":
        _set("key", lambda a: np.array("f" * 64))(first, rng_of(how))
    else:
        OF_BYTES[how.split()[0]](first, rng_of(how))
    ends_well(folder, labels, whole)
    assert "it is set aside, and the pass over the images begins again" in caplog.text


@pytest.mark.parametrize("how", OF_BYTES)
@pytest.mark.parametrize("name", ["counts/a.npz", "strongest/a.npz"])
def test_networks_that_were_finished(
    damaged, interrupted: Path, labels: Path, whole, caplog, name: str, how: str
) -> None:
    folder = damaged(interrupted)
    OF_BYTES[how](folder / name, rng_of(name + how))
    if how == "folder":
        said = resumed(folder, labels)
        assert said.status == 0 or name in said.sentence()
    else:
        ends_well(folder, labels, whole)
    assert f"{name} is not as the interrupted run left it" in caplog.text


def _info(change: Callable[[dict], object]) -> Damage:
    def damage(path: Path, _rng: Rng) -> None:
        info = json.loads(path.read_text())
        change(info)
        path.write_text(json.dumps(info))

    return damage


INFO: Mapping[str, Damage] = {
    "files gone": _info(lambda info: info.pop("files")),
    "files a list": _info(lambda info: info.update(files=[1])),
    "files of text": _info(lambda info: info.update(files={"counts/a.npz": "x", "strongest/a.npz": None})),
    "other hash": _info(lambda info: info["files"]["counts/a.npz"].update(sha256="0")),
    "files outside": _info(lambda info: info["files"].update({"../../../bystander": info["files"]["counts/a.npz"]})),
    "notes gone": _info(lambda info: info.pop("notes")),
}
REFUSED: Mapping[str, Damage] = {
    "settings gone": _info(lambda info: info.pop("settings")),
    "data gone": _info(lambda info: info.pop("data")),
    "data a list": _info(lambda info: info.update(data=[])),
    "networks a number": _info(lambda info: info.update(networks=3)),
    "a network of text": _info(lambda info: info.update(networks=["a", "b"])),
    "halved": OF_BYTES["halved"],
    "empty": OF_BYTES["empty"],
}


@pytest.mark.parametrize("how", INFO)
def test_run_json_by_which_the_run_goes_on(damaged, interrupted: Path, labels: Path, whole, how: str) -> None:
    folder = damaged(interrupted)
    INFO[how](folder / "run.json", rng_of(how))
    ends_well(folder, labels, whole)


@pytest.mark.parametrize("how", REFUSED)
def test_run_json_of_which_nobody_knows_whose_it_is(damaged, interrupted: Path, labels: Path, how: str) -> None:
    folder = damaged(interrupted)
    REFUSED[how](folder / "run.json", rng_of(how))
    before = {path: path.read_bytes() for path in folder.rglob("*.npz")}
    words = resumed(folder, labels).sentence()
    assert str(folder) in words and ("was made with" in words or "cannot be read" in words)
    assert {path: path.read_bytes() for path in folder.rglob("*.npz")} == before


def test_what_lies_about(damaged, interrupted: Path, labels: Path, whole) -> None:
    """Half-written files, the lock of a killed process, candidates that no checkpoint knows."""
    folder = damaged(interrupted)
    for name in (".run.json.abcdefgh", "counts/.a.npz.abcdefgh", "partial/b/.checkpoint.npz.abcdefgh"):
        (folder / name).write_bytes(b"half")
    (folder / ".lock").write_text('{"pid": 1, "host": "elsewhere", "started": "then", "what": "a run"}')
    (folder / "partial/b/candidates-00099.npz").write_bytes(b"noise")
    ends_well(folder, labels, whole)
    assert not list(folder.rglob(".*"))
