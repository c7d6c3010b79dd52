"""Functions compiled by numba, whose machine code is kept from run to run wherever there is a place for it.

    @compiled
    def add(a: np.ndarray) -> float: ...

The place is numba's own (beside the code, or in the user's home; NUMBA_CACHE_DIR names another), or else our cache folder. In a
container that can write neither, each run compiles again, which takes some seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numba
from numba import config as _config

from data_prep.common.caches import COMPILED, cache_folder
from data_prep.common.errors import UserError

config: Any = _config  # whose settings are made when numba is imported


def compiled(function: Callable[..., Any]) -> Any:
    """The function compiled without Python's lock. Its arguments come by position."""
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # "no locator available"
        pass
    before = config.CACHE_DIR
    with suppress(RuntimeError, UserError):
        config.CACHE_DIR = str(cache_folder() / COMPILED)
        return numba.njit(nogil=True, cache=True)(function)
    config.CACHE_DIR = before
    return numba.njit(nogil=True)(function)
