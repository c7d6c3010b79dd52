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
    from mdl.networks.any_body import AnyBody as AnyBody
    from mdl.networks.body import Body as Body
    from mdl.networks.multi_domain import MultiDomainNetwork as MultiDomainNetwork
    from mdl.networks.named import named_body as named_body
    from mdl.networks.resnet26 import ResNet26 as ResNet26
    from mdl.networks.resnet26 import layer_table as layer_table
    from mdl.networks.resnet26 import multiply_adds as multiply_adds
    from mdl.networks.resnet26 import parameter_counts as parameter_counts
    from mdl.networks.resnet26 import plain_resnet26 as plain_resnet26
    from mdl.networks.resnet26 import separable_resnet26 as separable_resnet26
    from mdl.networks.sharing import METHODS as METHODS
    from mdl.networks.sharing import SharingMethod as SharingMethod
    from mdl.networks.sharing import sharing_method as sharing_method
    from mdl.networks.stacked import StackedDomains as StackedDomains
    from mdl.networks.weight_files import load_body as load_body
    from mdl.networks.weight_files import load_domain as load_domain
    from mdl.networks.weight_files import save_body as save_body
    from mdl.networks.weight_files import save_domain as save_domain
    from mdl.results import Result as Result
    from mdl.results import read_predictions as read_predictions
    from mdl.results import read_result as read_result
    from mdl.results import read_results as read_results
    from mdl.scoring.score import Score as Score
    from mdl.scoring.score import decathlon_score as decathlon_score
    from mdl.scoring.submission import read_official_labels as read_official_labels
    from mdl.scoring.submission import score_submission as score_submission
    from mdl.scoring.submission import write_submission as write_submission
    from mdl.shipped.reader import Shipped as Shipped
    from mdl.shipped.reader import base_file as base_file
    from mdl.shipped.reader import load_shipped as load_shipped
    from mdl.shipped.reader import shipped_networks as shipped_networks
    from mdl.training.decathlon import train_decathlon as train_decathlon
    from mdl.training.finished import Finished as Finished
    from mdl.training.finished import evaluate_finished as evaluate_finished
    from mdl.training.finished import export_finished as export_finished
    from mdl.training.finished import open_finished as open_finished
    from mdl.training.one_domain import Setting as Setting
    from mdl.training.one_domain import keep_body as keep_body
    from mdl.training.one_domain import pretrain as pretrain
    from mdl.training.one_domain import train_domain as train_domain
    from mdl.training.recipe import Plan as Plan
    from mdl.training.recipe import Recipe as Recipe
    from mdl.training.recipe import load_recipe as load_recipe

    __version__: str
else:
    __getattr__, __dir__, __all__ = attach(
        __name__,
        {
            "AnyBody": "mdl.networks.any_body",
            "Body": "mdl.networks.body",
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
            "base_file": "mdl.shipped.reader",
            "decathlon_score": "mdl.scoring.score",
            "evaluate_finished": "mdl.training.finished",
            "export_finished": "mdl.training.finished",
            "keep_body": "mdl.training.one_domain",
            "layer_table": "mdl.networks.resnet26",
            "load_body": "mdl.networks.weight_files",
            "load_domain": "mdl.networks.weight_files",
            "load_recipe": "mdl.training.recipe",
            "load_shipped": "mdl.shipped.reader",
            "multiply_adds": "mdl.networks.resnet26",
            "named_body": "mdl.networks.named",
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
