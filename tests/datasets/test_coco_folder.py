"""Pointing a config to a COCO-format folder: paths, classes, label order, heads, and clear errors."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmdet.registry import TRANSFORMS
from mmengine.config import Config
from tool_exports import cvat, label_studio, roboflow

from mmagg.apis.config import load_config
from mmagg.datasets import coco_folder
from mmagg.datasets.coco_folder import check_is_folder, class_names, coco_folder_options, palette, unwrapped
from mmagg.datasets.load_polygons import LoadPolygonAnnotations
from mmagg.io.errors import InputError

# Neither contiguous nor sorted: label i must still be class i.
CATEGORIES = [{'id': 40, 'name': 'fig'}, {'id': 7, 'name': 'date'}, {'id': 12, 'name': 'nut'}]
NAMES = ['fig', 'date', 'nut']


def _write(folder: Path, split: str, categories: list[dict] = CATEGORIES) -> None:
    images = folder / 'images' / split
    images.mkdir(parents=True)
    (folder / 'annotations').mkdir(exist_ok=True)
    cv2.imwrite(str(images / '1.png'), np.zeros((20, 30, 3), np.uint8))
    annotations = [
        {
            'id': i,
            'image_id': 1,
            'category_id': category['id'],
            'bbox': [2 * i, 3, 10, 10],
            'area': 100,
            'iscrowd': 0,
            'segmentation': [[2, 3, 12, 3, 12, 13, 2, 13]],
        }
        for i, category in enumerate(categories, 1)
    ]
    content = {
        'images': [{'id': 1, 'file_name': '1.png', 'width': 30, 'height': 20}],
        'annotations': annotations,
        'categories': categories,
    }
    (folder / 'annotations' / f'instances_{split}.json').write_text(json.dumps(content))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for split in ('train', 'val'):
        _write(tmp_path / 'data', split)
    return tmp_path / 'data'


def _config() -> Config:
    def dataset(split: str) -> dict:
        return {
            'type': 'CocoDataset',
            'data_root': 'data/coco/',
            'ann_file': f'annotations/instances_{split}2017.json',
            'data_prefix': {'img': f'{split}2017/'},
            'pipeline': [],
        }

    train = {**dataset('train'), 'filter_cfg': {'filter_empty_gt': True, 'min_size': 32}}
    evaluator = {'type': 'CocoMetric', 'ann_file': 'data/coco/annotations/instances_val2017.json'}
    return Config(
        {
            'model': {
                'backbone': {'type': 'ResNet', 'num_classes': 1000},
                'rpn_head': {'type': 'RPNHead', 'num_classes': 1},
                'mask_head': {'type': 'GridMaskHead', 'num_classes': 80, 'loss_cls': {'num_classes': 80}},
                'roi_head': {'bbox_head': [{'num_classes': 80}, {'num_classes': 80}]},
            },
            'train_dataloader': {'dataset': {'type': 'RepeatDataset', 'times': 2, 'dataset': train}},
            'val_dataloader': {'dataset': {**dataset('val'), 'test_mode': True}},
            'test_dataloader': {'dataset': {**dataset('val'), 'test_mode': True}},
            'val_evaluator': evaluator,
            'test_evaluator': [evaluator, {'type': 'DumpResults', 'out_file_path': 'x.pkl'}],
        }
    )


def test_paths_classes_and_heads(folder):
    cfg = _config()
    coco_folder_options(cfg, folder)
    train = cfg.train_dataloader.dataset.dataset
    for dataset, split in (
        (train, 'train'),
        (cfg.val_dataloader.dataset, 'val'),
        (cfg.test_dataloader.dataset, 'val'),
    ):
        assert Path(dataset.data_root, dataset.ann_file) == folder / 'annotations' / f'instances_{split}.json'
        assert Path(dataset.data_root, dataset.data_prefix.img) == folder / 'images' / split
        assert list(dataset.metainfo.classes) == NAMES
        assert len(dataset.metainfo.palette) == 3
    assert cfg.train_dataloader.dataset.times == 2
    assert train.filter_cfg == {'filter_empty_gt': True, 'min_size': 32}
    val_file = str(folder / 'annotations' / 'instances_val.json')
    assert cfg.val_evaluator.ann_file == cfg.test_evaluator[0].ann_file == val_file
    assert 'ann_file' not in cfg.test_evaluator[1]
    model = cfg.model
    assert model.mask_head.num_classes == model.mask_head.loss_cls.num_classes == 3
    assert [head.num_classes for head in model.roi_head.bbox_head] == [3, 3]
    assert (model.backbone.num_classes, model.rpn_head.num_classes) == (1000, 1)


def test_run_length_codes_are_loaded_where_mmdet_drops_them(folder):
    """In each pipeline of mmdet's RTMDet-Ins, the later one too; as bitmaps, mmdet reads them itself."""
    cfg = load_config('mmdet::rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py')
    coco_folder_options(cfg, folder)
    later = next(hook for hook in cfg.custom_hooks if hook.type == 'PipelineSwitchHook')
    for pipeline in (cfg.train_dataloader.dataset.pipeline, later.switch_pipeline):
        (step,) = (step for step in pipeline if step.type.endswith('Annotations') and step.type.startswith('Load'))
        assert dict(step) == {'type': 'LoadPolygonAnnotations'}
        assert isinstance(TRANSFORMS.build(step), LoadPolygonAnnotations)
    bitmaps = load_config('mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py')
    coco_folder_options(bitmaps, folder)
    assert bitmaps.train_dataloader.dataset.pipeline[1].type == 'LoadAnnotations'


