"""`individual`: nothing shared. Every domain is a network of its own that starts from the base network."""

from __future__ import annotations

from dataclasses import dataclass

from mdl.closed_form import NetworkSize, Split
from mdl.networks.body import BodyPart
from mdl.networks.sharing.base import SharingMethod


@dataclass(frozen=True)
class Individual(SharingMethod):
    """`MultiDomainNetwork(body, "individual")`: everything is the domain's own."""

    name = "individual"
    published_on = "separable"
    source = "Guo et al., AAAI 2019, Table 2"

    def owns(self, part: BodyPart) -> bool:
        return True

    def split(self, size: NetworkSize) -> Split:
        return Split(own=size.parts, of_base=size.parts)
