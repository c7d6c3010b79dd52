"""Where the real test data lie: photographs and images that are no part of the repository.

root = real_data("broden_real")           # the folder; the test is skipped where it is not there
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

VARIABLE = "DISSECT_TEST_DATA"
BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"


def real_data(name: str) -> Path:
    """The file or folder `name` in `$DISSECT_TEST_DATA`, or else in `../shared/data`; skips the test where it is not there.

    What may lie there: broden_real (labelled photographs), decathlon_mini (six real domains in the official layout),
    trained_wide (networks that were trained elsewhere).
    """
    folder = Path(os.environ.get(VARIABLE) or BESIDE)
    if not (folder / name).exists():
        pytest.skip(f"the real test data are not here: there is no {name} in {folder}; {VARIABLE} names another folder")
    return folder / name
