"""FCOS, top layer and Blender together, against the release's losses, gradients and detections."""

import pytest
import torch
from golden_blendmask import assert_relative, masks_of_images, per_image, read_case
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import nn

from mmagg import register  # noqa: F401
from mmagg.models.heads import BoxedMaskHead
from mmagg.weights.adelaidet_keys import adelaidet_to_mmagg

LEVELS = ('p3', 'p4', 'p5', 'p6', 'p7')


@MODELS.register_module(force=True)
class LastMap(nn.Module):
    """Bases that come after the pyramid."""

    num_bases = 4

    def forward(self, feats):
        return feats[-1]


@pytest.fixture
def case(shared) -> dict:
    return read_case(shared, 'blendmask_heads_e2e')


@pytest.fixture
def head(case) -> BoxedMaskHead:
    size, _, attention = case['RKM'].tolist()
    tower = dict(num_convs=1, bias=True, norm_cfg=dict(type='GN', num_groups=32))
    head = BoxedMaskHead(
        boxes=dict(
            type='LocationHead',
            num_classes=3,
            in_channels=32,
            channels=32,
            class_tower=tower,
            box_tower=tower,
            assigner=dict(
                type='LocationAssigner', ranges=((-1, 64), (64, 128), (128, 256), (256, 512), (512, float('inf')))
            ),
            loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25),
            loss_box=dict(type='DistanceIoULoss', kind='giou'),
            loss_centerness=dict(type='CrossEntropyLoss', use_sigmoid=True),
        ),
        masks=dict(type='BlendedMasks', basis=dict(type='LastMap'), mask_size=size, attention_size=attention),
        test_cfg=dict(nms_pre=40, max_per_img=12, clip_boxes=False),
    )
    state = {k.removeprefix('sd.'): v for k, v in case.items() if k.startswith('sd.')}
    ours = {k.removeprefix('mask_head.'): v for k, v in adelaidet_to_mmagg(state).items()}
    head.load_state_dict(ours)
    return head


def feats_of(case: dict) -> list[torch.Tensor]:
    return [case[level] for level in LEVELS] + [case['bases'].clone().requires_grad_()]


def test_targets_are_the_release_s(case, head) -> None:
    sizes = [case[level].shape[-2:] for level in LEVELS]
    targets = head.boxes.assign(sizes, per_image(case, case['gt_boxes']), per_image(case, case['gt_labels']))
    assert torch.equal(targets.places, case['pos_inds'])
    assert torch.equal(targets.gts, case['gt_inds'])
    assert torch.equal(targets.labels[targets.places], case['pos_labels'])
    assert_relative(targets.distances, case['reg_targets'], 2e-5)
    assert_relative(targets.centerness, case['gt_ctrs'], 2e-5)
    assert_relative(targets.denominator, case['loss_denorm'], 2e-5)


def test_losses_and_gradients_are_the_release_s(case, head) -> None:
    feats = feats_of(case)
    samples = []
    for boxes, labels, masks in zip(
        per_image(case, case['gt_boxes']),
        per_image(case, case['gt_labels']),
        masks_of_images(case, (96, 128)),
        strict=True,
    ):
        sample = DetDataSample(metainfo=dict(batch_input_shape=(96, 128), img_shape=(96, 128)))
        sample.gt_instances = InstanceData(bboxes=boxes, labels=labels, masks=masks)
        samples.append(sample)
    losses = head.loss(feats, samples)
    assert_relative(losses['loss_cls'], case['loss_fcos_cls'], 2e-5)
    assert_relative(losses['loss_bbox'], case['loss_fcos_loc'], 2e-5)
    assert_relative(losses['loss_centerness'], case['loss_fcos_ctr'], 2e-5)
    assert_relative(losses['loss_mask'], case['loss_mask'], 2e-5)
    sum(losses.values()).backward()
    assert_relative(head.coefficients.conv.weight.grad[::8, ::8], case['grad_top_w_sub'], 1e-4)
    assert_relative(head.boxes.box_tower[0].conv.weight.grad[::4, ::4], case['grad_tower_w_sub'], 1e-4)
    assert_relative(feats[-1].grad[:, :, ::2, ::2], case['grad_bases'], 1e-4)


@torch.no_grad()
def test_detections_are_the_release_s(case, head) -> None:
    head.eval()
    maps, features, bases = head([x.detach() for x in feats_of(case)])
    for image, size in enumerate(case['image_sizes'].tolist()):
        found = head.detect(maps, image, tuple(size))
        theirs = case['det_img'] == image
        assert torch.equal(found.labels, case['det_labels'][theirs])
        assert (found.boxes - case['det_boxes'][theirs]).abs().max() <= 1e-3
        assert (found.scores - case['det_scores'][theirs]).abs().max() <= 1e-5
        logits = head.decode([x[image : image + 1] for x in features], bases, found, image)
        assert (logits.sigmoid()[:, ::4, ::4] - case['det_probs_sub'][theirs]).abs().max() <= 1e-4
