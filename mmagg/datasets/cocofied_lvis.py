"""LVIS's annotations of COCO's 80 categories: AP* (AggMask, section 5) measures COCO-trained models against them.

LVIS annotates images of COCO anew, with finer masks, and names its categories by WordNet synsets. It is
federated: an image is annotated exhaustively for some categories only. `neg_category_ids` lists those that were
looked for and are not there, `not_exhaustive_category_ids` those of which some objects are left out.
"""

from pathlib import Path

from mmagg.datasets.coco_defects import is_id
from mmagg.datasets.coco_file import PARTS, CocoFile, check_annotations, check_text, read_coco_json, whole_sizes
from mmagg.io.errors import InputError

# COCO numbers its classes from 1 and has left ten numbers out since 2014. The names are mmdet's class names.
CLASSES = (
    'person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign, '
    'parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella, '
    'handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, '
    'surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, '
    'broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, '
    'laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase, '
    'scissors, teddy bear, hair drier, toothbrush'
)
UNUSED_IDS = 12, 26, 29, 30, 45, 66, 68, 69, 71, 83
COCO_IDS = dict(zip(CLASSES.split(', '), (i for i in range(1, 91) if i not in UNUSED_IDS), strict=True))
# The synsets that are not NAME.n.01. LVIS's own names differ: v0.5 calls person.n.01 "baby". LVIS has no frank.n.02,
# and v0.5 no oven.n.01.
OTHER_SYNSETS = {
    'fire hydrant': 'fireplug.n.01',
    'cow': 'beef.n.01',
    'handbag': 'bag.n.04',
    'tie': 'necktie.n.01',
    'suitcase': 'bag.n.06',
    'skis': 'ski.n.01',
    'sports ball': 'ball.n.06',
    'kite': 'kite.n.03',
    'wine glass': 'wineglass.n.01',
    'bowl': 'bowl.n.03',
    'banana': 'banana.n.02',
    'hot dog': 'frank.n.02',
    'donut': 'doughnut.n.02',
    'cake': 'cake.n.03',
    'couch': 'sofa.n.01',
    'potted plant': 'pot.n.04',
    'toilet': 'toilet.n.02',
    'tv': 'television_receiver.n.01',
    'mouse': 'mouse.n.04',
    'remote': 'remote_control.n.01',
    'keyboard': 'computer_keyboard.n.01',
    'cell phone': 'cellular_telephone.n.01',
    'microwave': 'microwave.n.02',
    'toaster': 'toaster.n.02',
    'refrigerator': 'electric_refrigerator.n.01',
    'teddy bear': 'teddy.n.01',
    'hair drier': 'hand_blower.n.01',
}
COCO_SYNSETS = tuple(
    (coco_id, name, OTHER_SYNSETS.get(name, f'{name.replace(" ", "_")}.n.01')) for name, coco_id in COCO_IDS.items()
)
"""Of each class its id and name in COCO, and its synset in LVIS."""
ID_OF_SYNSET = {synset: coco_id for coco_id, _, synset in COCO_SYNSETS}
CONVERTER = 'mmagg convert-lvis'

LISTS = ('neg_category_ids', 'not_exhaustive_category_ids')
"""Of each image: the categories that were looked for and are not there, and those not annotated exhaustively."""

_FIELDS = {
    'images': ('id', 'height', 'width', *LISTS),
    'annotations': ('id', 'image_id', 'category_id', 'bbox', 'area', 'segmentation'),
    'categories': ('id', 'synset', 'frequency'),
}


def read_lvis(path: Path) -> dict:
    """The content of an annotation file in LVIS's format.

    Raises:
        OSError: the file cannot be read.
        InputError: it is not JSON or not LVIS, or `check_annotations` refuses it; the message names the file, and what
            is missing or the place.
    """
    content = read_coco_json(path)
    for part, fields in _FIELDS.items():
        entries = content.get(part) if isinstance(content, dict) else None
        if not isinstance(entries, list):
            raise InputError(f'{path} is not LVIS: it has no list of {part}')
        for field in fields:
            if not all(isinstance(entry, dict) and field in entry for entry in entries):
                raise InputError(f'{path} is not LVIS: not all of its {part} have "{field}"')
    for place, image in enumerate(content['images']):
        for key in LISTS:
            if not isinstance(image[key], list) or not all(map(is_id, image[key])):
                raise InputError(f'{path}: image {place}: its {key} is not a list of ids')
    for place, category in enumerate(content['categories']):
        check_text(path, 'category', place, 'synset', category['synset'])
    whole_sizes(content['images'])
    check_annotations(CocoFile(Path(path), *(content[part] for part in PARTS)))
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
    images = [
        {**image, **{key: [new_ids[old] for old in image[key] if old in new_ids] for key in LISTS}}
        for image in lvis['images']
    ]
    used = {a['category_id'] for a in annotations}.union(*(image[key] for image in images for key in LISTS))
    categories = [{**c, 'id': new_ids[c['id']]} for c in lvis['categories'] if new_ids.get(c['id']) in used]
    return {**lvis, 'images': images, 'annotations': annotations, 'categories': categories}


def read_cocofied(path: Path) -> dict:
    """The content of a file that `cocofied` made.

    Raises:
        OSError: the file cannot be read.
        InputError: it is not LVIS, its categories have other ids than COCO's, or `check_annotations` refuses it.
    """
    content = read_lvis(path)
    for category in content['categories']:
        if ID_OF_SYNSET.get(category['synset']) != category['id']:
            raise InputError(
                f"{path}: category {category['id']} is {category['synset']}, which is not COCO's numbering; "
                f"convert LVIS's file with {CONVERTER} first"
            )
    return content
