"""The parts that the fusions with global attention share: how the gate and the kernels act on the two levels."""

import pytest
import torch
import torch.nn.functional as F

from mmagg.models.layers import GACAP, GACARAFE, CAPFusion, CARAFEFusion
from mmagg.models.layers.pair_fusion import PairFusion, PlainFusion


@pytest.mark.parametrize('fusion', [GACARAFE, GACAP])
def test_gates_of_one_half_halve(fusion):
    """With a gate that is open by half, and uniform kernels, the result is the mean of both levels."""
    module = fusion(channels=4, gain=1.0)
    for conv in (module.gate.excite, module.predictor.kernels):
        torch.nn.init.zeros_(conv.weight)
        torch.nn.init.zeros_(conv.bias)
    coarse, fine = torch.randn(2, 4, 3, 4), torch.randn(2, 4, 6, 8)
    if fusion is GACARAFE:
        moved = F.avg_pool2d(coarse, 5, stride=1, padding=2).repeat_interleave(2, 2).repeat_interleave(2, 3)
        want = (fine + moved) / 2
    else:
        want = (coarse + F.avg_pool2d(fine, 5, stride=2, padding=2)) / 2
    torch.testing.assert_close(module(coarse, fine), want)


@pytest.mark.parametrize('fusion', [GACARAFE, GACAP])
def test_the_first_half_of_the_gate_is_for_the_coarse_level(fusion):
    """A gate that lets one of the levels through shows that one alone, twice."""
    module = fusion(channels=4)
    for conv in (module.gate.excite, module.predictor.kernels):
        torch.nn.init.zeros_(conv.weight)
        torch.nn.init.zeros_(conv.bias)
    coarse, fine = torch.randn(1, 4, 3, 4), torch.randn(1, 4, 6, 8)
    if fusion is GACARAFE:
        coarse_part = F.avg_pool2d(coarse, 5, stride=1, padding=2).repeat_interleave(2, 2).repeat_interleave(2, 3)
        fine_part = fine
    else:
        coarse_part, fine_part = coarse, F.avg_pool2d(fine, 5, stride=2, padding=2)
    with torch.no_grad():
        for open_half, want in ((slice(0, 4), coarse_part), (slice(4, 8), fine_part)):
            module.gate.excite.bias.fill_(-100)
            module.gate.excite.bias[open_half] = 100
            torch.testing.assert_close(module(coarse, fine), 2 * want)


@pytest.mark.parametrize('fusion', [GACARAFE, GACAP, CARAFEFusion, CAPFusion])
def test_every_parameter_learns(fusion) -> None:
    """All but the bias of the spatial softmax, which shifts every logit alike."""
    module = fusion(channels=4, reduced_channels=6)
    assert isinstance(module, PairFusion if fusion in (GACARAFE, GACAP) else PlainFusion)
    out = module(torch.randn(2, 4, 3, 4), torch.randn(2, 4, 5, 8))
    (out * torch.randn_like(out)).sum().backward()
    still = {name for name, p in module.named_parameters() if p.grad.abs().max() < 1e-6}
    assert still == ({'encoder.mask.bias'} if isinstance(module, PairFusion) else set())


@pytest.mark.parametrize('fusion', [GACARAFE, GACAP, CARAFEFusion, CAPFusion])
def test_batch_equals_one_by_one(fusion) -> None:
    module = fusion(channels=4, reduced_channels=6).double()
    coarse, fine = torch.randn(3, 4, 3, 4).double(), torch.randn(3, 4, 6, 7).double()
    one_by_one = [module(coarse[i : i + 1], fine[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(module(coarse, fine), torch.cat(one_by_one))
    assert len(module(coarse[:0], fine[:0])) == 0
