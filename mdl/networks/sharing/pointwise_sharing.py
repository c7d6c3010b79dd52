"""`pointwise-sharing`, the proposal of Guo et al.: the 1x1 filters are shared, the depthwise ones are the domain's own.

A domain has depthwise 1 to 25, pointwise 25 ("the last convolutional layer"), all batch normalisation and the head:
322,651 + 15,488 + head at full width, 10 % of the network. On another separable network: its depthwise convolutions and the last
convolution likewise.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from mdl.closed_form import NetworkSize, Part, Split
from mdl.networks.body import BodyPart
from mdl.networks.sharing.base import SharingMethod


@dataclass(frozen=True)
class PointwiseSharing(SharingMethod):
    """`MultiDomainNetwork(body, "pointwise-sharing")` on a separable body."""

    name = "pointwise-sharing"
    published_on = "separable"
    source = "Guo et al., AAAI 2019, Section 3"
    refuses = MappingProxyType({"plain": "its dense 3x3 convolutions have no pointwise filters to share"})
    needs = ("depthwise", "pointwise")

    def owns(self, part: BodyPart) -> bool:
        return part.kind in ("depthwise", "bn") or part.is_last

    def split(self, size: NetworkSize) -> Split:
        return pointwise_split(size)


def pointwise_split(size: NetworkSize) -> Split:
    """Pointwise 1 to 24 once; depthwise 1 to 25, pointwise 25 and batch normalisation for every domain."""
    last = Part("pointwise", size.convs[-1].n_in * size.convs[-1].n_out)
    own = (size.part("depthwise"), last, size.part("bn"))
    return Split(shared=(Part("pointwise", size.part("pointwise").count - last.count),), own=own, of_base=own)
