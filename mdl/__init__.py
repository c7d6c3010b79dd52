"""Networks for many visual domains over one body: train, share, score and compare them.

    body = mdl.separable_resnet26(1000)
    net = mdl.MultiDomainNetwork(body, "pointwise-sharing")
    net.add("dtd", n_classes=47)
    network, facts = mdl.load_shipped("gtsrb")

The names below are the public ones; each is loaded when it is first used.
"""

from typing import TYPE_CHECKING

from data_prep.common.doors import attach

if TYPE_CHECKING:
    from mdl.networks.multi_domain import MultiDomainNetwork
    from mdl.networks.resnet26 import (
        ResNet26,
        layer_table,
        multiply_adds,
        parameter_counts,
        plain_resnet26,
        separable_resnet26,
    )
    from mdl.networks.sharing import METHODS, SharingMethod, sharing_method
    from mdl.networks.stacked import StackedDomains
    from mdl.networks.weight_files import load_body, load_domain, save_body, save_domain
    from mdl.results import Result, read_predictions, read_result, read_results
    from mdl.scoring.score import Score, decathlon_score
    from mdl.scoring.submission import read_official_labels, score_submission, write_submission
    from mdl.shipped.reader import Shipped, load_shipped, shipped_networks
    from mdl.training.decathlon import train_decathlon
    from mdl.training.finished import Finished, evaluate_finished, export_finished, open_finished
    from mdl.training.one_domain import Setting, pretrain, train_domain
    from mdl.training.recipe import Plan, Recipe, load_recipe

    __version__: str

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "METHODS": "mdl.networks.sharing",
        "Finished": "mdl.training.finished",
        "MultiDomainNetwork": "mdl.networks.multi_domain",
        "Plan": "mdl.training.recipe",
        "Recipe": "mdl.training.recipe",
        "ResNet26": "mdl.networks.resnet26",
        "Result": "mdl.results",
        "Score": "mdl.scoring.score",
        "Setting": "mdl.training.one_domain",
        "SharingMethod": "mdl.networks.sharing",
        "Shipped": "mdl.shipped.reader",
        "StackedDomains": "mdl.networks.stacked",
        "__version__": "data_prep.common.command",
        "decathlon_score": "mdl.scoring.score",
        "evaluate_finished": "mdl.training.finished",
        "export_finished": "mdl.training.finished",
        "layer_table": "mdl.networks.resnet26",
        "load_body": "mdl.networks.weight_files",
        "load_domain": "mdl.networks.weight_files",
        "load_recipe": "mdl.training.recipe",
        "load_shipped": "mdl.shipped.reader",
        "multiply_adds": "mdl.networks.resnet26",
        "open_finished": "mdl.training.finished",
        "parameter_counts": "mdl.networks.resnet26",
        "plain_resnet26": "mdl.networks.resnet26",
        "pretrain": "mdl.training.one_domain",
        "read_official_labels": "mdl.scoring.submission",
        "read_predictions": "mdl.results",
        "read_result": "mdl.results",
        "read_results": "mdl.results",
        "save_body": "mdl.networks.weight_files",
        "save_domain": "mdl.networks.weight_files",
        "score_submission": "mdl.scoring.submission",
        "separable_resnet26": "mdl.networks.resnet26",
        "sharing_method": "mdl.networks.sharing",
        "shipped_networks": "mdl.shipped.reader",
        "train_decathlon": "mdl.training.decathlon",
        "train_domain": "mdl.training.one_domain",
        "write_submission": "mdl.scoring.submission",
    },
)
