"""GridMaskHead against mmdet's four heads with the same weights, and its own properties."""

import numpy as np
import pytest
import torch
from grid_heads import GRIDS, KINDS, TEST_CFG, batch_samples, mmagg_head, pair, pyramid
from mmdet.registry import MODELS

from mmagg.models.masks import LocalMasks
from mmagg.models.masks.grid.solo import SOLOMasks
from mmagg.models.targets import downsample_masks
from mmagg.ops import rle_to_masks
from mmagg.ops.grid_align import ALIGNMENTS
from mmagg.weights.key_maps import mmdet_to_mmagg

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


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('size', [(32, 32), (64, 96), (128, 160), (101, 157)])
@pytest.mark.parametrize('batch', [['empty'], ['tiny'], ['empty', 'few']])
def test_small_and_empty_inputs_train_and_predict(kind, size, batch):
    head = mmagg_head(kind)
    head.init_weights()
    samples = batch_samples(batch, *size)
    feats = pyramid(len(batch), *size, grad=True)
    losses = head.loss(feats, samples)
    sum(losses.values()).backward()
    assert all(torch.isfinite(x) for x in losses.values())
    assert all(torch.isfinite(p.grad).all() for p in head.parameters())
    results = head.eval().predict(pyramid(len(batch), *size), samples)
    for result, sample in zip(results, samples, strict=True):
        # a fresh head is sure of nothing: no candidates at all
        assert result.masks.shape == (0, *sample.ori_shape)
        assert result.masks.dtype == torch.bool
        assert result.labels.dtype == torch.int64
        assert result.bboxes.shape == (0, 4)


@pytest.mark.parametrize('kind', KINDS)
def test_batch_equals_one_by_one(kind):
    _, head = pair(kind, sharp=True)
    feats, samples = pyramid(3, 64, 96), batch_samples(['few'] * 3, 64, 96)
    with torch.no_grad():
        together = head.eval().predict(feats, samples)
        for i, result in enumerate(together):
            (alone,) = head.predict([x[i : i + 1] for x in feats], samples[i : i + 1])
            # Convolutions round differently for another batch size: a pixel at the threshold may flip.
            assert (alone.masks != result.masks).float().mean() < 1e-4
            torch.testing.assert_close(alone.scores, result.scores, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('kind', KINDS)
def test_byte_budget_and_mask_format_change_nothing_but_the_memory(kind):
    # In float64: the BLAS library may sum the products of one row in another order than those of many, and in float32
    # that moves a pixel over the threshold now and then.
    head = pair(kind, sharp=True)[1].double().eval()
    feats, samples = [x.double() for x in pyramid(1, 64, 96)], batch_samples(['few'], 64, 96)
    with torch.no_grad():
        (dense,) = head.predict(feats, samples)
        (frugal,) = with_test_cfg(head, kind, byte_budget=1).double().eval().predict(feats, samples)
        (rle,) = with_test_cfg(head, kind, mask_format='rle').double().eval().predict(feats, samples)
    assert torch.equal(dense.masks, frugal.masks)
    assert torch.equal(dense.masks, rle_to_masks(rle.masks, *dense.masks.shape[1:]))
    assert torch.equal(dense.bboxes, rle.bboxes)
    assert (rle.bboxes[:, 2:] > rle.bboxes[:, :2]).any(), 'boxes come from the masks'


@pytest.mark.parametrize('kind', KINDS)
def test_channels_last_changes_nothing_but_the_layout(kind):
    head = pair(kind, sharp=True)[1].eval()
    feats, samples = pyramid(2, 64, 96), batch_samples(['few', 'empty'], 64, 96)
    losses = head.loss(feats, samples)
    with torch.no_grad():
        results = head.predict(feats, samples)
        head = head.to(memory_format=torch.channels_last)
        feats = [x.contiguous(memory_format=torch.channels_last) for x in feats]
        others = head.predict(feats, samples)
    for name, loss in head.loss(feats, samples).items():
        torch.testing.assert_close(loss, losses[name], rtol=1e-4, atol=1e-5)
    for result, other in zip(results, others, strict=True):
        assert torch.equal(result.labels, other.labels)
        assert (result.masks != other.masks).float().mean() < 1e-4  # roundings at the threshold
        torch.testing.assert_close(result.scores, other.scores, rtol=1e-4, atol=1e-5)


def test_masks_are_computed_only_where_asked_for():
    """Levels without objects never run the mask tower."""
    head = mmagg_head('solo')
    runs = []
    head.mask_branch.tower.register_forward_hook(lambda *_: runs.append(1))
    head(pyramid(1, 128, 160))
    assert not runs
    head.loss(pyramid(1, 128, 160), batch_samples(['empty'], 128, 160))
    assert not runs
    samples = batch_samples(['few'], 128, 160)
    samples[0].gt_instances = samples[0].gt_instances[:1]  # one level, or two where the ranges overlap
    head.loss(pyramid(1, 128, 160), samples)
    assert 1 <= len(runs) <= 2


def test_at_most_max_positives_masks_are_learnt_from():
    head = mmagg_head('solo', train_cfg=dict(max_positives=5))
    asked = []
    original = SOLOMasks.at
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            SOLOMasks, 'at', lambda self, image, cells: asked.append(len(cells)) or original(self, image, cells)
        )
        losses = head.loss(pyramid(1, 128, 160), batch_samples(['crowded'], 128, 160))
    assert sum(asked) == 5
    assert torch.isfinite(losses['loss_mask'])


