"""Data, and configs that contradict them, that are refused before a training, a test or a look begins."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from mmagg.apis.config import load_config
from mmagg.apis.data import check_data, use_coco_folder
from mmagg.cli.main import COMMANDS, run
from mmagg.demo.shapes import CLASSES, write_shapes
from mmagg.io.errors import InputError

# A config as users write it, for data of their own.
OWN = """
_base_ = {base!r}
root = {root!r}
train_dataloader = dict(dataset=dict(
    data_root=root, ann_file='annotations/instances_train.json', data_prefix=dict(img='images/train/'), {more}))
val_dataloader = dict(dataset=dict(
    data_root=root, ann_file='annotations/instances_val.json', data_prefix=dict(img='images/val/'), {more}))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=root + 'annotations/instances_val.json')
test_evaluator = val_evaluator
model = dict(mask_head=dict(num_classes={heads}))
"""
ANN = 'annotations/instances_{}.json'
OPTIONS = {
    'test_dataloader.dataset.ann_file': ANN.format('train'),
    'test_dataloader.dataset.data_prefix.img': 'images/train/',
}


@pytest.fixture
def own(tiny_config: Path, shapes_folder: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes a config for `shapes_folder`, or another folder, with these classes and classes of the head."""

    def write(classes: object = CLASSES, heads: int = 5, root: Path = shapes_folder) -> Path:
        more = '' if classes is None else f'metainfo=dict(classes={classes!r})'
        path = tmp_path / 'own.py'
        path.write_text(OWN.format(base=str(tiny_config), root=f'{root}/', more=more, heads=heads))
        return path

    return write


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs a command; gives the one line of its refusal, before a model is built, with nothing written."""

    def call(command: str, *arguments: object) -> str:
        with monkeypatch.context() as patch:
            patch.setattr('mmdet.registry.MODELS.build', lambda *_, **__: pytest.fail('a model is built'))
            flag = '--out' if command in ('browse', 'mask-voting') else '--work-dir'
            code = run(COMMANDS[command], [*map(str, arguments), flag, str(tmp_path / 'run')])
        [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith('error: ')]
        assert code == 2, line
        assert not (tmp_path / 'run').exists()
        return line

    return call


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A file that is refused when it is read, which is after the data."""
    path = tmp_path / 'none.pth'
    path.write_bytes(b'')
    return path


def test_a_semantic_branch_without_maps_is_named(root, tmp_path, refused):
    write_shapes(tmp_path / 'data', images=1, val_images=1, size=32, seed=0)
    line = refused('train', root / 'configs/a2fpn/htc_r50_a2fpn_20e_coco.py', '--coco', tmp_path / 'data')
    assert 'semantic maps (with_seg=True), but the data have none; take a config without a semantic branch' in line


@pytest.mark.parametrize('command', ['train', 'test', 'browse'])
def test_classes_that_are_not_those_of_the_data_are_refused(command, own, refused, checkpoint):
    stage = 'test' if command == 'test' else 'train'
    more = [checkpoint] if command == 'test' else []
    key = f'{stage}_dataloader.dataset'
    line = refused(command, own(('circel', *CLASSES[1:])), *more)
    assert f'{key}.metainfo.classes names circel, which' in line
    assert 'circel: did you mean circle?' in line
    line = refused(command, own(CLASSES[::-1]), *more)
    assert line.endswith(f'so that names would be swapped: write {CLASSES!r}')
    line = refused(command, own(heads=4), *more)
    assert f'model.mask_head.num_classes is 4, but {key} has 5 classes, {CLASSES!r}: set it to 5' in line
    line = refused(command, own(None), *more)
    assert f'{key} does not name its classes, so that mmdet assumes the 80 of CocoDataset' in line
    assert f'set {key}.metainfo.classes to {CLASSES!r}, and num_classes to 5' in line


