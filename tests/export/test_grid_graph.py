"""The graph of grid masks against the head that it is of: candidates, masks, and what comes after them."""

import numpy as np
import pytest
import torch
from exported_heads import grid_detector, sample
from grid_heads import AGGREGATED, CHANNELS, DEFORMED, KINDS, NORM, aggmask_head, mmagg_head

from mmagg.export.graphs import graph_of
from mmagg.export.grid_graph import GridGraph
from mmagg.export.grid_masks import SOLOCandidates, group_of
from mmagg.export.plain_modules import exportable
from mmagg.models.heads.grid_mask_head import cells_first
from mmagg.ops import points_nms, rle_to_masks
from mmagg.runtime.grid_post_processor import GridPostProcessor

CONTEXT = dict(type='MultiLevelContext', in_channels=CHANNELS, channels=3, hidden_channels=None)
DYNAMIC = dict(type='DynamicParameters', in_channels=CHANNELS, channels=CHANNELS)
# AggMask, Table 6, and the switches of the release.
SWITCHES = {
    'no context': dict(context=None, parameters=DYNAMIC),
    'context alone': dict(context=CONTEXT, parameters=DYNAMIC, neighbours='none'),
    'itself': dict(context=CONTEXT, parameters=DYNAMIC, neighbours='self'),
    'eight': dict(context=CONTEXT, parameters=DYNAMIC, neighbours='8'),
    'kernel of 1': dict(context=CONTEXT, parameters=DYNAMIC, kernel_size=1),
    'one layer': dict(context=CONTEXT, parameters=DYNAMIC, num_layers=1),
    'four layers': dict(context=CONTEXT, parameters=DYNAMIC, num_layers=4),
    'probabilities': dict(context=CONTEXT, parameters=DYNAMIC, mask_activation='sigmoid'),
    'static': dict(context=CONTEXT, parameters=dict(type='StaticParameters')),
    'mask features': dict(context=CONTEXT | dict(source='mask_features'), parameters=DYNAMIC),
}


def sharp(head):
    """A head with random weights whose scores and masks spread over the whole range."""
    with torch.no_grad():
        for name, p in head.named_parameters():
            if name.endswith('.weight') and p.ndim == 4:
                p.normal_(std=0.3)
        head.conv_cls.bias.fill_(-1.0)
    return head


def heads():
    for kind in KINDS:
        yield kind, lambda kind=kind: sharp(mmagg_head(kind))
    for kind in (*AGGREGATED, *DEFORMED):
        yield f'aggmask {kind}', lambda kind=kind: aggmask_head(kind)
    for name, aggregator in SWITCHES.items():
        base = 'solov2' if name == 'mask features' else 'solo'
        yield name, lambda b=base, a=aggregator: sharp(mmagg_head(b, aggregator=dict(type='DynamicAggregator') | a))
    yield 'early SOLOv2', lambda: sharp(
        mmagg_head(
            'solov2',
            mask_branch=dict(
                type='DynamicMaskBranch', channels=CHANNELS, num_convs=1, norm_cfg=NORM, kernel_size=1,
                feature_channels=CHANNELS, out_channels=CHANNELS, feature_branch_norm=False,
            ),
        )
    )  # fmt: skip
    for align in ('adaptive_pool', 'region_grid'):
        yield align, lambda align=align: sharp(mmagg_head('solo', class_align=align))
    yield 'no points NMS', lambda: sharp(mmagg_head('solo', test_cfg=dict(points_nms=False)))


HEADS = dict(heads())


