"""MEInst's head: what must hold whatever the weights, and the sizes of the authors' models."""

import pytest
import torch
from boxed_heads import pyramid
from coded_heads import CODED, KINDS, SIZE, coded_head
from grid_heads import CLASSES, batch_samples
from mmdet.registry import MODELS
from mmengine.structures import InstanceData
from torch import nn

from mmagg.apis.config import load_config
from mmagg.models.layers import ConvTower
from mmagg.models.targets import box_mask_targets


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('images', [['few', 'empty'], ['empty', 'few'], ['empty', 'empty'], ['tiny', 'crowded']])
def test_every_parameter_has_a_finite_gradient(kind, images) -> None:
    head = coded_head(kind)
    losses = head.loss(pyramid(2, 96, 128), batch_samples(images, 96, 128))
    sum(losses.values()).backward()
    assert all(torch.isfinite(loss) for loss in losses.values())
    for name, p in head.named_parameters():
        assert p.grad is not None, f'DistributedDataParallel would wait for {name}'
        assert torch.isfinite(p.grad).all(), name
    assert (losses['loss_mask'] == 0) == (images == ['empty', 'empty'])
    if 'crowded' in images:
        assert all(p.grad.any() for p in head.coefficients.parameters())


@pytest.mark.parametrize('kind', ['codes', 'direct', 'large kernel', 'deformable'])
def test_batch_equals_one_by_one(kind) -> None:
    head = coded_head(kind).double().eval()
    # 33 pixels are 2 x 2 locations on the last level: fewer than a deformable kernel.
    feats, samples = [x.double() for x in pyramid(3, 33, 48)], batch_samples(['few'] * 3, 33, 48)
    with torch.no_grad():
        together = head.predict(feats, samples)
        for i, result in enumerate(together):
            (alone,) = head.predict([x[i : i + 1] for x in feats], samples[i : i + 1])
            assert len(result.scores) > 3
            assert torch.equal(alone.labels, result.labels)
            assert torch.equal(alone.places, result.places)
            torch.testing.assert_close(alone.bboxes, result.bboxes)
            assert (alone.masks != result.masks).float().mean() < 1e-4


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
@pytest.mark.parametrize('kind', ['codes', 'implicit', 'deformable'])
def test_amp_trains(kind, dtype) -> None:
    feats, samples = pyramid(2, 96, 128), batch_samples(['few', 'empty'], 96, 128)
    head = coded_head(kind)
    with torch.autocast('cpu', dtype):
        losses = head.loss(feats, samples)
    sum(losses.values()).backward()
    for name, value in coded_head(kind).loss(feats, samples).items():
        torch.testing.assert_close(losses[name].float(), value, rtol=0.05, atol=0.02)
    assert all(p.grad.isfinite().all() for p in head.parameters())


def with_codes_of(head, samples) -> dict:
    """The arguments of the masks' loss in training, and the codes that each positive is to predict."""
    given = []
    loss = head.masks.loss
    head.masks.loss = lambda *args: given.extend(args) or loss(*args)
    losses = head.loss(pyramid(len(samples), 96, 128), samples)
    positives, objects, targets = given
    codes = head.masks.encode(targets, objects.labels, positives.gts)
    return dict(losses=losses, gts=positives.gts, codes=codes)


def test_a_mask_is_encoded_once_and_belongs_to_the_object_of_the_location() -> None:
    samples = batch_samples(['few', 'few'], 96, 128)
    gts = samples[1].gt_instances
    # Two objects in the same box: the first has it, and its mask counts, whatever a comparison of boxes says.
    gts.bboxes[1], gts.labels[1] = gts.bboxes[0], (gts.labels[0] + 1) % CLASSES
    head = coded_head('codes')
    seen = with_codes_of(head, samples)
    assert head.masks.codec.encoded[0] == 8

    instances = [x.gt_instances for x in samples]
    masks = box_mask_targets([x.masks for x in instances], [x.bboxes for x in instances], size=SIZE)
    sizes = [x.shape[-2:] for x in pyramid(2, 96, 128)]
    targets = head.boxes.assign(sizes, [x.bboxes for x in instances], [x.labels for x in instances])
    assert 4 in targets.gts
    assert 5 not in targets.gts
    labels = torch.cat([x.labels for x in instances])
    for gt, code, label in zip(targets.gts, seen['codes'], targets.labels[targets.places], strict=True):
        want = head.masks.codec.encode(masks[gt : gt + 1], labels[gt : gt + 1])
        torch.testing.assert_close(code[None], want)
        assert label == labels[gt]


