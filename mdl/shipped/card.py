"""The card of the shipped networks, `mdl/shipped/weights/CARD.md`: data, recipes, accuracies, hashes, limits.

    text = card(facts, {"imagenet12.safetensors": 2_884_092, "gtsrb.safetensors": 613_324})

Every number comes from the facts of the networks; only what no result records is written here.
"""

from __future__ import annotations

from collections.abc import Sequence

from mdl.scoring.rendering import Cell, Column, Table, to_markdown
from mdl.scoring.score import wilson
from mdl.shipped.reader import BASE_NAME, FULL_WIDTH, Shipped

IMAGES = {
    "imagenet12": (
        "Tiny-ImageNet, 202 of ImageNet's classes (64 px)", "Russakovsky et al. 2015", "ImageNet's: non-commercial research",
    ),
    "cifar100": ("CIFAR-100, all classes and images (32 px)", "Krizhevsky 2009", "none stated"),
    "dtd": ("Describable Textures, some of its classes", "Cimpoi et al. 2014", "offered for research"),
    "gtsrb": ("German traffic signs", "Stallkamp et al. 2012", "none stated"),
    "omniglot": ("Omniglot, some of its alphabets, white on black", "Lake et al. 2015", "MIT"),
    "vgg-flowers": ("Flowers-102, some of its images", "Nilsback and Zisserman 2008", "none stated for the photographs"),
}  # fmt: skip
"""By domain: what the images are, whose, and on what terms they are offered."""


def card(facts: Sequence[Shipped], n_bytes: dict[str, int]) -> str:
    """`CARD.md`: what the networks are, what they were trained on and how, what they reach, and where that ends."""
    base = next(one for one in facts if one.name == BASE_NAME)
    parts = [
        f"# Trained networks\n\n{_opening(base, sum(n_bytes.values()))}\n",
        to_markdown(_accuracies(facts)),
        to_markdown(_images(facts)),
        f"The images are for research, those of ImageNet for non-commercial research only. None of them is in the package. Take "
        f"the weights as research material too: whoever wants more must ask what the terms of the images allow.\n\n{_CHANGES}",
        *map(to_markdown, _recipes(facts)),
        f"### How to make them again\n\n{_commands(base)}",
        to_markdown(_files(facts, n_bytes)),
        f"### Limits\n\n{_limits(base)}",
    ]
    return "\n".join(parts)


def _opening(base: Shipped, total: int) -> str:
    return (
        f"Separable ResNet-26 networks of width {base.width}{_of_paper(base)}, for six visual domains. "
        f"`{BASE_NAME}` is the base. `cifar100-individual` began as the base and was trained whole; together they are the two "
        f"networks of the paper's Figures 5 and 6. Every other one shares the base's pointwise filters 1 to 24 "
        f"(`pointwise-sharing`, the paper's proposal). `dissect run` and "
        f"`mdl.load_shipped` take them by these names. All files together take {total / 1e6:.1f} MB in float32.\n\n"
        f"Source of architecture and method: Guo, Li, Feris, Wang, Rosing, “Depthwise Convolution is All You Need for Learning "
        f"Multiple Visual Domains”, AAAI 2019. This page is written by `mdl/shipped/make.py` from the results of the training."
    )


def _of_paper(base: Shipped) -> str:
    return ", the paper's" if base.width == FULL_WIDTH else f" (the paper's is {FULL_WIDTH})"


def _accuracies(facts: Sequence[Shipped]) -> Table:
    titles = ("network", "domain", "method"), ("classes", "images", "right")
    columns = (*(Column(t, None) for t in titles[0]), *(Column(t, 0) for t in titles[1]), Column("accuracy, %", 1))
    rows = []
    for one in facts:
        low, high = (100 * bound for bound in wilson(one.n_correct, one.n_test))
        method = "base" if one.name == BASE_NAME else one.method
        counts = one.n_classes, one.n_test, one.n_correct
        rows.append((one.name, one.domain, method, *counts, 100 * one.accuracy, f"{low:.1f} to {high:.1f}"))
    splits = " and ".join(sorted({one.split for one in facts}))
    return Table(
        "Accuracy", (*columns, Column("95 % interval", None)), tuple(rows),
        (f"Top-1 on the split {splits}, each image once. The interval is Wilson's: what the finite number of images "
         f"leaves open, not what another seed would change.",),
    )  # fmt: skip


