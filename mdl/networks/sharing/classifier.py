"""`classifier` and `classifier+bn`: all convolutions shared, a head per domain, with or without batch normalisation.

With `classifier` the body's batch normalisation keeps its running statistics while a domain is trained.
"""

from __future__ import annotations

from dataclasses import dataclass

from mdl.closed_form import NetworkSize, Split
from mdl.networks.body import BodyPart
from mdl.networks.sharing.base import SharingMethod


@dataclass(frozen=True)
class Classifier(SharingMethod):
    """`MultiDomainNetwork(body, "classifier")`: the head is the domain's own, nothing else."""

    name = "classifier"
    published_on = "separable"
    source = "Guo et al., AAAI 2019, Table 2"

    def split(self, size: NetworkSize) -> Split:
        return Split(shared=size.parts)


@dataclass(frozen=True)
class ClassifierAndBatchNorm(SharingMethod):
    """`MultiDomainNetwork(body, "classifier+bn")`: head and all batch normalisation are the domain's own."""

    name = "classifier+bn"
    published_on = "separable"
    source = "Guo et al., AAAI 2019, Table 2 (the row 'Classifier Only' almost surely has its own batch normalisation)"
    needs = ("bn",)

    def owns(self, part: BodyPart) -> bool:
        return part.kind == "bn"

    def split(self, size: NetworkSize) -> Split:
        bn = (size.part("bn"),)
        return Split(shared=size.filters, own=bn, of_base=bn)
