"""Products and convolutions in full float32 and always alike, also where PyTorch would take a faster, rougher arithmetic.

    with full_precision():
        maps = look(images)

TF32, which PyTorch uses for convolutions on CUDA unless told otherwise, moves activations by about a thousandth, and labels with
them (method, part A.6). cuDNN, left alone, may also take another algorithm from one time to the next, or one whose sums come in
any order.

Imports torch when it is used, not before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def full_precision() -> Iterator[None]:
    """PyTorch's settings are put back on leaving.

    >>> import torch
    >>> torch.backends.cudnn.allow_tf32
    True
    >>> with full_precision():
    ...     torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.deterministic
    (False, False, True)
    >>> torch.backends.cudnn.allow_tf32
    True
    """
    switches = _switches()
    before = [getattr(of, name) for of, name, _ in switches]
    try:
        for of, name, value in switches:
            setattr(of, name, value)
        yield
    finally:
        for (of, name, _), value in zip(switches, before, strict=True):
            setattr(of, name, value)


class _Matmul:
    """The switch for matrix products on every device, by name like the others."""

    @property
    def precision(self) -> str:
        import torch

        return torch.get_float32_matmul_precision()

    @precision.setter
    def precision(self, value: str) -> None:
        import torch

        torch.set_float32_matmul_precision(value)


def _switches() -> list[tuple[Any, str, Any]]:
    """(where, name, value) of what makes arithmetic exact, and repeats it."""
    import torch

    backends: Any = torch.backends
    alike = [(backends.cudnn, "deterministic", True), (backends.cudnn, "benchmark", False)]
    older = [(_Matmul(), "precision", "highest"), (backends.cudnn, "allow_tf32", False)]
    try:
        for of, name, _ in older:
            getattr(of, name)
    except RuntimeError:  # the program around us uses PyTorch's newer names, which may not be mixed with the older ones
        rooms = (
            backends.cuda.matmul,
            backends.cudnn.conv,
            backends.cudnn.rnn,
            backends.mkldnn.matmul,
            backends.mkldnn.conv,
        )
        return [*((of, "fp32_precision", "ieee") for of in rooms), *alike]
    return [*older, *alike]
