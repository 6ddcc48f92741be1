"""AggMask against the outputs of the authors' code (`aggmask/` in the reference folder).

The forward tolerance of 2e-5 is relative to a tensor's largest value (or absolute, where that is below 1): logits reach
several tens, and the reference itself, computed in float32, is up to 3.4e-5 away from our head in float64.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from golden_aggmask import build_head, data_samples, feature_maps, parameters_at, read_case

from mmagg.ops import grid_neighbours, points_nms
from mmagg.weights.key_maps import released_to_mmagg

CASES = [
    *('agg_act_none', 'agg_cls', 'agg_ctx1', 'agg_layers1', 'agg_layers2', 'agg_lw1x1', 'agg_mask_mode4'),
    *('agg_mask_mode5', 'agg_mask_n9', 'agg_n0_contextonly', 'agg_n1', 'agg_n5', 'agg_n5_full945', 'agg_noctx'),
    *('agg_s2sigmoid', 'star_ctx1', 'star_k1', 'star_layers1', 'star_mask_mode4', 'star_n1', 'star_n5'),
    *('star_n5_real32', 'star_noctx', 'star_nosep'),
]
FORWARD = 2e-5


@pytest.fixture(scope='module', params=CASES)
def case(request, shared):
    return read_case(shared, request.param)


def assert_digest(value: torch.Tensor, reference: dict) -> None:
    """Our tensor has the shape of the reference's, and its values where it was sampled."""
    assert list(value.shape) == reference['shape']
    ours, theirs = value.detach().flatten()[:: reference['step']], reference['values'].float()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=FORWARD * max(1, theirs.abs().max().item()))


def test_forward(case):
    head, feats = build_head(case), feature_maps(case)
    levels = head.resize(feats)
    with torch.no_grad():
        cls_logits, _ = head(feats)
        class_feats = [
            head.class_tower(F.interpolate(x, size=(s, s), mode='bilinear'))
            for x, s in zip(levels, head.grids, strict=True)
        ]
        sources = head.mask_branch(feats, levels)
        for level in range(len(head.grids)):
            assert_digest(cls_logits[level], case['fwd']['cate'][level])
            cells = torch.arange(head.mask_branch.grids[level] ** 2)
            maps = torch.stack([sources[level].at(i, cells) for i in range(len(feats[0]))])
            if head.aggregator.mask_activation == 'sigmoid':
                maps = maps.sigmoid()
            assert_digest(maps, case['fwd']['ins'][level])
            params = parameters_at(head, levels, class_feats, sources, level)
            assert_digest(params, case['fwd']['lw'][level])
            scores = points_nms(cls_logits[level].sigmoid()).permute(0, 2, 3, 1)
            assert_digest(scores, case['fwd_eval'][level])
        if head.aggregator.context is not None:
            context = head.aggregator.context.fused(feats)
            assert_digest(context, case['fwd']['ctx'])


def test_positives_losses_and_gradients(case):
    head, feats, samples = build_head(case), feature_maps(case), data_samples(case)
    _, masks = head(feats)
    targets = [
        head.assigner.assign(
            x.gt_instances.bboxes, torch.from_numpy(x.gt_instances.masks.masks), (*x.batch_input_shape,)
        )
        for x in samples
    ]
    grouped = [{level: cells for level, _, cells in head.by_level(x.cells.numpy())} for x in targets]
    for level, expected in enumerate(case['pos']):
        logits = []
        for image, wanted in enumerate(expected['cells']):
            cells = grouped[image].get(level, np.zeros(0, np.int64))
            assert cells.tolist() == wanted.tolist()
            if len(cells):
                logits.append(masks[level].at(image, torch.from_numpy(cells)))
        if logits:
            assert_digest(torch.cat(logits), expected['logits'])

    # In float64, the ReLUs near zero do not depend on the order of sums, which differs between processors.
    head = head.double()
    losses = head.loss([x.double() for x in feats], samples)
    for ours, theirs in (('loss_mask', 'loss_ins'), ('loss_cls', 'loss_cate')):
        torch.testing.assert_close(losses[ours].item(), case['losses'][theirs], rtol=1e-5, atol=1e-5)
    sum(losses.values()).backward()
    ours = dict(head.named_parameters())
    norms = released_to_mmagg(case['grads'])
    # Aggregating the context only, the release has no mask branch.
    unused = ours.keys() - norms.keys()
    assert all(name.startswith('mask_branch.') and not ours[name].grad.any() for name in unused)
    for name, norm in norms.items():
        grad = ours[name].grad
        torch.testing.assert_close(
            grad.norm().item(), norm, rtol=3e-4, atol=1e-6, msg=lambda m, name=name: f'{name}: {m}'
        )


def test_candidates(case):
    head, feats = build_head(case).eval(), feature_maps(case)
    with torch.no_grad():
        cls_logits, masks = head(feats)
        for image, expected_levels in enumerate(case['cand']):
            for level, expected in enumerate(expected_levels):
                scores = points_nms(cls_logits[level].sigmoid())[image].flatten(1).t()
                cells, labels = (scores > 0.1).nonzero(as_tuple=True)
                if expected is None:
                    assert not len(cells)
                    continue
                assert cells.tolist() == expected['cell'].tolist()
                assert labels.tolist() == expected['label'].tolist()
                torch.testing.assert_close(scores[cells, labels], expected['score'], rtol=0, atol=1e-5)
                logits = masks[level].at(image, cells)
                assert_digest(logits, expected['logits'])


def test_detections(case):
    """Labels, scores and masks, but for pixels where rounding decides.

    The reference's own float32 has four pixels (of agg_noctx) on the other side of the threshold than exact arithmetic.
    """
    head, feats, samples = build_head(case).eval(), feature_maps(case), data_samples(case)
    with torch.no_grad():
        results = head.predict(feats, samples)
        inner, outer = (final_masks(case, mask_thr=0.5 + shift) for shift in (1e-6, -1e-6))
    for i, (ours, theirs) in enumerate(zip(results, case['result'], strict=True)):
        masks = np.unpackbits(theirs['masks'].numpy(), count=int(np.prod(theirs['shape']))).reshape(theirs['shape'])
        masks = torch.from_numpy(masks).bool()
        assert ours.labels.tolist() == theirs['labels'].tolist()
        torch.testing.assert_close(ours.scores, theirs['scores'], rtol=0, atol=1e-5)
        undecided = inner[i] != outer[i]
        assert undecided.float().mean() < 1e-4
        assert torch.equal(ours.masks | undecided, masks | undecided)


def final_masks(case: dict, *, mask_thr: float) -> list[torch.Tensor]:
    """The detections' masks, computed in float64, with another threshold for the final masks only."""
    head = build_head(case).double().eval()
    post = head.post_process
    finish = post.finish

    def finish_with_threshold(*args, **sizes):
        post.mask_thr = mask_thr
        result = finish(*args, **sizes)
        post.mask_thr = 0.5
        return result

    post.finish = finish_with_threshold
    return [x.masks for x in head.predict([x.double() for x in feature_maps(case)], data_samples(case))]


def test_neighbours_at_the_real_grids(shared):
    cases = torch.load(shared / 'golden/aggmask/index_real.pt', weights_only=True)
    assert len(cases) == 5
    for case in cases.values():
        pattern = {4: 'corners', 5: '4'}[case['nearest_neighbour']]
        for grid, mask_grid, index in zip(case['cls'], case['mask'], case['index'], strict=True):
            rows, columns = index.long().unbind(-1)
            assert torch.equal(grid_neighbours(grid, mask_grid, pattern), rows * mask_grid + columns)