def test_conflicts_and_min_area_are_options():
    samples = batch_samples(['crowded'], 128, 160)
    feats = pyramid(1, 128, 160)
    last, duplicate = (mmagg_head('solov2', assigner=dict(conflicts=c)) for c in ('last', 'duplicate'))
    duplicate.load_state_dict(last.state_dict())
    a, b = (head.loss(feats, samples) for head in (last, duplicate))
    assert a['loss_cls'] == b['loss_cls']
    assert b['loss_mask'] > a['loss_mask'] * 1.01, 'shared cells are counted twice'
    tiny = batch_samples(['tiny'], 128, 160)
    every, large = (mmagg_head('solo', assigner=dict(min_area=n)) for n in (1, 10))
    counts = [
        len(h.assigner.assign(tiny[0].gt_instances.bboxes, gt_masks(tiny[0]), (128, 160)).cells) for h in (every, large)
    ]
    assert counts[0] > counts[1] > 0


def gt_masks(sample):
    return sample.gt_instances.masks.to_tensor(torch.uint8, 'cpu')


@pytest.mark.parametrize(
    'loss',
    [
        dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=20.0),
        dict(type='CrossEntropyLoss', use_sigmoid=True, class_weight=[2.0], loss_weight=10.0),
    ],
)
def test_pixel_losses_are_averaged_per_mask(loss):
    """The value of a per-pixel loss, against its formula."""
    head = mmagg_head('solo', loss_mask=loss)
    feats, samples = pyramid(1, 64, 96), batch_samples(['few'], 64, 96)
    value = head.loss(feats, samples)['loss_mask']
    target = head.assigner.assign(samples[0].gt_instances.bboxes, gt_masks(samples[0]), (64, 96))
    _, masks = head(feats)
    terms = []
    for level, part, cells in head.by_level(target.cells.numpy()):
        logits = masks[level].at(0, torch.from_numpy(cells))
        wanted = downsample_masks(gt_masks(samples[0]), stride=masks[level].stride, size=masks[level].size)
        wanted = wanted[target.gts[part]].float()
        p = logits.sigmoid()
        if loss['type'] == 'FocalLoss':
            pt = p * wanted + (1 - p) * (1 - wanted)
            pixel = -(0.25 * wanted + 0.75 * (1 - wanted)) * (1 - pt) ** 2 * pt.log() * 20
        else:
            pixel = -(2 * wanted * p.log() + (1 - wanted) * (1 - p).log()) * 10
        terms.append(pixel.flatten(1).mean(1))
    torch.testing.assert_close(value, torch.cat(terms).mean(), rtol=1e-4, atol=1e-5)


class NeighbourMean(torch.nn.Module):
    """A stand-in for an aggregator: the mean of a cell's mask and of the mask of the cell to the right."""

    class Masks(LocalMasks):
        def __init__(self, source, grid):
            self.source, self.grid, self.size, self.stride = source, grid, source.size, source.stride

        def at(self, image, cells):
            right = cells + (cells % self.grid < self.grid - 1)
            return (self.source.at(image, cells) + self.source.at(image, right)) / 2

    def __init__(self, grids, mask_grids, byte_budget):
        super().__init__()

    def forward(self, feats, levels, class_feats, masks):
        return [self.Masks(x, grid) for x, grid in zip(masks, GRIDS, strict=True)]


def test_an_aggregator_takes_the_place_of_the_local_masks():
    MODELS.register_module(module=NeighbourMean, force=True)
    plain = mmagg_head('solo')
    mixed = mmagg_head('solo', aggregator=dict(type='NeighbourMean'))
    mixed.load_state_dict(plain.state_dict())
    feats = pyramid(2, 64, 96)
    cells = torch.tensor([3, GRIDS[0] - 1])
    (_, single), (_, mean) = plain(feats), mixed(feats)
    a, b, c = (single[0].at(1, torch.tensor([i]))[0] for i in (3, 4, GRIDS[0] - 1))
    torch.testing.assert_close(mean[0].at(1, cells), torch.stack([(a + b) / 2, c]))
    losses = mixed.loss(feats, batch_samples(['few', 'empty'], 64, 96))
    assert torch.isfinite(losses['loss_mask'])


