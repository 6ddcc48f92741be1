"""A picture of BlendMask's bases, attention and masks (BlendMask, Fig. 1 and 3)."""

import sys
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from mmdet.models.detectors import BaseDetector
from mmdet.registry import MODELS
from mmengine.model import revert_sync_batchnorm
from mmengine.structures import InstanceData
from tqdm import tqdm

from mmagg.apis.checkpoint import secure_loading
from mmagg.apis.config import base_files, load_config
from mmagg.apis.hardware import usable_device
from mmagg.apis.inference import ask_for_rle, for_inference, infer, load_model
from mmagg.inside.bases import Ingredients, ingredients
from mmagg.inside.bases_panels import (
    attention_panel,
    bases_panel,
    cropped,
    image_panel,
    pooled_panel,
    prob_panel,
    tile_size,
)
from mmagg.inside.representations import recorded
from mmagg.inside.shown_image import certain, image_to_show
from mmagg.io.errors import InputError, building, check_fraction
from mmagg.io.images import write_image
from mmagg.models.heads import BoxedMaskHead
from mmagg.models.masks import BlendMaskMasks
from mmagg.rle.codes import decode_mask
from mmagg.visualization.heat_map import Frame, logit_limit
from mmagg.visualization.overlay import draw_instances
from mmagg.visualization.panel_sheet import COLUMN_GAP, COLUMN_WIDTH, Panel, panel_sheet

SEED = 0  # of random weights


class Seen(NamedTuple):
    """An image and a model's results for it."""

    image: np.ndarray
    """(H, W, 3), the original."""
    model: BaseDetector
    masks: BlendMaskMasks
    """Of the model's head."""
    found: InstanceData
    """The detections to show on the image."""
    made: Ingredients
    """Bases and attention of the first ones, which have a row of their own."""
    frame: Frame
    """The place of the image in the network's input."""

    @property
    def boxes(self) -> np.ndarray:
        """(N, 4) boxes of `made` in pixels of the image."""
        return self.made.boxes.numpy() * np.divide(self.image.shape[:2], self.frame.image)[[1, 0, 1, 0]]


def show_bases(
    image: str | Path,
    config: str | Path,
    checkpoint: str | Path | None = None,
    *,
    out: str | Path | None = None,
    top: int = 4,
    score_thr: float = 0.3,
    device: str | None = None,
    cfg_options: dict | None = None,
    trust_checkpoint: bool = False,
) -> Path:
    """Draw the image with its detections and the bases that they share; then, for each detection, a row.

    A row has the detection's attention maps and the pooled bases in its box, the mask that the two are blended to, and
    the mask on the image.

    Args:
        image: the file.
        config: of a model whose head is a `BoxedMaskHead` with `BlendMaskMasks`.
        checkpoint: its weights; None for random ones.
        out: the picture, .png or .jpg; by default IMAGE_bases.png in the current folder.
        top: number of rows at most, for the most certain detections.
        score_thr: detections with a lower score are left out; from 0 to 1.
        device: e.g. `cuda:0`; by default the GPU where there is one.
        cfg_options: changes to the config, dotted keys.
        trust_checkpoint: read checkpoints that hold code.

    Returns:
        The picture's file.

    Raises:
        InputError: a file, the head or the device cannot be used, or there is no such detection.
    """
    check_fraction(score_thr, '--score-thr')
    secure_loading(trust=trust_checkpoint)
    image = Path(image)
    out = Path(out or f'{image.stem}_bases.png')
    pixels = image_to_show(image, out, config, *base_files(config), checkpoint)
    model: BaseDetector
    if checkpoint:
        model = load_model(config, checkpoint, device, cfg_options)
    else:
        model = _random_model(config, device, cfg_options)
    head, masks = _head(model, config)
    with recorded(model.neck if model.with_neck else model.backbone) as outputs:
        sample = infer(model, [image])[0]
    found = certain(sample.pred_instances, score_thr, lowest=head.post_process.score_thr, image=image, word='detection')
    img_shape = tuple(sample.img_shape[:2])
    made = ingredients(head, outputs[0], found[:top], image=0, img_shape=img_shape)
    height, width = (side * masks.stride for side in made.bases.shape[-2:])
    seen = Seen(pixels, model, masks, found, made, Frame((height, width), img_shape))
    heading = f'{image.name}: {Path(config).stem}' + ('' if checkpoint else ', random weights')
    below = f'detections with a score of {score_thr:g} or more: {len(found)}'
    return write_image(_picture(seen, heading, below), out)


