"""mask_voting against a naive loop in float64."""

import pytest
import torch

from mmagg.ops import mask_iou, mask_voting


def naive_voting(probs, iou, scores, labels, kept, *, weight, iou_thr, class_agnostic):
    out = []
    for m in kept.tolist():
        total, weights = torch.zeros(probs.shape[1:], dtype=torch.float64), 0.0
        for i in range(len(probs)):
            same = class_agnostic or labels[i] == labels[m]
            if i == m or (same and iou[m, i] >= iou_thr):
                own = 1.0 if i == m else iou[m, i].item()
                w = {'avg': 1.0, 'score': scores[i].item(), 'iou': own}[weight]
                total += w * probs[i].double()
                weights += w
        out.append(total / weights)
    return torch.stack(out)


def case():
    probs = torch.rand(1, 8, 11) * 0.6 + torch.rand(20, 8, 11) * 0.4  # alike, so that they agree
    return probs, mask_iou(probs > 0.5), torch.rand(20) + 0.01, torch.randint(0, 2, (20,))


@pytest.mark.parametrize('weight', ['avg', 'score', 'iou'])
@pytest.mark.parametrize('class_agnostic', [False, True])
def test_equals_naive(weight: str, class_agnostic: bool) -> None:
    probs, iou, scores, labels = case()
    kept = torch.tensor([3, 0, 17])
    options = {'weight': weight, 'iou_thr': 0.6, 'class_agnostic': class_agnostic}
    got = mask_voting(probs, iou, scores, labels, kept, **options)
    want = naive_voting(probs, iou, scores, labels, kept, **options)
    torch.testing.assert_close(got.double(), want, rtol=0, atol=1e-6)
    assert (got - probs[kept]).abs().max() > 0.01, 'nobody voted: the case shows nothing'


@pytest.mark.parametrize('weight', ['avg', 'score', 'iou'])
def test_alone_nothing_changes(weight: str) -> None:
    probs, iou, scores, _ = case()
    probs[4] = 0.1  # an empty mask: IoU 0 even with itself
    kept = torch.tensor([4, 9])
    iou = mask_iou(probs > 0.5)
    got = mask_voting(probs, iou, scores, torch.arange(20), kept, weight=weight, iou_thr=0.1)
    torch.testing.assert_close(got, probs[kept])


def test_autocast_does_not_round() -> None:
    probs, iou, scores, labels = case()
    kept = torch.arange(5)
    want = mask_voting(probs, iou, scores, labels, kept, iou_thr=0.5)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        got = mask_voting(probs, iou, scores, labels, kept, iou_thr=0.5)
    assert torch.equal(got, want)


@pytest.mark.parametrize('num', [0, 20])
def test_nothing_kept(num: int) -> None:
    probs, iou, scores, labels = case()
    none = torch.zeros(0, dtype=torch.long)
    got = mask_voting(probs[:num], iou[:num, :num], scores[:num], labels[:num], none, iou_thr=0.5)
    assert got.shape == (0, 8, 11)


def test_unknown_weight() -> None:
    probs, iou, scores, labels = case()
    with pytest.raises(ValueError, match="'area'"):
        mask_voting(probs, iou, scores, labels, torch.arange(2), weight='area', iou_thr=0.5)
