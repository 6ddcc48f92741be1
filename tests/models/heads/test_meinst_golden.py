"""FCOS and mask codes together, against the release's losses, gradients and detections."""

import pytest
import torch
from golden_blendmask import assert_relative
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import PolygonMasks
from mmengine.structures import InstanceData
from torch import Tensor

from mmagg import register  # noqa: F401
from mmagg.models.heads import BoxedMaskHead
from mmagg.models.heads.location_head import LocationMaps, LocationTargets, centerness_of
from mmagg.models.masks import PCAMaskCodec
from mmagg.models.masks.boxed.boxed_masks import Positives, Regions
from mmagg.weights.adelaidet_keys import adelaidet_to_mmagg

LEVELS = ('p3', 'p4', 'p5', 'p6', 'p7')
SIZE = (64, 80)


@MODELS.register_module(force=True)
class ReplayingCodec(PCAMaskCodec):
    """Encodes with the release's draws, one row for each mask."""

    draws: Tensor

    def encode(self, masks, labels):
        return super().encode(masks, labels, noise=self.draws)


def read_case(shared, name: str) -> dict:
    return torch.load(shared / 'golden/meinst' / f'{name}.pt', weights_only=True)


def meinst_head(codec: dict, *, num_classes: int, num_convs: int, **test_cfg) -> BoxedMaskHead:
    tower = dict(num_convs=num_convs, bias=True, norm_cfg=dict(type='GN', num_groups=32))
    towers = dict(class_tower=tower, box_tower=tower) if num_convs else {}
    return BoxedMaskHead(
        boxes=dict(
            type='LocationHead',
            num_classes=num_classes,
            in_channels=32,
            channels=32,
            **towers,
            use_scale=True,
            assigner=dict(
                type='LocationAssigner', ranges=((-1, 64), (64, 128), (128, 256), (256, 512), (512, float('inf')))
            ),
            loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25),
            loss_box=dict(type='DistanceIoULoss', kind='giou'),
            loss_centerness=dict(type='CrossEntropyLoss', use_sigmoid=True),
        ),
        coefficients=dict(in_channels=32, tower=tower if num_convs else None),
        masks=dict(type='CodedMasks', codec=codec, loss='l2', encode_per='positive'),
        test_cfg=dict(filter_by='class', clip_boxes=False, **test_cfg),
    )


def codec_config(case: dict, size: int, number: int) -> dict:
    return dict(type='ReplayingCodec', mask_size=size, num_codes=number, sigmoid='random')


def test_losses_on_given_predictions(shared) -> None:
    case = read_case(shared, 'meinst_losses_mse')
    head = meinst_head(codec_config(case, 14, 16), num_classes=int(case['num_classes']), num_convs=0)
    codec = head.masks.codec
    codec.load_state_dict({k: case[k] for k in ('components', 'mean', 'explained_variance')})
    codec.draws = case['noise']

    places = (case['labels'] < case['num_classes']).nonzero().squeeze(1)
    centerness = centerness_of(case['reg_targets'][places])
    gts = torch.arange(len(places))
    targets = LocationTargets(
        case['labels'], places, gts, case['reg_targets'][places], centerness, centerness.sum().clamp(min=1e-6)
    )
    inputs = {k: case[k].clone().requires_grad_() for k in ('logits', 'reg', 'ctr', 'mask_pred')}
    as_map = lambda x: [x.t()[None, :, :, None]]  # noqa: E731
    maps = LocationMaps(as_map(inputs['logits']), as_map(inputs['reg']), as_map(inputs['ctr'][:, None]), [])
    losses = head.boxes.loss(maps, targets)
    labels, masks = case['labels'][places], case['masks'].unflatten(1, (14, 14))
    positives = Positives(inputs['mask_pred'][places], gts, centerness, targets.denominator)
    losses['loss_mask'] = head.masks.loss(positives, Regions(torch.zeros(len(gts), 5), labels, None), masks)

    assert_relative(head.masks.encode(masks, labels, gts), case['mask_code'], 2e-5)
    for name, theirs in (('cls', 'cls'), ('bbox', 'loc'), ('centerness', 'ctr'), ('mask', 'mask')):
        assert_relative(losses[f'loss_{name}'], case[f'loss_{theirs}'], 2e-5)
    sum(losses.values()).backward()
    for name, value in inputs.items():
        assert_relative(value.grad, case[f'grad_{name}'], 1e-4)


