"""Times and memory of tiny detectors: ours and mmdet's SOLO, and one without a mask head."""

from time import perf_counter

import pytest
import torch
from mmdet.registry import MODELS

from mmagg.apis.config import load_config
from mmagg.costs import candidates
from mmagg.costs import stage_times as measure
from mmagg.costs.random_model import random_batch
from mmagg.ops import points_nms
from mmagg.ops import stage as stages
from mmagg.rle import codes

SHAPE = (96, 128)
GRIDS = [12, 10, 8, 6, 4]
BACKBONE = {
    'model.backbone.depth': 18,
    'model.backbone.base_channels': 8,
    'model.backbone.init_cfg': None,
    'model.neck.in_channels': [8, 16, 32, 64],
    'model.neck.out_channels': 32,
}
OURS = BACKBONE | {
    'model.mask_head.in_channels': 32,
    'model.mask_head.grids': GRIDS,
    'model.mask_head.class_tower': {'channels': 32, 'num_convs': 1},
    'model.mask_head.mask_branch.channels': 32,
    'model.mask_head.mask_branch.num_convs': 1,
    'model.test_cfg.mask_format': 'rle',
}
AGGMASK = OURS | {
    'model.mask_head.mask_branch.grids': GRIDS,
    'model.mask_head.aggregator.context.in_channels': 32,
    'model.mask_head.aggregator.context.hidden_channels': 32,
    'model.mask_head.aggregator.parameters.in_channels': 32,
    'model.mask_head.aggregator.parameters.channels': 32,
}
THEIRS = BACKBONE | {
    'model.mask_head.in_channels': 32,
    'model.mask_head.num_grids': GRIDS,
    'model.mask_head.feat_channels': 32,
    'model.mask_head.stacked_convs': 1,
}
RETINA = BACKBONE | {
    'model.bbox_head.in_channels': 32,
    'model.bbox_head.feat_channels': 32,
    'model.test_cfg.score_thr': 0.0,
}
TOWER = {'num_convs': 1, 'norm_cfg': {'type': 'GN', 'num_groups': 8}}  # the coarsest level has one location
BOXED = BACKBONE | {
    'model.mask_head.boxes.in_channels': 32,
    'model.mask_head.boxes.channels': 32,
    'model.mask_head.boxes.class_tower': TOWER,
    'model.mask_head.boxes.box_tower': TOWER,
    'model.mask_head.coefficients.in_channels': 32,
    'model.mask_head.masks.basis.in_channels': 32,
    'model.mask_head.masks.basis.channels': 16,
    'model.mask_head.semantic.in_channels': 32,
    'model.mask_head.semantic.channels': 16,
    'model.test_cfg.mask_format': 'rle',
}
OUR_FCOS = {key: value for key, value in BOXED.items() if key in BACKBONE or '.boxes.' in key}
FCOS = BACKBONE | {
    'model.bbox_head.in_channels': 32,
    'model.bbox_head.feat_channels': 32,
    'model.bbox_head.stacked_convs': 1,
    'model.bbox_head.norm_cfg': TOWER['norm_cfg'],
}
CONDINST = FCOS | {
    'model.mask_head.mask_feature_head.in_channels': 32,
    'model.mask_head.mask_feature_head.feat_channels': 16,
}
CASES = {
    'ours': ('configs/solo/solo_r50_fpn_1x_coco.py', OURS),
    'ours-decoupled': ('configs/solo/decoupled-solo_r50_fpn_1x_coco.py', OURS),
    'ours-aggmask': ('configs/aggmask/aggmask-solo_r50_fpn_3x_coco.py', AGGMASK),
    'ours-v2': ('configs/solov2/solov2_r50_fpn_1x_coco.py', OURS),
    'theirs': ('mmdet::solo/solo_r50_fpn_1x_coco.py', THEIRS),
    'ours-boxed': ('configs/blendmask/blendmask_r50_fpn_1x_coco.py', BOXED),
    'ours-fcos': ('configs/meinst/fcos_r50_fpn_1x_coco.py', OUR_FCOS),
    'condinst': ('mmdet::condinst/condinst_r50_fpn_ms-poly-90k_coco_instance.py', CONDINST),
    'fcos': ('mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py', FCOS),
    'retina': ('mmdet::retinanet/retinanet_r50_fpn_1x_coco.py', RETINA),
}


def build(name, root, *, train=False):
    config, options = CASES[name]
    config = config if '::' in config else root / config
    model = MODELS.build(load_config(config, options).model).train(train)
    if candidates.is_solo(model):
        candidates.prepare_masks(model)
    batch = random_batch(1 + train, SHAPE, num_classes=80, objects=5, device='cpu')
    return model, *batch


