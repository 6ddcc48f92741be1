"""From masks to scores, ours against mmdet's, as ``tools/analysis/benchmark_evaluation.py`` offers it.

Shape shorthand: n detections of an image of (H, W) pixels, P corners of a polygon.
"""

import argparse
import contextlib
import io
import tempfile
from collections.abc import Iterator
from time import perf_counter

import cv2
import numpy as np
import torch
from mmdet.evaluation import CocoMetric
from mmdet.structures.mask import encode_mask_results
from torch import Tensor
from tqdm import tqdm

from mmagg.apis.arguments import positive
from mmagg.apis.errors import add_traceback_flag
from mmagg.apis.files import write_json
from mmagg.apis.hardware import hardware
from mmagg.evaluation import COCOInstanceMetric
from mmagg.ops import chunk_size, masks_to_rle

STAGES = ('RLE', 'collecting', 'evaluation')
CLASSES = tuple(f'class {i}' for i in range(80))
OBJECTS, MAX_DETECTIONS = 7.3, 100  # COCO's mean number an image; what the heads keep of one
SIDES = (10, 320)  # pixels, drawn on a log scale: COCO's three sizes all occur often
CORNERS = 24
FOUND = 0.7  # part of the detections that are of an object
CHUNK_BYTES = 2**23


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/benchmark_evaluation.py``."""
    parser = argparse.ArgumentParser(
        description='Time from binary masks to mask and box AP: masks_to_rle and COCOInstanceMetric against '
        'encode_mask_results and CocoMetric of MMDetection, on the same generated detections, one run.',
    )
    parser.add_argument('--images', type=positive, default=500, metavar='N', help='some 50 masks each (%(default)s)')
    parser.add_argument('--shape', type=positive, nargs=2, default=(480, 640), metavar=('H', 'W'), help='(480 640)')
    parser.add_argument('--seed', type=int, default=0, metavar='S', help='of what is generated (%(default)s)')
    parser.add_argument('--device', default='cpu', help='where the masks lie, e.g. cuda:0 (%(default)s)')
    parser.add_argument('--threads', type=positive, metavar='T', help='CPU threads of PyTorch')
    add_traceback_flag(parser)
    return parser


def benchmark_evaluation(args: argparse.Namespace) -> None:
    """Measure as the arguments of `parser` say."""
    if args.threads:
        torch.set_num_threads(args.threads)
    shape = tuple(args.shape)
    encoders = {'mmdet': lambda masks: encode_mask_results(masks.cpu().numpy()), 'mmagg': _rles}
    seconds = {name: dict.fromkeys(STAGES, 0.0) for name in encoders}
    count = 0
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints
        ann_file = f'{folder}/annotations.json'
        write_json(annotations(args.images, shape, args.seed), ann_file)
        metrics = {
            name: metric(ann_file=ann_file, metric=['bbox', 'segm'])
            for name, metric in (('mmdet', CocoMetric), ('mmagg', COCOInstanceMetric))
        }
        for i in tqdm(range(args.images), desc='masks', leave=False):
            sample, masks = detections(i, shape, args.seed)
            masks = masks.to(args.device)
            count += len(masks)
            for name, encode in encoders.items():
                start = perf_counter()
                rles = encode(masks)
                encoded = perf_counter()
                metrics[name].process({}, [{**sample, 'pred_instances': {**sample['pred_instances'], 'masks': rles}}])
                seconds[name]['RLE'] += encoded - start
                seconds[name]['collecting'] += perf_counter() - encoded
        scores = {}
        for name, metric in metrics.items():
            metric.dataset_meta = {'classes': CLASSES}
            start = perf_counter()
            scores[name] = metric.evaluate(args.images)
            seconds[name]['evaluation'] = perf_counter() - start
    _report(args, count, seconds, scores)


def annotations(images: int, shape: tuple[int, int], seed: int) -> dict:
    """COCO-format annotations of generated images: `OBJECTS` polygons each on average, none in some."""
    height, width = shape
    content = {
        'images': [{'id': i, 'height': height, 'width': width, 'file_name': f'{i}.png'} for i in range(images)],
        'categories': [{'id': i, 'name': name} for i, name in enumerate(CLASSES, 1)],
        'annotations': [],
    }
    for i in range(images):
        for label, polygon in _objects(i, shape, seed):
            low, high = polygon.min(axis=0), polygon.max(axis=0)
            content['annotations'].append(
                {
                    'id': len(content['annotations']) + 1,
                    'image_id': i,
                    'category_id': label + 1,
                    'segmentation': [polygon.flatten().tolist()],
                    'bbox': [*low.tolist(), *(high - low).tolist()],
                    'area': float(cv2.contourArea(polygon.astype(np.float32))),
                    'iscrowd': 0,
                }
            )
    return content


def detections(image: int, shape: tuple[int, int], seed: int) -> tuple[dict, Tensor]:
    """What a model may find in an image: imprecise copies of the objects, and other things.

    Args:
        image: its id.
        shape: (H, W).
        seed: that of `annotations`.

    Returns:
        A data sample (dict) with all but the masks, and these, (n, H, W) bool. n is 3 to `MAX_DETECTIONS`.
    """
    rng = np.random.default_rng((seed, image, 1))
    objects = list(_objects(image, shape, seed))
    n = int(rng.integers(3, MAX_DETECTIONS + 1))
    masks, labels, boxes = np.zeros((n, *shape), dtype=np.uint8), [], []
    for mask in masks:
        if objects and rng.random() < FOUND:
            label, polygon = objects[rng.integers(len(objects))]
            extent = np.ptp(polygon, axis=0)
            polygon = polygon + extent * rng.normal(0, 0.04, 2) + extent * rng.normal(0, 0.02, polygon.shape)
        else:
            label, polygon = _polygon(rng, shape)
        cv2.fillPoly(mask, [polygon.round().astype(np.int32)], 1)
        labels.append(label)
        boxes.append([*polygon.min(axis=0), *polygon.max(axis=0)])
    instances = {
        'labels': torch.tensor(labels),
        'scores': torch.from_numpy(np.sort(rng.random(n).astype(np.float32))[::-1].copy()),
        'bboxes': torch.tensor(np.array(boxes), dtype=torch.float32),
    }
    return {'img_id': image, 'ori_shape': shape, 'pred_instances': instances}, torch.from_numpy(masks).bool()


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


def _rles(masks: Tensor) -> list[dict]:
    """As the post-processors do it: chunk by chunk."""
    parts = masks.split(chunk_size(masks[0].numel(), CHUNK_BYTES))
    return [rle for part in parts for rle in masks_to_rle(part)]


def _report(args: argparse.Namespace, count: int, seconds: dict, scores: dict) -> None:
    machine = hardware(args.device)
    shared = scores['mmdet'].keys() & scores['mmagg'].keys()
    difference = max((abs(scores['mmdet'][key] - scores['mmagg'][key]) for key in shared), default=float('nan'))
    print(  # noqa: T201
        f'hardware  {machine["gpu"] or machine["cpu"]}, {machine["threads"]} threads, torch {machine["torch"]}\n'
        f'work      {args.images} images of {args.shape[0]} x {args.shape[1]}, {count} masks; '
        f'mask AP {scores["mmagg"]["coco/segm_mAP"]:.3f}, box AP {scores["mmagg"]["coco/bbox_mAP"]:.3f}; '
        f'largest difference of {len(shared)} scores {difference:.4f} (mmdet rounds to 0.001)\n\n'
        f'{"s":<12}{"mmdet":>10}{"mmagg":>10}{"ratio":>10}'
    )
    rows = {stage: [seconds[name][stage] for name in ('mmdet', 'mmagg')] for stage in STAGES}
    rows['total'] = [sum(seconds[name].values()) for name in ('mmdet', 'mmagg')]
    for stage, (theirs, ours) in rows.items():
        print(f'{stage:<12}{theirs:>10.3f}{ours:>10.3f}{ours / theirs:>10.2f}')  # noqa: T201
