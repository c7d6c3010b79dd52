"""One command's worth of work: several networks, one data set, one run folder.

    path = run([network], data, wanted=["18", "20", "22"], settings=Settings(), out=Path("runs/mine"))

Each network is dissected and stored in turn; a run that was interrupted goes on where it stopped, one that is finished
is left as it is, and a folder made with other settings is refused by the name of the field that differs.
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.common.errors import UserError
from data_prep.common.files import write_json
from data_prep.common.terminal import Progress, silent
from data_prep.formats import LabelledImages
from dissect import unit_tables as tables
from dissect.engine import Dissection, dissect
from dissect.images import LabelCache
from dissect.layers import Layer, list_layers, select_layers
from dissect.models import Network
from dissect.run_store import FORMAT_VERSION, RunFolderError, read_info, write_arrays
from dissect.settings import Execution, Settings

RUN_FILES = (
    "run.json", "DONE", "units.csv", "unit_category.csv", "concepts.csv", "images.csv", "replicates.csv", "counts",
    "strongest", "partial", "report.html", "figures",
)  # fmt: skip
"""What a run and its report leave in the folder, all that overwriting may delete."""

_DECIDES = ("settings", "data", "networks")
"""What two runs must agree on to be the same result; the rest of run.json says how and when it was made."""


def run(
    networks: Sequence[Network],
    data: LabelledImages,
    wanted: Sequence[str],
    settings: Settings,
    out: Path,
    operators: Sequence[str] | None = None,
    execution: Execution | None = None,
    progress: Progress = silent,
    seed: int = 0,
    command: str = "",
    overwrite: bool = False,
) -> Path:
    """Dissect the wanted layers of every network and return the finished run folder `out`.

    wanted: numbers, module names or globs (`layers.select_layers`). overwrite: make a run that is finished, or was made
    with other settings, anew; an interrupted one goes on all the same. Raises `UserError`; a folder left by an error or an
    interruption has no DONE file, and the same call goes on from it.
    """
    execution = execution or Execution()
    names = [network.name for network in networks]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"Two networks are called {twice[0]!r}; give each its own name with --names.")
    layers = [_choose(network, wanted, settings, operators) for network in networks]
    info = _describe(networks, layers, data, settings, execution, seed, command)
    if _is_finished(out, info, overwrite):
        return out

    cache = LabelCache(data)
    partial = out / "partial"
    timings: dict[str, dict[str, float]] = {}
    for network, its_layers in zip(networks, layers, strict=True):
        if not tables.is_stored(out, network.name):
            stage = _named(progress, network.name if len(networks) > 1 else "")
            result = dissect(network, its_layers, data, settings, partial / network.name, execution, stage, cache)
            timings[network.name] = {stage: round(seconds, 3) for stage, seconds in result.seconds.items()}
            _store(out, network.name, result, data)
            shutil.rmtree(partial / network.name, ignore_errors=True)

    stored = [tables.read_stored(out, network.name) for network in networks]
    tables.write_tables(out, networks, layers, stored, data, settings)
    used = stored[0]["images"]
    skipped = [dict(zip(("name", "reason"), pair, strict=True)) for pair in stored[0]["skipped"].tolist()]
    info["data"] |= {"n_used": len(used), "n_skipped": len(skipped), "skipped": skipped}
    write_json(out / "run.json", info | {"timings": timings})
    shutil.rmtree(partial, ignore_errors=True)
    (out / "DONE").touch()
    return out


def _choose(
    network: Network, wanted: Sequence[str], settings: Settings, operators: Sequence[str] | None
) -> list[Layer]:
    table = list_layers(network.model, network.input_size)
    return select_layers(table, wanted, operators, settings.tap)


def _describe(
    networks: Sequence[Network],
    layers: Sequence[Sequence[Layer]],
    data: LabelledImages,
    settings: Settings,
    execution: Execution,
    seed: int,
    command: str,
) -> dict[str, Any]:
    return {
        "format": FORMAT_VERSION,
        "name": "",
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": command,
        "seed": seed,
        "settings": settings.as_json(),
        "execution": asdict(execution),
        "data": {
            "name": data.name,
            "images": str(data.image_root),
            "fingerprint": data.fingerprint(),
            "n_images": len(data.images),
            "categories": list(data.categories),
        },
        "networks": [_describe_network(*pair) for pair in zip(networks, layers, strict=True)],
        "notes": [*_rotation_note(settings), *(network.note for network in networks if network.note)],
        "versions": _versions(),
    }


def _rotation_note(settings: Settings) -> list[str]:
    if settings.rotate is None:
        return []
    return [
        f"The units are not the network's own: each layer was dissected in a randomly rotated basis (rotation seed "
        f"{settings.rotate}). It is the control for whether concepts align with single units: compare it with the same run "
        f"without --rotate."
    ]


def _describe_network(network: Network, layers: Sequence[Layer]) -> dict[str, Any]:
    return {
        "name": network.name,
        "domain": network.domain,
        "model": network.spec,
        "trained": network.trained,
        "weights": Path(network.weights).name if network.weights else None,
        "weights_hash": network.weights_hash(),
        "n_parameters": sum(p.numel() for p in network.model.parameters()),
        "input_size": list(network.input_size),
        "mean": list(network.mean),
        "std": list(network.std),
        "layers": [
            {
                "layer": layer.label,
                "operator": layer.operator,
                "module": layer.module,
                "n_units": layer.n_units,
                "map": list(layer.shape[1:]),
            }
            for layer in layers
        ],
    }


def _versions() -> dict[str, str]:
    packages = ("multidomain-dissection", "torch", "torchvision", "timm", "numpy", "numba", "pandas", "pillow")
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _is_finished(out: Path, info: dict[str, Any], overwrite: bool) -> bool:
    """Make sure that `out` is new, or was made by the same settings; leave a run.json there that says which."""
    if (out / "run.json").exists():
        there = read_info(out)
        try:
            for part in _DECIDES:
                _refuse_difference(out, part, there.get(part), info[part])
            if (out / "DONE").exists() and not overwrite:
                return True
        except RunFolderError:
            if not overwrite:
                raise
            _delete_run(out)
        if (out / "DONE").exists():
            _delete_run(out)
    elif out.exists() and any(out.iterdir()):
        raise RunFolderError(f"{out} is not empty and is no run folder: give another one with --out.")
    write_json(out / "run.json", info)
    return False


def _delete_run(out: Path) -> None:
    """Delete what a run wrote into `out`, which must hold nothing else."""
    unfinished = tuple(f".{name}." for name in RUN_FILES)  # what a run that was killed left half written
    foreign = [p.name for p in out.iterdir() if p.name not in RUN_FILES and not p.name.startswith(unfinished)]
    if foreign or "format" not in read_info(out):
        raise RunFolderError(
            f"{out} holds {(foreign or ['a run.json'])[0]}, which no run wrote, so --overwrite leaves it alone: move that "
            f"away, or give another folder with --out."
        )
    for path in out.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _refuse_difference(out: Path, field: str, there: Any, here: Any) -> None:
    if isinstance(there, dict) and isinstance(here, dict):
        # Only what this run states: a finished run also says how many images it used.
        for key in here:
            _refuse_difference(out, f"{field}.{key}", there.get(key), here[key])
    elif isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        for n, pair in enumerate(zip(there, here, strict=True)):
            _refuse_difference(out, f"{field}[{n}]", *pair)
    elif isinstance(there, list) and isinstance(here, list):
        raise RunFolderError(
            f"{out} was made with {field} of {len(there)} entries, this run has {len(here)}: give another folder with --out, or "
            f"--overwrite it."
        )
    elif there != here:
        raise RunFolderError(
            f"{out} was made with {field} = {_short(there)}, this run has {_short(here)}: "
            f"give another folder with --out, or --overwrite it."
        )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _store(out: Path, name: str, result: Dissection, data: LabelledImages) -> None:
    """The strongest images first: a network counts as stored once its counts are there."""
    arrays = result.strongest.arrays()
    # From numbers in the data set to rows of images.csv, which lists only the images used.
    arrays["image"] = np.where(arrays["image"] < 0, -1, np.searchsorted(result.images, arrays["image"])).astype(
        np.int32
    )
    write_arrays(out / "strongest" / f"{name}.npz", arrays)
    skipped = [[data.images[number].name, reason] for number, reason in result.skipped]
    write_arrays(out / "counts" / f"{name}.npz", tables.counts_arrays(result, skipped))


def _named(progress: Progress, name: str) -> Progress:
    return (lambda stage, done, total: progress(f"{name}: {stage}", done, total)) if name else progress
