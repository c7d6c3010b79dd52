"""The networks of a finished run, loaded again as they were: for what needs their activations once more.

    network, layers = reload_network(run, "imagenet12")           # refused where it is not the very network of the run
    check_data(run, data)                                         # likewise for the label set

run.json records by which name a network was loaded, with which weights and preprocessing, and the hashes of its weights and
code. What differs would give other masks under the old labels, so it is refused by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from data_prep.common.errors import UserError, choose
from data_prep.formats import LabelledImages
from dissect.layers import Layer, list_layers, tapped_at
from dissect.models import Network, load_network
from dissect.network_source import source_hash
from dissect.run_store import Run
from dissect.settings import Settings


def settings_of(run: Run) -> Settings:
    """The settings that a run was made with, from its run.json."""
    recorded = run.info["settings"]
    known = {field.name: recorded[field.name] for field in fields(Settings) if field.name in recorded}
    return Settings(**known | {"categories": tuple(known.get("categories") or ())})


def reload_network(
    run: Run, name: str, *, weights: str | Path | None = None, network: Network | None = None
) -> tuple[Network, list[Layer]]:
    """The network `name` of the run and the layers that it dissected, in the order of the run.

    weights: the file that its weights came from, for a network that was loaded with one; run.json knows its name, not where it
    lies. network: a network that was made by hand, which no name can load. Raises `UserError` where the network is not the one
    that was dissected.
    """
    choose("network", name, [str(each["name"]) for each in run.networks])
    (entry,) = (each for each in run.networks if each["name"] == name)
    if network is None:
        network = _load(entry, weights)
    if network.weights_hash() != entry["weights_hash"]:
        came = f" from the file {entry['weights']!r}" if entry["weights"] else ""
        raise UserError(
            f"The weights of the network {name} are not those that were dissected (their hash is another): give the file with "
            f"those that were dissected{came} as `weights`."
        )
    if "source_hash" in entry and source_hash(network.spec, network.model) != entry["source_hash"]:
        raise UserError(
            f"The code of the network {name} is not the one that was dissected (source_hash differs): restore it, or dissect "
            f"again."
        )
    seen = (list(network.input_size), list(network.mean), list(network.std))
    if seen != (entry["input_size"], entry["mean"], entry["std"]):
        raise UserError(
            f"The network {name} was shown images of another size, mean or std than this one takes: give it those of run.json."
        )
    return network, _layers(network, entry, settings_of(run))


def _load(entry: dict[str, Any], weights: str | Path | None) -> Network:
    name = entry["name"]
    if not entry["model"]:
        raise UserError(
            f"The network {name} was made by hand and has no name by which it could be loaded: give it as `loaded`, from "
            f"Python."
        )
    return load_network(
        entry["model"], weights=weights, name=name, domain=entry["domain"],
        image_size=entry["input_size"], mean=entry["mean"], std=entry["std"], seed=entry.get("seed") or 0,
    )  # fmt: skip


def _layers(network: Network, entry: dict[str, Any], settings: Settings) -> list[Layer]:
    table = list_layers(network.model, network.input_size, settings.layout)
    known = {
        (layer.label, layer.operator, layer.module, layer.n_units): layer
        for layer in tapped_at(table, settings.tap, table)
    }
    found = []
    for recorded in entry["layers"]:
        key = tuple(recorded[field] for field in ("layer", "operator", "module", "n_units"))
        if key not in known:
            raise UserError(
                f"The network {network.name} no longer has the layer {recorded['layer']} {recorded['operator']} "
                f"({recorded['module']}, {recorded['n_units']} units) that was dissected: dissect again."
            )
        found.append(known[key])
    return found


def check_data(run: Run, data: LabelledImages) -> None:
    """Raises `UserError` unless `data` is the set that the run saw."""
    if data.fingerprint() != run.info["data"]["fingerprint"]:
        raise UserError(
            f"The label set {data.name} is not as it was when {run.path} was made (its fingerprint is another): restore its "
            f"files, give the one that was dissected as `data`, or dissect again."
        )


def wanted_layers(layers: Sequence[Layer], wanted: Sequence[str], operators: Sequence[str]) -> list[int]:
    """The places among `layers` of those that `wanted` names by label or module; all if it names none.

    operators: keep only layers with these. Raises `UserError` for a name that is not there.
    """
    known = [name for layer in layers for name in (layer.label, layer.module)]
    for name in wanted:
        choose("layer", name, dict.fromkeys(known))
    for name in operators:
        choose("operator", name, dict.fromkeys(layer.operator for layer in layers))
    return [
        k
        for k, layer in enumerate(layers)
        if (not wanted or {layer.label, layer.module} & set(wanted)) and (not operators or layer.operator in operators)
    ]
