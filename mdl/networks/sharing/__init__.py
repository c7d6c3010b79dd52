"""The sharing methods by name.

    method = sharing_method("dan", controller="low-rank", rank=4)
    METHODS["dan"].published_on         # "plain"

A new method is one new file in this folder, and its line in `METHODS`.
"""

from __future__ import annotations

from data_prep.common.errors import choose
from mdl.networks.sharing.base import SharingMethod
from mdl.networks.sharing.classifier import Classifier, ClassifierAndBatchNorm
from mdl.networks.sharing.dan import DAN
from mdl.networks.sharing.depthwise_sharing import DepthwiseSharing
from mdl.networks.sharing.individual import Individual
from mdl.networks.sharing.parallel_adapters import ParallelAdapters
from mdl.networks.sharing.piggyback import Piggyback
from mdl.networks.sharing.pointwise_sharing import PointwiseSharing
from mdl.networks.sharing.series_adapters import SeriesAdapters
from mdl.networks.sharing.soft_sharing import SoftSharing

__all__ = ["METHODS", "SharingMethod", "sharing_method"]

METHODS: dict[str, type[SharingMethod]] = {
    method.name: method
    for method in (
        Individual,
        Classifier,
        ClassifierAndBatchNorm,
        PointwiseSharing,
        DepthwiseSharing,
        SeriesAdapters,
        ParallelAdapters,
        DAN,
        Piggyback,
        SoftSharing,
    )
}


def sharing_method(name: str, **options: object) -> SharingMethod:
    """The method called `name`; raises `UserError` for an unknown name or option, offering the nearest."""
    choose("method", name, METHODS)
    return METHODS[name].with_options(options)
