"""Commands in this process, and the small run that is damaged."""

from __future__ import annotations

import contextlib
import io
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from dissect import cli

NETS = Path(__file__).parents[1] / "dissect" / "small_networks.py"
N_IMAGES = 24
SETTINGS = ("--layers", "1", "2", "--quantile", "0.9", "--folds", "3", "--strongest", "2", "--batch-size", "4")
TIGHT = ("--memory", "0.0003")
"""So little that candidates go to files."""


class Said(NamedTuple):
    status: object
    out: str
    err: str

    def sentence(self) -> str:
        """The one sentence of a command that ended with an error."""
        words = self.err.strip().splitlines()[-1]
        assert self.status == 2 and words.startswith("error: ") and len(words) > 30, self
        assert "Traceback" not in self.out + self.err
        return words.removeprefix("error: ")


def command(*args: object) -> Said:
    """`dissect` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        cli.main([str(arg) for arg in args])
    return Said(ended.value.code, out.getvalue(), err.getvalue())


def rng_of(name: str) -> np.random.Generator:
    """The same for a case of this name on every machine."""
    return np.random.default_rng(zlib.crc32(name.encode()))
