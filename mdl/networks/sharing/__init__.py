"""The sharing methods by name.

    method = sharing_method("dan", controller="low-rank", rank=4)
    method = sharing_method("path/to/file.py:MyMethod")      # one of your own
    METHODS["dan"].published_on         # "plain"

A new method is one new file in this folder, and its line in `METHODS`.
"""

from __future__ import annotations

from data_prep.common.errors import choose
from mdl.networks.sharing.base import SharingMethod
from mdl.networks.sharing.classifier import Classifier, ClassifierAndBatchNorm
from mdl.networks.sharing.dan import DAN
from mdl.networks.sharing.depthwise_sharing import DepthwiseSharing
from mdl.networks.sharing.from_file import is_specification, method_from_file
from mdl.networks.sharing.individual import Individual
from mdl.networks.sharing.parallel_adapters import ParallelAdapters
from mdl.networks.sharing.piggyback import Piggyback
from mdl.networks.sharing.pointwise_sharing import PointwiseSharing
from mdl.networks.sharing.series_adapters import SeriesAdapters
from mdl.networks.sharing.soft_sharing import SoftSharing

__all__ = ["METHODS", "SharingMethod", "method_class", "sharing_method"]

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


def method_class(method: str) -> type[SharingMethod]:
    """The method called `method`, or the class in a file, `path/to/file.py:Class`. Raises `UserError` for another one.

    >>> method_class("series-adapters").base_is_prepared
    True
    """
    if is_specification(method):
        return method_from_file(method, taken=METHODS)
    choose("method", method, METHODS)
    return METHODS[method]


def sharing_method(method: str, /, **options: object) -> SharingMethod:
    """The method called `method`, or of a file, with options.

    >>> sharing_method("piggyback", mask="ternary").variant()
    'ternary'

    Raises `UserError` for an unknown name or option, offering the nearest.
    """
    return method_class(method).with_options(options)