@pytest.mark.parametrize('name', ['ours', 'ours-decoupled', 'ours-aggmask', 'ours-v2', 'theirs'])
def test_inference_stages_add_up_to_the_whole(name, root):
    model, inputs, samples = build(name, root)
    assert candidates.set_candidates(model, inputs, 60) == 60
    start = perf_counter()
    seconds, instances = measure.time_inference(model, inputs, samples)
    wall = perf_counter() - start
    assert tuple(seconds) == measure.INFERENCE_STAGES
    assert wall - max(0.1, 0.2 * wall) <= sum(seconds.values()) <= wall
    unused = set() if name == 'ours-aggmask' else {'context', 'aggregation'}
    unused |= {'decode'} if name == 'theirs' else set()
    assert {stage for stage, value in seconds.items() if value == 0} == unused
    assert 20 <= instances <= 60


@pytest.mark.parametrize('name', ['ours-boxed', 'ours-fcos', 'condinst', 'fcos'])
def test_detections_of_fcos_are_as_many_as_wanted_and_of_moderate_size(name, root):
    model, inputs, samples = build(name, root)
    assert candidates.has_fcos_boxes(model)
    assert not candidates.is_solo(model)
    for wanted in (6, 20):
        assert candidates.set_detections(model, inputs, wanted) == 10 * wanted
        with torch.no_grad():
            feats = model.extract_feat(inputs)
            if name.startswith('ours'):
                logits, _, centerness, _ = model.mask_head(feats)[0]
            else:
                logits, _, centerness, *_ = model.bbox_head(feats)
            (found,) = model.predict(inputs, samples, rescale=True)
        passed = [(x.sigmoid() * y.sigmoid() > 0.05).sum(1).flatten(1) for x, y in zip(logits, centerness, strict=True)]
        assert torch.cat(passed, 1).sum() == 10 * wanted
        assert len(found.pred_instances) == wanted
        boxes = found.pred_instances.bboxes
        sides = boxes[:, 2:] - boxes[:, :2]
        assert sides.min() > 4  # half a stride of the finest level
        assert 30 < sides.median() < SHAPE[0]
        assert len(found.pred_instances.labels.unique()) > 3
    with pytest.raises(ValueError, match=r'2057 detections are wanted; the 20570 .*, only 20560$'):
        candidates.set_detections(model, inputs, 2057)


@pytest.mark.parametrize('name', ['ours-boxed', 'ours-fcos', 'condinst', 'fcos'])
def test_inference_stages_of_boxed_masks(name, root):
    model, inputs, samples = build(name, root)
    candidates.set_detections(model, inputs, 20)
    start = perf_counter()
    seconds, instances = measure.time_inference(model, inputs, samples)
    wall = perf_counter() - start
    assert wall - max(0.1, 0.2 * wall) <= sum(seconds.values()) <= wall
    unused = {'context', 'aggregation'} | ({'decode', 'RLE'} if 'fcos' in name else set())
    assert {stage for stage, value in seconds.items() if value == 0} == unused
    assert instances == 20


def test_parts_of_boxed_masks_are_in_their_stages(root, monkeypatch):
    # Each part takes its own share of a time that stands still otherwise.
    now = [0.0]
    monkeypatch.setattr(stages, 'perf_counter', lambda: now[0])

    def slow(owner, name, seconds):
        function = getattr(owner, name)

        def run(*args, **kwargs):
            now[0] += seconds
            return function(*args, **kwargs)

        monkeypatch.setattr(owner, name, run)

    model, inputs, samples = build('ours-boxed', root)
    candidates.set_detections(model, inputs, 5)
    head = model.mask_head
    slow(head.boxes.class_tower, 'forward', 1)  # on five levels
    slow(head.masks.basis, 'forward', 100)
    slow(head.coefficients, 'at', 1000)
    slow(head.masks, 'merge', 10000)
    slow(head.post_process, 'detect', 0.1)
    slow(head.post_process, 'paste', 0.2)
    slow(codes, '_run_ends', 1e5)
    seconds, _ = measure.time_inference(model, inputs, samples)
    assert seconds.pop('RLE') > 9e4
    assert {k: v for k, v in seconds.items() if v} == pytest.approx({'head': 5, 'decode': 11100, 'post': 0.3})

    model, inputs, samples = build('condinst', root)
    candidates.set_detections(model, inputs, 5)
    slow(model.bbox_head.cls_convs[0], 'forward', 1)
    slow(model.bbox_head.controller, 'forward', 100)
    slow(model.bbox_head, '_bbox_post_process', 0.1)
    slow(model.mask_head, 'dynamic_conv_forward', 10000)
    slow(model.mask_head, 'predict_by_feat', 0.2)
    seconds, _ = measure.time_inference(model, inputs, samples)
    assert {k: v for k, v in seconds.items() if v} == pytest.approx({'head': 5, 'decode': 10500, 'post': 0.3})