def _random_model(config: str | Path, device: str | None, cfg_options: dict | None) -> BaseDetector:
    """A model with PyTorch's own initial weights: with those of `init_weights` it would detect nothing."""
    tqdm.write('no CHECKPOINT: weights are random', file=sys.stderr)
    cfg = load_config(config, cfg_options, changes=[ask_for_rle], reads={'model', 'test_dataloader', 'visualizer'})
    place = usable_device(device)
    torch.manual_seed(SEED)
    with building():
        model = revert_sync_batchnorm(MODELS.build(cfg.model))
    model.cfg, model.dataset_meta = cfg, {'classes': ()}  # names would mean nothing
    return for_inference(model.to(place).eval())


def _head(model: BaseDetector, config: str | Path) -> tuple[BoxedMaskHead, BlendMaskMasks]:
    """The head whose masks are shown, and these."""
    head = getattr(model, 'mask_head', None)
    if not isinstance(head, BoxedMaskHead) or not isinstance(head.masks, BlendMaskMasks):
        raise InputError(
            f'config {config}: its {type(model).__name__} has no BoxedMaskHead with BlendedMasks; bases are shown of '
            'one'
        )
    return head, head.masks


def _picture(seen: Seen, heading: str, below: str) -> np.ndarray:
    """The whole picture: the image and its bases above, a row per detection below."""
    masks, shape = seen.masks, seen.image.shape[:2]
    square = f'{masks.mask_size} × {masks.mask_size}'
    titles = [f'pooled bases, {square} (logits)', f'mask probability, {square}', 'mask']
    if seen.made.attention is not None:
        how = 'softmax over bases' if masks.merger == 'blend' else 'sigmoid'
        titles.insert(0, f'attention, {masks.attention_size} × {masks.attention_size} ({how})')
    shapes = [shape, *((y2 - y1, x2 - x1) for x1, y1, x2, y2 in seen.boxes)]
    room = (max(tile_size(x, 1, (COLUMN_WIDTH, COLUMN_WIDTH))[0] for x in shapes), COLUMN_WIDTH)
    rows = [_row(seen, i, room) for i in tqdm(range(len(seen.boxes)), desc='drawing', unit='detection')]
    lower = panel_sheet('from bases to masks: the most certain detections, each in its box', titles, rows)

    width = (len(titles) * (COLUMN_WIDTH + COLUMN_GAP) - 2 * COLUMN_GAP) // 2
    size = tile_size(shape, 1, (width, width))
    room = (size[0], width)
    panels = [
        image_panel(_drawn(seen, seen.found, size), below, room),
        bases_panel(seen.image, seen.made.bases, seen.frame, room),
    ]
    return np.concatenate([panel_sheet(heading, ['detections', 'bases (logits)'], [panels]), lower])


def _row(seen: Seen, index: int, room: tuple[int, int]) -> list[Panel]:
    """A detection's panels from left to right, all of one size."""
    made, box = seen.made, seen.boxes[index].tolist()
    height, width = box[3] - box[1], box[2] - box[0]
    tile, whole = (
        cropped(seen.image, box, tile_size((height, width), number, room)) for number in (len(made.bases), 1)
    )
    panels = [] if made.attention is None else [attention_panel(tile, made.attention[index], room)]
    grid = seen.masks.attention_size if made.attention is None else None
    panels.append(pooled_panel(tile, made.pooled[index], logit_limit(made.pooled), grid, room))
    panels.append(prob_panel(whole, made.probs[index], room))
    instance, classes = seen.found[[index]], seen.model.dataset_meta['classes']
    name = classes[int(instance.labels)] if classes else f'class {int(instance.labels)}'
    below = f'{name} {100 * float(instance.scores):.0f} %, box of {width:.0f} × {height:.0f} pixels'
    drawn = _drawn(seen, instance, tile_size(seen.image.shape[:2], 1, room))
    return [*panels, image_panel(drawn, below, room)]


def _drawn(seen: Seen, instances: InstanceData, size: tuple[int, int]) -> np.ndarray:
    """Instances over the image, at a size."""
    shrinks = size[0] < seen.image.shape[0]
    picture = cv2.resize(seen.image, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    masks = [
        cv2.resize(decode_mask(mask).view(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST)
        for mask in instances.masks
    ]
    boxes = instances.bboxes.cpu().numpy() * np.divide(size, seen.image.shape[:2])[[1, 0, 1, 0]]
    classes = seen.model.dataset_meta['classes']
    return draw_instances(picture, np.array(masks), instances.labels, instances.scores, boxes, classes)
