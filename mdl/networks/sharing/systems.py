"""Names of systems, the rows of the tables: a method with its variant and, where it is not its paper's, its backbone.

>>> from mdl.networks.sharing import sharing_method
>>> system_name(sharing_method("dan", controller="low-rank", rank=4), "separable")
'dan-low-rank-4-separable'
>>> method, backbone = read_system("soft-sharing-late")
>>> method.options(), backbone
({'region': 'late', 'train': 'gate'}, 'separable')
"""

from __future__ import annotations

from pathlib import Path

from data_prep.common.errors import UserError, nearest
from data_prep.common.files import slug
from mdl.closed_form import PUBLISHED_WIDTH
from mdl.networks.sharing import METHODS
from mdl.networks.sharing.base import SharingMethod


def system_name(method: SharingMethod, backbone: str) -> str:
    """The row that a method with its options has in the tables: `dan-low-rank-4`, `soft-sharing-late`, `individual-plain`.

    Options are named where they are not the plainest, the backbone where it is not that of the method's paper.
    """
    words = [method.name, method.variant(), backbone_word(backbone) if backbone != method.published_on else ""]
    return "-".join(filter(None, words))


def backbone_word(backbone: str) -> str:
    """A backbone in the name of a row and of its folder.

    >>> backbone_word("plain"), backbone_word("torchvision:mobilenet_v2"), backbone_word("nets/mine.py:small")
    ('plain', 'torchvision-mobilenet_v2', 'mine-small')
    """
    where, _, name = backbone.rpartition(":")
    return "-".join(filter(None, [Path(where).stem, slug(name)]))


def read_system(system: str) -> tuple[SharingMethod, str]:
    """The inverse of `system_name` for the methods that come along: the method and the backbone.

    Raises `UserError` for a name that no row has, and for a backbone that the method refuses.
    """
    names = [name for name in METHODS if system == name or system.startswith(f"{name}-")]
    if not names:
        raise UserError(
            f"Nothing is known of a system {system!r}: give a method, such as pointwise-sharing or dan, with its variant"
            f"{nearest(system, METHODS)}."
        )
    method = METHODS[max(names, key=len)]
    variant, backbone = system[len(method.name) + 1 :], str(method.published_on)
    for other in PUBLISHED_WIDTH:
        if other != method.published_on and f"-{variant}".endswith(f"-{other}"):
            variant, backbone = variant.removesuffix(other).removesuffix("-"), other
    found = method.of_variant(variant)
    found.check_backbone(backbone)
    return found, backbone
