"""FCOS against mmdet's FCOSHead with the same weights."""

import pytest
import torch
from boxed_heads import RANGES, STRIDES, location_head, pyramid
from grid_heads import CHANNELS, CLASSES, FOCAL, NORM, batch_samples
from mmdet.registry import MODELS
from mmengine.config import ConfigDict

from mmagg.models.postprocess import BoxedMaskPostProcessor


def pair():
    """mmdet's head and ours, set to mmdet's behaviour."""
    theirs = MODELS.build(
        dict(
            type='FCOSHead',
            num_classes=CLASSES,
            in_channels=CHANNELS,
            feat_channels=CHANNELS,
            stacked_convs=1,
            strides=STRIDES,
            regress_ranges=RANGES,
            norm_cfg=NORM,
            conv_bias=True,
            norm_on_bbox=True,
            centerness_on_reg=True,
            center_sampling=True,
            loss_cls=FOCAL,
            loss_bbox=dict(type='GIoULoss'),
            test_cfg=ConfigDict(nms_pre=1000, score_thr=0.05, nms=dict(type='nms', iou_threshold=0.6), max_per_img=50),
        )
    )
    with torch.no_grad():
        for name, p in theirs.named_parameters():
            if 'gn' not in name:
                p.normal_(std=0.2)
        for scale in theirs.scales:
            scale.scale.copy_(0.5 + torch.rand(()))
        theirs.conv_reg.bias.fill_(2.0)
    ours = MODELS.build(location_head(use_scale=True, loss_box=dict(type='DistanceIoULoss', smooth=0.0)))
    names = {'cls_convs': 'class_tower', 'reg_convs': 'box_tower', 'conv_reg': 'conv_box'}
    state = {}
    for key, value in theirs.state_dict().items():
        first, rest = key.split('.', 1)
        state[f'{names.get(first, first)}.{rest}'] = value
    ours.load_state_dict(state)
    return theirs, ours


def test_losses_and_gradients_are_mmdet_s() -> None:
    theirs, ours = pair()
    feats, samples = pyramid(3, 96, 128), batch_samples(['few', 'empty', 'crowded'], 96, 128)
    want = theirs.loss(feats, samples)
    instances = [x.gt_instances for x in samples]
    targets = ours.assign([x.shape[-2:] for x in feats], [x.bboxes for x in instances], [x.labels for x in instances])
    got = ours.loss(ours(feats), targets)
    assert len(targets.places) > 20
    for name in ('loss_cls', 'loss_bbox', 'loss_centerness'):
        torch.testing.assert_close(got[name], want[name], rtol=1e-5, atol=1e-6)
    sum(want.values()).backward()
    sum(got.values()).backward()
    torch.testing.assert_close(ours.box_tower[0].conv.weight.grad, theirs.reg_convs[0].conv.weight.grad)
    torch.testing.assert_close(ours.class_tower[0].conv.weight.grad, theirs.cls_convs[0].conv.weight.grad)


@torch.no_grad()
def test_detections_are_mmdet_s() -> None:
    theirs, ours = pair()
    theirs.eval()
    feats, samples = pyramid(2, 96, 128), batch_samples(['few', 'few'], 96, 128, image_sizes=[(96, 128), (80, 100)])
    for sample in samples:
        sample.set_metainfo(dict(scale_factor=(1.0, 1.0)))
    want = theirs.predict(feats, samples)
    maps = ours(feats)
    post = BoxedMaskPostProcessor(filter_by='class', sqrt_score=False, max_per_img=50)
    for image, (sample, result) in enumerate(zip(samples, want, strict=True)):
        found = post.detect(
            torch.cat([x[image].flatten(1).t().sigmoid() for x in maps.cls_logits]),
            torch.cat([x[image].flatten().sigmoid() for x in maps.centerness]),
            ours.boxes_of(maps, image),
            [x[image, 0].numel() for x in maps.cls_logits],
            sample.img_shape,
        )
        assert len(found.scores) == 50
        torch.testing.assert_close(found.scores, result.scores)
        assert torch.equal(found.labels, result.labels)
        torch.testing.assert_close(found.boxes, result.bboxes, rtol=0, atol=1e-3)


def test_per_level_normalisation_is_per_level() -> None:
    shared = dict(num_convs=2, num_levels=3)
    head = MODELS.build(location_head(shared_tower=shared, class_tower=None, box_tower=None))
    with torch.no_grad():
        for scale, bn in enumerate(head.shared_tower[1].bns):
            bn.weight.fill_(scale)
            bn.bias.fill_(scale)
    head.eval()
    feats = head.shared_tower.on_levels(pyramid(1, 96, 128))
    assert not feats[0].any()
    assert feats[1].any()
    assert len({id(bn) for layer in head.shared_tower for bn in layer.bns}) == 6
    head.train()
    head.shared_tower.on_levels(pyramid(2, 96, 128))
    means = [bn.running_mean for bn in head.shared_tower[0].bns]
    assert not torch.allclose(means[0], means[1])


def test_towers_and_channels_must_fit() -> None:
    with pytest.raises(ValueError, match='must be in_channels'):
        MODELS.build(location_head(class_tower=None, channels=2 * CHANNELS))
