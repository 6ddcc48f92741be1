"""Masks of one model in the boxes of another, as ``tools/analysis/boxes_to_masks.py`` offers them."""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from faster_coco_eval import COCO
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from mmagg.apis.checkpoint import secure_loading
from mmagg.apis.coco_loader import check_classes, images_to_test
from mmagg.apis.config import load_config
from mmagg.apis.data import use_coco_folder
from mmagg.apis.inference import load_model
from mmagg.cli.arguments import add_cfg_options, add_coco, add_device, add_trust_flag, positive
from mmagg.experiments.mask_branch import METRICS, GivenBoxes, coco_ap, fill_boxes, mask_branch
from mmagg.io.errors import InputError
from mmagg.io.files import read_json, write_json

KEYS = ('image_id', 'category_id', 'bbox', 'score')
NAMES = {'bbox': 'box', 'segm': 'mask'}

Records = dict[int | str, list[dict]]
"""COCO result records by the image's id, the most certain first."""


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/boxes_to_masks.py``."""
    parser = argparse.ArgumentParser(
        description="Do better boxes give better masks? (MEInst's Table 1.) The mask branch of a trained model "
        "predicts masks in another detector's boxes; everything but the boxes stays the same. Prints the box AP of "
        'those and the mask AP of the result. In a two-stage detector (Mask R-CNN, Cascade Mask R-CNN, HTC) the boxes '
        "take the place of the RoI head's own; in BlendMask and MEInst a box takes the coefficients of the location "
        'that is responsible for it.',
        epilog='example: python tools/test.py FCOS_CONFIG FCOS_CHECKPOINT --out boxes.json && python '
        'tools/analysis/boxes_to_masks.py configs/a2fpn/mask-rcnn_r50_fpn_1x_coco.py CHECKPOINT boxes.json',
    )
    parser.add_argument(
        'config', help="config file of the model with the mask branch, or mmdet::<path> for one of mmdet's"
    )
    parser.add_argument('checkpoint', help='.pth file')
    parser.add_argument(
        'boxes',
        type=Path,
        metavar='BOXES.json',
        help='COCO result file: a list of image_id, category_id, bbox (x, y, width, height in pixels of the original '
        'image) and score',
    )
    add_coco(parser, 'test')
    parser.add_argument(
        '--out',
        type=Path,
        metavar='FILE',
        help='write the boxes with their masks as a COCO result file, NAME.json, and the AP to NAME.metrics.json',
    )
    parser.add_argument('--max-images', type=positive, metavar='N', help='only the first N images (all)')
    parser.add_argument(
        '--score-thr', type=float, default=-math.inf, metavar='T', help='leave out less certain boxes (none)'
    )
    parser.add_argument(
        '--max-per-image',
        type=positive,
        default=100,
        metavar='N',
        help='only the N most certain boxes of an image (%(default)s)',
    )
    add_device(parser)
    add_cfg_options(parser, 'change the config, e.g. test_dataloader.num_workers=4')
    add_trust_flag(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Predict and measure as the arguments of `parser` say."""
    secure_loading(trust=args.trust_checkpoint)
    if args.out and (args.out.suffix != '.json' or args.out.is_dir() or args.out.resolve() == args.boxes.resolve()):
        raise InputError(f'--out {args.out}: name a .json file, and not BOXES.json itself')
    cfg = load_config(args.config, args.cfg_options)
    if args.coco:
        use_coco_folder(cfg, args.coco)
    loader = images_to_test(cfg, args.config, args.max_images)
    dataset = loader.dataset
    truth = COCO(dataset.ann_file)
    image_ids = [dataset.get_data_info(i)['img_id'] for i in range(len(dataset))]
    if not any(annotation.get('segmentation') for i in image_ids for annotation in truth.imgToAnns.get(i, ())):
        raise InputError(f'{dataset.ann_file}: none of its {len(image_ids)} images has a mask, so there is no AP')
    given = _chosen(read_boxes(args.boxes, truth, dataset.cat_ids), image_ids, args)
    model = load_model(cfg, args.checkpoint, args.device)
    check_classes(model, dataset)

    filled = _predict(model, loader, given, args.config)
    report = {
        'config': args.config,
        'checkpoint': args.checkpoint,
        'boxes_from': str(args.boxes),
        'images': len(image_ids),
        'boxes': sum(map(len, given.values())),
        'masks': len(filled),
    }
    tqdm.write(f'AP of {report["boxes"]} boxes and {report["masks"]} masks ...', file=sys.stderr)
    records = [{key: record[key] for key in KEYS} for image in given.values() for record in image]
    report['bbox'] = coco_ap(truth, records, 'bbox', image_ids, dataset.cat_ids)
    records = [{key: value for key, value in record.items() if key != 'bbox'} for record in filled]
    report['segm'] = coco_ap(truth, records, 'segm', image_ids, dataset.cat_ids)
    print(table(report))
    if args.out:
        write_json(filled, args.out)
        write_json(report, args.out.with_suffix('.metrics.json'))
        print(f'written to {args.out}')


# What is given


