"""From soft masks to scores, ours against mmdet's, on generated detections.

Shape shorthand: n detections of an image of (H, W) pixels, (h, w) size of their soft masks, P corners of a polygon.
"""

import contextlib
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from mmdet.evaluation import CocoMetric
from mmdet.structures.mask import encode_mask_results
from torch import Tensor
from tqdm import tqdm

from mmagg.apis.hardware import hardware, usable_device
from mmagg.costs.timing import heading
from mmagg.evaluation.coco_instance_metric import COCOInstanceMetric
from mmagg.io.files import write_json
from mmagg.models.postprocess import MaskPostProcessor
from mmagg.models.postprocess.mask_post_processor import Suppressed
from mmagg.ops import rle_to_masks
from mmagg.ops.stage import StageClock

STAGES = ('post-processing', 'RLE', 'collecting', 'evaluation')
CLASSES = tuple(f'class {i}' for i in range(80))
OBJECTS, MAX_DETECTIONS = 7.3, 100  # COCO's mean number an image; the most that the heads keep of one
SIDES = (10, 320)  # pixels, drawn on a log scale: COCO's three sizes all occur often
CORNERS = 24
FOUND = 0.7  # part of the detections that are of an object
BLUR = 0.7  # pixels of the soft masks
SUBPIXEL_BITS = 4
MASK_THR = 0.5
SCALE, STRIDE, MAP_STRIDE = (1333, 800), 32, 4  # the network's input: most pixels of its sides, padding; and the maps


def benchmark_evaluation(
    *, images: int = 500, shape: tuple[int, int] = (480, 640), seed: int = 0, device: str = 'cpu'
) -> dict[str, Any]:
    """Time from soft masks to mask and box AP: what follows NMS in a SOLO head, RLE and the metric; one run.

    Args:
        images: some 50 masks each.
        shape: (H, W) of an image.
        seed: of everything generated.
        device: where the masks lie.

    Returns:
        `hardware`, `images`, `shape`, `masks` (their number) and `differing` (of their pixels); `seconds` by stage and
        `scores`, both by project, 'mmdet' and 'mmagg'.

    Raises:
        InputError: there is no such device.
    """
    place = usable_device(device)
    clocks = {name: StageClock(place) for name in ('mmdet', 'mmagg')}
    post_process = MaskPostProcessor(mask_thr=MASK_THR, mask_format='rle')
    count = differing = 0
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints
        ann_file = Path(folder, 'annotations.json')
        write_json(annotations(images, shape, seed), ann_file)
        kinds = {'mmdet': CocoMetric, 'mmagg': COCOInstanceMetric}
        metrics = {name: kind(ann_file=str(ann_file), metric=['bbox', 'segm']) for name, kind in kinds.items()}
        for i in tqdm(range(images), desc='masks', leave=False):
            sample, probs = detections(i, shape, seed)
            probs = probs.to(place)
            kept = torch.arange(len(probs), device=place)
            with clocks['mmdet'].stage('post-processing'):
                masks = binary_masks(probs, kept, shape)
            with clocks['mmdet'].stage('RLE'):
                rles = {'mmdet': encode_mask_results(masks.cpu().numpy())}
            with clocks['mmagg'].listening(), clocks['mmagg'].stage('post-processing'):
                rles['mmagg'] = _finished(post_process, probs, kept, shape)
            count += len(probs)
            differing += int((rle_to_masks(rles['mmagg'], *shape) != masks.cpu()).sum())
            for name, metric in metrics.items():
                instances = {**sample['pred_instances'], 'masks': rles[name]}
                with clocks[name].stage('collecting'):
                    metric.process({}, [{**sample, 'pred_instances': instances}])
        scores = {}
        for name, metric in metrics.items():
            metric.dataset_meta = {'classes': CLASSES}
            with clocks[name].stage('evaluation'):
                scores[name] = metric.evaluate(images)
    return {
        'hardware': hardware(place),
        'images': images,
        'shape': list(shape),
        'masks': count,
        'differing': differing,
        'seconds': {name: dict(clock.seconds) for name, clock in clocks.items()},
        'scores': scores,
    }


def table(report: dict[str, Any]) -> str:
    """The report as text."""
    theirs, ours = (report['scores'][name] for name in ('mmdet', 'mmagg'))
    shared = theirs.keys() & ours.keys()
    difference = max((abs(theirs[key] - ours[key]) for key in shared), default=float('nan'))
    seconds = [report['seconds'][name] for name in ('mmdet', 'mmagg')]
    rows = {stage: [each[stage] for each in seconds] for stage in STAGES}
    rows['total'] = [sum(each.values()) for each in seconds]
    lines = [
        heading(report['hardware']),
        f'work      {report["images"]} images of {report["shape"][0]} x {report["shape"][1]}, {report["masks"]} masks, '
        f'{report["differing"]} of their pixels differ; '
        f'mask AP {ours["coco/segm_mAP"]:.3f}, box AP {ours["coco/bbox_mAP"]:.3f}; '
        f'largest difference of {len(shared)} scores {difference:.4f} (mmdet rounds to 0.001)',
        '',
        f'{"s":<16}{"mmdet":>10}{"mmagg":>10}{"ratio":>10}',
        *(f'{stage:<16}{a:>10.3f}{b:>10.3f}{b / a:>10.2f}' for stage, (a, b) in rows.items()),
    ]
    return '\n'.join(lines)


# After NMS