def test_config_can_be_written_and_read(folder, tmp_path):
    cfg = _config()
    coco_folder_options(cfg, folder)
    cfg.dump(tmp_path / 'config.py')
    assert Config.fromfile(tmp_path / 'config.py').to_dict() == cfg.to_dict()


def test_parts_that_a_config_lacks_are_left_out(folder):
    cfg = Config({'val_dataloader': _config().val_dataloader.to_dict(), 'test_dataloader': None})
    coco_folder_options(cfg, folder)
    assert cfg.val_dataloader.dataset.data_root == str(folder)
    assert cfg.test_dataloader is None


def test_labels_are_those_of_the_classes_for_unsorted_ids(folder):
    """Oracle: mmdet's own data set."""
    pytest.importorskip('mmdet')
    from mmdet.datasets import CocoDataset

    cfg = _config()
    coco_folder_options(cfg, folder)
    options = {key: value for key, value in cfg.val_dataloader.dataset.items() if key != 'type'}
    dataset = CocoDataset(**options)
    assert list(dataset.metainfo['classes']) == class_names(folder / 'annotations' / 'instances_val.json')
    labels = [instance['bbox_label'] for instance in dataset.get_data_info(0)['instances']]
    assert [dataset.metainfo['classes'][label] for label in labels] == NAMES


def test_without_validation_split_training_stands_in(folder, monkeypatch):
    (folder / 'annotations' / 'instances_val.json').unlink()
    lines: list[str] = []
    monkeypatch.setattr(coco_folder, 'print_log', lambda message, **_: lines.append(message))
    cfg = _config()
    coco_folder_options(cfg, folder)
    assert cfg.val_dataloader.dataset.ann_file == 'annotations/instances_train.json'
    assert cfg.val_evaluator.ann_file == str(folder / 'annotations' / 'instances_train.json')
    (line,) = lines
    assert 'instances_val.json is missing' in line


@pytest.mark.parametrize('stage, split', [('train', 'train'), ('val', 'val'), ('test', 'val')])
def test_the_split_of_one_stage_is_enough(folder, stage, split):
    other = {'train': 'val', 'val': 'train'}[split]
    (folder / 'annotations' / f'instances_{other}.json').unlink()
    cfg = _config()
    coco_folder_options(cfg, folder, [stage])
    dataset = unwrapped(cfg[f'{stage}_dataloader'].dataset)
    assert dataset.ann_file == f'annotations/instances_{split}.json'
    assert list(dataset.metainfo.classes) == NAMES
    assert cfg.model.mask_head.num_classes == 3
    others = [unwrapped(cfg[f'{name}_dataloader'].dataset) for name in {'train', 'val', 'test'} - {stage}]
    assert {dataset.data_root for dataset in others} == {'data/coco/'}


@pytest.mark.parametrize('missing', ['annotations/instances_train.json', 'images/train', 'images/val'])
def test_missing_files_are_named(folder, missing):
    (folder / missing).rename(folder / 'elsewhere')
    with pytest.raises(InputError, match=missing):
        coco_folder_options(_config(), folder)


def test_the_folder_above_is_named(folder):
    with pytest.raises(InputError, match=f'did you mean {folder}\\?'):
        coco_folder_options(_config(), folder / 'images')


@pytest.mark.parametrize(
    'make, within, file',
    [
        (cvat, '', 'annotations/instances_default.json'),
        (label_studio, '', 'result.json'),
        (roboflow, '', 'test/_annotations.coco.json'),
        (roboflow, 'train', '_annotations.coco.json'),
    ],
)
def test_an_export_is_told_what_makes_a_folder_of_it(make, within, file, tmp_path):
    folder = make(tmp_path / 'my export') / within
    way = f"'{folder}' '{folder.name}-coco'" if not within else f"'{folder}' {folder.name}-coco"
    with pytest.raises(InputError, match=f'`mmagg split-coco {way}` makes one .* as {folder / file} seems to be'):
        coco_folder_options(_config(), folder, ['train'])


