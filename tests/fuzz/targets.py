"""The entry points: for each kind of input the commands that read it, and how often a case goes there.

In a command line ``@`` stands for the folder of the inputs and ``+`` for that of what is written, where what an earlier
call has left lies already: the inputs below ``left``.
"""

from dataclasses import dataclass

VAL = 'data/annotations/instances_val.json'
TRAIN = 'data/annotations/instances_train.json'
MODEL = '@config.py @checkpoint.pth'
BOXED = '@boxed.py @boxed.pth'
CODED = '@coded.py @coded.pth'
DICTIONARY = '--cfg-options model.mask_head.masks.codec.dictionary=@codec.npz'
IMAGE = 'data/images/val/000001.png'
RUN = 'left/run'
NOTES = (f'{RUN}/last_checkpoint', f'{RUN}/20260101_000000/vis_data/scalars.json')
COMPARED = '--out +o --samples 5 --images @data/images/val'
FIT = '--out +c.npz --dims 2 --curve 2 --workers 1'
EXPORTS = {
    'yolo': ('data.yaml', 'labels/train/000000.txt', 'labels/val/000001.txt', 'images/train/000000.png'),
    'labelme': ('train/000000.json', 'val/000001.json', 'train/000000.png'),
    'cvat': ('annotations.xml', 'annotations.xml', 'images/images/train/000000.png'),
    'voc': (
        'labelmap.txt',
        'ImageSets/Segmentation/train.txt',
        *(f'{folder}/images/train/000000.png' for folder in ('SegmentationObject', 'SegmentationClass', 'JPEGImages')),
        'Annotations/images/train/000000.xml',
    ),
    'coco-panoptic': (
        'annotations/panoptic_train.json',
        'annotations/panoptic_val.json',
        'annotations/panoptic_train/000000.png',
        'images/val/000001.png',
    ),
    'masks': ('images/train/000000.png', 'images/val/000001.png'),
}
"""The formats that `convert-data` reads, and files of `Material` in each."""


@dataclass(frozen=True)
class Target:
    """A command and the inputs of it that are edited.

    Attributes:
        line: the command line.
        files: those of which one is edited, by their paths in the folder of inputs.
        weight: how often, in comparison with the others of its kind.
        code: the exit code with sound inputs: edits tell nothing of a command that does not come to its end without.
    """

    line: str
    files: tuple[str, ...]
    weight: float = 1.0
    code: int = 0


SHARES = dict(annotations=40, results=26, configs=10, checkpoints=8, exports=5, images=4, names=4, runs=3)
"""Kinds of inputs, and their shares of the cases in per cent."""
STRICT = ('annotations', 'results', 'exports', 'images', 'names', 'runs')
"""Kinds for which no error may be unforeseen."""

