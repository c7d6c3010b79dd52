"""The device that a command computes on.

device = usable_device("auto")            # "cuda" or "cpu"

Imports torch when it is called, not before, so that `--help` need not wait for it.
"""

from __future__ import annotations

from data_prep.common.errors import UserError

ALLOWED = "cpu, cuda, cuda:N, mps or auto"


def usable_device(wanted: str) -> str:
    """`wanted` where PyTorch can use it; "auto" becomes "cuda" or "cpu", whichever there is. Raises `UserError`."""
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise UserError(f"The device is {wanted!r}; it must be {ALLOWED}.") from None
    if device.type not in ("cpu", "cuda", "mps"):
        raise UserError(f"The device is {wanted!r}; it must be {ALLOWED}.")
    if device.type == "cuda" and not (torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()):
        raise UserError(
            f"The device is {wanted!r}, but PyTorch sees {torch.cuda.device_count()} CUDA devices: use cpu, or auto."
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError(f"The device is {wanted!r}, but PyTorch sees none here: use cpu, or auto.")
    return wanted
