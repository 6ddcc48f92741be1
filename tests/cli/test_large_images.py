"""Memory and time of the tools: hundreds of masks in an image of 24 megapixels, and a thousand images."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS

from mmagg.apis.config import load_config
from mmagg.demo.shapes import write_shapes

pytestmark = pytest.mark.slow

HEIGHT, WIDTH = 4000, 6000
FOUND = 300
CONFIG = """
_base_ = '{root}/configs/demo/{base}_tiny_shapes.py'
model = dict(
    backbone=dict(stem_channels=8, base_channels=8), neck=dict(in_channels={channels}), test_cfg={test_cfg}, {more})
for step in _base_.test_pipeline:
    if step['type'] == 'Resize':
        step['scale'] = {scale}
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=_base_.test_pipeline))
test_dataloader = val_dataloader
"""
RCNN = dict(score_thr=0.0, max_per_img=FOUND, nms=dict(type='nms', iou_threshold=0.9))
GRID = dict(score_thr=0.0, filter_thr=0.0, nms_pre=1000, max_per_img=FOUND)
METHODS = {
    'solo': ('solo', [16, 32], GRID, 'mask_head=dict(grids=(20,))'),
    'blendmask': ('blendmask', [16, 32], dict(score_thr=0.0, iou_thr=1.0, nms_pre=1000, max_per_img=FOUND), ''),
    'mask-rcnn': ('mask-rcnn-fpn', [8, 16, 32, 64], dict(rpn=dict(nms_pre=1000, max_per_img=400), rcnn=RCNN), ''),
}
# Prints the memory when the model is there, after each image, and at most, in MiB, and the seconds of the drawing.
PROGRAM = """
import importlib, json, resource, sys, time

from mmagg.cli.main import run

seen = dict(rss=[], seconds=0.0)


def rss():
    with open('/proc/self/status') as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith('VmRSS'))


def wrap(owner, name, before, after):
    plain = getattr(owner, name)

    def wrapped(*args, **options):
        before()
        start = time.process_time()  # of this process alone, whatever else runs
        result = plain(*args, **options)
        after(time.process_time() - start)
        return result

    setattr(owner, name, wrapped)


def note(seconds=0):
    seen['rss'].append(rss())


def drawn(seconds):
    seen['seconds'] += seconds


def nothing(seconds=0):
    pass


tool = sys.argv[1]
if tool == 'demo':
    wrap(importlib.import_module('mmagg.apis.segmenter'), 'load_model', nothing, note)
    wrap(importlib.import_module('mmagg.apis.prediction'), 'write_image', nothing, note)
    wrap(importlib.import_module('mmagg.apis.result'), 'draw_picture', nothing, drawn)
else:
    from mmengine.runner import TestLoop

    wrap(importlib.import_module('mmagg.engine.overlays'), 'draw_predictions', nothing, drawn)
    wrap(TestLoop, 'run', note, nothing)
    wrap(TestLoop, 'run_iter', nothing, note)
code = run(importlib.import_module('mmagg.cli.' + tool), sys.argv[2:])
seen['most'] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print('SEEN' + json.dumps(seen))
sys.exit(code)
"""


def run(root: Path, *arguments: object) -> dict:
    """What `PROGRAM` prints of a tool."""
    command = [sys.executable, '-c', PROGRAM, *map(str, arguments)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.split('SEEN')[-1])


def make_model(folder: Path, root: Path, method: str, *, scale: tuple[int, int]) -> list[Path]:
    """Config and checkpoint of a model with random weights, which finds `FOUND` instances of all sizes everywhere."""
    base, channels, test_cfg, more = METHODS[method]
    config, checkpoint = folder / f'{method}.py', folder / f'{method}.pth'
    parts = dict(base=base, channels=channels, test_cfg=test_cfg, more=more)
    config.write_text(CONFIG.format(root=root, scale=scale, **parts))
    cfg = load_config(config)
    model = MODELS.build(cfg.model)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim > 1:
                p.mul_(1.5)
            elif name.endswith('conv_box.bias'):
                p.fill_(4)  # boxes of hundreds of pixels
    torch.save({'state_dict': model.state_dict(), 'meta': {'dataset_meta': {'classes': cfg.classes}}}, checkpoint)
    return [config, checkpoint]


@pytest.fixture(scope='module')
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A COCO folder with one image of 24 megapixels."""
    folder = tmp_path_factory.mktemp('large') / 'data'
    write_shapes(folder, images=1, val_images=1, size=500, seed=0)
    annotations = folder / 'annotations/instances_val.json'
    truth = json.loads(annotations.read_text())
    truth['images'][0] |= dict(height=HEIGHT, width=WIDTH)
    truth['annotations'] = [
        a | dict(segmentation=[[0, 0, 900, 0, 900, 900]], area=405000) for a in truth['annotations']
    ]
    annotations.write_text(json.dumps(truth))
    path = folder / 'images/val' / truth['images'][0]['file_name']
    cv2.imwrite(str(path), np.tile(cv2.imread(str(path)), (8, 12, 1)))
    return folder


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('tool', ['demo', 'test'])
def test_hundreds_of_masks_in_a_large_image(root: Path, photo: Path, tmp_path: Path, tool: str, method: str) -> None:
    model = make_model(tmp_path, root, method, scale=(1200, 800))
    if tool == 'demo':
        results = tmp_path / 'out/predictions.json'
        (image,) = (photo / 'images/val').iterdir()
        seen = run(root, 'demo', image, *model, '--out-dir', results.parent, '--score-thr', 0)
        found = json.loads(results.read_text())['annotations']
    else:
        results = tmp_path / 'found.json'
        options = ['--show-dir', tmp_path / 'shown', '--show-score-thr', 0, '--work-dir', tmp_path / 'work']
        seen = run(root, 'test', *model, '--coco', photo, '--out', results, *options)
        found = json.loads(results.read_text())
    assert len(found) == FOUND
    assert found[0]['segmentation']['size'] == [HEIGHT, WIDTH]
    assert 0 < seen['seconds'] < 18
    assert seen['most'] - seen['rss'][0] < 900


@pytest.mark.parametrize('tool', ['demo', 'test'])
def test_a_thousand_images_leave_no_memory_behind(root: Path, tmp_path: Path, tool: str) -> None:
    data = tmp_path / 'data'
    write_shapes(data, images=1, val_images=1000, size=64, seed=0)
    model = make_model(tmp_path, root, 'solo', scale=(64, 64))
    few = ['--cfg-options', 'model.test_cfg.max_per_img=20']
    if tool == 'demo':
        seen = run(root, 'demo', data / 'images/val', *model, '--out-dir', tmp_path / 'out', '--score-thr', 0, *few)
    else:
        options = ['--out', tmp_path / 'found.json', '--work-dir', tmp_path / 'work', '--show-dir', tmp_path / 'shown']
        seen = run(root, 'test', *model, '--coco', data, '--show-score-thr', 0, *options, *few)
    images = seen['rss'][1:]
    assert len(images) == 1000
    assert max(images) - images[99] < 100