def test_a_detector_without_mask_head_has_its_heads_in_one_stage(root):
    model, inputs, samples = build('retina', root)
    assert not candidates.is_solo(model)
    seconds, instances = measure.time_inference(model, inputs, samples)
    assert {stage for stage, value in seconds.items() if value == 0} == {'decode', 'context', 'aggregation', 'RLE'}
    assert instances == 100


@pytest.mark.parametrize('name', ['ours', 'theirs'])
def test_the_number_of_candidates_is_what_the_head_sees(name, root):
    model, inputs, _ = build(name, root)
    for wanted in (7, 150):
        candidates.set_candidates(model, inputs, wanted)
        with torch.no_grad():
            out = model.mask_head(model.extract_feat(inputs))
        scores = [points_nms(x.sigmoid()) for x in out[0]] if name == 'ours' else out[1]
        assert sum(int((x > 0.1).sum()) for x in scores) == wanted
    with pytest.raises(ValueError, match='1000000 candidates are wanted, only'):
        candidates.set_candidates(model, inputs, 1000000)


@pytest.mark.parametrize('name', ['ours', 'ours-boxed'])
def test_candidates_need_a_threshold(name, root):
    model, inputs, _ = build(name, root)
    model.mask_head.post_process.score_thr = 0.0
    with pytest.raises(ValueError, match=r'score_thr is 0\.0'):
        (candidates.set_candidates if name == 'ours' else candidates.set_detections)(model, inputs, 5)


def test_memory_of_an_inference_grows_with_the_masks_held(root):
    model, inputs, samples = build('ours', root)
    peaks = []
    for wanted in (5, 400):
        candidates.set_candidates(model, inputs, wanted)
        memory = measure.inference_memory(model, inputs, samples)
        assert 0 < memory['above the backbone'] <= memory['all']
        peaks.append(memory['above the backbone'])
    masks = 395 * (SHAPE[0] // 4) * (SHAPE[1] // 4) * 4
    assert peaks[1] - peaks[0] > masks
    assert 'forward' not in vars(model.backbone)


@pytest.mark.parametrize('name', ['ours', 'theirs', 'retina', 'ours-boxed', 'condinst'])
def test_training_stages_add_up_and_leave_the_model_as_it_was(name, root):
    model, inputs, samples = build(name, root, train=True)
    before = {key: value.clone() for key, value in model.named_parameters()}
    memory = measure.training_memory(model, inputs, samples)
    assert 0 < memory['head + loss'] <= memory['all']
    start = perf_counter()
    seconds = measure.time_training(model, inputs, samples)
    wall = perf_counter() - start
    assert tuple(seconds) == measure.TRAINING_STAGES
    assert all(value > 0 for value in seconds.values())
    assert wall - max(0.1, 0.2 * wall) <= sum(seconds.values()) <= wall
    for key, value in model.named_parameters():
        assert value.grad is None
        assert torch.equal(value, before[key])
    assert 'extract_feat' not in vars(model)


def test_a_step_cut_at_the_pyramid_has_the_gradients_of_a_plain_one(root, monkeypatch):
    model, inputs, samples = build('ours', root, train=True)
    loss, _ = model.parse_losses(model.loss(inputs, samples))
    loss.backward()
    plain = {key: p.grad.clone() for key, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    with monkeypatch.context() as patch:
        patch.setattr(model, 'zero_grad', lambda **_: None)  # keep what the measured step leaves
        measure.time_training(model, inputs, samples)
    measured = {key: p.grad for key, p in model.named_parameters() if p.grad is not None}
    assert measured.keys() == plain.keys()
    for key, grad in plain.items():
        torch.testing.assert_close(measured[key], grad, rtol=1e-4, atol=1e-5)


def test_batches_are_the_same_every_time_and_hold_objects_of_all_scales():
    images, samples = random_batch(2, (128, 192), num_classes=3, objects=8, device='cpu')
    again, same = random_batch(2, (128, 192), num_classes=3, objects=8, device='cpu')
    assert images.shape == (2, 3, 128, 192)
    assert torch.equal(images, again)
    for sample, other in zip(samples, same, strict=True):
        instances = sample.gt_instances
        assert torch.equal(instances.bboxes, other.gt_instances.bboxes)
        assert instances.labels.max() < 3
        areas = instances.masks.masks.sum((1, 2))
        assert areas.min() > 0
        assert areas.min() < 100 < 3000 < areas.max()
        x1, y1, x2, y2 = instances.bboxes.T
        assert min(x1.min(), y1.min()) >= 0
        assert x2.max() <= 192
        assert y2.max() <= 128
