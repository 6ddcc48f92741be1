"""Checks a COCO-format annotation file and its images before they are trained on."""

import os
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from mmagg.datasets.coco_defects import Severity, box_defect, mask_defect
from mmagg.datasets.coco_file import PARTS, read_coco
from mmagg.io.errors import InputError
from mmagg.ops.rle_lengths import rle_lengths

_EXAMPLES = 3  # named per finding

# Keys that CocoDataset or COCOeval read without a default. Ids may be strings.
_REQUIRED = {
    'images': {'id': (int, str), 'file_name': str, 'width': int, 'height': int},
    'annotations': {
        'id': (int, str),
        'image_id': (int, str),
        'category_id': (int, str),
        'bbox': list,
        'area': (int, float),
        'iscrowd': int,
    },
    'categories': {'id': (int, str), 'name': str},
}


@dataclass(frozen=True)
class Finding:
    """One kind of defect in an annotation file.

    Attributes:
        severity: 'fatal' must be fixed before training, 'warning' is good to know.
        message: one line: the kind of defect, how many there are, and examples.
    """

    severity: Severity
    message: str


@dataclass
class _Findings:
    """Collects defects by kind, so that each kind becomes one line."""

    kinds: dict[tuple[Severity, str], list[str]] = field(default_factory=dict)

    def add(self, severity: Severity, kind: str, examples: Iterable[object]) -> None:
        if examples := [str(example) for example in examples]:
            self.kinds.setdefault((severity, kind), []).extend(examples)

    def summary(self) -> list[Finding]:
        """All findings, fatal ones first."""
        findings = []
        for (severity, kind), examples in self.kinds.items():
            more = ', …' if len(examples) > _EXAMPLES else ''
            named = ', '.join(examples[:_EXAMPLES])
            findings.append(Finding(severity, f'{kind}: {len(examples)} ({named}{more})'))
        return sorted(findings, key=lambda finding: finding.severity != 'fatal')


def check_coco(ann_file: Path, image_dir: Path, *, decode_images: bool = True) -> list[Finding]:
    """Checks one split of a data set.

    Args:
        ann_file: COCO-format JSON.
        image_dir: folder that the `file_name`s are relative to.
        decode_images: decode every image and compare its size; otherwise only see that the files are there.

    Returns:
        One finding per kind of defect, fatal ones first; none for a flawless data set. Where the JSON is
        broken or entries lack keys, those findings alone.
    """
    try:
        content = read_coco(ann_file, needed=PARTS, filled=PARTS)
    except OSError as error:
        return [Finding('fatal', f'cannot read {ann_file}: {error.strerror}')]
    except InputError as error:
        return [Finding('fatal', str(error))]
    findings = _Findings()
    images = _complete(findings, 'images', content.images)
    annotations = _complete(findings, 'annotations', content.annotations)
    categories = _complete(findings, 'categories', content.categories)
    if findings.kinds:  # what refers to an incomplete entry would seem to refer to nothing
        return findings.summary()
    _check_ids(findings, images, annotations, categories)
    _check_annotations(findings, images, annotations)
    _check_images(findings, images, Path(image_dir), decode_images)
    return findings.summary()


def report(findings: list[Finding]) -> str:
    """The findings as text, one line each."""
    return '\n'.join(f'{finding.severity}: {finding.message}' for finding in findings) or 'no defects found'


def _complete(findings: _Findings, kind: str, entries: list[Any]) -> list[dict]:
    """The entries that have every key they need; reports the others."""
    complete = []
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict):
            findings.add('fatal', f'{kind} that are not dicts', [f'number {index}'])
            continue
        bad = [key for key, types in _REQUIRED[kind].items() if not isinstance(entry.get(key), types)]
        if bad:
            label = f'id {entry["id"]}' if 'id' in entry else f'number {index}'
            findings.add('fatal', f'{kind} without a usable "{bad[0]}"', [label])
        else:
            complete.append(entry)
    return complete


def _repeated(values: Iterable[object]) -> list[object]:
    return [value for value, count in Counter(values).items() if count > 1]