TARGETS = {
    'annotations': (
        Target(f'analyse-errors @{VAL} @results.json', (VAL,), 4),
        Target(f'analyse-errors @{VAL} @results.json --iou-type bbox', (VAL,), 2),
        Target(f'analyse-groups @{VAL} @results.json', (VAL,), 3),
        Target(f'analyse-confusion @{VAL} @results.json --out +o', (VAL,), 0.5),
        Target(f'analyse-calibration @{VAL} @results.json --out +o', (VAL,), 0.5),
        Target(f'analyse-precision-recall @{VAL} @results.json --out +o', (VAL,), 0.5),
        Target(
            f'compare-results @{VAL} @results.json @results.json --out +o --samples 5 --images @data/images/val', (VAL,)
        ),
        Target(f'fit-mask-codec --coco @data {FIT}', (TRAIN, VAL), 0.7),
        Target('convert-lvis @lvis.json +l.json', ('lvis.json',), 3),
        Target('split-coco @data +split', (TRAIN, VAL), 2),
        Target(f'split-coco @{TRAIN} +split', (TRAIN,)),
        Target('convert-data @data +mine', (TRAIN, VAL)),
        Target(f'paper-tables --only meinst --codec @codec.npz --ann @{VAL} --out +t.md', (VAL,), 0.05),
        Target('browse @config.py --coco @data --out +b --image 000000.png --repeat 2', (TRAIN,), 0.2),
        Target('browse @config.py --coco @data --out +b --number 2', (TRAIN,), 0.6),
        Target('browse @config.py --coco @data --out +b --number 2 --stages --split val', (VAL,), 0.3),
        Target('train @config.py --coco @data --work-dir +w', (TRAIN, VAL), 0.3),
        Target(f'test {MODEL} --coco @data --work-dir +w', (VAL,), 0.4),
        Target(f'test {MODEL} --coco @data --work-dir +w --skip-check', (VAL,), 0.3),
        Target(f'test {MODEL} --coco @data --work-dir +w --report +r --show-dir +s --out +p.json', (VAL,), 0.05),
        Target(f'mask-voting {MODEL} --coco @data --out +v --thresholds 0.5', (VAL,), 0.1),
        Target(f'boxes-to-masks {BOXED} @results.json --coco @data --out +m.json', (VAL,), 0.1),
    ),
    'results': (
        Target(f'analyse-errors @{VAL} @results.json', ('results.json',), 4),
        Target(f'analyse-errors @{VAL} @results.json --iou-type bbox', ('results.json',), 4),
        Target(f'analyse-groups @{VAL} @results.json', ('results.json',), 4),
        Target(f'analyse-confusion @{VAL} @results.json --out +o', ('results.json',), 0.5),
        Target(f'analyse-calibration @{VAL} @results.json --out +o', ('results.json',), 0.5),
        Target(f'analyse-precision-recall @{VAL} @results.json --out +o', ('results.json',), 0.5),
        Target(
            f'compare-results @{VAL} @results.json @data/annotations/../../results.json {COMPARED}',
            ('results.json',),
        ),
        Target(f'boxes-to-masks {BOXED} @results.json --coco @data --out +m.json', ('results.json',), 1),
    ),
    'exports': tuple(
        Target(f'convert-data @exports/{name} +mine', tuple(f'exports/{name}/{file}' for file in files))
        for name, files in EXPORTS.items()
    ),
    'configs': (
        Target('train @config.py --coco @data --work-dir +w', ('config.py',), 6),
        Target('train @config.py --coco @data --work-dir +w --skip-check --val-loss', ('config.py',), 1),
        Target('train @config.json --coco @data --work-dir +w', ('config.json',), 1),
        Target(f'test {MODEL} --coco @data --work-dir +w', ('config.py',), 5),
        Target(f'test {MODEL} --coco @data --work-dir +w --tta', ('config.py',), 0.5),
        Target('test @config.json @checkpoint.pth --coco @data --work-dir +w', ('config.json',), 1),
        Target(f'demo @data/images/val/000001.png {MODEL} --out-dir +d', ('config.py',), 4),
        Target('browse @config.py --coco @data --out +b --number 2', ('config.py',), 3),
        Target('count-flops @config.py --shape 64 64', ('config.py',), 1),
        Target('benchmark @config.py --shape 64 64 --runs 1 --train', ('config.py',), 0.5),
        Target(f'boxes-to-masks {BOXED} @results.json --coco @data --out +m.json', ('boxed.py',), 0.5),
        Target(f'show-bases @data/images/val/000001.png {BOXED} --out +b.png --score-thr 0', ('boxed.py',), 0.5),
        Target('convert-mmdet @weights.pth +w.pth --config @config.py', ('config.py',), 1),
        Target(
            f'show-representations {MODEL} @data/images/val/000001.png --out +r.png --score-thr 0', ('config.py',), 1
        ),
        Target(f'mask-voting {MODEL} --coco @data --out +v --thresholds 0.5', ('config.py',), 0.5),
        Target(f'demo @{IMAGE} {CODED} --out-dir +d {DICTIONARY}', ('coded.py',), 0.5),
    ),
    'checkpoints': (
        Target(f'demo @data/images/val/000001.png {MODEL} --out-dir +d', ('checkpoint.pth',), 5),
        Target(f'test {MODEL} --coco @data --work-dir +w', ('checkpoint.pth',), 2),
        Target(
            'train @config.py --coco @data --work-dir +w --resume @checkpoint.pth', ('checkpoint.pth',), 0.5, code=2
        ),
        Target(
            'train @config.py --coco @data --work-dir +w --resume @checkpoint.pth --cfg-options train_cfg.max_epochs=2',
            ('checkpoint.pth',),
            3,
        ),
        Target('train @config.py --coco @data --work-dir +w --cfg-options load_from=@weights.pth', ('weights.pth',), 1),
        Target('demo @data/images/val/000001.png @config.py @old.pth --out-dir +d', ('old.pth',), 2),
        Target('convert-mmdet @weights.pth +w.pth --config @config.py', ('weights.pth',), 2),
        Target('convert-aggmask @old.pth +w.pth --config @config.py', ('old.pth',), 2),
        Target('convert-adelaidet @weights.pkl +w.pth --config @boxed.py', ('weights.pkl',), 4),
        Target('convert-adelaidet @released.pth +w.pth --config @boxed.py', ('released.pth',), 1),
        Target(f'mask-voting {MODEL} --coco @data --out +v --thresholds 0.5', ('checkpoint.pth',), 0.5),
        Target(f'boxes-to-masks {BOXED} @results.json --coco @data --out +m.json', ('boxed.pth',), 0.7),
        Target(f'demo @{IMAGE} {BOXED} --out-dir +d', ('boxed.pth',), 0.7),
        Target(f'show-bases @{IMAGE} {BOXED} --out +b.png --score-thr 0', ('boxed.pth',), 0.7),
        Target(f'demo @{IMAGE} {CODED} --out-dir +d {DICTIONARY}', ('coded.pth', 'codec.npz'), 1.5),
        Target(
            'train @config.py --coco @data --work-dir +run --resume --cfg-options train_cfg.max_epochs=2',
            (f'{RUN}/epoch_1.pth',),
        ),
    ),
    'images': (
        Target(f'demo @data/images/val {MODEL} --out-dir +d --score-thr 0', ('data/images/val/000001.png',), 4),
        Target(f'demo @data/images/val/000001.png {MODEL} --out-dir +d', ('data/images/val/000001.png',), 4),
        Target('browse @config.py --coco @data --out +b --number 2', ('data/images/train/000000.png',), 2),
        Target(
            'train @config.py --coco @data --work-dir +w',
            ('data/images/train/000000.png', 'data/images/val/000001.png'),
        ),
        Target(f'test {MODEL} --coco @data --work-dir +w --show-dir +s', ('data/images/val/000001.png',)),
        Target(f'test {MODEL} --coco @data --work-dir +w --show-dir +s --skip-check', ('data/images/val/000001.png',)),
        Target(
            f'show-representations {MODEL} @data/images/val/000001.png --out +r.png --score-thr 0',
            ('data/images/val/000001.png',),
        ),
        Target(f'mask-voting {MODEL} --coco @data --out +v --thresholds 0.5', (IMAGE,), 0.5),
        Target(f'boxes-to-masks {BOXED} @results.json --coco @data --out +m.json', (IMAGE,), 0.5),
        Target(
            f'compare-results @{VAL} @results.json @results.json {COMPARED}',
            ('data/images/val/000001.png',),
        ),
    ),
    'names': (
        Target(f'demo @data/images/val {MODEL} --out-dir +d --score-thr 0', ('data/images/val/000001.png',), 4),
        Target(
            f'demo @data/images/val/000001.png {MODEL} --out-dir +d --score-thr 0', ('data/images/val/000001.png',), 4
        ),
        Target(f'test {MODEL} --coco @data --work-dir +w --show-dir +s', ('data/images/val/000001.png',), 2),
        Target('browse @config.py --coco @data --out +b --number 2', ('data/images/train/000000.png', 'config.py')),
        Target(
            'train @config.py --coco @data --work-dir +w --cfg-options train_cfg.max_epochs=-1', ('config.py',), code=2
        ),
        Target(f'analyse-errors @{VAL} @results.json', ('results.json', VAL), 2),
        Target(f'analyse-errors @{VAL} @results.json --out +o', ('+o',)),
        Target('convert-lvis @lvis.json +l.json', ('lvis.json', '+l.json')),
        Target(f'demo @data/images/val/000001.png {MODEL} --out-dir +d', ('+d', 'config.py', 'checkpoint.pth'), 2),
        Target(f'test {MODEL} --coco @data --work-dir +w --show-dir +s --report +r --out +p.json', (IMAGE,)),
        Target(f'compare-results @{VAL} @results.json @results.json {COMPARED}', (IMAGE,)),
        Target('browse @config.py --coco @data --out +b --number 2 --stages --split val', (IMAGE,)),
        Target('train @config.py --coco @data --work-dir +w', ('data/images/train/000000.png', IMAGE), 0.5),
        Target(f'mask-voting {MODEL} --coco @data --out +v --thresholds 0.5', (IMAGE,), 0.3),
    ),
    'runs': (
        Target(
            'compare-learning @config.py --coco @data --seeds 0 1 --work-dir +runs',
            ('left/runs/config/seed-0/test/metrics.json', 'left/runs/config/seed-1/run.json'),
            4,
        ),
        Target('train @config.py --coco @data --work-dir +run --resume', NOTES, 3),
        Target('train @config.py --coco @data --work-dir +run --resume --cfg-options train_cfg.max_epochs=2', NOTES, 1),
        Target('train @config.py --coco @data --work-dir +run --overwrite', NOTES, 0.5),
        Target('train @config.py --coco @data --work-dir +run', NOTES, 0.5, code=2),
        Target(
            'make-shapes +data --images 1 --val-images 1 --size 32 --overwrite',
            tuple(f'left/data/annotations/instances_{split}.json' for split in ('train', 'val')),
            3,
        ),
    ),
}