def _images(facts: Sequence[Shipped]) -> Table:
    words, numbers = ("domain", "what", "source", "terms stated"), ("classes", "images to train on", "to test on")
    domains = {one.domain: one for one in facts}
    rows = [(name, *IMAGES[name], one.n_classes, one.n_train, one.n_test) for name, one in domains.items()]
    columns = (*(Column(t, None) for t in words), *(Column(t, 0) for t in numbers))
    return Table("Training images", columns, tuple(rows))


_CHANGES = """\
They are subsets of the domains of the Visual Decathlon (Rebuffi, Bilen, Vedaldi 2017) in its layout. `imagenet12`: 475 images
of each class were trained on (a few classes have some fewer), 25 chose the epoch, and Tiny-ImageNet's own validation images are
the test. `cifar100`: 450 of each class were trained on, 50 chose the epoch, the test is CIFAR-100's own; images were stored as
JPEG (quality 92, no chroma subsampling) before training and testing. The other four have splits of their own, and `dtd` and
`omniglot` fewer classes.

Training ran with PyTorch's default arithmetic on that GPU, whose convolutions are in TF32 (ten bits of each factor), and so did
testing but that of the two `cifar100` networks. Counted again in full float32 on a CPU, one image of `dtd` has another class
(257 right), and none of `gtsrb`, `omniglot`, `vgg-flowers` and of 2,020 images of `imagenet12`.

The two `cifar100` networks were planned for 18 epochs, with drops after 11 and 15, and were cut short after 16 and 15 epochs
by the end of the machine's time; the plan recorded here is that of what was trained, which gives the same weights.
"""


def _recipes(facts: Sequence[Shipped]) -> list[Table]:
    """What differs between the networks, a row each; then what is the same for all."""
    plans = [{k: v for k, v in one.recipe.items() if k not in ("domain", "method", "mask_lr")} for one in facts]
    own = [key for key in plans[0] if any(plan[key] != plans[0][key] for plan in plans)]
    columns = [Column(t.replace("_", " "), None) for t in ("network", *own)]
    columns += [Column("seconds", 0), Column("device", None)]
    rows = [
        (one.name, *(_value(plan[key]) for key in own), round(one.seconds), one.device)
        for one, plan in zip(facts, plans, strict=True)
    ]
    same = tuple((key.replace("_", " "), _value(plans[0][key])) for key in plans[0] if key not in own)
    note = (
        "SGD. Images are resized on the shorter side; training cuts squares of the crop's size anywhere, testing the square of "
        "the resized height in the centre, which gtsrb and omniglot have in training too. Drops: epochs after which the rate is "
        "divided by ten. Choose best: of all epochs the one that is best on val was kept."
    )
    return [
        Table("Recipe: what differs", tuple(columns), tuple(rows)),
        Table("Recipe: the same for all", (Column("setting", None), Column("value", None)), same, (note,)),
    ]


def _value(value: object) -> Cell:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _commands(base: Shipped) -> str:
    recipe = base.recipe["recipe"]
    return f"""```console
mdl decathlon --data DIR --recipe {recipe} --method pointwise-sharing
mdl decathlon --data DIR --recipe {recipe} --method individual --domains cifar100
python -m mdl.shipped runs/decathlon/{base.data}
```

The first command trains the base network and the five further domains. `DIR` holds the images above in the decathlon's layout.
Epochs and drops of each network are in the table above; `--set train.epochs=40`
and `train.drops=[24,34]` set them.
"""


def _files(facts: Sequence[Shipped], n_bytes: dict[str, int]) -> Table:
    columns = (Column("file", None), Column("bytes", 0), Column("parameters of the network", 0), Column("sha256", None))
    rows = tuple((one.file, n_bytes[one.file], one.n_parameters, one.sha256) for one in facts)
    note = f"A file other than {BASE_NAME}.safetensors holds what its domain owns and is read together with that one."
    return Table("Files", columns, rows, (note,))


def _narrower(base: Shipped) -> str:
    return "" if base.width == FULL_WIDTH else f", {base.width / FULL_WIDTH:.3g} of the width"


def _limits(base: Shipped) -> str:
    return f"""\
- Small networks on little data. They are for demonstrations, tests and studies of method, not for use: not even the
  traffic signs are told apart well enough to rely on.
- No match for published accuracies: other images, in part fewer classes, fewer epochs{_narrower(base)}.
- One seed. A difference between two networks here may be the seed's.
- What their units detect is what these images taught them: a dissection speaks of these networks and its label set.
- Photographs from the web carry the biases of their collections.
"""
