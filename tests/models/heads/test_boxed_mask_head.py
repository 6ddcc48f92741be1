"""BlendMask's head: what must hold whatever the weights."""

import pytest
import torch
from boxed_heads import KINDS, boxed_head, pyramid
from grid_heads import batch_samples


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('images', [['few', 'empty'], ['empty', 'few'], ['empty', 'empty'], ['tiny', 'crowded']])
def test_every_parameter_has_a_finite_gradient(kind, images) -> None:
    head = boxed_head(kind)
    losses = head.loss(pyramid(2, 96, 128), batch_samples(images, 96, 128))
    sum(losses.values()).backward()
    assert all(torch.isfinite(loss) for loss in losses.values())
    for name, p in head.named_parameters():
        assert p.grad is not None, f'DistributedDataParallel would wait for {name}'
        assert torch.isfinite(p.grad).all(), name
    if 'crowded' in images:
        assert losses['loss_mask'] > 0.1
        for part in (head.masks.basis, *([head.coefficients] if head.coefficients else [])):
            assert all(p.grad.any() for p in part.parameters())
    else:
        assert (losses['loss_mask'] == 0) == (images == ['empty', 'empty'])


@pytest.mark.parametrize('kind', KINDS)
def test_batch_equals_one_by_one(kind) -> None:
    head = boxed_head(kind).double().eval()
    feats, samples = [x.double() for x in pyramid(3, 96, 128)], batch_samples(['few'] * 3, 96, 128)
    with torch.no_grad():
        together = head.predict(feats, samples)
        for i, result in enumerate(together):
            (alone,) = head.predict([x[i : i + 1] for x in feats], samples[i : i + 1])
            assert len(result.scores) > 5
            assert torch.equal(alone.labels, result.labels)
            assert torch.equal(alone.places, result.places)
            torch.testing.assert_close(alone.bboxes, result.bboxes)
            assert (alone.masks != result.masks).float().mean() < 1e-4


def test_masks_lie_in_their_boxes_at_the_original_size() -> None:
    head = boxed_head('blend').eval()
    (result,) = head.predict(pyramid(1, 96, 128), batch_samples(['few'], 96, 128, image_sizes=[(90, 120)]))
    height, width = 90 * 3 // 4 + 1, 120 * 3 // 4 + 2
    assert result.masks.shape[1:] == (height, width)
    assert result.masks.dtype == torch.bool
    assert (result.bboxes[:, 2:] <= torch.tensor([width, height])).all()
    assert result.masks.flatten(1).any(1).sum() > 5
    for mask, (x1, y1, x2, y2) in zip(result.masks, result.bboxes.tolist(), strict=True):
        outside = mask.clone()
        outside[max(0, int(y1) - 2) : int(y2) + 3, max(0, int(x1) - 2) : int(x2) + 3] = False
        assert not outside.any()


def test_rle_is_the_bitmap() -> None:
    from mmagg.ops import rle_to_masks

    feats, samples = pyramid(1, 96, 128), batch_samples(['few'], 96, 128)
    (bitmap,) = boxed_head('blend').eval().predict(feats, samples)
    (rle,) = boxed_head('blend', test_cfg=dict(mask_format='rle', byte_budget=1)).eval().predict(feats, samples)
    assert len(bitmap.masks) > 5
    assert torch.equal(rle_to_masks(rle.masks, *bitmap.masks.shape[1:]), bitmap.masks)


def test_nothing_found_computes_no_bases() -> None:
    head = boxed_head('blend', test_cfg=dict(score_thr=0.999)).eval()
    head.masks.basis.forward = None  # would fail
    for result in head.predict(pyramid(2, 96, 128), batch_samples(['few', 'empty'], 96, 128)):
        assert len(result.scores) == len(result.masks) == len(result.bboxes) == 0


def test_cap_learns_from_some_and_keeps_the_mean() -> None:
    feats, samples = pyramid(2, 96, 128), batch_samples(['crowded', 'crowded'], 96, 128)
    whole = boxed_head('blend').loss(feats, samples)['loss_mask']
    capped = boxed_head('blend', train_cfg=dict(max_positives=8))
    seen = []
    at = capped.coefficients.at
    capped.coefficients.at = lambda features, places: seen.append(len(places)) or at(features, places)
    losses = torch.stack([capped.loss(feats, samples)['loss_mask'] for _ in range(60)])
    assert seen == [8] * 60
    assert abs(losses.mean() / whole - 1) < 0.1
    assert losses.std() > 0


def test_chunks_change_neither_loss_nor_gradient() -> None:
    feats, samples = pyramid(2, 96, 128), batch_samples(['crowded', 'few'], 96, 128)
    outcomes = []
    for budget in (2**28, 50_000):
        head = boxed_head('blend')
        head.masks.byte_budget = budget
        loss = head.loss(feats, samples)['loss_mask']
        loss.backward()
        outcomes.append((loss.detach(), head.coefficients.conv.weight.grad, head.masks.basis.conv_bases.weight.grad))
    assert head.masks.chunk < 10
    for a, b in zip(*outcomes, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_amp_trains(dtype) -> None:
    head = boxed_head('blend')
    with torch.autocast('cpu', dtype):
        losses = head.loss(pyramid(2, 96, 128), batch_samples(['few', 'empty'], 96, 128))
    sum(losses.values()).backward()
    exact = boxed_head('blend').loss(pyramid(2, 96, 128), batch_samples(['few', 'empty'], 96, 128))
    for name, value in exact.items():
        torch.testing.assert_close(losses[name].float(), value, rtol=0.05, atol=0.02)
    assert all(p.grad.isfinite().all() for p in head.parameters())


@pytest.fixture
def pair():
    """A head with masks, and one of the same weights without."""
    head, alone = boxed_head('no semantic'), boxed_head('no semantic', masks=None)
    alone.boxes.load_state_dict(head.boxes.state_dict())
    return head, alone


def test_without_masks_nothing_of_them_is_there(pair) -> None:
    _, alone = pair
    assert all(name.startswith('boxes.') for name, _ in alone.named_parameters())
    assert alone.coefficients is None
    maps, features, shared = alone(pyramid(1, 96, 128))
    assert len(maps.cls_logits) == 3
    assert not features
    assert shared is None


@pytest.mark.parametrize('images', [['few', 'empty'], ['empty', 'empty'], ['tiny', 'crowded']])
def test_without_masks_boxes_are_learnt_as_beside_them(pair, images) -> None:
    head, alone = pair
    samples = batch_samples(images, 96, 128)
    whole = head.loss(pyramid(2, 96, 128), samples)
    for sample in samples:
        del sample.gt_instances.masks  # data without masks
    losses = alone.loss(pyramid(2, 96, 128), samples)
    assert set(whole) - set(losses) == {'loss_mask'}
    for name, value in losses.items():
        torch.testing.assert_close(value, whole[name], rtol=0, atol=0)
    sum(losses.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in alone.parameters())


@pytest.mark.parametrize('mask_format', ['bitmap', 'rle'])
def test_without_masks_the_same_boxes_are_found(pair, mask_format) -> None:
    feats, samples = pyramid(2, 96, 128), batch_samples(['few', 'few'], 96, 128, image_sizes=[(90, 120)] * 2)
    for model in pair:
        model.post_process.mask_format = mask_format
    whole, found = (model.eval().predict(feats, samples) for model in pair)
    for a, b in zip(whole, found, strict=True):
        assert len(b.scores) > 5
        assert set(a.keys()) - set(b.keys()) == {'masks'}
        for name in b.keys():  # noqa: SIM118 (InstanceData is no dict)
            assert torch.equal(a[name], b[name]), name