def _check_ids(findings: _Findings, images: list[dict], annotations: list[dict], categories: list[dict]) -> None:
    for kind, entries in (('image', images), ('annotation', annotations), ('category', categories)):
        findings.add('fatal', f'{kind} ids used twice', _repeated(entry['id'] for entry in entries))
    findings.add('fatal', 'category names used twice', _repeated(category['name'] for category in categories))

    image_ids = {image['id'] for image in images}
    used_images = {ann['image_id'] for ann in annotations}
    lost = [f'{a["id"]} of image {a["image_id"]}' for a in annotations if a['image_id'] not in image_ids]
    findings.add('fatal', 'annotations of images that are not listed', lost)

    names = {category['id']: category['name'] for category in categories}
    used_categories = {ann['category_id'] for ann in annotations}
    lost = [f'{a["id"]} of category {a["category_id"]}' for a in annotations if a['category_id'] not in names]
    findings.add('fatal', 'annotations of categories that are not listed', lost)

    unused = [name for category_id, name in names.items() if category_id not in used_categories]
    findings.add('warning', 'categories without an annotation', unused)
    empty = [image['file_name'] for image in images if image['id'] not in used_images]
    findings.add('warning', 'images without an annotation', empty)

    ids = list(names)
    if all(isinstance(category_id, int) for category_id in ids):
        gaps = [f'{before} to {after}' for before, after in pairwise(sorted(ids)) if after - before > 1]
        findings.add('warning', 'gaps in the category ids (harmless: labels are counted anew)', gaps)
        falls = [after for before, after in pairwise(ids) if after < before]
        findings.add('warning', 'category ids out of order (a per-class table may mix up names)', falls)
    # pycocotools marks "no match" by 0, so that the detection of annotation 0 is a false alarm in mmdet's CocoMetric.
    zero = [ann['id'] for ann in annotations if ann['id'] == 0]
    findings.add('warning', "annotation ids that are 0 (mmdet's CocoMetric never counts them as found)", zero)


def _check_annotations(findings: _Findings, images: list[dict], annotations: list[dict]) -> None:
    sizes = {image['id']: (image['height'], image['width']) for image in images}
    bad_sizes = {image_id for image_id, size in sizes.items() if min(size) < 1}
    findings.add('fatal', 'images whose width or height is not positive', bad_sizes)
    counts = [mask.get('counts') if isinstance(mask := ann.get('segmentation'), dict) else '' for ann in annotations]
    lengths = rle_lengths([code if isinstance(code, str | list) else [-1] for code in counts]).tolist()
    for ann, length in zip(tqdm(annotations, desc='masks', unit='annotation', delay=2), lengths, strict=True):
        if ann['image_id'] not in sizes or ann['image_id'] in bad_sizes:
            continue
        height, width = sizes[ann['image_id']]
        label = f'annotation {ann["id"]}'
        for severity, kind in (
            box_defect(ann['bbox'], ann['area'], height, width),
            mask_defect(ann.get('segmentation'), length, height, width),
        ):
            if kind:
                findings.add(severity, kind, [label])


def _image_defect(image: dict, folder: Path, decode: bool) -> tuple[str, str]:
    """Kind of defect of an image file, and the example to name; two empty strings where nothing is wrong."""
    name = image['file_name']
    try:
        if not decode:
            return ('', '') if (folder / name).is_file() else ('missing image files', name)
        data = np.fromfile(folder / name, np.uint8)
    except OSError:
        return f'image files that are missing or unreadable in {folder}', name
    # As mmcv loads it: EXIF orientation applied.
    pixels = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if pixels is None:
        return 'images that cannot be decoded', name
    height, width = pixels.shape[:2]
    if (height, width) != (image['height'], image['width']):
        example = f'{name} is {width}×{height}, not {image["width"]}×{image["height"]}'
        return 'images whose size is not the one in the JSON (masks would not fit)', example
    return '', ''


def _check_images(findings: _Findings, images: list[dict], folder: Path, decode: bool) -> None:
    if not folder.is_dir():
        findings.add('fatal', 'image folder is missing', [folder])
        return
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        defects = pool.map(lambda image: _image_defect(image, folder, decode), images)
        for kind, example in tqdm(defects, total=len(images), desc='images', unit='image', delay=2):
            if kind:
                findings.add('fatal', kind, [example])
