"""One command's worth of work: networks, one data set, one run folder.

    finished = run([network], data, layers=["18", "20", "22"], out="runs/mine")

Each network is dissected and stored in turn; a run that was interrupted resumes where it stopped, one that is finished
is left as it is, and a folder made with other settings is refused by the name of the field that differs.
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.common.devices import usable_device
from data_prep.common.errors import UserError
from data_prep.common.files import write_json
from data_prep.common.locks import locked
from data_prep.common.processes import ALONE, Group
from data_prep.common.terminal import Progress, silent
from data_prep.formats import LabelledImages
from dissect import unit_tables as tables
from dissect.claim import claim, is_finished
from dissect.distributed import part_of
from dissect.engine import Dissection, dissect
from dissect.facts import PREPROCESSING
from dissect.histograms import EDGES
from dissect.images import LabelCache, turned_images
from dissect.layers import Layer, list_layers, select_layers
from dissect.models import Network
from dissect.network_source import source_hash
from dissect.preparing import early_notes
from dissect.responses import responses_arrays
from dissect.run_files import read_arrays, read_info, record_of, write_arrays
from dissect.run_info import ARRAYS, CONCEPT_IMAGES, FILE_NAME, FORMAT_VERSION, is_file_name, is_text, seal
from dissect.run_schema import FOLD, is_below
from dissect.run_store import Run, open_run
from dissect.same_images import check_same_images, up_to_date
from dissect.settings import LAYERS, Execution, Settings


def run(
    networks: Network | Sequence[Network],
    data: LabelledImages,
    *,
    out: str | Path,
    layers: str | Sequence[str] = LAYERS,
    operators: Sequence[str] = (),
    settings: Settings | None = None,
    execution: Execution | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
    recorded: Mapping[str, str] | None = None,
    group: Group = ALONE,
) -> Run:
    """Dissect layers of every network, store the result in the folder `out`, and open it.

    layers: convolution numbers, module names or globs, as `list_layers` shows them. operators: keep only layers with these.
    overwrite: replace a run that is finished, or was made with other settings; one that was interrupted is resumed all the
    same. recorded: what else `run.json` shall say of this run. group: the processes that share the images, each of which makes
    this call (`data_prep.common.processes.joined`); the first one writes the folder. Raises `UserError`; a folder left by an
    error or an interruption has no DONE file, and the same call resumes it.

    Whether a folder holds the same networks is told by their state dicts, code, hooks and preprocessing. What a module keeps as
    a plain attribute, or as a buffer that is not in the state dict, is not compared: give networks that differ in it other
    folders.
    """
    networks = [networks] if isinstance(networks, Network) else list(networks)
    settings, out = (settings or Settings()).resolved(len(data.images)), Path(out)
    execution = execution or Execution()
    execution = execution.on(usable_device(execution.device if group.n == 1 else str(group.device)))
    _check_wishes(networks, data, settings)
    wanted = [layers] if isinstance(layers, str) else layers
    chosen = [
        select_layers(list_layers(network.model, network.input_size, settings.layout), wanted, operators, settings.tap)
        for network in networks
    ]
    info = _describe(networks, chosen, data, settings) | dict(recorded or {})
    info["execution"] = asdict(execution) | {"tf32": False, "deterministic": True, "processes": group.n}
    cache = LabelCache(data)

    def dissected(n: int) -> Dissection:
        name = networks[n].name
        cache.use_packed(group, progress)
        with part_of(out / "partial" / name, group, execution.n_together) as folder:
            return dissect(
                networks[n], chosen[n], data, folder=folder, settings=settings, execution=execution, label_cache=cache,
                progress=_named(progress, name if len(networks) > 1 else ""), group=group,
            )  # fmt: skip

    nothing = np.zeros(len(networks), np.bool_)
    if not group.is_first:  # the first process says which networks there are to dissect
        for n in np.flatnonzero(group.broadcast(nothing)).tolist():
            dissected(n)
    elif is_finished(out, info, overwrite=overwrite):
        group.broadcast(nothing)
    else:
        with locked(out, "a run"):
            told = read_info(out).get("notes") if (out / "run.json").exists() else None
            files = claim(out, info, overwrite=overwrite)
            if files is None:
                group.broadcast(nothing)
            else:
                files = up_to_date(out, files, [network.name for network in networks], data)
                # What an interrupted run found out about the networks that it has dissected already.
                info["notes"] += [note for note in told or () if files and note not in info["notes"]]
                group.broadcast(np.array([not _is_stored(network, files) for network in networks]))
                _dissect_all(
                    out, info, files=files, networks=networks, layers=chosen, data=data, settings=settings,
                    dissected=dissected,
                )  # fmt: skip
    group.wait()
    return open_run(out)


def _files_of(network: Network) -> list[str]:
    return [*(f"{kind}/{network.name}.npz" for kind in ARRAYS), CONCEPT_IMAGES]


def _is_stored(network: Network, files: Mapping[str, Any]) -> bool:
    return all(name in files for name in _files_of(network))


def _dissect_all(
    out: Path,
    info: dict[str, Any],
    *,
    files: dict[str, Any],
    networks: Sequence[Network],
    layers: Sequence[Sequence[Layer]],
    data: LabelledImages,
    settings: Settings,
    dissected: Callable[[int], Dissection],
) -> None:
    """Dissect each network whose `files` are not there yet, and write what the folder holds; DONE comes last."""
    partial = out / "partial"
    timings: dict[str, dict[str, float]] = {}
    for n, network in enumerate(networks):
        if not _is_stored(network, files):
            result = dissected(n)
            timings[network.name] = {stage: round(seconds, 3) for stage, seconds in result.seconds.items()}
            if result.varying:
                info["notes"].append(f"The network {network.name} does not answer steadily: {result.varying}.")
            _store(out, network.name, result, data)
            files |= {name: record_of(out / name) for name in _files_of(network)}
            write_json(out / "run.json", info | {"files": files})
            shutil.rmtree(partial / network.name, ignore_errors=True)

    stored = [read_arrays(out / "counts" / f"{network.name}.npz", by_slices=FOLD) for network in networks]
    check_same_images([network.name for network in networks], stored, data)
    tables.write_tables(out, networks=networks, layers=layers, stored=stored, data=data, settings=settings)
    used = stored[0]["images"]
    skipped = [dict(zip(("name", "reason"), pair, strict=True)) for pair in stored[0]["skipped"].tolist()]
    info["data"] |= {"n_used": len(used), "n_skipped": len(skipped), "skipped": skipped}
    if turned := turned_images([data.images[number] for number in used.tolist()]):
        info["data"]["turned"] = [{"name": name, "shape": list(shape)} for name, shape in turned.items()]
    if not (stored[0]["n_images"] >= settings.min_images).any():
        info["notes"].append(
            f"Every concept is in fewer than {settings.min_images} of the {len(used)} images, so no unit has a label: take a "
            f"lower min_images, or more images."
        )
    shutil.rmtree(partial, ignore_errors=True)
    seal(out, info | {"timings": timings})


def _check_wishes(networks: Sequence[Network], data: LabelledImages, settings: Settings) -> None:
    if not networks:
        raise UserError("There is no network to dissect: give one, or several, from `load_network`.")
    for network in networks:
        if not isinstance(network, Network):
            raise UserError(
                f"`networks` holds a {type(network).__name__}: give what `load_network` returns, or a module of your own as "
                f"Network(name=..., model=...)."
            )
    names = [network.name for network in networks]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"Two networks are called {twice[0]!r}; give each its own name (`name`).")
    for name in names:
        if not is_file_name(name):
            raise UserError(
                f"The network name {name!r} must have {FILE_NAME}, as it names files: give it another name (`name`)."
            )
    alike = sorted({name for name in names if [other.lower() for other in names].count(name.lower()) > 1})
    if alike:
        raise UserError(
            f"The networks {' and '.join(alike)} would share their files where upper and lower case are one: give them other "
            f"names (`name`)."
        )
    outside = [image.name for image in data.images if not is_below(image.name)]
    if outside:
        raise UserError(
            f"The image {outside[0]!r} does not lie below the folder of the images, {data.image_root}: move it there."
        )
    texts = [name for concept in data.concepts for name in (concept.category, concept.name)]
    texts += [name for image in data.images for name in (image.name, str(image.split))]
    texts += [network.domain for network in networks]
    odd = [text for text in texts if not is_text(text)]
    if odd:
        raise UserError(
            f"The name {odd[0]!r} is no text in UTF-8, so no table can hold it: give what it names another one."
        )
    # Settings record the part of the data that is used; whoever opens the data takes that part.
    others = sorted({str(image.split) for image in data.images} - {settings.split})
    if settings.split is not None and others:
        raise UserError(
            f"`split` is {settings.split!r}, but the data has images of {', '.join(others)} too: open only that split of it."
        )
    if settings.categories and set(settings.categories) != set(data.categories):
        raise UserError(
            f"`categories` are {', '.join(settings.categories)}, but the data has {', '.join(data.categories)}: open it with "
            f"the same categories."
        )


def _describe(
    networks: Sequence[Network], layers: Sequence[Sequence[Layer]], data: LabelledImages, settings: Settings
) -> dict[str, Any]:
    return {
        "format": FORMAT_VERSION,
        "name": "",
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": "dissect.run(...)",
        "settings": settings.as_json(),
        "data": {
            "name": data.name,
            "images": str(data.image_root),
            "fingerprint": data.fingerprint(),
            "n_images": len(data.images),
            "categories": list(data.categories),
            "splits": sorted({str(image.split) for image in data.images}),
        },
        "networks": [_describe_network(*pair) for pair in zip(networks, layers, strict=True)],
        "notes": [
            *_rotation_note(settings),
            *(note for network in networks for note in network.notes),
            *(note for pair in zip(networks, layers, strict=True) for note in early_notes(*pair, settings)),
            *(note for pair in zip(networks, layers, strict=True) for note in _layout_notes(*pair)),
        ],
        "versions": _versions(),
    }


def _rotation_note(settings: Settings) -> list[str]:
    if settings.rotate is None:
        return []
    return [
        f"The units are not the network's own: each layer was dissected in a randomly rotated basis (rotation seed "
        f"{settings.rotate}). It is the control for whether concepts align with single units: compare it with the same run "
        f"without rotation."
    ]


def _layout_notes(network: Network, layers: Sequence[Layer]) -> list[str]:
    """Where units are not the channels of maps, in sentences."""
    alike: dict[str, list[str]] = {}
    for layer in layers:
        if layer.layout and layer.layout.name != "channels-first":
            alike.setdefault(layer.layout.described, []).append(layer.module)
    return [
        f"Of the network {network.name}, {', '.join(modules)} {'gives' if len(modules) == 1 else 'give'} {described}."
        for described, modules in alike.items()
    ]


def _describe_network(network: Network, layers: Sequence[Layer]) -> dict[str, Any]:
    return {
        "name": network.name,
        "domain": network.domain,
        "model": network.spec,
        "trained": network.trained,
        "weights": Path(network.weights).name if network.weights else None,
        "weights_hash": network.weights_hash(),
        "source_hash": source_hash(network.spec, network.model),
        "seed": network.seed,
        "n_parameters": sum(p.numel() for p in network.model.parameters()),
        "input_size": list(network.input_size),
        "mean": list(network.mean),
        "std": list(network.std),
        **{f"{what}_from": network.source(what) for what in PREPROCESSING},
        "channels": network.channels,
        "resize": network.resize,
        "layers": [
            {
                "layer": layer.label,
                "operator": layer.operator,
                "module": layer.module,
                "n_units": layer.n_units,
                "map": list(layer.shape[1:]) if layer.shape else [],
                "layout": layer.layout.name if layer.layout else "",
                "left_out": layer.layout.left_out if layer.layout else 0,
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


def _store(out: Path, name: str, result: Dissection, data: LabelledImages) -> None:
    """The counts last: with them there is all that a network has in the folder."""
    arrays = result.masks.arrays()
    # From numbers in the data set to rows of images.csv, which lists only the images used.
    arrays["image"] = np.where(arrays["image"] < 0, -1, np.searchsorted(result.images, arrays["image"])).astype(
        np.int32
    )
    write_arrays(out / "strongest" / f"{name}.npz", arrays)
    write_arrays(out / "responses" / f"{name}.npz", responses_arrays(result.unit_images, result.histogram, EDGES))
    write_arrays(out / CONCEPT_IMAGES, result.concept_images._asdict())
    skipped = [[data.images[number].name, reason] for number, reason in result.skipped]
    write_arrays(out / "counts" / f"{name}.npz", tables.counts_arrays(result, skipped))


def _named(progress: Progress, name: str) -> Progress:
    return (lambda stage, done, total: progress(f"{name}: {stage}", done, total)) if name else progress