def test_data_that_are_not_there_are_named(tiny_config, shapes_folder, own, refused, checkpoint, tmp_path):
    line = refused('train', tiny_config)
    assert 'data/coco/annotations/instances_train2017.json: no such file or folder' in line
    assert f'train_dataloader.dataset.ann_file of config {tiny_config}; set it, or pass --coco DIR' in line
    assert 'val2017.json: no such file or folder, test_dataloader.' in refused('test', tiny_config, checkpoint)
    assert 'val2017.json: no such file or folder, val_d' in refused('browse', tiny_config, '--split', 'val')
    partly = tmp_path / 'partly'
    shutil.copytree(shapes_folder, partly)
    shutil.rmtree(partly / 'images/val')
    line = refused('train', own(root=partly), '--skip-check')
    assert f'{partly}/images/val: no such file or folder, val_dataloader.dataset.data_prefix.img' in line
    line = refused('train', own(), '--cfg-options', 'val_evaluator.ann_file=nowhere.json')
    assert 'nowhere.json: no such file or folder, val_evaluator.ann_file' in line


def test_annotations_from_a_pipe_are_refused_as_they_are_read_more_than_once(
    own, tiny_config, shapes_folder, refused, tmp_path
):
    os.mkfifo(tmp_path / 'pipe')
    for key in ('train_dataloader.dataset', 'val_evaluator'):
        line = refused('train', own(), '--cfg-options', f'{key}.ann_file={tmp_path / "pipe"}')
        assert f'{key}.ann_file {tmp_path / "pipe"}: is no ordinary file' in line
    folder = shutil.copytree(shapes_folder, tmp_path / 'data')
    (folder / ANN.format('train')).unlink()
    os.mkfifo(folder / ANN.format('train'))
    assert 'instances_train.json: is no ordinary file' in refused('train', tiny_config, '--coco', folder)


def test_options_win_over_the_coco_folder(tiny_config, shapes_folder, refused, checkpoint):
    coco = tiny_config, checkpoint, '--coco', shapes_folder, '--cfg-options'
    line = refused('test', *coco, 'test_dataloader.dataset.ann_file=annotations/instances_test.json')
    assert f'{shapes_folder}/annotations/instances_test.json: no such file' in line
    line = refused('test', *coco, *(f'{key}={value}' for key, value in OPTIONS.items()))
    train, val = (shapes_folder / ANN.format(split) for split in ('train', 'val'))
    assert f'test_dataloader.dataset.ann_file is {train}, but test_evaluator.ann_file is {val}, which differs' in line
    line = refused('test', *coco, 'model.mask_head.num_classes=3')
    assert 'model.mask_head.num_classes is 3, but' in line


@pytest.mark.parametrize(
    'command, stage', [('train', 'train'), ('train', 'val'), ('browse', 'train'), ('mask-voting', 'test')]
)
def test_options_win_over_the_coco_folder_in_every_command(
    tiny_config, shapes_folder, refused, checkpoint, command, stage
):
    words = [tiny_config, *([checkpoint] if command == 'mask-voting' else []), '--coco', shapes_folder]
    option = f'{stage}_dataloader.dataset.{{}}={{}}'.format
    line = refused(command, *words, '--cfg-options', option('ann_file', 'annotations/other.json'))
    assert f'{shapes_folder}/annotations/other.json: no such file' in line
    line = refused(command, *words, '--cfg-options', option('data_prefix.img', 'images/other/'))
    assert f'{shapes_folder}/images/other: no such file' in line
    line = refused(command, *words, '--cfg-options', option('metainfo.classes', '["circle"]'))
    assert 'classes' in line


def test_options_for_another_split_of_the_folder(tiny_config, shapes_folder):
    evaluator = {'test_evaluator.ann_file': f'{shapes_folder}/{ANN.format("train")}'}
    changes = [lambda cfg: use_coco_folder(cfg, shapes_folder, ['test'])]
    cfg = load_config(tiny_config, {**OPTIONS, **evaluator}, changes=changes)
    assert cfg.test_dataloader.dataset.data_root == str(shapes_folder)
    assert cfg.test_dataloader.dataset.data_prefix.img == 'images/train/'
    assert cfg.train_dataloader.dataset.data_root == 'data/coco/', 'not asked for'
    check_data(cfg, ['test'], purpose='test')


