"""Prediction for a folder of images."""

import sys
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from mmagg.apis.checkpoint import secure_loading
from mmagg.apis.inference import infer, load_model
from mmagg.engine.detection_cap import DetectionCap, detection_cap
from mmagg.evaluation.results import coco_records
from mmagg.io.errors import InputError, one_line
from mmagg.io.files import check_folder, write_json
from mmagg.io.images import find_images, read_image, write_image
from mmagg.ops.rle import rle_area
from mmagg.visualization.predictions import confident, draw_predictions


@dataclass
class FolderPredictions:
    """The instances in a folder of images.

    Attributes:
        coco: images, annotations and categories in COCO's format, as in predictions.json.
        unreadable: images that were skipped.
        cap: the most detections of an image by the model's config; None if it does not say.
        full: number of images with so many confident ones: there may be more.
    """

    coco: dict[str, list[dict]]
    unreadable: list[Path] = field(default_factory=list)
    cap: DetectionCap | None = None
    full: int = 0


def predict_folder(
    images: str | Path,
    config: str | Path,
    checkpoint: str | Path,
    *,
    out_dir: str | Path,
    score_thr: float = 0.3,
    device: str | None = None,
    cfg_options: dict | None = None,
    trust_checkpoint: bool = False,
) -> FolderPredictions:
    """Find the instances in images, and write a picture of each and one predictions.json (COCO format).

    An image that cannot be read is named on stderr and skipped.

    Args:
        images: an image, or a folder that is searched for images.
        config: a config file, or ``mmdet::<path>`` for one of mmdet.
        checkpoint: a .pth file or a URL.
        out_dir: a folder for the results.
        score_thr: less certain instances are left out.
        device: e.g. ``cpu`` or ``cuda:0``; by default the GPU where there is one.
        cfg_options: changes to the config, dotted keys.
        trust_checkpoint: read a checkpoint that holds code; see `secure_loading`, which decides for the whole process.

    Raises:
        InputError: there are no images, or the folder, the config or the checkpoint cannot be used.
    """
    secure_loading(trust=trust_checkpoint)
    images, out_dir = Path(images), Path(out_dir)
    root = images if images.is_dir() else images.parent
    if out_dir.resolve() == root.resolve():
        raise InputError(f'--out-dir {out_dir}: is the folder of the images; results would overwrite them')
    check_folder(out_dir, '--out-dir')
    paths = find_images(images, exclude=out_dir)
    model = load_model(config, checkpoint, device, cfg_options)
    classes = model.dataset_meta['classes']
    category_ids = list(range(1, len(classes) + 1))
    categories = [{'id': i, 'name': name} for i, name in zip(category_ids, classes, strict=True)]
    found = FolderPredictions({'images': [], 'annotations': [], 'categories': categories}, cap=detection_cap(model.cfg))
    records, annotations = found.coco['images'], found.coco['annotations']
    for path in tqdm(paths, desc='demo', unit='image'):
        name = path.relative_to(root)
        try:
            image = read_image(path)
        except InputError as error:
            tqdm.write(f'error: {one_line(error)}; skipped', file=sys.stderr)
            found.unreadable.append(path)
            continue
        predictions = infer(model, [image])[0].pred_instances
        write_image(draw_predictions(image, predictions, classes, score_thr), out_dir / name)
        height, width = image.shape[:2]
        records.append({'id': len(records) + 1, 'file_name': name.as_posix(), 'height': height, 'width': width})
        sure = confident(predictions, score_thr)
        found.full += found.cap is not None and len(sure) >= found.cap.limit
        for record in coco_records(sure, category_ids):
            annotations.append(_annotation(len(annotations) + 1, records[-1], record, classes))
    write_json(found.coco, out_dir / 'predictions.json')
    return found


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
