"""Examples, images with their new names and parts, written in each format."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from mmagg.datasets.export_part import ExportPart
from mmagg.datasets.split_folder import PARTS, SPLITS, put, write_part
from mmagg.formats.annotated_image import AnnotatedImage
from mmagg.formats.coco_panoptic import write_coco_panoptic
from mmagg.formats.cvat import FILE, write_cvat
from mmagg.formats.labelme import labelme_json
from mmagg.formats.masks import write_masks
from mmagg.formats.source import SourceImage
from mmagg.formats.training_tiles import Window
from mmagg.formats.voc import write_voc
from mmagg.formats.yolo import write_yolo_names, yolo_lines
from mmagg.io.errors import InputError
from mmagg.io.files import write_json
from mmagg.io.images import decode_image, write_image
from mmagg.rle.codes import rle_area

COMMAND = 'mmagg convert-data'


@dataclass(frozen=True)
class Example:
    """An image of the data set that is written.

    Attributes:
        name: of its file, below the folder of its part.
        part: 'train', 'val' or 'test'.
        source: where it comes from.
        image: its instances.
        window: x, y, w, h of the tile of the source that it is; None for the whole.
    """

    name: str
    part: str
    source: SourceImage
    image: AnnotatedImage
    window: Window | None = None

    def put(self, target: Path, *, link: bool) -> None:
        """Write its pixels: a copy of the file, a link to it, or a tile of it."""
        target.parent.mkdir(parents=True, exist_ok=True)
        if self.window is not None:
            import cv2
            import numpy as np

            pixels = decode_image(np.frombuffer(self.source.content(), np.uint8), cv2.IMREAD_COLOR)
            if pixels is None:
                raise InputError(f'{self.source.file}: cannot be read as an image any more')
            x, y, w, h = self.window
            write_image(pixels[y : y + h, x : x + w], target)
        elif self.source.embedded is not None:
            target.write_bytes(self.source.content())
        else:
            put(self.source.file, target, link=link)


class Writer(Protocol):
    """Writes a data set to a folder; what is lost by the format is added to `said`."""

    def __call__(
        self, folder: Path, examples: Sequence[Example], classes: Sequence[str], *, link: bool, said: list[str]
    ) -> None:
        """Write it."""


def to_coco(folder: Path, examples: Sequence[Example], classes: Sequence[str], *, link: bool, said: list[str]) -> None:
    """`annotations/instances_PART.json`, masks as RLE, and `images/PART`; train and val are there, if empty, too."""
    categories = [{'id': number, 'name': name} for number, name in enumerate(classes, 1)]
    number = annotation = 0
    for part in PARTS:
        some = [example for example in examples if example.part == part]
        if not some and part not in SPLITS:
            continue
        images, annotations = [], []
        for example in some:
            number += 1
            height, width = example.image.size
            images.append({'id': number, 'file_name': example.name, 'height': height, 'width': width})
            for place, (label, mask, box) in enumerate(
                zip(example.image.labels.tolist(), example.image.masks, example.image.boxes.tolist(), strict=True)
            ):
                annotation += 1
                x1, y1, x2, y2 = box
                crowd = example.image.crowd is not None and example.image.crowd[place]
                annotations.append(
                    {
                        'id': annotation,
                        'image_id': number,
                        'category_id': label + 1,
                        'bbox': [x1, y1, x2 - x1, y2 - y1],
                        'area': (x2 - x1) * (y2 - y1) if mask is None else rle_area(mask),
                        'segmentation': [] if mask is None else mask,
                        'iscrowd': int(crowd),
                    }
                )

        def place_image(place: int, target: Path, some: Sequence[Example] = some) -> None:
            some[place].put(target, link=link)

        content = ExportPart({}, images, [], annotations, categories, [], [])
        write_part(folder, part, content, names=[x.name for x in some], place=place_image, by=COMMAND)


def to_yolo(folder: Path, examples: Sequence[Example], classes: Sequence[str], *, link: bool, said: list[str]) -> None:
    """`images/PART`, `labels/PART` and `data.yaml`."""
    for example in examples:
        example.put(folder / 'images' / example.part / example.name, link=link)
        path = (folder / 'labels' / example.part / example.name).with_suffix('.txt')
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(''.join(f'{line}\n' for line in yolo_lines(example.image)), encoding='utf-8')
    write_yolo_names(folder, classes, [part for part in PARTS if any(x.part == part for x in examples)])


def to_labelme(
    folder: Path, examples: Sequence[Example], classes: Sequence[str], *, link: bool, said: list[str]
) -> None:
    """`PART`, with a JSON beside each image."""
    for example in examples:
        path = folder / example.part / example.name
        example.put(path, link=link)
        write_json(labelme_json(replace(example.image, name=path.name)), path.with_suffix('.json'))


def to_cvat(folder: Path, examples: Sequence[Example], classes: Sequence[str], *, link: bool, said: list[str]) -> None:
    """`annotations.xml` and `images`."""
    for example in examples:
        example.put(folder / 'images' / example.name, link=link)
    images = [replace(example.image, name=example.name) for example in examples]
    write_cvat(folder / FILE, images, [example.part for example in examples])


def to_voc(folder: Path, examples: Sequence[Example], classes: Sequence[str], *, link: bool, said: list[str]) -> None:
    """`Annotations`, `JPEGImages`, `SegmentationObject`, `SegmentationClass` and lists of the parts."""
    for example in examples:
        example.put(folder / 'JPEGImages' / example.name, link=link)
    images = [replace(example.image, name=example.name) for example in examples]
    said += write_voc(folder, images, [example.part for example in examples])


def to_coco_panoptic(
    folder: Path, examples: Sequence[Example], classes: Sequence[str], *, link: bool, said: list[str]
) -> None:
    """`annotations/panoptic_PART.json`, its PNGs in a folder of that name, and `images/PART`."""
    for part in dict.fromkeys(example.part for example in examples):
        some = [example for example in examples if example.part == part]
        for example in some:
            example.put(folder / 'images' / part / example.name, link=link)
        said += write_coco_panoptic(folder, part, [replace(x.image, name=x.name) for x in some])


def to_masks(folder: Path, examples: Sequence[Example], classes: Sequence[str], *, link: bool, said: list[str]) -> None:
    """`images/PART`, and `masks/PART` with a folder for each image and a file for each object."""
    for example in examples:
        example.put(folder / 'images' / example.part / example.name, link=link)
        said += write_masks(folder / 'masks' / example.part, replace(example.image, name=example.name))


ONE_FOLDER = {'cvat', 'voc'}  # of the images of all parts
WITH_CROWDS = {'coco', 'coco-panoptic'}  # others would have them as objects
WRITERS: dict[str, Writer] = {
    'coco': to_coco,
    'yolo': to_yolo,
    'labelme': to_labelme,
    'cvat': to_cvat,
    'voc': to_voc,
    'coco-panoptic': to_coco_panoptic,
    'masks': to_masks,
}
