"""Pictures of bases and attention, as ``tools/analysis/show_bases.py`` offers them."""

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from mmdet.registry import MODELS
from mmengine.model import revert_sync_batchnorm
from mmengine.structures import InstanceData
from torch import nn
from tqdm import tqdm

from mmagg.apis.checkpoint import secure_loading
from mmagg.apis.config import load_config
from mmagg.apis.inference import ask_for_rle, for_inference, infer, load_model
from mmagg.cli.arguments import add_cfg_options, add_device, add_trust_flag, positive
from mmagg.evaluation.results import confident
from mmagg.inside.bases import Ingredients, ingredients, recorded_decodings
from mmagg.inside.bases_sheet import (
    attention_panel,
    bases_panel,
    cropped,
    image_panel,
    pooled_panel,
    prob_panel,
    tile_size,
)
from mmagg.inside.heat_map import Frame, logit_limit
from mmagg.inside.mask_panels import COLUMN_GAP, COLUMN_WIDTH, Panel, panel_sheet
from mmagg.io.errors import InputError
from mmagg.io.images import read_image, write_image
from mmagg.models.heads import BoxedMaskHead
from mmagg.models.masks import BlendMaskMasks
from mmagg.visualization.overlay import decode_mask, draw_instances

SEED = 0  # of random weights


class Seen(NamedTuple):
    """An image as a model sees it."""

    image: np.ndarray
    """(H, W, 3), the original."""
    model: nn.Module
    found: InstanceData
    """The detections that are shown on the image."""
    made: Ingredients
    """What the masks of those are made of that have a row of their own, the first ones."""
    frame: Frame
    """Where the image lies in the network's input."""

    @property
    def boxes(self) -> np.ndarray:
        """(N, 4) boxes of `made` in pixels of the image."""
        return self.made.boxes.numpy() * np.divide(self.image.shape[:2], self.frame.image)[[1, 0, 1, 0]]


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/show_bases.py``."""
    parser = argparse.ArgumentParser(
        description='Show what the masks of BlendMask are made of (Fig. 1 and 3 of its paper): the image with its '
        'detections and the bases that they share, then a row per detection: its attention maps and the pooled bases '
        'in its box, the mask that the two are blended to, and the mask on the image.',
        epilog='example: python tools/analysis/show_bases.py street.jpg '
        'configs/blendmask/blendmask_r50_fpn_3x_coco.py CHECKPOINT --out bases.png',
    )
    parser.add_argument('image', type=Path, metavar='IMAGE', help='image file')
    parser.add_argument('config', help='config file; its head is a BoxedMaskHead with BlendedMasks')
    parser.add_argument('checkpoint', nargs='?', help='.pth file; without one, weights are random')
    parser.add_argument(
        '--out', type=Path, metavar='FILE', help='the picture, .png or .jpg (IMAGE_bases.png in the current folder)'
    )
    parser.add_argument(
        '--top', type=positive, default=4, metavar='N', help='a row for the N most certain detections (%(default)s)'
    )
    parser.add_argument(
        '--score-thr', type=float, default=0.3, metavar='T', help='leave out less certain detections (%(default)s)'
    )
    add_device(parser)
    add_cfg_options(parser, 'change CONFIG')
    add_trust_flag(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Draw what the arguments of `parser` say."""
    secure_loading(trust=args.trust_checkpoint)
    out = args.out or Path(f'{args.image.stem}_bases.png')
    if out.resolve() == args.image.resolve():
        raise InputError(f'--out {out}: is IMAGE itself')
    image = read_image(args.image)
    model = _model(args)
    head = _head(model, args.config)
    with recorded_decodings(head) as decodings:
        sample = infer(model, [image])[0]
    found = _certain(sample.pred_instances, head, args)
    made = ingredients(head, decodings[0], found[: args.top])
    padded = tuple(side * head.masks.stride for side in made.bases.shape[-2:])
    seen = Seen(image, model, found, made, Frame(padded, tuple(sample.img_shape[:2])))
    print(f'written to {write_image(_picture(seen, args), out)}')


def _model(args: argparse.Namespace) -> nn.Module:
    """The model; without a checkpoint with PyTorch's own initial weights, as those of `init_weights` find nothing."""
    if args.checkpoint:
        return load_model(args.config, args.checkpoint, args.device, args.cfg_options)
    print('no CHECKPOINT: weights are random', file=sys.stderr)
    cfg = load_config(args.config, args.cfg_options)
    ask_for_rle(cfg)
    try:
        torch.empty(0, device=args.device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f'--device {args.device}: {str(error).splitlines()[0]}') from error
    torch.manual_seed(SEED)
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    model.cfg, model.dataset_meta = cfg, {'classes': ()}  # names would mean nothing
    return for_inference(model.to(args.device).eval())


def _head(model: nn.Module, config: str) -> BoxedMaskHead:
    """The head whose masks are shown."""
    head = getattr(model, 'mask_head', None)
    if not isinstance(head, BoxedMaskHead) or not isinstance(head.masks, BlendMaskMasks):
        raise InputError(
            f'config {config}: its {type(model).__name__} has no BoxedMaskHead with BlendedMasks; bases are shown of '
            'one'
        )
    return head


def _certain(instances: InstanceData, head: BoxedMaskHead, args: argparse.Namespace) -> InstanceData:
    """The detections to show.

    Raises:
        InputError: there is none.
    """
    if not len(instances):
        raise InputError(
            f'{args.image}: the model finds nothing in it; lower model.test_cfg.score_thr '
            f'({head.post_process.score_thr:g}) with --cfg-options'
        )
    shown = confident(instances, args.score_thr)
    if not len(shown):
        raise InputError(
            f'{args.image}: no detection has a score of {args.score_thr:g} or more, the best has '
            f'{float(instances.scores.max()):.3f}; lower --score-thr'
        )
    return shown


def _picture(seen: Seen, args: argparse.Namespace) -> np.ndarray:
    """The whole picture: the image and its bases above, a row per detection below."""
    masks, shape = seen.model.mask_head.masks, seen.image.shape[:2]
    size = f'{masks.mask_size} × {masks.mask_size}'
    titles = [f'pooled bases, {size} (logits)', f'mask probability, {size}', 'mask']
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
    below = f'detections with a score of {args.score_thr:g} or more: {len(seen.found)}'
    panels = [
        image_panel(_drawn(seen, seen.found, size), below, room),
        bases_panel(seen.image, seen.made.bases, seen.frame, room),
    ]
    heading = f'{args.image.name}: {Path(args.config).stem}' + ('' if args.checkpoint else ', random weights')
    return np.concatenate([panel_sheet(heading, ['detections', 'bases (logits)'], [panels]), lower])


def _row(seen: Seen, index: int, room: tuple[int, int]) -> list[Panel]:
    """What is shown of a detection, from left to right, in panels of one size."""
    masks, made, box = seen.model.mask_head.masks, seen.made, seen.boxes[index].tolist()
    height, width = box[3] - box[1], box[2] - box[0]
    tile, whole = (
        cropped(seen.image, box, tile_size((height, width), number, room)) for number in (len(made.bases), 1)
    )
    panels = [] if made.attention is None else [attention_panel(tile, made.attention[index], room)]
    grid = masks.attention_size if made.attention is None else None
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
