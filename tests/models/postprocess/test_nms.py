"""The registered NMS: they pass their options on, and what they suppress has a score of zero."""

import pytest
import torch
from mmdet.registry import TASK_UTILS
from torch import Tensor

from mmagg.models.postprocess import MaskNMS, MatrixNMS


def case(number: int = 12) -> tuple[Tensor, Tensor, Tensor]:
    """IoU, scores in descending order, labels."""
    iou = torch.rand(number, number).double()
    iou = (iou + iou.t()) / 2
    iou.fill_diagonal_(1)
    return iou, torch.rand(number).double().sort(descending=True).values, torch.randint(0, 2, (number,))


@pytest.mark.parametrize('options', [{}, dict(sigma=0.5), dict(kernel='linear'), dict(class_agnostic=True)], ids=str)
def test_matrix_nms_decays_by_its_equation(options: dict) -> None:
    """SOLOv2: s_j · min over better i of f(iou_ij) / f(the greatest iou of i with one better than i)."""
    iou, scores, labels = case()
    got = TASK_UTILS.build(dict(type='MatrixNMS', **options))(iou, scores, labels)
    sigma = options.get('sigma', 2.0)

    def f(x: float) -> float:
        return 1 - x if options.get('kernel') == 'linear' else torch.tensor(-sigma * x**2).exp().item()

    def better(j: int) -> list[int]:
        return [i for i in range(j) if options.get('class_agnostic') or labels[i] == labels[j]]

    for j in range(len(scores)):
        worst = {i: max((iou[k, i].item() for k in better(i)), default=0.0) for i in better(j)}
        decay = min((f(iou[i, j].item()) / f(worst[i]) for i in worst), default=1.0)
        assert got[j].item() == pytest.approx(scores[j].item() * min(decay, 1.0), rel=1e-5)


@pytest.mark.parametrize('class_agnostic', [False, True])
@pytest.mark.parametrize('iou_thr', [0.3, 0.5, 1.0])
def test_mask_nms_leaves_scores_or_zero(iou_thr: float, class_agnostic: bool) -> None:
    iou, scores, labels = case()
    got = MaskNMS(iou_thr=iou_thr, class_agnostic=class_agnostic)(iou, scores, labels)
    kept = []
    for j in range(len(scores)):
        if not any((class_agnostic or labels[i] == labels[j]) and iou[i, j] > iou_thr for i in kept):
            kept.append(j)
    assert torch.equal(got[kept], scores[kept])
    assert got.count_nonzero() == len(kept)
    assert (len(kept) == len(scores)) == (iou_thr == 1.0)


@pytest.mark.parametrize('nms', [MatrixNMS, MaskNMS])
def test_no_masks(nms) -> None:
    assert nms()(*case(0)).shape == (0,)


@pytest.mark.parametrize(
    ('build', 'options', 'name'),
    [
        (MatrixNMS, {'kernel': 'cubic'}, 'kernel'),
        (MatrixNMS, {'sigma': 0.0}, 'sigma'),
        (MatrixNMS, {'sigma': float('nan')}, 'sigma'),
        (MaskNMS, {'iou_thr': 1.1}, 'iou_thr'),
        (MaskNMS, {'iou_thr': -0.1}, 'iou_thr'),
    ],
)
def test_bad_values_are_named(build, options: dict, name: str) -> None:
    with pytest.raises(ValueError, match=f'{build.__name__}: {name} is'):
        build(**options)