def test_tiles_are_cut_from_thin_images(tiny_config, shapes_folder, tmp_path):
    """Of which nothing would be left if they were resized as a whole, or in tiles as long."""
    folder = tmp_path / 'thin'
    shutil.copytree(shapes_folder, folder)
    path = folder / ANN.format('val')
    content = json.loads(path.read_text())
    content['images'][0] |= {'height': 1, 'width': 5000}
    content['annotations'] = [x for x in content['annotations'] if x['image_id'] != content['images'][0]['id']]
    path.write_text(json.dumps(content))
    cv2.imwrite(str(folder / 'images/val' / content['images'][0]['file_name']), np.zeros((1, 5000, 3), np.uint8))
    cfg = load_config(tiny_config, changes=[lambda cfg: use_coco_folder(cfg, folder, ['test'])])
    for tile in (None, 5000):
        with pytest.raises(InputError, match='fatal problem'):
            check_data(cfg, ['test'], purpose='test', tile=tile)
    check_data(cfg, ['test'], purpose='test', tile=64)


def test_other_annotations_of_the_same_images(own, shapes_folder, tmp_path, capsys):
    content = json.loads((shapes_folder / ANN.format('val')).read_text())
    finer = tmp_path / 'finer.json'
    finer.write_text(json.dumps({**content, 'annotations': content['annotations'][1:]}))
    check_data(load_config(own(), {'test_evaluator.ann_file': str(finer)}), ['test'], purpose='test')
    assert f'note: the scores are by test_evaluator.ann_file, {finer}' in capsys.readouterr().err


def test_only_the_data_of_a_command_are_needed(tiny_config, shapes_folder, tmp_path, refused, checkpoint):
    for kept, other in (('val', 'train'), ('train', 'val')):
        folder = tmp_path / kept
        shutil.copytree(
            shapes_folder, folder, ignore=lambda _, names, other=other: {*names} & {other, f'instances_{other}.json'}
        )
    common = tiny_config, checkpoint, '--coco'
    assert 'checkpoint' in refused('test', *common, tmp_path / 'val'), 'the data are accepted'
    assert 'checkpoint' in refused('test', *common, tmp_path / 'train'), 'the training images stand in'
    assert 'instances_train.json is missing' in refused('train', tiny_config, '--coco', tmp_path / 'val')
    options = ['--coco', str(tmp_path / 'val'), '--split', 'val', '--out', str(tmp_path / 'browsed')]
    assert run(COMMANDS['browse'], [str(tiny_config), *options]) == 0


def test_options_that_a_script_passes_to_training_as_well_are_named(tiny_config, shapes_folder, checkpoint, capsys):
    options = ['train_cfg.max_iters=3', 'val_dataloader.batch_size=2', 'test_dataloader.batch_size=2']
    arguments = [tiny_config, checkpoint, '--coco', shapes_folder, '--cfg-options', *options]
    assert run(COMMANDS['test'], [*map(str, arguments)]) == 2  # the checkpoint is empty
    [note] = [line for line in capsys.readouterr().err.splitlines() if line.startswith('note: ')]
    assert note == 'note: --cfg-options train_cfg.max_iters val_dataloader.batch_size: not read by a test'


def test_an_evaluator_of_joined_data_sets_knows_the_images_of_all(own, shapes_folder, tmp_path):
    """Both splits count from 1, so an image of one would be taken for one of the other."""
    cfg = load_config(own())
    [*parts] = (dict(cfg[f'{stage}_dataloader'].dataset) for stage in ('val', 'train'))
    cfg.val_dataloader.dataset = dict(type='ConcatDataset', datasets=parts)
    with pytest.raises(InputError, match=r'^val_evaluator\.ann_file .* of val_dataloader\.dataset\.datasets\.1'):
        check_data(cfg, ['val'], purpose='test', skip_check=True)
    train, val = (json.loads((shapes_folder / ANN.format(split)).read_text()) for split in ('train', 'val'))
    for image in train['images']:
        image['id'] += 100
    for annotation in train['annotations']:
        annotation.update(id=annotation['id'] + 1000, image_id=annotation['image_id'] + 100)
    (tmp_path / 'train.json').write_text(json.dumps(train))
    cfg.val_dataloader.dataset.datasets[1].ann_file = str(tmp_path / 'train.json')
    joined = {key: train[key] + val[key] for key in ('images', 'annotations')}
    (tmp_path / 'joined.json').write_text(json.dumps({**val, **joined}))
    cfg.val_evaluator.ann_file = str(tmp_path / 'joined.json')
    check_data(cfg, ['val'], purpose='test', skip_check=True)