@torch.no_grad()
def test_a_detection_is_decoded_as_one_of_its_class() -> None:
    head, feats = coded_head('codes').eval(), pyramid(1, 96, 128)
    maps, features, _ = head(feats)
    found = head.detect(maps, 0, (96, 128))
    assert len(found.labels.unique()) > 1
    codes = head.coefficients.at(features, found.places)
    torch.testing.assert_close(head.decode(features, None, found, 0), head.masks.codec.decode(codes, found.labels))


def test_crowds_are_not_learnt_from() -> None:
    samples = batch_samples(['few', 'few'], 96, 128)
    alone = with_codes_of(coded_head('codes'), samples)
    for sample in samples:
        gts = sample.gt_instances
        sample.ignored_instances = InstanceData(bboxes=gts.bboxes + 3, labels=gts.labels, masks=gts.masks)
    beside = with_codes_of(coded_head('codes'), samples)
    assert torch.equal(alone['codes'], beside['codes'])
    assert all(torch.equal(loss, beside['losses'][name]) for name, loss in alone['losses'].items())


def test_atss_assigns_other_locations() -> None:
    samples = batch_samples(['few', 'few'], 96, 128)
    fcos, atss = (with_codes_of(coded_head(kind), samples) for kind in ('codes', 'atss'))
    assert len(atss['gts']) > 0
    assert fcos['gts'].tolist() != atss['gts'].tolist()


def built(root, name: str) -> nn.Module:
    """The model of a config, without values."""
    with torch.device('meta'):
        return MODELS.build(load_config(root / f'configs/meinst/{name}.py').model)


@pytest.mark.parametrize(
    'name, number',
    [('meinst-none_r50_fpn_1x_coco', 34_845_922), ('meinst_r50_fpn_1x_coco', 34_969_624)],
)
def test_configs_are_as_large_as_the_authors_models(root, name, number) -> None:
    model = built(root, name)
    codec = sum(x.numel() for x in model.mask_head.masks.codec.buffers())
    assert codec == 47_884
    assert sum(p.numel() for p in model.parameters()) + codec == number


def test_without_masks_it_is_fcos(root) -> None:
    """As large as mmdet's FCOS, whose towers have no biases before their GroupNorm; masks are the rest of MEInst."""
    with torch.device('meta'):
        theirs = MODELS.build(load_config('mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py').model)
    ours, whole = built(root, 'fcos_r50_fpn_1x_coco'), built(root, 'meinst-none_r50_fpn_1x_coco')
    sizes = [sum(p.numel() for p in model.parameters()) for model in (theirs, ours, whole)]
    biases = 2 * 4 * 256
    masks = sum(p.numel() for p in whole.mask_head.coefficients.parameters())
    assert sizes == [sizes[1] - biases, sizes[1], sizes[1] + masks]


def test_towers_start_as_the_authors(root) -> None:
    tower = load_config(root / 'configs/_base_/models/meinst_r50_fpn.py').model.mask_head.coefficients.tower
    net = ConvTower(in_channels=256, channels=256, **tower)
    net.init_weights()
    *plain, last = net
    for conv in (*(layer.conv for layer in plain), last.conv.conv_offset):
        assert conv.weight.std().item() == pytest.approx(0.01, rel=0.05)
        assert not conv.bias.any()


@pytest.mark.parametrize('option', [dict(codec=None, mask_size=SIZE), dict(loss='mse')])
def test_bad_masks_are_refused(option) -> None:
    with pytest.raises(ValueError, match='CodedMasks'):
        coded_head('codes', masks=CODED | option)
