"""MaskPostProcessor against the same steps written out with mmdet's own functions."""

import pytest
import torch
import torch.nn.functional as F
from mmdet.models.dense_heads import SOLOHead
from mmdet.models.layers import mask_matrix_nms
from mmdet.registry import TASK_UTILS
from mmdet.structures.mask import mask2bbox
from mmengine.config import ConfigDict
from torch import Tensor

from mmagg.models.postprocess import CandidateMasks, MaskPostProcessor, MatrixNMS
from mmagg.ops import mask_iou, mask_nms, mask_voting, rle_to_masks

MAP_SIZE = (20, 28)
FRAME = {'upsampled_size': (80, 112), 'img_shape': (75, 101), 'out_size': (120, 160)}
NO_FILTER = {'filter_thr': 0.0}


class Candidates(CandidateMasks):
    """Soft blobs of a few objects, several candidates each, and a count of what was decoded."""

    def __init__(self, num: int, objects: int = 6) -> None:
        height, width = self.size = MAP_SIZE
        which = torch.randint(0, objects, (num,))
        centre = (torch.rand(objects, 2) * torch.tensor([height, width]))[which] + torch.randn(num, 2)
        radius = (torch.rand(objects) * 5 + 1)[which] + torch.rand(num)
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing='ij')
        distance = ((y - centre[:, 0, None, None]) ** 2 + (x - centre[:, 1, None, None]) ** 2).sqrt()
        self.soft = torch.sigmoid(radius[:, None, None] - distance + 0.3 * torch.randn(num, height, width))
        self.inputs = {
            'scores': torch.rand(num) * 0.9 + 0.1,
            'labels': which % 3,
            'min_areas': torch.tensor([8, 8, 16, 32])[torch.randint(0, 4, (num,))],
        }
        self.decoded: list[Tensor] = []

    def probs(self, index: Tensor) -> Tensor:
        assert len(index) > 0
        self.decoded.append(index)
        return self.soft[index]

    def at(self, point: Tensor) -> 'Candidates':
        """Candidates whose masks are those of some of these."""
        found = Candidates(0)
        found.soft = self.soft[point]
        return found

    def run(self, post: MaskPostProcessor):
        return post(self, **self.inputs, **FRAME)


def select(case: Candidates) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """mmdet's SOLOHead up to NMS: binary masks, areas, indices and scores of the candidates left."""
    masks = case.soft > 0.5
    areas = masks.sum((1, 2)).float()
    keep = areas > case.inputs['min_areas']
    maskness = (case.soft[keep] * masks[keep]).sum((1, 2)) / areas[keep]
    return masks[keep], areas[keep], keep.nonzero().squeeze(1), case.inputs['scores'][keep] * maskness


def full_size(probs: Tensor) -> Tensor:
    """mmdet's SOLOHead after NMS."""
    h, w = FRAME['img_shape']
    probs = F.interpolate(probs.unsqueeze(0), size=FRAME['upsampled_size'], mode='bilinear')[:, :, :h, :w]
    return F.interpolate(probs, size=FRAME['out_size'], mode='bilinear').squeeze(0) > 0.5


def mmdet_results(case: Candidates, *, nms_pre=500, max_num=100, filter_thr=0.05, kernel='gaussian', sigma=2.0):
    masks, areas, index, scores = select(case)
    labels = case.inputs['labels'][index]
    scores, labels, _, kept = mask_matrix_nms(
        masks,
        labels,
        scores,
        mask_area=areas,
        nms_pre=nms_pre,
        max_num=max_num,
        kernel=kernel,
        sigma=sigma,
        filter_thr=filter_thr,
    )
    return scores, labels, full_size(case.soft[index[kept]])


def assert_same(got, scores: Tensor, labels: Tensor, masks: Tensor) -> None:
    assert len(got) > 1, 'too few instances to show anything'
    torch.testing.assert_close(got.scores, scores, rtol=1e-6, atol=0)
    assert torch.equal(got.labels, labels)
    assert torch.equal(got.masks, masks)
    assert torch.equal(got.bboxes, mask2bbox(masks))


@pytest.mark.parametrize('byte_budget', [1, 20_000, 2**28])
@pytest.mark.parametrize('nms_pre', [15, 60, 500])
@pytest.mark.parametrize(('kernel', 'sigma'), [('gaussian', 2.0), ('gaussian', 0.5), ('linear', 2.0)])
def test_equals_mmdet(byte_budget: int, nms_pre: int, kernel: str, sigma: float) -> None:
    case = Candidates(60)
    nms = {'type': 'MatrixNMS', 'kernel': kernel, 'sigma': sigma}
    post = MaskPostProcessor(nms=nms, nms_pre=nms_pre, max_per_img=12, byte_budget=byte_budget)
    assert_same(case.run(post), *mmdet_results(case, nms_pre=nms_pre, max_num=12, kernel=kernel, sigma=sigma))


