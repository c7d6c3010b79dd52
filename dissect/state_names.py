"""Whose tensor is whose: the names in a file of weights against those of a network.

    for match in matches(own, {"state_dict": {"module.conv1.weight": tensor, ...}}):
        match.tensors, match.changes, match.n_faults       # under the network's own names; what was changed for that

Trainings wrap networks and write the wrapper's name into every name: `module.` (data parallel), `_orig_mod.` (compiled),
`model.`, `net.`, `backbone.`, `encoder.` (Lightning and other frameworks). No list of them is needed: a prefix is one if behind
it there is every name of the network. A change of names counts only if everything fits under it, and what was changed is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn.parameter import is_lazy

WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
"""Parts of names that come from wrapping a module, wherever in the name they stand."""

# DenseNet's layers in files older than 2017, which Python names no longer allow: norm.1 for norm1.
_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.(\d)\.")


@dataclass(frozen=True, kw_only=True)
class Match:
    """Tensors under a network's own names. place: where in the file they lay. changes: what was changed of the names there.
    left_out: names of the same dict that are no part of the network."""

    tensors: Mapping[str, Tensor]
    place: str = ""
    changes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    misshapen: tuple[str, ...] = ()

    @property
    def n_faults(self) -> int:
        """How many names do not fit."""
        return len(self.missing) + len(self.unexpected) + len(self.misshapen)


def matches(own: Mapping[str, Any], states: Mapping[str, Mapping[str, Tensor]]) -> list[Match]:
    """Every way to read the file's names as the network's, the plainest first."""
    return [match for place, state in states.items() for match in _matches_of(own, place, state)]


def is_counter(name: str) -> bool:
    """Whether this only counts batches, so that no output depends on it: files of old versions lack it.

    >>> is_counter("bn1.num_batches_tracked")
    True
    """
    return name.endswith("num_batches_tracked")


def is_extra(name: str) -> bool:
    """Whether this is what a module of the user's own keeps beside its tensors (`get_extra_state`).

    >>> is_extra("layer._extra_state")
    True
    """
    return name.rpartition(".")[2] == "_extra_state"


def _matches_of(own: Mapping[str, Any], place: str, state: Mapping[str, Tensor]) -> Iterator[Match]:
    for changes, names in _readings(own, list(state)):
        tensors = {name: state[stored] for name, stored in names.items()}
        used = set(names.values())
        yield Match(
            tensors=tensors,
            place=place,
            changes=changes,
            left_out=tuple(name for name in state if name not in used),
            missing=tuple(n for n in own if n not in tensors and not is_counter(n) and not is_extra(n)),
            unexpected=tuple(name for name in tensors if name not in own),
            misshapen=tuple(n for n in own if n in tensors and not _same_shape(own[n], tensors[n])),
        )


def _readings(own: Mapping[str, Any], stored: list[str]) -> Iterator[tuple[tuple[str, ...], dict[str, str]]]:
    """(what is changed of the names, {name: as stored}); no names are made equal, and none is changed without need."""
    names = {name: name for name in stored}
    changes: tuple[str, ...] = ()
    yield changes, names
    bare_own = {_bare(name): name for name in own}  # the network itself may be wrapped
    parts = sorted({part for name in stored for part in name.split(".")} & WRAPPERS)
    unwrapped = (
        tuple(f"{part + '.'!r} removed" for part in parts),
        lambda name: bare_own.get(_bare(name), _bare(name)),
    )
    modern = (("norm.1 read as norm1 and so on",), lambda name: _OLD_DENSENET.sub(r"\1\2.", name))
    for change, rename in (unwrapped, modern):
        renamed = {rename(name): at for name, at in names.items()}
        if len(renamed) == len(names) and renamed.keys() != names.keys():
            names, changes = renamed, changes + change
            yield changes, names
    needed = [name for name in own if not is_counter(name) and not is_extra(name)]
    if not needed or all(name in names for name in needed):
        return
    for prefix in sorted({name.removesuffix(needed[0]) for name in names if name.endswith(f".{needed[0]}")}):
        inside = {name.removeprefix(prefix): at for name, at in names.items() if name.startswith(prefix)}
        yield (*changes, f"{prefix!r} removed"), inside


def _bare(name: str) -> str:
    """
    >>> _bare("features.module.0.weight")
    'features.0.weight'
    """
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def _same_shape(own: Any, given: Tensor) -> bool:
    return not isinstance(own, Tensor) or is_lazy(own) or own.shape == given.shape
