"""Checks a COCO-format annotation file and its images before a model is trained or tested on them."""

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

from mmagg.datasets.annotation_check import check_outlines
from mmagg.datasets.class_names import check_names
from mmagg.datasets.coco_defects import is_whole, unusable_key
from mmagg.datasets.coco_file import PARTS, read_coco
from mmagg.datasets.findings import Finding, Findings, report
from mmagg.datasets.image_check import check_images
from mmagg.datasets.sight import Sight, check_sight
from mmagg.io.errors import InputError

__all__ = ['Finding', 'check_coco', 'report']

# pycocotools marks "no match" by 0, so that the detection of annotation 0 is a false alarm.
ZERO = (
    "annotation ids that are 0, which mmdet's CocoMetric never counts as found "
    '(number them from 1, or evaluate with COCOInstanceMetric)'
)


def check_coco(
    ann_file: Path,
    image_dir: Path,
    *,
    training: bool = True,
    masks: bool = True,
    resized_to: int | None = None,
    decode_images: bool = True,
    sight: Sight | None = None,
    finds_zero: bool = True,
    tile: int | None = None,
) -> list[Finding]:
    """Checks one split of a data set.

    Args:
        ann_file: COCO-format JSON.
        image_dir: folder that the `file_name`s are relative to.
        training: whether a model is to learn from it; for testing alone, annotations may be missing, and what only
            keeps objects from being learnt is no finding.
        masks: whether masks are needed; without, annotations may have boxes alone.
        resized_to: pixels of the longer side that the pipeline resizes images to, the least if there are several; the
            shorter side of a thin image would vanish. None: not known, or images keep their size.
        decode_images: decode images and compare their size: all up to `DECODED`, else an even sample and the headers
            of all; otherwise only see that the files are there.
        sight: how small an object the network sees; None: not known.
        finds_zero: whether the metric that reads it can find an annotation of id 0; mmdet's `CocoMetric` cannot.
        tile: side of the tiles that images are cut into; see `check_images`.

    Returns:
        One finding per kind of defect, fatal ones first; none for a flawless data set. Where the JSON is
        broken or entries lack keys, those findings alone.
    """
    needed = PARTS if training else ('images', 'categories')
    try:
        content = read_coco(ann_file, needed=needed, filled=needed)
    except OSError as error:
        return [Finding('fatal', f'cannot read {ann_file}: {error.strerror}', everything=True)]
    except InputError as error:
        return [Finding('fatal', str(error), everything=True)]
    findings = Findings()
    images = _complete(findings, 'images', content.images)
    annotations = _complete(findings, 'annotations', content.annotations)
    categories = _complete(findings, 'categories', content.categories)
    if findings.kinds:  # what refers to an incomplete entry would seem to refer to nothing
        return findings.summary()
    _check_ids(findings, images, annotations, categories, training=training)
    if not finds_zero:
        findings.add('warning', ZERO, [ann['id'] for ann in annotations if ann['id'] == 0])
    check_outlines(findings, images, annotations, training=training, masks=masks)
    if sight is not None and not findings.fatal:
        check_sight(findings, images, annotations, sight)
    check_images(findings, images, Path(image_dir), decode=decode_images, resized_to=resized_to, tile=tile)
    return findings.summary()


def _complete(findings: Findings, kind: str, entries: list[Any]) -> list[dict]:
    """The entries that have every key they need; reports the others."""
    complete = []
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict):
            findings.add('fatal', f'{kind} that are not dicts', [f'number {index}'])
            continue
        if bad := unusable_key(kind, entry):
            label = f'id {entry["id"]}' if 'id' in entry else f'number {index}'
            findings.add('fatal', f'{kind} without a usable "{bad}"', [label])
        else:
            complete.append(entry)
    return complete


def _repeated(values: Iterable[object]) -> list[object]:
    return [value for value, count in Counter(values).items() if count > 1]


def _check_ids(
    findings: Findings, images: list[dict], annotations: list[dict], categories: list[dict], *, training: bool
) -> None:
    for kind, entries in (('image', images), ('annotation', annotations), ('category', categories)):
        findings.add('fatal', f'{kind} ids used twice', _repeated(entry['id'] for entry in entries))
        first = {isinstance(entry['id'], str): entry['id'] for entry in reversed(entries)}
        if len(first) > 1 and kind != 'annotation':
            findings.add('fatal', f'{kind} ids that are partly text, partly numbers', map(repr, first.values()))
    findings.add('fatal', 'category names used twice', _repeated(category['name'] for category in categories))

    image_ids = {image['id'] for image in images}
    used_images = {ann['image_id'] for ann in annotations}
    lost = [f'{a["id"]} of image {a["image_id"]}' for a in annotations if a['image_id'] not in image_ids]
    findings.add('fatal', 'annotations of images that are not listed', lost)

    names = {category['id']: category['name'] for category in categories}
    used_categories = Counter(ann['category_id'] for ann in annotations)
    lost = [f'{a["id"]} of category {a["category_id"]}' for a in annotations if a['category_id'] not in names]
    findings.add('fatal', 'annotations of categories that are not listed', lost)

    if training:
        unused = [name for category_id, name in names.items() if category_id not in used_categories]
        findings.add('warning', 'categories without an annotation', unused)
        empty = [image['file_name'] for image in images if image['id'] not in used_images]
        findings.add('warning', 'images without an annotation', empty)

    check_names(findings, {name: used_categories[category_id] for category_id, name in names.items()})
    ids = list(names)
    if all(map(is_whole, ids)):
        if training:
            gaps = [f'{before} to {after}' for before, after in pairwise(sorted(ids)) if after - before > 1]
            findings.add('warning', 'gaps in the category ids (harmless: labels are counted anew)', gaps)
        falls = [after for before, after in pairwise(ids) if after < before]
        findings.add('warning', 'category ids out of order (a per-class table may mix up names)', falls)
