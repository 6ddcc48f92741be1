"""Prediction for a folder of images."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from mmdet.models import BaseDetector
from mmengine.structures import InstanceData
from tqdm import tqdm

from mmagg.apis.checkpoint import secure_loading
from mmagg.apis.config import base_files
from mmagg.apis.inference import infer, load_model
from mmagg.apis.named_weights import chosen, file_of
from mmagg.apis.skipped_images import skipping
from mmagg.engine.detection_cap import DetectionCap, detection_cap
from mmagg.engine.first_step import ModelError
from mmagg.evaluation.results import coco_records
from mmagg.io.errors import InputError, check_fraction
from mmagg.io.files import check_folder, write_json
from mmagg.io.images import SUFFIXES, find_images, read_image, unread, write_image
from mmagg.io.partial import partial_path
from mmagg.io.paths import keep_apart
from mmagg.io.pictures import picture_paths
from mmagg.ops.rle import rle_area
from mmagg.visualization.predictions import confident, draw_predictions

RESULT = 'predictions.json'
NAMED = 5  # images that are skipped, in the line that says so


@dataclass
class FolderPredictions:
    """The instances in a folder of images.

    Attributes:
        coco: images, annotations and categories in COCO's format, as in predictions.json.
        unreadable: images that were skipped: they cannot be read, or not be resized as the model needs it.
        cap: the most detections of an image by the model's config; None if it does not say.
        full: number of images with so many confident ones: there may be more.
        highest: the highest score, also of those that are left out; None where the model finds nothing at all.
    """

    coco: dict[str, list[dict]]
    unreadable: list[Path] = field(default_factory=list)
    cap: DetectionCap | None = None
    full: int = 0
    highest: float | None = None


def predict_folder(
    images: str | Path,
    config: str | Path | None = None,
    checkpoint: str | Path | None = None,
    *,
    weights: str | Path | None = None,
    out_dir: str | Path,
    score_thr: float = 0.3,
    device: str | None = None,
    cfg_options: dict | None = None,
    trust_checkpoint: bool = False,
) -> FolderPredictions:
    """Find the instances in images, and write a picture of each and one predictions.json (COCO format).

    An image that cannot be read is named on stderr and skipped. Whatever ends the run, predictions.json then has all
    images that are done. A byte of a file's name that is not UTF-8 is there as JSON's ``\\udcXX``, as Python reads it.

    Args:
        images: an image, or a folder that is searched for images.
        config: a config file, ``mmagg::<path>`` or ``mmdet::<path>``; not needed for `weights` that have a name.
        checkpoint: a .pth file or a URL.
        weights: instead of a checkpoint: a name that ``mmagg weights`` lists, a file or a URL; others' are converted.
        out_dir: a folder for the results. Below that of the images it must be of an earlier run, or have no images.
        score_thr: less certain instances are left out; from 0 to 1.
        device: e.g. ``cpu`` or ``cuda:0``; by default the GPU where there is one.
        cfg_options: changes to the config, dotted keys.
        trust_checkpoint: read a checkpoint that holds code; see `secure_loading`, which decides for the whole process.

    Raises:
        InputError: there are no images, or the folder, the config or the checkpoint cannot be used.
    """
    check_fraction(score_thr, '--score-thr')
    images, out_dir = Path(images), Path(out_dir)
    root = images if images.is_dir() else images.parent
    secure_loading(trust=trust_checkpoint)
    keep_apart(
        {'--out-dir': out_dir}, [images, config, *(base_files(config) if config else ()), checkpoint, file_of(weights)]
    )
    check_folder(out_dir, '--out-dir')
    paths, skipped = find_images(images, exclude=out_dir)
    pictures = picture_paths(paths, out_dir, root=root, flag='--out-dir')
    _check_content(out_dir, root, pictures.values())
    config, checkpoint, cfg_options = chosen(config, checkpoint, weights, cfg_options, trust=trust_checkpoint)
    model = load_model(config, checkpoint, device, cfg_options)
    if skipped:
        names = ', '.join(map(str, skipped[:NAMED])) + (', …' if len(skipped) > NAMED else '')
        count = f'{len(skipped)} image{"s" * (len(skipped) > 1)}'
        tqdm.write(f'{count} skipped: {unread(skipped)} ({names})', file=sys.stderr)
    classes = model.dataset_meta['classes']
    category_ids = list(range(1, len(classes) + 1))
    categories = [{'id': i, 'name': name} for i, name in zip(category_ids, classes, strict=True)]
    found = FolderPredictions(
        {'images': [], 'annotations': [], 'categories': categories}, skipped, cap=detection_cap(model.cfg)
    )
    unusable: dict[Path, InputError] = {}
    records, annotations = found.coco['images'], found.coco['annotations']
    out_dir.mkdir(parents=True, exist_ok=True)
    # Marks the folder for a next run, should this one be killed; it goes once the first temporary file is there.
    partial_path(out_dir / RESULT, 2).touch()
    try:
        for path in tqdm(paths, desc='demo', unit='image'):
            with skipping(path, unusable):
                image, predictions = _predicted(model, path)
            if path in unusable:
                continue
            write_image(draw_predictions(image, predictions, classes, score_thr), pictures[str(path)])
            (height, width), name = image.shape[:2], path.relative_to(root).as_posix()
            records.append({'id': len(records) + 1, 'file_name': name, 'height': height, 'width': width})
            sure = confident(predictions, score_thr)
            if len(predictions):
                found.highest = max(found.highest or 0.0, float(predictions.scores.max()))
            found.full += found.cap is not None and len(sure) >= found.cap.limit
            for record in coco_records(sure, category_ids):
                annotations.append(_annotation(len(annotations) + 1, records[-1], record, classes))
    finally:
        write_json(found.coco, out_dir / RESULT)
    found.unreadable += unusable
    return found


def _check_content(out_dir: Path, root: Path, pictures: Iterable[Path]) -> None:
    """Refuse a folder with images of others in the place of pictures, or, within that of the images, with any."""
    result = out_dir / RESULT
    if any(path.is_file() for path in (result, partial_path(result), partial_path(result, 2))):  # of an earlier run
        return
    within = out_dir.resolve().is_relative_to(root.resolve())
    for path in out_dir.rglob('*') if within else pictures:
        if path.suffix.lower() in SUFFIXES and path.exists():
            raise InputError(
                f'--out-dir {out_dir}: {path} is not from an earlier run, which would have left {RESULT}; name a new '
                'folder'
            )


def _predicted(model: BaseDetector, path: Path) -> tuple[np.ndarray, InstanceData]:
    """An image, (H, W, 3) uint8 BGR, and what is found in it.

    Raises:
        InputError: it cannot be read, or not be resized.
    """
    image = read_image(path)
    try:
        return image, infer(model, [image])[0].pred_instances
    except ModelError:
        raise
    except InputError as error:
        raise InputError(f'{path}: {error}') from error


def _annotation(annotation_id: int, image: dict, record: dict, classes: tuple[str, ...]) -> dict:
    """A prediction as a COCO annotation, with readable names, for annotation tools."""
    rle = record.get('segmentation')
    width, height = record['bbox'][2:]
    return {
        'id': annotation_id,
        'image_id': image['id'],
        'file_name': image['file_name'],
        'category_name': classes[record['category_id'] - 1],
        'area': float(rle_area(rle)) if rle else width * height,
        'iscrowd': 0,
        **record,
    }
