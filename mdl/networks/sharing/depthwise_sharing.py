"""`depthwise-sharing`, the proposal turned round: depthwise filters shared, the 1x1 filters are the domain's own."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from mdl.closed_form import NetworkSize, Split
from mdl.networks.body import BodyPart
from mdl.networks.sharing.base import SharingMethod


@dataclass(frozen=True)
class DepthwiseSharing(SharingMethod):
    """`MultiDomainNetwork(body, "depthwise-sharing")`: a domain has pointwise 1 to 25, batch normalisation and head."""

    name = "depthwise-sharing"
    published_on = "separable"
    source = "Guo et al., AAAI 2019, Table 2"
    refuses = MappingProxyType({"plain": "its dense 3x3 convolutions have no depthwise filters to share"})
    needs = ("depthwise", "pointwise")

    def owns(self, part: BodyPart) -> bool:
        return part.kind in ("pointwise", "bn")

    def split(self, size: NetworkSize) -> Split:
        own = (size.part("pointwise"), size.part("bn"))
        return Split(shared=(size.part("depthwise"),), own=own, of_base=own)
