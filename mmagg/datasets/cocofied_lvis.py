"""LVIS's annotations of COCO's 80 categories: AP* (AggMask, section 5) measures COCO-trained models against them.

LVIS annotates images of COCO anew, with finer masks, and names its categories by WordNet synsets. It is
federated: an image is annotated exhaustively for some categories only. `neg_category_ids` lists those that were
looked for and are not there, `not_exhaustive_category_ids` those of which some objects are left out.
"""

from pathlib import Path

from mmagg.datasets.coco_file import PARTS, CocoFile, check_annotations, read_coco_json
from mmagg.io.errors import InputError

# COCO's category id, its name there (mmdet's class name) and the synset of LVIS. Names do not do: LVIS v0.5 calls
# person.n.01 "baby". LVIS has no frank.n.02, and v0.5 no oven.n.01.
COCO_SYNSETS = (
    (1, 'person', 'person.n.01'),
    (2, 'bicycle', 'bicycle.n.01'),
    (3, 'car', 'car.n.01'),
    (4, 'motorcycle', 'motorcycle.n.01'),
    (5, 'airplane', 'airplane.n.01'),
    (6, 'bus', 'bus.n.01'),
    (7, 'train', 'train.n.01'),
    (8, 'truck', 'truck.n.01'),
    (9, 'boat', 'boat.n.01'),
    (10, 'traffic light', 'traffic_light.n.01'),
    (11, 'fire hydrant', 'fireplug.n.01'),
    (13, 'stop sign', 'stop_sign.n.01'),
    (14, 'parking meter', 'parking_meter.n.01'),
    (15, 'bench', 'bench.n.01'),
    (16, 'bird', 'bird.n.01'),
    (17, 'cat', 'cat.n.01'),
    (18, 'dog', 'dog.n.01'),
    (19, 'horse', 'horse.n.01'),
    (20, 'sheep', 'sheep.n.01'),
    (21, 'cow', 'beef.n.01'),
    (22, 'elephant', 'elephant.n.01'),
    (23, 'bear', 'bear.n.01'),
    (24, 'zebra', 'zebra.n.01'),
    (25, 'giraffe', 'giraffe.n.01'),
    (27, 'backpack', 'backpack.n.01'),
    (28, 'umbrella', 'umbrella.n.01'),
    (31, 'handbag', 'bag.n.04'),
    (32, 'tie', 'necktie.n.01'),
    (33, 'suitcase', 'bag.n.06'),
    (34, 'frisbee', 'frisbee.n.01'),
    (35, 'skis', 'ski.n.01'),
    (36, 'snowboard', 'snowboard.n.01'),
    (37, 'sports ball', 'ball.n.06'),
    (38, 'kite', 'kite.n.03'),
    (39, 'baseball bat', 'baseball_bat.n.01'),
    (40, 'baseball glove', 'baseball_glove.n.01'),
    (41, 'skateboard', 'skateboard.n.01'),
    (42, 'surfboard', 'surfboard.n.01'),
    (43, 'tennis racket', 'tennis_racket.n.01'),
    (44, 'bottle', 'bottle.n.01'),
    (46, 'wine glass', 'wineglass.n.01'),
    (47, 'cup', 'cup.n.01'),
    (48, 'fork', 'fork.n.01'),
    (49, 'knife', 'knife.n.01'),
    (50, 'spoon', 'spoon.n.01'),
    (51, 'bowl', 'bowl.n.03'),
    (52, 'banana', 'banana.n.02'),
    (53, 'apple', 'apple.n.01'),
    (54, 'sandwich', 'sandwich.n.01'),
    (55, 'orange', 'orange.n.01'),
    (56, 'broccoli', 'broccoli.n.01'),
    (57, 'carrot', 'carrot.n.01'),
    (58, 'hot dog', 'frank.n.02'),
    (59, 'pizza', 'pizza.n.01'),
    (60, 'donut', 'doughnut.n.02'),
    (61, 'cake', 'cake.n.03'),
    (62, 'chair', 'chair.n.01'),
    (63, 'couch', 'sofa.n.01'),
    (64, 'potted plant', 'pot.n.04'),
    (65, 'bed', 'bed.n.01'),
    (67, 'dining table', 'dining_table.n.01'),
    (70, 'toilet', 'toilet.n.02'),
    (72, 'tv', 'television_receiver.n.01'),
    (73, 'laptop', 'laptop.n.01'),
    (74, 'mouse', 'mouse.n.04'),
    (75, 'remote', 'remote_control.n.01'),
    (76, 'keyboard', 'computer_keyboard.n.01'),
    (77, 'cell phone', 'cellular_telephone.n.01'),
    (78, 'microwave', 'microwave.n.02'),
    (79, 'oven', 'oven.n.01'),
    (80, 'toaster', 'toaster.n.02'),
    (81, 'sink', 'sink.n.01'),
    (82, 'refrigerator', 'electric_refrigerator.n.01'),
    (84, 'book', 'book.n.01'),
    (85, 'clock', 'clock.n.01'),
    (86, 'vase', 'vase.n.01'),
    (87, 'scissors', 'scissors.n.01'),
    (88, 'teddy bear', 'teddy.n.01'),
    (89, 'hair drier', 'hand_blower.n.01'),
    (90, 'toothbrush', 'toothbrush.n.01'),
)
COCO_IDS = {name: coco_id for coco_id, name, _ in COCO_SYNSETS}
ID_OF_SYNSET = {synset: coco_id for coco_id, _, synset in COCO_SYNSETS}
CONVERTER = 'tools/dataset_converters/cocofy_lvis.py'