def test_equals_mmdet_head() -> None:
    """The whole of `SOLOHead._predict_by_feat_single`; a point may be a candidate of several classes."""
    grids, strides = [6, 4], [8, 16]
    config = ConfigDict(
        score_thr=0.3, mask_thr=0.5, nms_pre=40, max_per_img=15, filter_thr=0.05, kernel='gaussian', sigma=2.0
    )
    head = SOLOHead(
        num_classes=3,
        in_channels=4,
        feat_channels=4,
        stacked_convs=1,
        num_grids=grids,
        strides=strides,
        scale_ranges=((1, 96), (48, 192)),
        norm_cfg=None,
        test_cfg=config,
    )
    case = Candidates(6 * 6 + 4 * 4)
    cls_scores = torch.rand(52, 3)
    meta = {'img_shape': FRAME['img_shape'], 'ori_shape': FRAME['out_size']}
    want = head._predict_by_feat_single(cls_scores.clone(), case.soft.clone(), meta)

    point, labels = (cls_scores > 0.3).nonzero(as_tuple=True)
    got = MaskPostProcessor(nms_pre=40, max_per_img=15)(
        case.at(point),
        scores=cls_scores[point, labels],
        labels=labels,
        min_areas=torch.tensor([8] * 36 + [16] * 16)[point],
        **FRAME,
    )
    assert len(point) > 40
    assert_same(got, want.scores, want.labels, want.masks)


def test_ties_come_out_as_in_mmdet() -> None:
    case = Candidates(60)
    case.soft = case.soft[torch.randint(0, 20, (60,))]  # copies: the same area and maskness
    case.inputs['scores'] = torch.full((60,), 0.7)
    case.inputs['min_areas'] = torch.full((60,), 8)
    post = MaskPostProcessor(filter_thr=0.001, nms_pre=50)
    assert_same(case.run(post), *mmdet_results(case, filter_thr=0.001, nms_pre=50))


def test_hard_nms() -> None:
    case = Candidates(60)
    masks, _, index, scores = select(case)
    scores, order = scores.sort(descending=True)
    index, masks, labels = index[order], masks[order], case.inputs['labels'][index[order]]
    keep = mask_nms(mask_iou(masks), scores, labels, iou_thr=0.4)
    assert 0 < keep.sum() < len(keep)
    got = case.run(MaskPostProcessor(nms={'type': 'MaskNMS', 'iou_thr': 0.4}, **NO_FILTER))
    assert_same(got, scores[keep], labels[keep], full_size(case.soft[index[keep]]))


def test_class_agnostic_is_one_class() -> None:
    case = Candidates(60)
    agnostic = case.run(MaskPostProcessor(nms={'type': 'MatrixNMS', 'class_agnostic': True}))
    separate = case.run(MaskPostProcessor())
    case.inputs['labels'] = torch.zeros(60, dtype=torch.long)
    relabelled = case.run(MaskPostProcessor())
    assert torch.equal(agnostic.scores, relabelled.scores)
    assert torch.equal(agnostic.masks, relabelled.masks)
    assert not torch.equal(agnostic.scores, separate.scores)


@pytest.mark.parametrize('nms_pre', [25, 500])
def test_voting_refines_the_kept_with_scores_before_nms(nms_pre: int) -> None:
    case = Candidates(60)
    masks, _, index, scores = select(case)
    scores, order = scores.sort(descending=True)
    scores, order = scores[:nms_pre], order[:nms_pre]
    index, masks = index[order], masks[order]
    labels = case.inputs['labels'][index]
    iou = mask_iou(masks)
    kept = mask_nms(iou, scores, labels, iou_thr=0.3).nonzero().squeeze(1)
    voted = mask_voting(case.soft[index], iou, scores, labels, kept, weight='score', iou_thr=0.4)
    post = MaskPostProcessor(
        nms={'type': 'MaskNMS', 'iou_thr': 0.3},
        voting={'type': 'MaskVoting', 'weight': 'score', 'iou_thr': 0.4},
        nms_pre=nms_pre,
        **NO_FILTER,
    )
    got = case.run(post)
    want = full_size(voted)
    assert torch.equal(got.scores, scores[kept])
    assert torch.equal(got.labels, labels[kept])
    # The average's last bit moves with the order of summation, and so may a pixel at the threshold.
    assert (got.masks != want).sum() <= 2
    assert not torch.equal(want, full_size(case.soft[index[kept]])), 'the votes changed nothing'


def test_rle_equals_bitmap() -> None:
    case = Candidates(60)
    bitmap = case.run(MaskPostProcessor())
    rle = case.run(MaskPostProcessor(mask_format='rle', byte_budget=300_000))
    assert isinstance(rle.masks, list)
    assert torch.equal(rle_to_masks(rle.masks, *FRAME['out_size']), bitmap.masks)
    assert torch.equal(rle.bboxes, bitmap.bboxes)
    torch.testing.assert_close(rle.scores, bitmap.scores, rtol=1e-6, atol=0)


