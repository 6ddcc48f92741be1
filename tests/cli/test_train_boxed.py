"""BlendMask and MEInst, as a user trains and tests them: polygons, crowds, images without objects, two processes."""

import json
import math
import socket
from pathlib import Path

import pytest

from mmagg.apis.checkpoint import load_checkpoint, secure_loading
from mmagg.cli.main import COMMANDS, run

LOSSES = ('loss', 'loss_cls', 'loss_bbox', 'loss_centerness', 'loss_mask')
# A COCO config with its pipelines, slim and on small images: two epochs of two iterations. Few masks of a model that
# has learnt nothing hold a pixel, hence the many detections and the seed.
CONFIG = """
_base_ = {base!r}
model = dict(
    backbone=dict(
        depth=18, base_channels=8, frozen_stages=-1, norm_eval=False, norm_cfg=dict(requires_grad=True), init_cfg=None),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=64),
    mask_head=dict(
        boxes=dict(in_channels=64, channels=64),
        {masks}),
    test_cfg=dict(score_thr=0.0, max_per_img=50))
randomness = dict(seed=4)
for pipeline in (_base_.train_pipeline, _base_.test_pipeline):
    for transform in pipeline:
        if transform['type'] == 'RandomChoiceResize':
            transform['scales'] = [(128, 96), (96, 64)]
        if transform['type'] == 'Resize':
            transform['scale'] = (128, 96)
loader = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(
    **loader, batch_size=2,
    dataset=dict(pipeline=_base_.train_pipeline, indices=4, filter_cfg=dict(filter_empty_gt=False)))
test_dataloader = dict(**loader, dataset=dict(pipeline=_base_.test_pipeline, indices=2))
val_dataloader = val_cfg = val_evaluator = None
train_cfg = dict(max_epochs=2)
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=2))
"""
MASKS = {
    'blendmask': (
        'masks=dict(basis=dict(in_channels=64, channels=8)), coefficients=dict(in_channels=64), '
        'semantic=dict(in_channels=64, channels=8)'
    ),
    'meinst': 'masks=dict(codec=dict(num_codes=6, dictionary={dictionary!r})), coefficients=dict(in_channels=64)',
}


@pytest.fixture(params=['shapes', pytest.param('photographs', marks=pytest.mark.slow)])
def folder(request: pytest.FixtureRequest) -> Path:
    """A COCO folder, generated or of the reference material."""
    if request.param == 'shapes':
        return request.getfixturevalue('shapes_folder')
    return request.getfixturevalue('shared') / 'data' / 'coco_open_125'


@pytest.fixture(params=MASKS)
def config(request: pytest.FixtureRequest, root: Path, tmp_path: Path) -> Path:
    masks = MASKS[request.param].format(dictionary=str(tmp_path / 'codec.npz'))
    path = tmp_path / f'{request.param}.py'
    base = root / f'configs/{request.param}/{request.param}_r50_fpn_1x_coco.py'
    path.write_text(CONFIG.format(base=str(base), masks=masks))
    return path


def fit_dictionary(config: Path, folder: Path) -> None:
    """MEInst's dictionary, which must be fitted before training."""
    if config.stem == 'meinst':
        file = config.parent / 'codec.npz'
        options = ['--dims', '6', '--workers', '1', '--curve', '6']
        assert run(COMMANDS['fit-mask-codec'], ['--coco', str(folder), '--out', str(file), *options]) == 0


def logged(work_dir: Path) -> list[dict]:
    (log,) = work_dir.glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_trains_and_tests(folder: Path, config: Path, run, tmp_path: Path) -> None:
    fit_dictionary(config, folder)
    work_dir = tmp_path / 'run'
    done = run('train.py', config, '--coco', folder, '--work-dir', work_dir)
    assert done.returncode == 0, done.stderr[-2000:]
    entries = logged(work_dir)
    assert [entry['step'] for entry in entries] == [1, 2, 3, 4]
    for name in LOSSES:
        assert all(math.isfinite(entry[name]) for entry in entries), name
    assert all(entry['loss_mask'] > 0.1 for entry in entries)

    secure_loading()
    classes = json.loads((folder / 'annotations' / 'instances_train.json').read_text())['categories']
    checkpoint = load_checkpoint(work_dir / 'epoch_2.pth')
    assert len(checkpoint['state_dict']['mask_head.boxes.conv_cls.bias']) == len(classes)
    if config.stem == 'blendmask':
        assert all(math.isfinite(entry['loss_semantic']) for entry in entries)
        assert len(checkpoint['state_dict']['mask_head.semantic.conv_logits.bias']) == len(classes) + 1
    else:
        assert checkpoint['state_dict']['mask_head.masks.codec.components'].any(), 'it carries its dictionary'
        (tmp_path / 'codec.npz').unlink()
    optimizer = checkpoint['optimizer']
    parameters = {number for group in optimizer['param_groups'] for number in group['params']}
    assert set(optimizer['state']) == parameters, 'every parameter takes part in the losses'

    outputs = ['--work-dir', tmp_path / 'test', '--out', tmp_path / 'results.json', '--show-dir', tmp_path / 'pictures']
    done = run('test.py', work_dir / config.name, work_dir / 'epoch_2.pth', *outputs)
    assert done.returncode == 0, done.stderr[-2000:]
    results = json.loads((tmp_path / 'results.json').read_text())
    assert {result['image_id'] for result in results}
    assert {result['category_id'] for result in results} <= {c['id'] for c in classes}
    assert len(list((tmp_path / 'pictures').iterdir())) == 2


@pytest.mark.slow
def test_one_process_without_objects_does_not_hang(shapes_folder: Path, config: Path, run, tmp_path, monkeypatch):
    half_empty = tmp_path / 'data'
    (half_empty / 'annotations').mkdir(parents=True)
    (half_empty / 'images').symlink_to(shapes_folder / 'images')
    for split in ('train', 'val'):
        truth = json.loads((shapes_folder / 'annotations' / f'instances_{split}.json').read_text())
        if split == 'train':  # of four images, the one with the greatest id alone has objects
            only = max(image['id'] for image in truth['images'])
            truth['annotations'] = [x for x in truth['annotations'] if x['image_id'] == only]
        (half_empty / 'annotations' / f'instances_{split}.json').write_text(json.dumps(truth))
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        monkeypatch.setenv('PORT', str(free.getsockname()[1]))
    fit_dictionary(config, shapes_folder)
    options = ['--cfg-options', 'train_dataloader.batch_size=1', 'test_dataloader=None', 'test_cfg=None']
    work_dir = tmp_path / 'run'
    arguments = [config, 2, '--coco', half_empty, '--work-dir', work_dir, *options, 'test_evaluator=None']
    done = run('dist_train.sh', *arguments)
    assert done.returncode == 0, done.stderr[-2000:]
    entries = logged(work_dir)
    assert [entry['step'] for entry in entries] == [1, 2, 3, 4]
    assert all(math.isfinite(entry[name]) for entry in entries for name in LOSSES)
