"""What mmdet's users call, with a demo config: the visualization hook, the visualizer and `DetInferencer`."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.apis import DetInferencer, inference_detector, init_detector
from mmdet.registry import MODELS, VISUALIZERS
from mmdet.visualization import DetLocalVisualizer
from mmengine.config import Config

from mmagg import apis
from mmagg.io.errors import InputError
from mmagg.visualization.rle_visualizer import RLEVisualizer

CONFIG = """
_base_ = '{root}/configs/demo/{name}_tiny_shapes.py'
train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False)
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=1, val_interval=1)
default_hooks = dict(visualization=dict(draw=True, interval=1, score_thr=0.0))
model = dict(test_cfg=dict(score_thr=0.0))
"""
FILTER = "model['test_cfg']['filter_thr'] = 0.0\n"  # so that an untrained model predicts something


@pytest.fixture(scope='module')
def config(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo config whose hook draws."""
    path = tmp_path_factory.mktemp('config') / 'solo.py'
    path.write_text(CONFIG.format(root=root, name='solo') + FILTER)
    return path


@pytest.fixture(scope='module')
def work_dir(config: Path, shapes_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work dir of a training that drew in its validation."""
    return apis.train(config, coco=shapes_folder, work_dir=tmp_path_factory.mktemp('mmdet') / 'run', seed=0)


@pytest.fixture
def image(shapes_folder: Path) -> Path:
    return sorted((shapes_folder / 'images/val').iterdir())[0]


def test_the_hook_draws_in_validation(work_dir: Path) -> None:
    (drawn, *_) = work_dir.glob('*/vis_data/vis_image/val_img_*.png')
    picture = cv2.imread(str(drawn))
    assert picture.shape == (64, 128, 3)  # truth and prediction
    assert abs(picture[:, :64].astype(int) - picture[:, 64:]).mean() > 1


def test_the_config_that_is_saved_has_bitmaps(work_dir: Path) -> None:
    assert Config.fromfile(work_dir / 'solo.py').model.test_cfg.mask_format == 'bitmap'


def test_the_hook_draws_in_testing(config: Path, work_dir: Path, shapes_folder: Path, tmp_path: Path) -> None:
    options = {'default_hooks.visualization.test_out_dir': 'vis'}
    apis.test(config, work_dir / 'epoch_1.pth', coco=shapes_folder, work_dir=tmp_path, cfg_options=options)
    pictures = sorted(tmp_path.glob('*/vis/*.png'))
    assert [path.name for path in pictures] == [path.name for path in sorted((shapes_folder / 'images/val').iterdir())]


@pytest.mark.parametrize('kind', ['path', 'array', 'none found'])
def test_mmdets_inferencer(work_dir: Path, image: Path, tmp_path: Path, kind: str) -> None:
    inferencer = DetInferencer(str(work_dir / 'solo.py'), str(work_dir / 'epoch_1.pth'), device='cpu')
    if kind == 'none found':
        inferencer.model.mask_head.post_process.score_thr = 2.0
    given = cv2.imread(str(image)) if kind == 'array' else str(image)
    saved = {'no_save_pred': kind == 'array'}  # mmdet has no name for those of an array
    found = inferencer(given, out_dir=str(tmp_path), pred_score_thr=0.0, return_vis=True, **saved)
    (prediction,) = found['predictions']
    assert (len(prediction['masks']) > 0) == (kind != 'none found')
    assert all(mask['size'] == [64, 64] for mask in prediction['masks'])
    assert [picture.shape for picture in found['visualization']] == [(64, 64, 3)]
    assert len(list((tmp_path / 'vis').iterdir())) == 1
    if kind != 'array':
        (file,) = (tmp_path / 'preds').glob('*.json')
        assert json.loads(file.read_text())['masks'] == prediction['masks']


def test_mmdets_inferencer_takes_arrays_of_any_kind(work_dir: Path, image: Path, tmp_path: Path) -> None:
    inferencer = DetInferencer(str(work_dir / 'solo.py'), str(work_dir / 'epoch_1.pth'), device='cpu')
    grey = cv2.imread(str(image), cv2.IMREAD_GRAYSCALE)
    as_bgr = cv2.merge([grey] * 3)
    kinds = [as_bgr, grey, grey[..., None], np.dstack([grey] * 2), cv2.merge([grey] * 4), grey.astype(np.uint16) << 8]
    found = inferencer(kinds, out_dir=str(tmp_path), draw_pred=False, return_vis=True, batch_size=2)
    expected, *others = [prediction['scores'] for prediction in found['predictions']]
    assert others[:-1] == [expected] * 4  # the last one is resized before it is rounded to 8 bits
    for picture in found['visualization']:  # by Matplotlib, which moves it by a row before 3.11
        np.testing.assert_array_equal(picture, found['visualization'][0])
    assert len(list((tmp_path / 'vis').iterdir())) == len(kinds)


@pytest.mark.parametrize('name', ['aggmask_tiny_shapes', 'blendmask_tiny_shapes', 'mask-rcnn-a2fpn_tiny_shapes'])
def test_mmdets_functions_with_each_kind_of_head(root: Path, image: Path, tmp_path: Path, name: str) -> None:
    """`DetInferencer` draws and writes; `inference_detector` finds the same; RLE of ours goes into the visualizer."""
    path, weights = root / f'configs/demo/{name}.py', tmp_path / 'random.pth'
    options = {'model.test_cfg.rcnn.score_thr': 0.0} if 'rcnn' in name else {'model.test_cfg.score_thr': 0.0}
    cfg = apis.load_config(path, options)
    torch.manual_seed(0)
    torch.save({'state_dict': MODELS.build(cfg.model).state_dict()}, weights)
    cfg.dump(tmp_path / 'dumped.py')
    inferencer = DetInferencer(str(tmp_path / 'dumped.py'), str(weights), device='cpu', show_progress=False)
    found = inferencer(str(image), out_dir=str(tmp_path), pred_score_thr=0.0, return_vis=True, no_save_pred=False)
    (prediction,), (picture,) = found['predictions'], found['visualization']
    assert len(prediction['masks']) > 0
    assert (picture != cv2.imread(str(image))[..., ::-1]).any()
    assert (tmp_path / 'vis' / image.name).is_file()
    detector = init_detector(str(tmp_path / 'dumped.py'), str(weights), device='cpu')
    assert inference_detector(detector, str(image)).pred_instances.scores.tolist() == prediction['scores']
    cfg.visualizer = dict(type='DetLocalVisualizer', name=name)  # as full-size configs inherit it
    model = apis.load_model(cfg, weights, 'cpu')
    sample = inference_detector(model, str(image))
    assert isinstance(sample.pred_instances.masks, list)
    visualizer = VISUALIZERS.build(model.cfg.visualizer)
    visualizer.dataset_meta = model.dataset_meta
    visualizer.add_datasample('', cv2.imread(str(image)), sample, draw_gt=False, pred_score_thr=0.0)
    assert visualizer.get_image().shape == (64, 64, 3)


def test_the_visualizer_draws_rle_as_bitmaps(config: Path, work_dir: Path, image: Path) -> None:
    segmenter = apis.Segmenter(config, work_dir / 'epoch_1.pth', device='cpu')
    (sample,) = apis.infer(segmenter.model, [image])
    assert isinstance(sample.pred_instances.masks, list)
    pixels, drawn = cv2.imread(str(image)), []
    for kind in (RLEVisualizer, DetLocalVisualizer):
        if kind is DetLocalVisualizer:
            segmenter.model.mask_head.post_process.mask_format = 'bitmap'
            (sample,) = apis.infer(segmenter.model, [image])
        visualizer = kind()
        visualizer.dataset_meta = {'classes': segmenter.classes, 'palette': [(200, 0, 0)] * len(segmenter.classes)}
        np.random.seed(0)  # mmdet varies the colours
        visualizer.add_datasample('', pixels, sample, draw_gt=False, pred_score_thr=0.0)
        drawn.append(visualizer.get_image())
    assert (drawn[0] == drawn[1]).all()
    assert (drawn[0] != pixels).any()


def test_arrays_of_any_kind_are_segmented_and_drawn(config: Path, work_dir: Path, image: Path) -> None:
    segmenter = apis.Segmenter(config, work_dir / 'epoch_1.pth', device='cpu')
    grey = cv2.imread(str(image), cv2.IMREAD_GRAYSCALE)
    expected = segmenter(cv2.merge([grey] * 3), score_thr=0)
    for pixels in (grey, grey[..., None], cv2.merge([grey] * 4), grey.astype(np.uint16) << 8):
        found = segmenter(pixels, score_thr=0)
        np.testing.assert_array_equal(found.scores, expected.scores)
        assert segmenter.draw(pixels, found).shape == (64, 64, 3)
    with pytest.raises(InputError, match='an array of float64'):
        segmenter([grey / 255])