def test_instead_of_a_file_a_folder_is_named(folder, tmp_path):
    for split in ('train', 'val'):
        file = folder / f'annotations/instances_{split}.json'
        with pytest.raises(InputError, match=f'--coco {file}: a file; name its folder, {folder}$'):
            check_is_folder(file)
    file = label_studio(tmp_path / 'export') / 'result.json'
    with pytest.raises(InputError, match=f'a file; `mmagg split-coco {file} export-coco` makes a folder of it'):
        check_is_folder(file)
    with pytest.raises(InputError, match='no such folder'):
        check_is_folder(tmp_path / 'nowhere')


@pytest.mark.parametrize(
    'categories, message',
    [
        (CATEGORIES[:2], 'only instances_train.json has nut$'),
        (
            [*CATEGORIES[:2], {'id': 12, 'name': 'nutt'}],
            r'only instances_train.json has nut, only instances_val.json has nutt \(nutt: did you mean nut\?\)',
        ),
        (CATEGORIES[::-1], 'the order differs'),
    ],
)
def test_splits_with_other_classes_are_refused(tmp_path, categories, message):
    _write(tmp_path, 'train')
    _write(tmp_path, 'val', categories)
    with pytest.raises(ValueError, match=message):
        coco_folder_options(_config(), tmp_path)


@pytest.mark.parametrize(
    'text, message',
    [
        ('{', 'not COCO format'),
        ('[]', 'not COCO format'),
        ('{"categories": [{"id": 1}]}', 'not COCO format'),
        ('{"categories": []}', 'no categories'),
        ('{"categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]}', "name 'a' twice"),
        ('{"categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}', 'id 1 twice'),
    ],
)
def test_broken_categories_are_refused(tmp_path, text, message):
    (tmp_path / 'ann.json').write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        class_names(tmp_path / 'ann.json')
    assert 'ann.json' in str(caught.value)


def test_other_data_sets_and_models_without_classes_are_refused(folder):
    cfg = _config()
    cfg.val_dataloader.dataset.type = 'mmdet.LVISV1Dataset'
    with pytest.raises(ValueError, match=r'val_dataloader.*LVISV1Dataset'):
        coco_folder_options(cfg, folder)
    cfg = _config()
    cfg.model = {'backbone': {'type': 'ResNet'}}
    with pytest.raises(ValueError, match='num_classes'):
        coco_folder_options(cfg, folder)


@pytest.mark.parametrize(
    'lost, with_mask, metric, want',
    [
        (2, False, {}, ['bbox']),
        (2, False, {'metric': ['segm']}, ['bbox']),
        (2, False, {'metric': 'bbox'}, 'bbox'),
        (2, True, {'metric': ['bbox', 'segm']}, ['bbox', 'segm']),  # the check refuses the data
        (1, False, {'metric': ['bbox', 'segm']}, ['bbox', 'segm']),  # the metric names the annotation
        (0, False, {'metric': ['bbox', 'segm']}, ['bbox', 'segm']),
        (2, False, {'type': 'CocoMetric', 'metric': ['bbox', 'segm']}, ['bbox', 'segm']),
    ],
)
def test_boxes_alone_are_scored_by_boxes(folder, monkeypatch, lost, with_mask, metric, want):
    said = []
    monkeypatch.setattr(coco_folder, 'print_log', lambda text, **_: said.append(text))
    file = folder / 'annotations' / 'instances_val.json'
    content = json.loads(file.read_text())
    content['annotations'] = content['annotations'][:2]
    for annotation in content['annotations'][:lost]:
        del annotation['segmentation']
    file.write_text(json.dumps(content))
    cfg = _config()
    for stage in ('val', 'test'):
        cfg[f'{stage}_evaluator'] = {'type': 'COCOInstanceMetric', 'ann_file': '', **metric}
        cfg[f'{stage}_dataloader'].dataset.pipeline = [{'type': 'LoadAnnotations', 'with_mask': with_mask}]
    coco_folder_options(cfg, folder)
    assert cfg.val_evaluator.get('metric') == cfg.test_evaluator.get('metric') == want
    changed = want != metric.get('metric')
    assert [line.startswith(f'{file}: its annotations are boxes alone') for line in said] == [True] * changed


def test_palette_has_no_colour_twice():
    colours = palette(200)
    assert len(set(colours)) == 200
    assert all(0 <= channel <= 255 for colour in colours for channel in colour)


@pytest.mark.parametrize('name, count', [('nuts_18', 3), ('coco_open_125', 80)])
def test_real_sets_load_in_mmdet(shared, name, count):
    pytest.importorskip('mmdet')
    from mmdet.datasets import CocoDataset

    cfg = _config()
    coco_folder_options(cfg, shared / 'data' / name)
    assert cfg.model.mask_head.num_classes == count
    train = cfg.train_dataloader.dataset.dataset
    dataset = CocoDataset(**{key: value for key, value in train.items() if key != 'type'})
    assert len(dataset.metainfo['classes']) == len(dataset.cat_ids) == count
    assert Path(dataset.get_data_info(0)['img_path']).is_file()
