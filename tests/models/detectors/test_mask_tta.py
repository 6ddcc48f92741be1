"""Views of an image become one prediction, with masks, whatever finds them."""

import numpy as np
import pytest
import torch
from mmcv import transforms
from mmdet.structures import DetDataSample
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch import nn

from mmagg.models.detectors import MaskTTAModel
from mmagg.ops import boxes_from_masks, masks_to_rle, rle_to_masks

SIZE = (13, 22)
DIRECTIONS = ('horizontal', 'vertical', 'diagonal')


def instances(masks, scores, labels, *, rle: bool = False, margin: float = 0) -> InstanceData:
    return InstanceData(
        bboxes=boxes_from_masks(masks) + margin * torch.tensor([-1, -1, 1, 1]),
        scores=torch.as_tensor(scores, dtype=torch.float32),
        labels=torch.as_tensor(labels, dtype=torch.long),
        masks=masks_to_rle(masks) if rle else masks,
    )


class ByColour(nn.Module):
    """Finds what an image shows: each colour but 0 is an object."""

    def __init__(self, rle: bool = False) -> None:
        super().__init__()
        self.rle = rle

    def test_step(self, data):
        for image, sample in zip(data['inputs'], data['data_samples'], strict=True):
            colours = sorted({*image[0].flatten().tolist()} - {0}, reverse=True)
            masks = torch.stack([image[0] == c for c in colours]) if colours else torch.zeros(0, *SIZE).bool()
            sample.pred_instances = instances(masks, [c / 256 for c in colours], [c % 3 for c in colours], rle=self.rle)
        return data['data_samples']


class Recorded(nn.Module):
    """Gives the predictions it was made with, view by view."""

    def __init__(self, views) -> None:
        super().__init__()
        self.views = iter(views)

    def test_step(self, data):
        for sample in data['data_samples']:
            sample.pred_instances = next(self.views)
        return data['data_samples']


def predict(views, *, flips=None, **options) -> InstanceData:
    """Merge views of one image; `flips` are their directions."""
    samples = [
        [DetDataSample(metainfo=dict(ori_shape=SIZE, flip=flip is not None, flip_direction=flip))]
        for flip in (flips or [None] * len(views))
    ]
    data = dict(inputs=[[torch.zeros(3, *SIZE)]] * len(views), data_samples=samples)
    return MaskTTAModel(Recorded(views), **options).test_step(data)[0].pred_instances


def dense(found: InstanceData) -> torch.Tensor:
    return found.masks if isinstance(found.masks, torch.Tensor) else rle_to_masks(found.masks, *SIZE)