@pytest.fixture
def case(shared) -> dict:
    return read_case(shared, 'meinst_head_e2e')


@pytest.fixture
def head(case) -> BoxedMaskHead:
    head = meinst_head(
        codec_config(case, *case['size_dim'].tolist()), num_classes=3, num_convs=1, nms_pre=30, max_per_img=10
    )
    state = {k.removeprefix('sd.'): v for k, v in case.items() if k.startswith('sd.')}
    head.load_state_dict({k.removeprefix('mask_head.'): v for k, v in adelaidet_to_mmagg(state).items()})
    assert head.masks.codec.fitted
    head.masks.codec.draws = case['noise']
    return head


def samples_of(case: dict) -> list[DetDataSample]:
    """Two images; an object may have several polygons."""
    objects = [[] for _ in case['gt_img']]
    for part, gt in zip(case['poly_xy'].split(case['poly_len'].tolist()), case['poly_gt'].tolist(), strict=True):
        objects[gt].append(part.numpy())
    samples = []
    for image in range(2):
        own = case['gt_img'] == image
        sample = DetDataSample(metainfo=dict(batch_input_shape=SIZE, img_shape=SIZE))
        masks = PolygonMasks([objects[i] for i in own.nonzero().flatten().tolist()], *SIZE)
        sample.gt_instances = InstanceData(bboxes=case['gt_boxes'][own], labels=case['gt_labels'][own], masks=masks)
        samples.append(sample)
    return samples


def test_head_trains_as_the_release(case, head) -> None:
    given = []
    loss = head.masks.loss
    head.masks.loss = lambda *args: given.extend(args) or loss(*args)
    losses = head.loss([case[level] for level in LEVELS], samples_of(case))
    positives, objects, targets = given
    assert torch.equal(targets[positives.gts].flatten(1), case['mask_targets'])
    assert torch.equal(objects.labels[positives.gts], case['pos_labels'])
    for name, theirs in (('cls', 'cls'), ('bbox', 'loc'), ('centerness', 'ctr'), ('mask', 'mask')):
        assert_relative(losses[f'loss_{name}'], case[f'loss_MEInst_{theirs}'], 2e-5)
    sum(losses.values()).backward()
    assert_relative(head.coefficients.conv.weight.grad[::4, ::4], case['grad_mask_pred_w_sub'], 1e-4)


def test_positives_are_the_release_s(case, head) -> None:
    instances = [x.gt_instances for x in samples_of(case)]
    sizes = [case[level].shape[-2:] for level in LEVELS]
    targets = head.boxes.assign(sizes, [x.bboxes for x in instances], [x.labels for x in instances])
    assert torch.equal(targets.places, case['pos_inds'])
    assert torch.equal(targets.labels[targets.places], case['pos_labels'])


@torch.no_grad()
def test_detections_are_the_release_s(case, head) -> None:
    head.eval()
    maps, features, shared_by_masks = head([case[level] for level in LEVELS])
    for image, size in enumerate(case['image_sizes'].tolist()):
        found = head.detect(maps, image, tuple(size))
        theirs = case['det_img'] == image
        assert torch.equal(found.labels, case['det_labels'][theirs])
        assert (found.boxes - case['det_boxes'][theirs]).abs().max() <= 1e-3
        assert (found.scores - case['det_scores'][theirs]).abs().max() <= 1e-5
        logits = head.decode([x[image : image + 1] for x in features], shared_by_masks, found, image)
        assert (logits.sigmoid() - case['det_masks'][theirs]).abs().max() <= 1e-4