@pytest.mark.parametrize('kind', HEADS)
@torch.no_grad()
def test_candidates_and_masks_are_the_heads(kind):
    detector = grid_detector(HEADS[kind]())
    head, images = detector.mask_head, torch.randn(2, 3, 64, 128)
    graph = GridGraph(exportable(detector), candidates=40)
    found = dict(zip(graph.outputs, graph(images), strict=True))
    cls_logits, masks = head(detector.extract_feat(images))
    probs = [x.sigmoid() for x in cls_logits]
    by_cell = cells_first([points_nms(x) for x in probs] if head.post_process.points_nms else probs)
    by_cell = by_cell * (by_cell > head.post_process.score_thr)
    levels = np.repeat(np.arange(5), np.square(head.grids))
    for image in range(2):
        flat = by_cell[image].flatten()
        assert int((flat > 0).sum()) > 40, 'the comparison needs candidates'
        index, _ = flat.topk(40).indices.sort()
        cells = index // head.num_classes
        torch.testing.assert_close(found['scores'][image], flat[index])
        assert torch.equal(found['labels'][image], index % head.num_classes)
        assert found['min_areas'][image].tolist() == [head.strides[levels[cell]] for cell in cells.tolist()]
        assert len(set(levels[cells])) > 1, 'the comparison needs candidates of several levels'
        wanted = head.decode(masks, image, cells.numpy(), images.device)
        torch.testing.assert_close(found['masks'][image], wanted, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize('kind', ['solo', 'decoupled', 'solov2', 'aggmask solo', 'aggmask solov2'])
@torch.no_grad()
def test_instances_are_the_heads(kind):
    """Of an image with padding, by the post-processor in NumPy."""
    detector = grid_detector(HEADS[kind]())
    head, images = detector.mask_head, torch.randn(1, 3, 64, 128)
    (wanted,) = head.predict(detector.extract_feat(images), [sample(60, 101, (64, 128))])
    graph = GridGraph(exportable(detector), candidates=500)
    (scores, labels, areas, masks) = (x[0].numpy() for x in graph(images))
    post_process = GridPostProcessor(score_thr=0.1, mask_thr=0.5, nms_pre=500, filter_thr=0.05)
    found = post_process(
        scores, labels, areas, masks, upsampled_size=(64, 128), img_shape=(60, 101), out_size=(60, 101)
    )
    assert len(wanted.scores) > 5, 'the comparison needs instances'
    np.testing.assert_allclose(found.scores, wanted.scores.numpy(), atol=1e-4)
    assert found.labels.tolist() == wanted.labels.tolist()
    assert (rle_to_masks(list(found.rles), 60, 101) != wanted.masks).float().mean() < 1e-4


@torch.no_grad()
def test_no_mask_is_computed_where_none_passed_the_threshold(monkeypatch):
    graph = GridGraph(exportable(grid_detector(sharp(mmagg_head('solo')))), candidates=200)
    given, images = graph.model.mask_head.post_process, torch.randn(1, 3, 64, 128)
    given.score_thr = float(graph(images)[0].flatten().sort(descending=True).values[70])  # two chunks of four
    calls = []

    def counted(self, cells, *args, **options):
        calls.append(len(cells))
        return probs(self, cells, *args, **options)

    probs = SOLOCandidates.probs
    monkeypatch.setattr(SOLOCandidates, 'probs', counted)
    scores, _, _, masks = (x[0] for x in graph(images))
    assert int((scores > 0).sum()) == 70
    assert (scores[:70] > 0).all()
    assert masks[:70].flatten(1).any(1).all()
    assert not masks[128:].any()
    assert 2 <= len(calls) <= 6  # two chunks, each in the sizes of masks that it has
    given.score_thr = 0.999999
    scores, _, _, masks = graph(images)
    assert not scores.any()
    assert not masks.any()


@torch.no_grad()
def test_no_more_candidates_than_cells_and_classes():
    detector = grid_detector(sharp(mmagg_head('solo')))
    graph = graph_of(detector, candidates=10**6)
    assert graph.candidates == sum(side**2 for side in detector.mask_head.grids) * detector.mask_head.num_classes
    assert graph(torch.randn(1, 3, 64, 64))[0].shape == (1, graph.candidates)


def test_masks_of_an_unknown_kind_are_refused():
    with pytest.raises(TypeError, match='masks of object have no exported form'):
        group_of([object()], [3], [3])
