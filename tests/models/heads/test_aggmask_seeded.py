"""AggMask's outputs on seeded weights and inputs, pinned when they agreed with the authors' code.

For whoever has no reference folder: `test_aggmask_golden.py` compares with the authors' outputs, this with our own of
that day (`tests/data/aggmask_seeded.json`). To pin them anew, after a change that is meant to change them and that the
reference cases agree with: `python tests/heads/test_aggmask_seeded.py`.
"""

import json
import sys
from pathlib import Path

import pytest
import torch

TESTS = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TESTS))

from grid_heads import AGGREGATED, aggmask_head, batch_samples, pyramid  # noqa: E402

PINNED = TESTS / 'data/aggmask_seeded.json'


def outputs(kind: str) -> dict[str, list[float]]:
    """Losses, norms of the gradients of three parts, and the detections' scores, classes and areas; in float64."""
    torch.manual_seed(0)
    head = aggmask_head(kind).double()
    feats, samples = [x.double() for x in pyramid(2, 64, 96)], batch_samples(['few', 'crowded'], 64, 96)
    losses = head.loss(feats, samples)
    sum(losses.values()).backward()
    parts = (head.class_tower, head.mask_branch, head.aggregator)
    with torch.no_grad():
        first, second = head.eval().predict(feats, samples)
    return dict(
        losses=[losses['loss_cls'].item(), losses['loss_mask'].item()],
        gradients=[sum(p.grad.square().sum().item() for p in part.parameters()) ** 0.5 for part in parts],
        scores=(first.scores[:5].tolist() + second.scores[:5].tolist()),
        labels=(first.labels[:5].tolist() + second.labels[:5].tolist()),
        areas=(first.masks[:5].sum((1, 2)).tolist() + second.masks[:5].sum((1, 2)).tolist()),
    )


@pytest.mark.parametrize('kind', AGGREGATED)
def test_outputs_are_the_pinned_ones(kind):
    ours, pinned = outputs(kind), json.loads(PINNED.read_text())[kind]
    assert ours['labels'] == pinned['labels']
    assert len(ours['labels']) == 10
    for name in ('losses', 'gradients', 'scores'):
        assert ours[name] == pytest.approx(pinned[name], rel=1e-5)
    assert ours['areas'] == pytest.approx(pinned['areas'], abs=2)  # pixels


if __name__ == '__main__':
    PINNED.write_text(json.dumps({kind: outputs(kind) for kind in AGGREGATED}, indent=1) + '\n')