@pytest.mark.parametrize('byte_budget', [1, 5 * 13 * 20 * 28, 2**28])
def test_decodes_in_chunks_under_the_budget(byte_budget: int) -> None:
    case = Candidates(60)
    case.run(MaskPostProcessor(byte_budget=byte_budget))
    assert torch.equal(torch.cat(case.decoded), torch.arange(60)), 'each candidate once'
    assert max(map(len, case.decoded)) == min(60, max(1, byte_budget // (13 * 20 * 28)))


def test_more_candidates_than_nms_pre_are_decoded_in_two_passes() -> None:
    case = Candidates(60)
    few = case.run(MaskPostProcessor(nms_pre=60, max_per_img=5))
    assert sum(map(len, case.decoded)) == 60
    case.decoded.clear()
    many = case.run(MaskPostProcessor(nms_pre=59, max_per_img=5))
    assert 60 < sum(map(len, case.decoded)) <= 60 + 59
    # Fewer than 59 survive the area rule, so that both see the same selection.
    assert (select(case)[1]).numel() < 59
    for field in ('scores', 'labels', 'masks', 'bboxes'):
        assert torch.equal(few[field], many[field])


@pytest.mark.parametrize('mask_format', ['bitmap', 'rle'])
@pytest.mark.parametrize('reason', ['no candidates', 'all too small', 'all filtered'])
@pytest.mark.parametrize('nms', ['MatrixNMS', 'MaskNMS'])
@pytest.mark.parametrize('nms_pre', [3, 500])
def test_nothing_left_is_typed(mask_format: str, reason: str, nms: str, nms_pre: int) -> None:
    case = Candidates(0 if reason == 'no candidates' else 10)
    if reason == 'all too small':
        case.inputs['min_areas'] = torch.full((10,), 20 * 28)
    post = MaskPostProcessor(
        mask_format=mask_format,
        nms={'type': nms},
        nms_pre=nms_pre,
        filter_thr=1.0 if reason == 'all filtered' else 0.05,
        voting={'type': 'MaskVoting', 'weight': 'iou', 'iou_thr': 0.5},
    )
    got = case.run(post)
    assert got.scores.shape == (0,)
    assert got.scores.dtype == torch.float32
    assert got.labels.shape == (0,)
    assert got.labels.dtype == torch.int64
    assert got.bboxes.shape == (0, 4)
    if mask_format == 'rle':
        assert got.masks == []
    else:
        assert got.masks.shape == (0, *FRAME['out_size'])
        assert got.masks.dtype == torch.bool


def test_one_candidate() -> None:
    case = Candidates(1)
    case.soft = torch.full((1, 20, 28), 0.8)
    case.inputs['min_areas'] = torch.tensor([8])
    got = case.run(MaskPostProcessor())
    torch.testing.assert_close(got.scores, case.inputs['scores'] * 0.8)
    assert got.masks.all()
    assert got.bboxes.tolist() == [[0, 0, 160, 120]]


def test_half_precision_and_gradients_stay_outside() -> None:
    case = Candidates(30)
    case.soft = torch.full((30, 200, 400), 0.8, dtype=torch.half)  # a sum of 64,000 is too much for half
    case.inputs['scores'].requires_grad_()
    case.size = (200, 400)
    got = case.run(MaskPostProcessor())
    best = case.inputs['scores'].max().detach()
    torch.testing.assert_close(got.scores[0], best * 0.8, rtol=1e-3, atol=0)
    assert got.scores.dtype == torch.float32
    assert not got.scores.requires_grad


def test_built_from_a_config() -> None:
    config = ConfigDict(nms={'type': 'MatrixNMS', 'kernel': 'linear'}, voting=None, max_per_img=7)
    post = MaskPostProcessor(**config)
    assert isinstance(post.nms, MatrixNMS)
    assert post.nms.kernel == 'linear'
    assert post.voting is None
    assert isinstance(TASK_UTILS.build({'type': 'MaskPostProcessor'}), MaskPostProcessor)


def test_unknown_key_is_named() -> None:
    with pytest.raises(TypeError, match='update_thr'):
        MaskPostProcessor(update_thr=0.05)


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('score_thr', 1.0),
        ('score_thr', -0.1),
        ('mask_thr', 0.0),
        ('mask_thr', 1.0),
        ('nms_pre', 0),
        ('nms_pre', -1),
        ('filter_thr', -0.05),
        ('filter_thr', 1.5),
        ('max_per_img', 0),
        ('mask_format', 'polygon'),
        ('byte_budget', 0),
    ],
)
def test_bad_values_are_named(key: str, value) -> None:
    with pytest.raises(ValueError, match=f'{key} is {value!r}'):
        MaskPostProcessor(**{key: value})
