"""The state of a training run on disk: written whole now and then, read back to resume to the same weights.

    state = TrainingState(folder, identity)
    history, so_far = state.restore(tensors, optimizers)       # [], None for a new run
    state.save("last", tensors, optimizers, history, so_far)

`last.safetensors` holds what training changes (parameters and running statistics), the optimizers' state, and, as JSON
in its metadata, the curves so far, what the epoch that had begun has counted, and the run's identity: everything that its result
depends on, and the sha256 of all that. A folder whose run has another identity is refused, naming what differs; a damaged file is
refused, as its weights would be others. `best.safetensors` holds the tensors of the best epoch on val.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.optim import Optimizer

from data_prep.common.errors import UserError
from data_prep.common.files import write_bytes
from mdl.networks.weight_files import content_hash

Which = Literal["last", "best"]
TEXTS = ("identity", "history", "so_far")
"""The metadata of a checkpoint, besides its hash."""


UNTOLD = {"network.code"}
"""What older checkpoints do not tell, and is not compared with them."""


class TrainingStateError(UserError):
    """The folder holds another run, or a damaged one."""


@dataclass(frozen=True)
class TrainingState:
    """identity: plain JSON values; two runs with equal identities end in equal weights."""

    folder: Path
    identity: Mapping[str, Any]

    def path(self, which: Which) -> Path:
        return self.folder / f"{which}.safetensors"

    def save(
        self,
        which: Which,
        tensors: Mapping[str, Tensor],
        optimizers: Mapping[str, Optimizer],
        history: list[dict],
        so_far: dict | None = None,
    ) -> None:
        """Write a checkpoint, whole or not at all. history: one dict of plain values for each epoch. so_far: plain values of the
        epoch that has begun, None between two epochs."""
        held = {f"tensor:{name}": tensor for name, tensor in tensors.items()}
        for kind, optimizer in optimizers.items():
            for number, parameter in enumerate(_parameters(optimizer)):
                for key, value in optimizer.state.get(parameter, {}).items():
                    if value is not None:
                        held[f"optimizer:{kind}:{number}:{key}"] = torch.as_tensor(value)
        held = {key: value.detach().cpu().contiguous() for key, value in held.items()}
        texts = {key: json.dumps(value) for key, value in zip(TEXTS, (self.identity, history, so_far), strict=True)}
        write_bytes(self.path(which), save(held, {**texts, "sha256": content_hash(held.items(), *texts.values())}))

    def restore(
        self, tensors: Mapping[str, Tensor], optimizers: Mapping[str, Optimizer]
    ) -> tuple[list[dict], dict | None]:
        """Put the values that were saved last into the tensors and optimizers; (history, so_far) as they were saved."""
        if not self.path("last").exists():
            return [], None
        held, history, so_far = self._read("last")
        self._copy(held, tensors)
        for kind, optimizer in optimizers.items():
            for number, parameter in enumerate(_parameters(optimizer)):
                prefix = f"optimizer:{kind}:{number}:"
                own = {key.removeprefix(prefix): value for key, value in held.items() if key.startswith(prefix)}
                if own:
                    optimizer.state[parameter] = {key: _placed(value, parameter) for key, value in own.items()}
        return history, so_far

    def load(self, which: Which, tensors: Mapping[str, Tensor]) -> None:
        """Put the values of the last or the best epoch into the tensors."""
        self._copy(self._read(which)[0], tensors)

    def check(self, which: Which = "last") -> None:
        """Raises `TrainingStateError` where the folder holds a run of another identity, or one without this checkpoint."""
        if self.path("last").exists():
            self._read(which)

    def n_epochs(self) -> int:
        """Whole epochs that the last checkpoint holds."""
        return len(self._read("last")[1])

    def tidy(self) -> None:
        """Remove what a process that was killed while it saved has left."""
        for path in self.folder.glob(".*.safetensors.*"):
            path.unlink()

    def _read(self, which: Which) -> tuple[dict[str, Tensor], list[dict], dict | None]:
        path = self.path(which)
        try:
            if not path.is_file():
                raise FileNotFoundError("it is not there")
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                held = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            texts = [metadata[key] for key in TEXTS]
            if metadata["sha256"] != content_hash(held.items(), *texts):
                raise ValueError("it is damaged: its values are not those that were written")
            identity, history, so_far = map(json.loads, texts)
        except (OSError, SafetensorError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
            raise TrainingStateError(
                f"The checkpoint {path} cannot be read ({error}): delete {self.path('last')} and run again to start over; "
                f"nothing else is lost."
            ) from error
        refuse_other(self.folder, self.identity, identity)
        return held, history, so_far

    def _copy(self, held: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, tensor in tensors.items():
                stored = held.get(f"tensor:{name}")
                if stored is None or stored.shape != tensor.shape:
                    raise TrainingStateError(
                        f"The checkpoint in {self.folder} has no {name} of shape {tuple(tensor.shape)}: it is of another "
                        f"network; give another folder, or delete that one to start over."
                    )
                tensor.copy_(stored)


@contextmanager
def written(folder: Path) -> Iterator[None]:
    """Files of a run are written in the `with` block; what the disk refuses is told in a sentence. Those before stay whole."""
    try:
        yield
    except OSError as error:
        raise TrainingStateError(
            f"{folder} cannot be written to ({error.strerror or error}): make room there, then give the same command "
            f"again, which resumes from the last checkpoint."
        ) from error


def refuse_other(folder: Path, identity: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Raises `TrainingStateError`, naming the first difference, where the run that a folder holds is another one."""
    now, then = _flat(json.loads(json.dumps(identity))), _flat(json.loads(json.dumps(found)))
    known = now.keys() - UNTOLD | then.keys()
    if different := sorted(key for key in known if now.get(key) != then.get(key)):
        key = different[0]
        more = f" and {len(different) - 1} more" if len(different) > 1 else ""
        raise TrainingStateError(
            f"{folder} holds a run with {key} = {then.get(key)!r}, not {now.get(key)!r}{more}: give the same settings to "
            f"resume it, give another folder, or delete that one to start over."
        )


def _parameters(optimizer: Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _placed(value: Tensor, parameter: Tensor) -> Tensor:
    """An optimizer's tensor as it was: laid out like its parameter; a step count stays a number on the CPU."""
    return (
        value if value.shape != parameter.shape or not value.ndim else torch.empty_like(parameter).detach().copy_(value)
    )


def _flat(value: Any, key: str = "") -> dict[str, Any]:
    """
    >>> _flat({"plan": {"lr": 0.1}, "processes": 1})
    {'plan.lr': 0.1, 'processes': 1}
    """
    if isinstance(value, dict):
        return {k: v for name, part in value.items() for k, v in _flat(part, f"{key}.{name}" if key else name).items()}
    return {key: value}