def test_options_that_contradict_an_argument_or_are_not_read(tiny_config, shapes_folder, refused, checkpoint, tmp_path):
    for flags, option, words in (
        (['--seed', 1], 'randomness.seed=2', 'sets it to 1'),
        (['--amp'], 'optim_wrapper.type=OptimWrapper', 'sets it to '),
        ([], 'launcher=pytorch', 'sets it to none'),
        ([], f'work_dir={tmp_path}/other', 'sets it to '),
        ([], 'train_pipeline.2.scale=(32,32)', 'set train_dataloader.dataset.pipeline.2.scale'),
    ):
        line = refused('train', tiny_config, '--coco', shapes_folder, *flags, '--cfg-options', option)
        assert line.startswith(f'error: --cfg-options {option.partition("=")[0]}')
        assert words in line
    for option, words in (
        ('val_evaluator.metric=bbox', '; set test_evaluator.metric'),
        ('train_cfg.max_iter=3', 'did you mean max_iters'),
        ('load_from=x.pth', 'does not read `load_from`'),
        ('tta_pipeline=[]', '; add --tta'),
    ):
        line = refused('test', tiny_config, checkpoint, '--coco', shapes_folder, '--cfg-options', option)
        assert words in line


@pytest.fixture
def changed(shapes_folder: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes a copy of `shapes_folder` with other annotations of a split."""

    def write(split: str, change: Callable[[dict], object]) -> Path:
        folder = tmp_path / 'changed'
        shutil.copytree(shapes_folder, folder)
        path = folder / ANN.format(split)
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))
        return folder

    return write


def test_a_filter_that_leaves_no_image_is_refused(tiny_config, shapes_folder, changed, refused, capsys, monkeypatch):
    key = 'train_dataloader.dataset.filter_cfg'
    for command in ('train', 'browse'):
        line = refused(command, tiny_config, '--coco', shapes_folder, '--cfg-options', f'{key}.min_size=65')
        assert f'all 4 images of {shapes_folder / ANN.format("train")} are left out by {key}' in line
        assert '4 smaller than 65 pixels, 0 without objects' in line
        assert line.endswith(f'; set {key}.min_size to 0')
    monkeypatch.setattr('mmagg.apis.data.check_coco', lambda *_, **__: pytest.fail('images are looked at'))
    refused('train', tiny_config, '--coco', shapes_folder, '--cfg-options', f'{key}.min_size=65')

    def shrink(content):
        content['images'][0]['width'] = 31
        kept = {image['id'] for image in content['images'][2:]}
        content['annotations'] = [x for x in content['annotations'] if x['image_id'] in kept]

    folder = changed('train', shrink)
    cfg = load_config(tiny_config, changes=[lambda cfg: use_coco_folder(cfg, folder)])
    check_data(cfg, ['train'], purpose='show')
    assert '2 of 4 images' in (note := capsys.readouterr().err)
    assert '1 smaller than 32 pixels, 1 without objects of its classes' in note


def test_data_are_checked_without_the_flag_and_in_testing(tiny_config, changed, own, refused, checkpoint, capsys):
    def lose(content):
        content['images'][0]['file_name'] = 'none.png'

    folder = changed('val', lose)
    for command, more in (('train', []), ('test', [checkpoint])):
        line = refused(command, own(root=folder), *more)
        assert f'1 fatal problem(s) in the data, see above; fix them, or {command} anyway with --skip-check' in line
    assert 'checkpoint' in refused('test', own(root=folder), checkpoint, '--skip-check')


def _lose_images(content):
    for image in content['images']:
        image['file_name'] = f'lost/{image["file_name"]}'


def _lose_masks(content):
    for annotation in content['annotations']:
        del annotation['segmentation']


def _lose_a_mask(content):
    del content['annotations'][0]['segmentation']


def _make_crowds(content):
    for annotation in content['annotations']:
        annotation['iscrowd'] = 1


@pytest.mark.parametrize('lose', [_lose_images, _lose_masks, _lose_a_mask, _make_crowds])
def test_the_check_is_not_to_be_skipped_where_nothing_could_be_trained(lose, changed, own, refused):
    line = refused('train', own(root=changed('train', lose)))
    assert line.endswith('1 fatal problem(s) in the data, see above; fix them'), line


def test_without_annotations_there_is_nothing_to_learn_from(changed, own, refused):
    folder = changed('train', lambda content: content.update(annotations=[]))
    line = refused('train', own(root=folder))
    assert 'annotate some, there is nothing to learn from (to look at them, set ' in line
    keep = '--cfg-options', 'train_dataloader.dataset.filter_cfg.filter_empty_gt=False'
    assert refused('train', own(root=folder), *keep).endswith('in the data, see above; fix them')


def test_data_that_several_stages_read_are_checked_once(own, monkeypatch):
    asked = []
    monkeypatch.setattr('mmagg.apis.data.check_coco', lambda *_, **options: asked.append(options) or [])
    check_data(load_config(own()), ['val', 'test'], purpose='test')
    check_data(load_config(own()), ['train'], purpose='train')
    assert [options['training'] for options in asked] == [False, True]
    assert all(options['masks'] and options['resized_to'] == 64 for options in asked)


@pytest.mark.parametrize(
    'metric, said',
    [('CocoMetric', True), ('mmdet.CocoMetric', True), ('mmdet.FasterCocoMetric', True), ('COCOInstanceMetric', False)],
)
@pytest.mark.parametrize('purpose, split', [('train', 'val'), ('train', 'train'), ('test', 'val')])
def test_annotation_0_is_said_for_metrics_that_do_not_find_it(
    metric, said, purpose, split, tiny_config, changed, capsys
):
    folder = changed(split, lambda content: content['annotations'][0].update(id=0))
    cfg = load_config(tiny_config, changes=[lambda cfg: use_coco_folder(cfg, folder)])
    for stage in ('val', 'test'):
        cfg[f'{stage}_evaluator'].type = metric
    check_data(cfg, ['train', 'val'] if purpose == 'train' else ['test'], purpose=purpose)
    assert ('annotation ids that are 0' in capsys.readouterr().err) == (said and split == 'val')


def test_images_without_annotations_can_be_tested_but_not_learnt_from(tiny_config, changed):
    folder = changed('val', lambda content: content.pop('annotations'))  # COCO's image_info
    cfg = load_config(tiny_config, changes=[lambda cfg: use_coco_folder(cfg, folder)])
    check_data(cfg, ['test'], purpose='test')
    with pytest.raises(InputError, match='1 fatal problem'):
        check_data(cfg, ['val'], purpose='train')


def test_other_data_sets_are_left_alone(own, shapes_folder):
    cfg = load_config(own(('nothing', 'of', 'it')))
    for dataset in (cfg.val_dataloader.dataset, cfg.test_dataloader.dataset):
        dataset.type = 'LVISV1Dataset'
        dataset.metainfo = {'classes': ('a', 'b')}
    check_data(cfg, ['val', 'test'], purpose='test')


def test_data_sets_inside_wrappers_are_compared(own):
    cfg = load_config(own())
    part = cfg.train_dataloader.dataset.to_dict()
    wrong = {**part, 'metainfo': {'classes': CLASSES[:3]}}
    cfg.train_dataloader.dataset = Config(
        {'type': 'RepeatDataset', 'times': 2, 'dataset': {'type': 'ConcatDataset', 'datasets': [part, wrong]}}
    )
    with pytest.raises(InputError, match=r'train_dataloader\.dataset\.dataset\.datasets\.1 has 3 classes'):
        check_data(cfg, ['train'], purpose='show')