def random_views(count: int = 5, each: int = 9, seed: int = 0):
    """Discs of two classes, at nearly the same places in all views."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[: SIZE[0], : SIZE[1]]
    centres, labels = rng.uniform((2, 2), (SIZE[0] - 2, SIZE[1] - 2), (each, 2)), rng.integers(0, 2, each)
    views = []
    for _ in range(count):
        y, x = (centres + rng.normal(0, 0.6, centres.shape)).T[..., None, None]
        masks = (rows - y) ** 2 + (cols - x) ** 2 < rng.uniform(3, 12, (each, 1, 1))
        seen = rng.uniform(size=each) < 0.8
        views.append((torch.from_numpy(masks[seen]), rng.uniform(0.05, 1, seen.sum()), labels[seen]))
    return views


def by_hand(views, *, nms_thr, iou_thr, weight, score, margin):
    """The docstring of `MaskTTAModel`, instance by instance in float64."""
    found = [
        (m, np.float64(np.float32(s)), int(c), v)
        for v, (masks, scores, labels) in enumerate(views)
        for m, s, c in zip(masks, scores, labels, strict=True)
    ]
    found = [(m.numpy(), *rest) for m, *rest in found]

    def iou(a, b):
        return (a[0] & b[0]).sum() / max(1, (a[0] | b[0]).sum())

    def votes(one):
        return [x for x in found if x is one or (x[2] == one[2] and iou(x, one) >= iou_thr)]

    def rank(one):
        best = [max([x[1] for x in votes(one) if x[3] == v], default=0) for v in range(len(views))]
        return np.mean(best) if score == 'mean' else one[1]

    kept = []
    for one in sorted(found, key=lambda x: (round(rank(x), 12), x[1]), reverse=True):
        if all(x[2] != one[2] or iou(x, one) <= nms_thr for x in kept):
            kept.append(one)
    result = []
    for one in kept:
        cast = votes(one)
        count = [{'avg': 1, 'score': x[1], 'iou': 1 if x is one else iou(x, one)}[weight] for x in cast]
        mask = sum(n * x[0] for n, x in zip(count, cast, strict=True)) / sum(count) > 0.5
        rows, cols = (one[0] if margin else mask).nonzero()
        box = cols.min() - margin, rows.min() - margin, cols.max() + 1 + margin, rows.max() + 1 + margin
        result.append((mask, box, rank(one), one[2]))
    return result


@pytest.mark.parametrize('rle', [False, True])
def test_a_detector_that_sees_the_same_in_every_view(rle):
    init_default_scope('mmdet')
    image = np.zeros((*SIZE, 3), np.uint8)
    image[1:4, 2:7], image[3:12, 15:], image[6:, :3], image[8, 8] = 200, 90, 31, 77
    views = transforms.TestTimeAug(
        [
            [dict(type='RandomFlip', prob=0.0), *(dict(type='RandomFlip', prob=1.0, direction=d) for d in DIRECTIONS)],
            [dict(type='PackDetInputs', meta_keys=('ori_shape', 'flip', 'flip_direction'))],
        ]
    ).transform(dict(img=image, ori_shape=SIZE))
    plain = ByColour(rle).test_step({key: value[:1] for key, value in views.items()})[0].pred_instances.clone()
    assert len(plain) == 4
    batch = {key: [[one, one] for one in value] for key, value in views.items()}  # two images
    batch['data_samples'] = [[one, one.clone()] for one in views['data_samples']]
    for sample in MaskTTAModel(ByColour(rle)).test_step(batch):
        found = sample.pred_instances
        assert not sample.flip
        assert type(found.masks) is type(plain.masks)
        assert torch.equal(dense(found), dense(plain))
        assert torch.equal(found.labels, plain.labels)
        torch.testing.assert_close(found.bboxes, plain.bboxes)
        torch.testing.assert_close(found.scores, plain.scores)


@pytest.mark.parametrize('weight', ['avg', 'score', 'iou'])
@pytest.mark.parametrize('score', ['mean', 'max'])
@pytest.mark.parametrize('margin', [0, 0.25])
def test_views_that_differ_are_voted_on_as_by_hand(weight, score, margin):
    views = random_views()
    options = dict(iou_thr=0.45, weight=weight, score=score)
    found = predict([instances(*v, margin=margin) for v in views], nms=dict(type='MaskNMS', iou_thr=0.4), **options)
    want = by_hand(views, nms_thr=0.4, margin=margin, **options)
    assert len(want) < sum(len(v[1]) for v in views) / 1.5, 'there are duplicates'
    masks, boxes, scores, labels = zip(*want, strict=True)
    assert found.labels.tolist() == list(labels)
    assert torch.equal(found.masks, torch.from_numpy(np.stack(masks)))
    torch.testing.assert_close(found.bboxes, torch.tensor(boxes).float())
    torch.testing.assert_close(found.scores, torch.tensor(scores).float())
    given = {mask.numpy().tobytes() for view in views for mask in view[0]}
    assert any(mask.tobytes() not in given for mask in masks), 'voting makes new masks'


def test_as_rle_as_bitmaps_and_in_small_chunks_it_is_the_same():
    views, flips = random_views(3), [None, 'vertical', 'horizontal']
    want = predict([instances(*v) for v in views], flips=flips)
    for rle, budget in ((True, 2**20), (True, 1), (False, 1)):
        found = predict([instances(*v, rle=rle) for v in views], flips=flips, byte_budget=budget)
        assert isinstance(found.masks, list) is rle
        assert torch.equal(dense(found), dense(want))
        for key in ('bboxes', 'scores', 'labels'):
            torch.testing.assert_close(found[key], want[key])


@pytest.mark.parametrize('rle', [False, True])
@pytest.mark.parametrize('nms', ['MaskNMS', 'MatrixNMS'])
@pytest.mark.parametrize('filled', [0, 1])
def test_views_without_instances(rle, nms, filled):
    nothing = (torch.zeros(0, *SIZE).bool(), [], [])
    something = (torch.ones(2, *SIZE).bool().triu(3), [0.8, 0.6], [1, 0])
    views = [instances(*v, rle=rle) for v in (nothing, something if filled else nothing, nothing, nothing)]
    found = predict(views, flips=['vertical', None, None, 'diagonal'], nms=dict(type=nms))
    assert len(found) == 2 * filled
    torch.testing.assert_close(found.scores, torch.tensor([0.2, 0.15][: 2 * filled]))
    assert found.labels.dtype == torch.long
    assert found.bboxes.shape == (2 * filled, 4)
    assert dense(found).dtype == torch.bool
    assert torch.equal(dense(found), something[0][: 2 * filled])


def test_an_empty_mask_stays_what_it_is():
    found = predict([instances(torch.zeros(1, *SIZE).bool(), [0.5], [0], rle=True)] * 2, score='max')
    assert len(found) == 2
    assert not dense(found).any()
    assert found.scores.tolist() == [0.5, 0.5]


def test_only_the_best_stay():
    views = [instances(*v) for v in random_views()]
    everything, some = predict(views), predict(views, max_per_img=3)
    assert len(some) == 3
    assert torch.equal(some.masks, everything.masks[:3])


def test_what_it_cannot_work_with():
    view = instances(*random_views()[0])
    data = dict(inputs=[[None]], data_samples=[[DetDataSample(metainfo=dict(ori_shape=SIZE))]])
    with pytest.raises(ValueError, match='does not say whether it is flipped'):
        MaskTTAModel(Recorded([view])).test_step(data)
    del view.masks
    with pytest.raises(ValueError, match='Recorded finds boxes without masks'):
        predict([view])
    with pytest.raises(ValueError, match=r"score is 'median', expected one of \('mean', 'max'\)"):
        MaskTTAModel(Recorded([]), score='median')
