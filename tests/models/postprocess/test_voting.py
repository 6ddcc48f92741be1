"""The registered voting passes its options on: against weighted means, one mask after the other."""

import pytest
import torch
from mmdet.registry import TASK_UTILS

from mmagg.models.postprocess import MaskVoting


@pytest.mark.parametrize('class_agnostic', [False, True])
@pytest.mark.parametrize('weight', ['avg', 'score', 'iou'])
@pytest.mark.parametrize('iou_thr', [0.4, 1.0])
def test_a_mask_is_the_mean_of_those_that_overlap_it(weight: str, iou_thr: float, class_agnostic: bool) -> None:
    probs, scores, labels = torch.rand(9, 4, 5).double(), torch.rand(9).double(), torch.randint(0, 2, (9,))
    iou = torch.rand(9, 9).double()
    iou = (iou + iou.t()) / 2
    iou.fill_diagonal_(1)
    voting = TASK_UTILS.build(dict(type='MaskVoting', weight=weight, iou_thr=iou_thr, class_agnostic=class_agnostic))
    kept = torch.tensor([5, 2])
    for got, m in zip(voting(probs, iou, scores, labels, kept), kept.tolist(), strict=True):
        voters = [
            i for i in range(9) if i == m or (iou[m, i] >= iou_thr and (class_agnostic or labels[i] == labels[m]))
        ]
        weights = {'avg': torch.ones(9).double(), 'score': scores, 'iou': iou[m]}[weight]
        want = sum(weights[i] * probs[i] for i in voters) / sum(weights[i] for i in voters)
        torch.testing.assert_close(got.double(), want, rtol=1e-5, atol=1e-5)
        assert (len(voters) == 1) == (iou_thr == 1.0)


@pytest.mark.parametrize(
    ('options', 'name'),
    [
        ({'weight': 'area', 'iou_thr': 0.5}, 'weight'),
        ({'weight': 'avg', 'iou_thr': -0.1}, 'iou_thr'),
        ({'weight': 'avg', 'iou_thr': 1.1}, 'iou_thr'),
    ],
)
def test_bad_values_are_named(options: dict, name: str) -> None:
    with pytest.raises(ValueError, match=f'MaskVoting: {name} is'):
        MaskVoting(**options)


def test_the_threshold_has_no_default() -> None:
    with pytest.raises(TypeError, match='iou_thr'):
        MaskVoting(weight='avg')
