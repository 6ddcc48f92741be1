"""What annotation tools export as COCO, in small."""

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

CLASSES = ('nut', 'bolt', 'washer')


def annotated(names: Sequence[str], *, start: int = 1, classes: Sequence[str] = CLASSES) -> dict:
    """Annotations of images of 16 × 12 pixels: of each class in turn, and of every fourth image none."""
    square = {'segmentation': [[2, 2, 10, 2, 10, 8, 2, 8]], 'bbox': [2, 2, 8, 6], 'area': 48, 'iscrowd': 0}
    objects = [place for place in range(len(names)) if place % 4 != 3]
    return {
        'info': {'description': 'of a tool'},
        'licenses': [{'id': 1, 'name': 'CC BY 4.0'}],
        'images': [
            {'id': start + place, 'file_name': name, 'width': 16, 'height': 12, 'license': 1}
            for place, name in enumerate(names)
        ],
        'annotations': [
            {'id': start + number, 'image_id': start + place, 'category_id': start + place % len(classes), **square}
            for number, place in enumerate(objects)
        ],
        'categories': [{'id': start + place, 'name': name} for place, name in enumerate(classes)],
    }


def write_annotations(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def write_images(folder: Path, names: Sequence[str]) -> None:
    """Grey images, each with a brightness of its own."""
    for place, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        encoded = cv2.imencode(Path(name).suffix, np.full((12, 16, 3), 10 * (place % 25), np.uint8))[1]
        (folder / name).write_bytes(encoded.tobytes())


NAMES = [f'{place:02}.jpg' for place in range(20)]


def cvat(folder: Path, *, images: str | None = 'images/default') -> Path:
    """CVAT's "COCO 1.0"."""
    write_annotations(folder / 'annotations/instances_default.json', annotated(NAMES))
    if images:
        write_images(folder / images, NAMES)
    return folder


def label_studio(folder: Path, *, before: str = 'images/') -> Path:
    """Label Studio's "COCO": ids from 0, and a number before the name of an uploaded file."""
    names = [f'{place:08x}-{name}' for place, name in enumerate(NAMES)]
    write_annotations(folder / 'result.json', annotated([before + name for name in names], start=0))
    write_images(folder / 'images', names)
    return folder


def roboflow(folder: Path) -> Path:
    """Roboflow's "COCO Segmentation": split, and with a first category that the others belong to."""
    for part, count in {'train': 12, 'valid': 4, 'test': 4}.items():
        names = [f'{part}_{name[:-4]}_jpg.rf.0123456789abcdef.jpg' for name in NAMES[:count]]
        content = annotated(names)
        for category in content['categories']:
            category['supercategory'] = 'parts'
        content['categories'].insert(0, {'id': 0, 'name': 'parts', 'supercategory': 'none'})
        write_annotations(folder / part / '_annotations.coco.json', content)
        write_images(folder / part, names)
    return folder
