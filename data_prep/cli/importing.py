"""The commands `data-prep import FORMAT`, `colors`, `join` and `broden`, which make label sets in the Broden layout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from data_prep.cli.results import show_report
from data_prep.common.command import Tool
from data_prep.common.terminal import print_table, printable, progress_bars
from data_prep.importers.cityscapes import Annotations
from data_prep.importers.coco import CocoKind
from data_prep.importers.options import ImportOptions

if TYPE_CHECKING:
    from data_prep.importers.source import Source

Folder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
Place = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR|FILE")]
NewSet = Annotated[Path, tyro.conf.arg(metavar="DIR")]
Elsewhere = Annotated[Path | None, tyro.conf.arg(metavar="DIR")]
Table = Annotated[Path | None, tyro.conf.arg(metavar="FILE")]
How = tyro.conf.OmitArgPrefixes[ImportOptions]
USUAL = ImportOptions()


def coco(
    path: Place,
    /,
    *,
    out: NewSet,
    images: Elsewhere = None,
    kind: CocoKind = "instances",
    preview: bool = False,
    shared: How = USUAL,
) -> int:
    """Import COCO's instances, stuff or panoptic annotations, and what other tools export in that format.

    Args:
        path: The JSON file, or a folder with annotations/KIND_*.json.
        out: The new set.
        images: Folder of the images; looked for beside the annotations without it.
        kind: Of a folder, which files to import.
        preview: Draw 12 images with their labels, into preview.png in the set.
    """
    from data_prep.importers.coco import read

    return _import(read(path, images=images, kind=kind), out, shared, preview)


def voc(path: Folder, /, *, out: NewSet, preview: bool = False, shared: How = USUAL) -> int:
    """Import PASCAL VOC's segmentation: palette or coloured pictures, names of VOC or of labelmap.txt.

    Args:
        path: Folder with JPEGImages/ and SegmentationClass/.
        out: The new set.
        preview: Draw 12 images with their labels, into preview.png in the set.
    """
    from data_prep.importers.voc import read

    return _import(read(path), out, shared, preview)


def ade20k(path: Folder, /, *, out: NewSet, preview: bool = False, shared: How = USUAL) -> int:
    """Import ADE20K: the scene-parsing benchmark, or the full release with objects, parts and scenes.

    Args:
        path: The unpacked folder of either.
        out: The new set.
        preview: Draw 12 images with their labels, into preview.png in the set.
    """
    from data_prep.importers.ade20k import read

    return _import(read(path), out, shared, preview)


def cityscapes(
    path: Folder, /, *, out: NewSet, annotations: Annotations = "gtFine", preview: bool = False, shared: How = USUAL
) -> int:
    """Import Cityscapes' maps of label ids; the ids of the group void carry no label.

    Args:
        path: Folder with leftImg8bit/ and gtFine/ or gtCoarse/.
        out: The new set.
        annotations: Which annotations to import.
        preview: Draw 12 images with their labels, into preview.png in the set.
    """
    from data_prep.importers.cityscapes import read

    return _import(read(path, annotations=annotations), out, shared, preview)


def labelme(path: Folder, /, *, out: NewSet, preview: bool = False, shared: How = USUAL) -> int:
    """Import LabelMe's JSON files: polygons, rectangles, circles and masks.

    Args:
        path: Folder with a JSON file beside each image.
        out: The new set.
        preview: Draw 12 images with their labels, into preview.png in the set.
    """
    from data_prep.importers.labelme import read

    return _import(read(path), out, shared, preview)


def cvat(path: Place, /, *, out: NewSet, images: Elsewhere = None, preview: bool = False, shared: How = USUAL) -> int:
    """Import CVAT's own XML ("CVAT for images 1.1"): polygons, boxes, ellipses, masks and tags.

    Args:
        path: The XML file, or a folder with annotations.xml.
        out: The new set.
        images: Folder of the images; images/ beside the XML file without it.
        preview: Draw 12 images with their labels, into preview.png in the set.
    """
    from data_prep.importers.cvat import read

    return _import(read(path, images=images), out, shared, preview)


def masks(
    path: Folder,
    /,
    *,
    out: NewSet,
    images: Elsewhere = None,
    masks: Elsewhere = None,
    table: Table = None,
    ending: str = "",
    preview: bool = False,
    shared: How = USUAL,
) -> int:
    """Import a folder of images and one of label pictures of the same names: grey, palette, 16-bit or coloured PNGs.

    Args:
        path: Folder with images/, masks/ and names.csv.
        out: The new set.
        images: Another folder of the images.
        masks: Another folder of the label pictures.
        table: Another CSV file with the columns value,name; a value is a number, or #rrggbb for coloured pictures. Values
            without a row must be 0 or the largest (255, 65535, white), which carry no label.
        ending: What the name of a label picture has behind that of its image: _mask where a_mask.png is that of a.jpg.
        preview: Draw 12 images with their labels, into preview.png in the set.
    """
    from data_prep.importers.masks import read

    return _import(read(path, images=images, masks=masks, table=table, ending=ending), out, shared, preview)


def classes(path: Folder, /, *, out: NewSet, preview: bool = False, shared: How = USUAL) -> int:
    """Import a folder of images for each class as labels of the whole image: scenes, or textures with --category texture.

    Args:
        path: Folder of CLASS/IMAGE, or of SPLIT/CLASS/IMAGE.
        out: The new set.
        preview: Draw 12 images with their labels, into preview.png in the set.
    """
    from data_prep.importers.classes import read

    return _import(read(path), out, shared, preview)


def concept_images(path: Folder, /, *, out: NewSet, preview: bool = False, shared: How = USUAL) -> int:
    """Import folders of example images for each concept, as TCAV uses them; those of random* show none.

    Args:
        path: Folder of CONCEPT/IMAGE.
        out: The new set.
        preview: Draw 12 images with their labels, into preview.png in the set.
    """
    from data_prep.importers.concept_images import read

    return _import(read(path), out, shared, preview)


def colors(path: Folder, /, *, out: Elsewhere = None, preview: bool = False) -> int:
    """Copy a set with a category color: at each label pixel the nearest of the eleven basic colour names.

    Args:
        path: A set in the Broden layout without that category.
        out: The new set; DIR-colors without it. Images are linked where the disk can.
        preview: Draw 12 images with their labels, into preview.png in the set.
    """
    from data_prep.importers.join import add_colors

    with progress_bars() as progress:
        root = add_colors(path, out or path.resolve().with_name(f"{path.resolve().name}-colors"), progress)
    return _finish(root, preview)


def join(
    paths: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="DIR DIR ...")],
    /,
    *,
    out: NewSet,
    preview: bool = False,
) -> int:
    """Make one set of several: equal names become one label, categories stay apart, images lie in a folder for each set.

    Args:
        paths: Sets in the Broden layout.
        out: The new set. Images are linked where the disk can.
        preview: Draw 12 images with their labels, into preview.png in the set.
    """
    from data_prep.importers.join import join_broden

    with progress_bars() as progress:
        root = join_broden(paths, out, progress)
    return _finish(root, preview)


def broden(
    archive: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FILE.zip|URL")],
    /,
    *,
    out: NewSet,
    preview: bool = False,
) -> int:
    """Unpack a published archive of Broden (broden1_224.zip, broden1_227.zip, broden1_384.zip), and check it.

    They were published at http://netdissect.csail.mit.edu/data; a download that broke off is resumed by the same command.

    Args:
        archive: The archive, or its address.
        out: The new set.
        preview: Draw 12 images with their labels, into preview.png in the set.
    """
    from data_prep.importers.archive import unpack_broden

    with progress_bars() as progress:
        root = unpack_broden(archive, out, progress)
    return _finish(root, preview)


TOOL = Tool(
    "data-prep import",
    "Make a label set of annotations in a common format, check it and show what is in it.",
    {
        "coco": coco,
        "voc": voc,
        "ade20k": ade20k,
        "cityscapes": cityscapes,
        "labelme": labelme,
        "cvat": cvat,
        "masks": masks,
        "classes": classes,
        "concept-images": concept_images,
    },
    {
        "coco": "data-prep import coco annotations/instances_val2017.json --out sets/coco --preview",
        "voc": "data-prep import voc VOCdevkit/VOC2012 --out sets/voc",
        "ade20k": "data-prep import ade20k ADEChallengeData2016 --out sets/ade --max-images 2000",
        "cityscapes": "data-prep import cityscapes cityscapes --out sets/streets --crop square",
        "labelme": "data-prep import labelme photos --out sets/photos --to 'wheel=part' 'door=part'",
        "cvat": "data-prep import cvat task/annotations.xml --out sets/task --names names.csv",
        "masks": "data-prep import masks mydata --out sets/mine --category material",
        "classes": "data-prep import classes dtd/images --out sets/dtd --category texture",
        "concept-images": "data-prep import concept-images concepts --out sets/concepts",
    },
    interrupted="interrupted: nothing was written; give the same command again.",
)


def _import(source: Source, out: Path, shared: ImportOptions, preview: bool) -> int:
    from data_prep.importers.convert import convert

    with progress_bars() as progress:
        report = convert(source, out, shared, progress)
    for note, n in report.notes.items():
        print(printable(f"note: {note}{f': {n:,}' if n > 1 else ''}"))
    return _finish(report.root, preview)


def _finish(root: Path, preview: bool) -> int:
    """Show what is in a new set, draw it if asked for, and check it; the exit status of the command."""
    from data_prep.broden import open_broden
    from data_prep.broden_check import check_broden
    from data_prep.importers.summary import summary
    from dissect.settings import Settings

    data = open_broden(root)
    with progress_bars() as progress:
        report = check_broden(root, progress=progress)
    found, least = summary(data, report.annotated), Settings().min_images
    columns = ("category", "images", "labels", f"in {least} images or more", "most frequent")
    print_table(columns, [row.cells(least) for row in found], numbers=(1, 2, 3))
    if few := sum(n < least for row in found for n in row.n_images.values()):
        few_labels = "1 label is" if few == 1 else f"{few:,} labels are"
        print(
            f"{few_labels} in fewer than {least} images, too few to tell: `dissect run` names no unit after them, unless "
            f"you give it a smaller --min-images."
        )
    if preview:
        from data_prep.importers.preview import preview as draw

        draw(data).save(root / "preview.png")
        print(f"preview: {printable(root / 'preview.png')}")
    return show_report(report, "table")