def read_boxes(path: Path, truth: COCO, category_ids: Sequence[int]) -> Records:
    """The records of a COCO result file, whatever else than boxes they hold left out.

    Args:
        path: the file.
        truth: the annotations of the images.
        category_ids: the categories that the data set has.

    Raises:
        InputError: it is no such file, or not one of these images and categories.
    """
    try:
        content = read_json(path)
    except ValueError as error:
        raise InputError(f'{path}: is not JSON ({error})') from error
    if not isinstance(content, list):
        raise InputError(f'{path}: is no COCO result file; it must hold a list of {", ".join(KEYS)}')
    if not content:
        raise InputError(f'{path}: holds no boxes')
    known, records = set(category_ids), {}
    for i, entry in enumerate(content):
        try:
            record = {key: entry[key] for key in KEYS}
            image, is_known = truth.imgs.get(record['image_id']), record['category_id'] in known
            x, y, width, height = record['bbox']
            sound = all(map(math.isfinite, (x, y, width, height, record['score']))) and min(width, height) >= 0
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f'{path}: entry {i} is no box ({type(error).__name__}: {error})') from error
        where = f'{path}: entry {i}, bbox {record["bbox"]} with score {record["score"]}'
        if image is None:
            raise InputError(f'{where}: the data have no image {record["image_id"]!r}')
        if not is_known:
            raise InputError(f'{where}: the data have no category {record["category_id"]!r}')
        if not sound:
            raise InputError(f'{where}: a number is not finite or a side negative')
        if x > image['width'] or y > image['height'] or x + width < 0 or y + height < 0:
            raise InputError(
                f'{where}: is outside of image {image["id"]!r} ({image["width"]} x {image["height"]}); bbox is x, y, '
                'width, height in pixels of the original image'
            )
        records.setdefault(image['id'], []).append(record)
    return {key: sorted(found, key=lambda record: -record['score']) for key, found in records.items()}


def _chosen(records: Records, image_ids: Sequence[int], args: argparse.Namespace) -> Records:
    """Those of some images, of enough score, and not too many of them."""
    sure = {
        key: [record for record in records.get(key, ()) if record['score'] >= args.score_thr][: args.max_per_image]
        for key in image_ids
    }
    if not any(sure.values()):
        raise InputError(
            f'{args.boxes}: none of its {sum(map(len, records.values()))} boxes has a score of {args.score_thr:g} or '
            f'more and is in the {len(image_ids)} images'
        )
    return sure


# What is made of it


@torch.no_grad()
def _predict(model: nn.Module, loader: DataLoader, given: Records, config: str) -> list[dict]:
    """The given records with a mask each, those without an area left out; images without boxes are not looked at."""
    try:
        branch = mask_branch(model)
    except ValueError as error:
        raise InputError(f'config {config}: {error}') from error
    label_of = {category_id: label for label, category_id in enumerate(loader.dataset.cat_ids)}
    filled = []
    with tqdm(total=len(loader.dataset), desc='prediction', unit='image') as bar:
        for batch in loader:
            if any(given[sample.img_id] for sample in batch['data_samples']):
                batch = model.data_preprocessor(batch, False)
                feats = model.extract_feat(batch['inputs'])
                for i, sample in enumerate(batch['data_samples']):
                    records = given[sample.img_id]
                    if records:
                        boxes = _as_tensors(records, label_of, feats[0].device)
                        found = fill_boxes(branch, [x[i : i + 1] for x in feats], sample, boxes)
                        filled += [
                            {**records[index], 'score': score, 'segmentation': mask}
                            for index, score, mask in zip(*found, strict=True)
                        ]
            bar.update(len(batch['data_samples']))
    return filled


def _as_tensors(records: Sequence[dict], label_of: dict[int, int], device: torch.device) -> GivenBoxes:
    corners = [(x, y, x + width, y + height) for x, y, width, height in (record['bbox'] for record in records)]
    return GivenBoxes(
        torch.tensor(corners, dtype=torch.float32, device=device),
        # As exact as in the file, so that boxes and masks rank the same.
        torch.tensor([record['score'] for record in records], dtype=torch.float64, device=device),
        torch.tensor([label_of[record['category_id']] for record in records], device=device),
    )


def table(report: dict) -> str:
    """The report as text: how many boxes, and AP in per cent, a line for the boxes and one for the masks."""
    images, boxes, masks = report['images'], report['boxes'], report['masks']
    lines = [f'{images} images, {boxes} boxes ({boxes / images:.1f} per image), {masks} masks']
    if masks < boxes:
        lines += [f'{boxes - masks} boxes have no area in their image, and so no mask']
    lines += ['', _line('', list(METRICS))]
    lines += [_line(name, [_percent(report[kind][metric]) for metric in METRICS]) for kind, name in NAMES.items()]
    return '\n'.join(lines)


def _line(name: str, cells: Sequence[str]) -> str:
    return f'{name:<6}' + ''.join(f'{cell:>8}' for cell in cells)


def _percent(value: float | None) -> str:
    return '–' if value is None else f'{100 * value:.2f}'
