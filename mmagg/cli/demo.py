"""Pictures and a COCO-style JSON of any images, as ``tools/demo.py`` offers it."""

import argparse
import sys
from pathlib import Path

import pycocotools.mask as coco_mask
from tqdm import tqdm

from mmagg.apis.checkpoint import secure_loading
from mmagg.apis.inference import infer, load_model
from mmagg.cli.arguments import add_cfg_options, add_device, add_trust_flag
from mmagg.evaluation.results import coco_records, confident, draw_predictions
from mmagg.io.errors import InputError, one_line
from mmagg.io.files import write_json
from mmagg.io.images import find_images, read_image, write_image

EXIT_SOME_UNREADABLE = 1


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/demo.py``."""
    parser = argparse.ArgumentParser(
        description='Find the instances in images: a picture of each and one predictions.json (COCO format).'
    )
    parser.add_argument(
        'images', type=Path, metavar='IMAGE|DIR', help='an image, or a folder that is searched for images'
    )
    parser.add_argument('config', help='config file, or mmdet::<path> for one of mmdet')
    parser.add_argument('checkpoint', help='.pth file')
    parser.add_argument('--out-dir', type=Path, required=True, metavar='DIR', help='where the results go')
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.3,
        metavar='S',
        help='leave out less certain instances (%(default)s)',
    )
    add_device(parser)
    add_cfg_options(parser, 'change the config')
    add_trust_flag(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Run as the arguments of `parser` say; returns 1 if an image could not be read, the others are done."""
    secure_loading(trust=args.trust_checkpoint)
    root = args.images if args.images.is_dir() else args.images.parent
    if args.out_dir.resolve() == root.resolve():
        raise InputError(f'--out-dir {args.out_dir}: is the folder of the images; results would overwrite them')
    if args.out_dir.exists() and not args.out_dir.is_dir():
        raise InputError(f'--out-dir {args.out_dir}: is a file')
    paths = find_images(args.images, exclude=args.out_dir)
    model = load_model(args.config, args.checkpoint, args.device, args.cfg_options)
    classes = model.dataset_meta['classes']
    category_ids = list(range(1, len(classes) + 1))
    images, annotations, unreadable = [], [], 0
    for path in tqdm(paths, desc='demo', unit='image'):
        name = path.relative_to(root)
        try:
            image = read_image(path)
        except InputError as error:
            tqdm.write(f'error: {one_line(error)}; skipped', file=sys.stderr)
            unreadable += 1
            continue
        predictions = infer(model, [image])[0].pred_instances
        write_image(draw_predictions(image, predictions, classes, args.score_thr), args.out_dir / name)
        images.append(_image_record(len(images) + 1, name, image.shape))
        for record in coco_records(confident(predictions, args.score_thr), category_ids):
            annotations.append(_annotation(len(annotations) + 1, images[-1], record, classes))
    categories = [{'id': i, 'name': name} for i, name in zip(category_ids, classes, strict=True)]
    result = {'images': images, 'annotations': annotations, 'categories': categories}
    write_json(result, args.out_dir / 'predictions.json')
    print(f'{len(annotations)} instances in {len(images)} images: {args.out_dir}')
    return EXIT_SOME_UNREADABLE if unreadable else 0


def _image_record(image_id: int, name: Path, shape: tuple[int, ...]) -> dict:
    return {'id': image_id, 'file_name': name.as_posix(), 'height': shape[0], 'width': shape[1]}


def _annotation(annotation_id: int, image: dict, record: dict, classes: tuple[str, ...]) -> dict:
    """A prediction as a COCO annotation, which annotation tools can open, with readable names."""
    rle = record.get('segmentation')
    width, height = record['bbox'][2:]
    return {
        'id': annotation_id,
        'image_id': image['id'],
        'file_name': image['file_name'],
        'category_name': classes[record['category_id'] - 1],
        'area': float(coco_mask.area(rle)) if rle else width * height,
        'iscrowd': 0,
        **record,
    }
