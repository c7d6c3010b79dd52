"""How hard the properties are tried: by twenty examples each in `make test`, always the same ones; by 300 in `make test-all`."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "quick", max_examples=20, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
settings.register_profile("thorough", max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("quick" if "not slow" in (config.option.markexpr or "") else "thorough")
