"""GridMaskHead against mmdet's four heads with the same weights, and its own properties."""

import pytest
import torch
from grid_heads import KINDS, batch_samples, mmagg_head, pair, pyramid

BATCHES = {
    'mixed': ['few', 'empty', 'crowded'],
    'empty': ['empty', 'empty'],
    'tiny': ['tiny', 'few'],
    'crowded': ['crowded', 'crowded'],
}


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('batch', BATCHES)
def test_losses_and_gradients_equal_mmdet(kind, batch):
    theirs, ours = pair(kind)
    results = []
    for head in (theirs, ours):
        feats = pyramid(len(BATCHES[batch]), 128, 160, grad=True)
        losses = head.loss(feats, batch_samples(BATCHES[batch], 128, 160))
        sum(losses.values()).backward()
        results.append((losses, [x.grad for x in feats], {k: p.grad for k, p in head.named_parameters()}))
    (their_losses, their_grads, their_params), (our_losses, our_grads, our_params) = results
    for name in ('loss_mask', 'loss_cls'):
        torch.testing.assert_close(our_losses[name], their_losses[name], rtol=1e-5, atol=1e-5)
    for a, b in zip(our_grads, their_grads, strict=True):
        assert_gradients_close(a, b)
    from mmagg.apis.converters import mmdet_to_mmagg

    zeros = {k: torch.zeros_like(p) for k, p in theirs.named_parameters()}
    renamed = mmdet_to_mmagg({k: zeros[k] if g is None else g for k, g in their_params.items()})
    assert renamed.keys() == our_params.keys()
    for name, grad in renamed.items():
        assert our_params[name] is not None, f'{name} has no gradient: DistributedDataParallel would wait for it'
        assert_gradients_close(our_params[name], grad, name)


def assert_gradients_close(ours, theirs, name=''):
    """Equal within 1e-5 of the largest gradient."""
    theirs = torch.zeros_like(ours) if theirs is None else theirs
    scale = theirs.abs().max().clamp(min=1e-3)
    torch.testing.assert_close(ours / scale, theirs / scale, rtol=1e-5, atol=1e-5, msg=lambda m: f'{name}: {m}')


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('kernel', ['gaussian', 'linear'])
def test_detections_equal_mmdet(kind, kernel):
    theirs, ours = pair(kind, sharp=True, kernel=kernel, max_per_img=30)
    ours = with_test_cfg(ours, kind, nms=dict(type='MatrixNMS', kernel=kernel), max_per_img=30)
    sizes = [(128, 160), (101, 157), (64, 150)]
    samples = batch_samples(['few'] * 3, 128, 160, image_sizes=sizes)
    feats = pyramid(3, 128, 160)
    with torch.no_grad():
        expected = theirs.eval().predict(feats, samples, rescale=True)
        results = ours.eval().predict(feats, samples, rescale=True)
    for a, b in zip(results, expected, strict=True):
        assert len(b.scores) > 5, 'the comparison needs detections'
        torch.testing.assert_close(a.scores, b.scores, rtol=1e-5, atol=1e-6)
        assert torch.equal(a.labels, b.labels)
        assert a.masks.shape == b.masks.shape
        assert torch.equal(a.masks, b.masks)


def with_test_cfg(head, kind, **test_cfg):
    """The same weights with other test settings."""
    other = mmagg_head(kind, test_cfg=test_cfg)
    other.load_state_dict(head.state_dict())
    return other