@pytest.mark.parametrize('kind', KINDS)
def test_bfloat16_autocast_trains_and_predicts(kind):
    _, head = pair(kind, sharp=True)
    feats, samples = pyramid(2, 64, 96), batch_samples(['few', 'empty'], 64, 96)
    with torch.autocast('cpu', torch.bfloat16):
        losses = head.loss(feats, samples)
        sum(losses.values()).backward()
        with torch.no_grad():
            results = head.eval().predict(feats, samples)
    assert all(torch.isfinite(x) for x in losses.values())
    assert all(torch.isfinite(p.grad).all() for p in head.parameters())
    assert results[0].scores.dtype == torch.float32


@pytest.mark.parametrize('align', ALIGNMENTS)
def test_the_class_tower_sees_the_aligned_level(align):
    head, feats = mmagg_head('solo', class_align=align), pyramid(2, 64, 96)
    logits, _ = head(feats)
    for level, grid, got in zip(head.resize(feats), GRIDS, logits, strict=True):
        torch.testing.assert_close(got, head.conv_cls(head.class_tower(ALIGNMENTS[align](level, grid))))
    samples = batch_samples(['few', 'empty'], 64, 96)
    assert all(torch.isfinite(x) for x in head.loss(feats, samples).values())
    assert len(head.eval().predict(feats, samples)) == 2


def test_without_points_nms_all_sure_cells_are_candidates():
    """SOLO, Sec. 2.4: every cell above the threshold goes to mask NMS."""
    _, ours = pair('solo', sharp=True)
    feats, samples = pyramid(1, 64, 96), batch_samples(['few'], 64, 96)
    with torch.no_grad():
        scores = torch.cat([x.sigmoid().flatten(2)[0].t() for x in ours(feats)[0]])
        found = {}
        for points_nms in (True, False):
            head = with_test_cfg(ours, 'solo', points_nms=points_nms, nms=dict(type='MaskNMS', iou_thr=0.5)).eval()
            (result,) = head.predict(feats, samples)
            assert len(result.scores) > 2
            found[points_nms] = candidates(head, feats, samples)
    torch.testing.assert_close(found[False], scores[scores > TEST_CFG['score_thr']])
    assert 0 < len(found[True]) < 0.8 * len(found[False])
    assert set(found[True].tolist()) < set(found[False].tolist())


def candidates(head, feats, samples):
    """The class scores of the candidates that a head hands to its post-processor."""
    scores = []
    original = head.post_process.suppress
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            head.post_process, 'suppress', lambda *x, **given: scores.append(given['scores']) or original(*x, **given)
        )
        head.predict(feats, samples)
    return scores[0]


def test_wrong_settings_are_refused_at_construction():
    with pytest.raises(ValueError, match="class_align is 'pool'"):
        mmagg_head('solo', class_align='pool')
    with pytest.raises(ValueError, match='one entry per level'):
        mmagg_head('solo', grids=(10, 8))
    with pytest.raises(ValueError, match='conflicts'):
        mmagg_head('solo', assigner=dict(conflicts='first'))
    with pytest.raises(TypeError, match='score_threshold'):
        mmagg_head('solo', test_cfg=dict(score_threshold=0.3))


def test_a_cell_that_is_asked_for_twice_is_decoded_once():
    """Two classes of one cell share its mask; the order asked for is kept, over levels."""
    head, feats = mmagg_head('solo'), pyramid(1, 64, 96)
    head.init_weights()
    cells = np.array([GRIDS[0] ** 2 + 5, 3, GRIDS[0] ** 2 + 5, 7])
    asked = []
    original = SOLOMasks.at
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        _, masks = head(feats)
        patch.setattr(SOLOMasks, 'at', lambda self, image, c: asked.append(len(c)) or original(self, image, c))
        probs = head.decode(masks, 0, cells, feats[0].device)
        assert sum(asked) == 3
        expected = [masks[level].probs_at(0, torch.tensor([c]), masks[0].size)[0] for level, c in ((1, 5), (0, 3))]
    assert torch.equal(probs[0], probs[2])
    torch.testing.assert_close(probs[:2], torch.stack(expected))


def test_cells_are_integers_where_torch_compile_traces_numpy():
    head, cells = mmagg_head('solo'), np.array([3, 50, 120])
    plain, traced = head.by_level(cells), torch.compile(head.by_level, backend='eager')(cells)
    assert [level for level, _, _ in traced] == [level for level, _, _ in plain] == [0, 1]
    assert all(local.dtype.kind == 'i' for _, _, local in traced)