def sizes(shape: tuple[int, int]) -> dict[str, tuple[int, int]]:
    """(height, width) of an image (H, W) as a network gets it: `map_size`, `upsampled_size` (padded), `img_shape`."""
    factor = min(max(SCALE) / max(shape), min(SCALE) / min(shape))
    image = int(shape[0] * factor + 0.5), int(shape[1] * factor + 0.5)
    padded = -(-image[0] // STRIDE) * STRIDE, -(-image[1] // STRIDE) * STRIDE
    maps = padded[0] // MAP_STRIDE, padded[1] // MAP_STRIDE
    return {'map_size': maps, 'upsampled_size': padded, 'img_shape': image}


def binary_masks(probs: Tensor, kept: Tensor, shape: tuple[int, int]) -> Tensor:
    """The masks of mmdet's SOLO head: soft masks (n, h, w), indices of those to keep -> (n, H, W) bool."""
    frame = sizes(shape)
    height, width = frame['img_shape']
    probs = probs[kept]
    probs = F.interpolate(probs.unsqueeze(0), size=frame['upsampled_size'], mode='bilinear')[:, :, :height, :width]
    return F.interpolate(probs, size=shape, mode='bilinear').squeeze(0) > MASK_THR


def _finished(post_process: MaskPostProcessor, probs: Tensor, kept: Tensor, shape: tuple[int, int]) -> list[dict]:
    """The masks of our heads, as RLE."""
    frame = sizes(shape)
    none = probs.new_zeros(len(probs))  # scores and labels of the candidates are those of the sample
    suppressed = Suppressed(
        probs, iou=none, scores=none, labels=none.long(), kept=kept, final_scores=none, indices=kept
    )
    options = dict(upsampled_size=frame['upsampled_size'], img_shape=frame['img_shape'], out_size=shape)
    return post_process.finish(suppressed, None, **options).masks


# Generated objects and detections


def annotations(images: int, shape: tuple[int, int], seed: int) -> dict:
    """COCO-format annotations of generated images: `OBJECTS` polygons each on average, none in some."""
    height, width = shape
    found: list[dict] = []
    for i in range(images):
        for label, polygon in _objects(i, shape, seed):
            low, high = polygon.min(axis=0), polygon.max(axis=0)
            annotation: dict[str, Any] = {'id': len(found) + 1, 'image_id': i, 'category_id': label + 1, 'iscrowd': 0}
            annotation['segmentation'] = [polygon.flatten().tolist()]
            annotation['bbox'] = [*low.tolist(), *(high - low).tolist()]
            annotation['area'] = float(cv2.contourArea(polygon.astype(np.float32)))
            found.append(annotation)
    return {
        'images': [{'id': i, 'height': height, 'width': width, 'file_name': f'{i}.png'} for i in range(images)],
        'categories': [{'id': i, 'name': name} for i, name in enumerate(CLASSES, 1)],
        'annotations': found,
    }


def detections(image: int, shape: tuple[int, int], seed: int) -> tuple[dict, Tensor]:
    """Detections that a model may find in an image: imprecise copies of the objects, and other things.

    Args:
        image: its id.
        shape: (H, W).
        seed: that of `annotations`.

    Returns:
        A data sample (dict) with all but the masks, and these, (n, h, w) probabilities. n is 3 to `MAX_DETECTIONS`.
    """
    rng = np.random.default_rng((seed, image, 1))
    objects = list(_objects(image, shape, seed))
    n = int(rng.integers(3, MAX_DETECTIONS + 1))
    frame = sizes(shape)
    scale = np.array(frame['img_shape'][::-1]) / shape[::-1] / MAP_STRIDE
    masks, labels, boxes = np.zeros((n, *frame['map_size']), dtype=np.float32), [], []
    for mask in masks:
        if objects and rng.random() < FOUND:
            label, polygon = objects[rng.integers(len(objects))]
            extent = np.ptp(polygon, axis=0)
            polygon = polygon + extent * rng.normal(0, 0.04, 2) + extent * rng.normal(0, 0.02, polygon.shape)
        else:
            label, polygon = _polygon(rng, shape)
        corners = (polygon + 0.5) * scale - 0.5  # centres of pixels are whole numbers in both
        cv2.fillPoly(mask, [(corners * 2**SUBPIXEL_BITS).round().astype(np.int32)], 1, shift=SUBPIXEL_BITS)
        cv2.GaussianBlur(mask, (0, 0), BLUR, dst=mask)
        labels.append(label)
        boxes.append([*polygon.min(axis=0), *polygon.max(axis=0)])
    instances = {
        'labels': torch.tensor(labels),
        'scores': torch.from_numpy(np.sort(rng.random(n).astype(np.float32))[::-1].copy()),
        'bboxes': torch.tensor(np.array(boxes), dtype=torch.float32),
    }
    return {'img_id': image, 'ori_shape': shape, 'pred_instances': instances}, torch.from_numpy(masks)


def _objects(image: int, shape: tuple[int, int], seed: int) -> Iterator[tuple[int, np.ndarray]]:
    """Class and polygon of each object of an image."""
    rng = np.random.default_rng((seed, image, 0))
    for _ in range(rng.poisson(OBJECTS)):
        yield _polygon(rng, shape)


def _polygon(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[int, np.ndarray]:
    """A class, and the outline (P, 2) of a star-shaped blob, x and y inside the image."""
    height, width = shape
    angles = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)[:, None]
    radii = np.exp(rng.uniform(*np.log(SIDES))) / 2 * rng.uniform(0.7, 1.2, (CORNERS, 1)) * rng.uniform(0.6, 1, 2)
    outline = rng.uniform(0, (width, height)) + radii * np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
    return int(rng.integers(len(CLASSES))), outline.clip(0, (width - 1, height - 1))