_FIELDS = {
    'images': ('id', 'height', 'width', 'neg_category_ids', 'not_exhaustive_category_ids'),
    'annotations': ('id', 'image_id', 'category_id', 'bbox', 'area', 'segmentation'),
    'categories': ('id', 'synset', 'frequency'),
}


def read_lvis(path: Path) -> dict:
    """The content of an annotation file in LVIS's format.

    Raises:
        OSError: the file cannot be read.
        InputError: it is not JSON or not LVIS; the message names the file and what is missing.
    """
    content = read_coco_json(path)
    for part, fields in _FIELDS.items():
        entries = content.get(part) if isinstance(content, dict) else None
        if not isinstance(entries, list):
            raise InputError(f'{path} is not LVIS: it has no list of {part}')
        for field in fields:
            if not all(isinstance(entry, dict) and field in entry for entry in entries):
                raise InputError(f'{path} is not LVIS: not all of its {part} have "{field}"')
    return content


def cocofied(lvis: dict) -> dict:
    """LVIS restricted to COCO's categories, with COCO's category ids.

    All images stay, and the annotations whose category's synset is one of COCO's, numbered anew from 1. The lists
    of negative and not exhaustively annotated categories are mapped as well. A category stays if it has an
    annotation or is in one of these lists.

    Args:
        lvis: content of an LVIS annotation file, v0.5 or v1, as `read_lvis` gives it; it is not changed.

    Returns:
        Content of the same form.

    Raises:
        ValueError: none of the categories is one of COCO's.
    """
    new_ids = {c['id']: ID_OF_SYNSET[c['synset']] for c in lvis['categories'] if c['synset'] in ID_OF_SYNSET}
    if not new_ids:
        raise ValueError("none of the categories has the synset of one of COCO's; is this LVIS?")

    annotations = [a for a in lvis['annotations'] if a['category_id'] in new_ids]
    annotations = [{**a, 'id': i, 'category_id': new_ids[a['category_id']]} for i, a in enumerate(annotations, 1)]
    lists = ('neg_category_ids', 'not_exhaustive_category_ids')
    images = [
        {**image, **{key: [new_ids[old] for old in image[key] if old in new_ids] for key in lists}}
        for image in lvis['images']
    ]
    used = {a['category_id'] for a in annotations}.union(*(image[key] for image in images for key in lists))
    categories = [{**c, 'id': new_ids[c['id']]} for c in lvis['categories'] if new_ids.get(c['id']) in used]
    return {**lvis, 'images': images, 'annotations': annotations, 'categories': categories}


def read_cocofied(path: Path) -> dict:
    """The content of a file that `cocofied` made.

    Raises:
        OSError: the file cannot be read.
        InputError: it is not LVIS, its categories have other ids than COCO's, or `check_annotations` refuses it.
    """
    content = read_lvis(path)
    check_annotations(CocoFile(Path(path), *(content[part] for part in PARTS)))
    for category in content['categories']:
        if ID_OF_SYNSET.get(category['synset']) != category['id']:
            raise InputError(
                f"{path}: category {category['id']} is {category['synset']}, which is not COCO's numbering; "
                f"convert LVIS's file with {CONVERTER} first"
            )
    return content
