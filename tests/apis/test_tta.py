"""`--tta` makes views of any config's test images, and any detector with masks predicts them."""

import copy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmcv import transforms
from mmdet.registry import MODELS
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope

from mmagg import register  # noqa: F401
from mmagg.apis.config import load_config
from mmagg.apis.inference import ask_for_rle
from mmagg.apis.tta import pipeline_of_views, use_tta
from mmagg.io.errors import InputError

LOAD, PACK = dict(type='LoadImageFromFile'), dict(type='PackDetInputs')
# What lets random weights find something.
FINDS_ALL = {
    'solo': dict(score_thr=0.0, filter_thr=0.0, nms_pre=30, max_per_img=10),
    'blendmask': dict(score_thr=0.0, nms_pre=30, max_per_img=10),
    'mask-rcnn-fpn': dict(rcnn=dict(score_thr=0.0, max_per_img=10)),
}


class Silent(torch.nn.Module):
    """A detector as far as its wrapper looks."""

    def test_step(self, data):
        return data['data_samples']


def views(pipeline, image: Path):
    init_default_scope('mmdet')
    record = dict(img_path=str(image), img_id=7, instances=[], height=30, width=44)
    return transforms.Compose(pipeline)(record)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """30 x 44 pixels, brighter to the right."""
    cv2.imwrite(str(tmp_path / 'a.png'), np.arange(44, dtype=np.uint8)[None, :, None].repeat(30, 0).repeat(3, 2))
    return tmp_path / 'a.png'


@pytest.mark.parametrize(
    'resize, sizes',
    [
        (dict(scale=(88, 60), keep_ratio=True), [(60, 88), (48, 70), (72, 106)]),
        (dict(scale=50), [(50, 50), (40, 40), (60, 60)]),
        (dict(scale_factor=2.0), [(60, 88), (48, 70), (72, 106)]),
    ],
)
def test_every_image_comes_at_three_sizes_as_it_is_and_mirrored(image, resize, sizes):
    pack = PACK | dict(meta_keys=('img_id', 'ori_shape'))
    pipeline = [LOAD, dict(type='mmdet.Resize', **resize), dict(type='LoadAnnotations', with_bbox=True), pack]
    found = views(pipeline_of_views(pipeline), image)
    assert [tuple(view.shape[1:]) for view in found['inputs']] == [size for size in sizes for _ in range(2)]
    for i, (view, sample) in enumerate(zip(found['inputs'], found['data_samples'], strict=True)):
        assert (sample.img_id, sample.ori_shape) == (7, (30, 44))
        assert (sample.flip, sample.flip_direction) == ((True, 'horizontal') if i % 2 else (False, None))
        assert (view[0, 0, 0] > view[0, 0, -1]) == sample.flip
    assert pack['meta_keys'] == ('img_id', 'ori_shape'), 'the pipeline given stays as it was'


@pytest.mark.parametrize(
    'pipeline',
    [
        [],
        [LOAD, PACK],
        [LOAD, dict(type='Resize', scale=(64, 64)), dict(type='Pad', size=(64, 64)), PACK],
        [LOAD, dict(type='Resize', scale=(64, 64)), dict(type='TestTimeAug', transforms=[[PACK]])],
    ],
)
def test_pipelines_without_default_views_are_refused(pipeline):
    with pytest.raises(InputError, match=r'--tta: the test pipeline .*give the config a tta_pipeline'):
        pipeline_of_views(pipeline)


def test_the_base_file_says_what_the_flag_does_on_coco(root: Path, tmp_path: Path):
    plain = root / 'configs/solo/solo_r50_fpn_3x_coco.py'
    (tmp_path / 'tta.py').write_text(f'_base_ = [{str(plain)!r}, {str(root / "configs/_base_/mask_tta.py")!r}]')
    written, derived = load_config(tmp_path / 'tta.py'), load_config(plain)
    use_tta(written)
    use_tta(derived)
    assert written.test_dataloader.dataset.pipeline[1] == derived.test_dataloader.dataset.pipeline[1]
    written, derived = (MODELS.build({**cfg.model, 'module': Silent()}) for cfg in (written, derived))
    assert vars(written.nms) == vars(derived.nms)
    for name in ('iou_thr', 'weight', 'score', 'max_per_img', 'byte_budget'):
        assert getattr(written, name) == getattr(derived, name)


def test_options_for_a_pipeline_that_is_replaced_are_refused(root: Path):
    cfg = load_config(root / 'configs/demo/solo_tiny_shapes.py')
    keys = ['test_dataloader.dataset.dataset.pipeline.1.scale', 'test_dataloader.dataset.pipeline']
    use_tta(copy.deepcopy(cfg), keys)  # the views are made of it
    cfg.tta_pipeline = [LOAD]
    use_tta(copy.deepcopy(cfg), ['test_dataloader.batch_size', 'model.test_cfg.score_thr'])
    for key in keys:
        with pytest.raises(InputError, match=f'--cfg-options {key}: --tta takes the tta_pipeline of the config'):
            use_tta(cfg, [key])


def test_the_config_decides(root: Path):
    cfg = load_config(root / 'configs/demo/solo_tiny_shapes.py', {'tta_model.score': 'max'})
    cfg.tta_pipeline, head = [LOAD], cfg.model.mask_head.type
    use_tta(cfg)
    assert cfg.model.type == 'MaskTTAModel'
    assert cfg.model.score == 'max'
    assert cfg.model.module.mask_head.type == head
    assert cfg.test_dataloader.dataset.pipeline == [LOAD]


def test_a_model_for_boxes_does_not_take_masks_away(root: Path):
    cfg = load_config(root / 'configs/demo/solo_tiny_shapes.py')
    cfg.tta_model = dict(type='DetTTAModel', tta_cfg=dict(max_per_img=100))
    boxes = copy.deepcopy(cfg)
    boxes.test_evaluator.metric = 'bbox'
    for one, kind in ((cfg, 'MaskTTAModel'), (boxes, 'DetTTAModel')):
        use_tta(one)
        assert one.model.type == kind
        assert ('tta_cfg' in one.model) == (kind == 'DetTTAModel')


@pytest.mark.parametrize('name', FINDS_ALL)
def test_detectors_predict_views(name, root: Path, image: Path):
    cfg = load_config(root / f'configs/demo/{name}_tiny_shapes.py')
    cfg.merge_from_dict(dict(model=dict(test_cfg=FINDS_ALL[name])))
    ask_for_rle(cfg)
    use_tta(cfg)
    model = MODELS.build(cfg.model).eval()
    batch = pseudo_collate([views(cfg.test_dataloader.dataset.pipeline, image)] * 2)
    first, second = model.test_step(batch)
    found = first.pred_instances
    assert len(found) > 1
    assert (first.img_id, first.img_path, first.flip) == (7, str(image), False)
    assert (found.scores.diff() <= 0).all()
    if isinstance(found.masks, list):
        assert {tuple(rle['size']) for rle in found.masks} == {(30, 44)}
    else:
        assert found.masks.shape == (len(found), 30, 44)
    torch.testing.assert_close(second.pred_instances.scores, found.scores)
