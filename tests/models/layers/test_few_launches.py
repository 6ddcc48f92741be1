"""A2-FPN in few launches against the layers' own forms, which are tested against the paper's equations."""

import pytest
import torch
from torch import nn

from mmagg.costs.plain_a2fpn import plainly
from mmagg.models.layers import few_launches, global_context
from mmagg.models.necks import A2FPN, a2fpn
from mmagg.ops import bilinear

STAGES = [12, 16, 20, 24]
MGC = dict(type='MultiLevelGlobalContext', channels=8, num_contexts=(8, 6, 4, 4))
UP, DOWN = (dict(type=kind, reduced_channels=6, gate_channels=5) for kind in ('GACARAFE', 'GACAP'))
FORMS = {
    'full': {},
    'lite': dict(joint_level=False, finest_conv=False, lateral=MGC | dict(channels=4)),
    'no GCN': dict(lateral=MGC | dict(gcn=False)),
    'lite, no GCN': dict(lateral=MGC | dict(gcn=False, channels=4)),
    'raw queries': dict(lateral=MGC | dict(norm_query=False)),
    'contexts of one number': dict(lateral=MGC | dict(num_contexts=(5, 5, 5, 5))),
    'other sizes on the way down': dict(bottom_up=DOWN | dict(reduced_channels=4, gain=1.0)),
    'CARAFE': dict(top_down=dict(type='CARAFEFusion', reduced_channels=6)),
    'one pathway': dict(bottom_up=None, finest_conv=False),
    'no attention': dict(top_down=dict(type='NearestFusion'), bottom_up=dict(type='StridedConvFusion')),
}


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The forms of a GPU where there is none."""
    for module in (global_context, a2fpn, bilinear):
        monkeypatch.setattr(module, 'in_few_launches', lambda x: not torch.is_grad_enabled())


def neck_of(**options) -> nn.Module:
    torch.manual_seed(0)
    neck = A2FPN(**dict(in_channels=STAGES, out_channels=8, lateral=MGC, top_down=UP, bottom_up=DOWN) | options)
    for p in neck.parameters():
        nn.init.normal_(p, std=0.3)
    return neck.double()


def stages(height: int = 64, width: int = 96) -> list[torch.Tensor]:
    return [
        torch.randn(2, c, -(-height // 2**i), -(-width // 2**i)).double()
        for c, i in zip(STAGES, range(2, 6), strict=True)
    ]


def agree(ours, theirs) -> None:
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.usefixtures('few')
@pytest.mark.parametrize('size', [(64, 96), (33, 65), (4, 4)])
@pytest.mark.parametrize('form', FORMS)
def test_levels_are_those_of_the_layers(form: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    neck, maps = neck_of(**FORMS[form]), stages(*size)
    want = neck(maps)  # gradients are recorded
    with torch.no_grad():
        agree(neck(maps), want)
        agree(plainly(neck)(maps), want)
        monkeypatch.setattr(few_launches, 'budget_on', lambda device, budget: 1)  # one context, one pixel at a time
        agree(neck(maps), want)


@pytest.mark.usefixtures('few')
def test_channels_last() -> None:
    neck, maps = neck_of(), stages()
    want = neck(maps)
    with torch.no_grad():
        agree(neck([x.contiguous(memory_format=torch.channels_last) for x in maps]), want)


@pytest.mark.usefixtures('few')
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_mixed_precision(dtype: torch.dtype) -> None:
    neck, maps = neck_of().float(), [x.float() for x in stages()]
    for p in neck.parameters():
        nn.init.normal_(p, std=0.1)
    want = neck(maps)
    with torch.no_grad(), torch.autocast('cpu', dtype):
        got = neck(maps)
    for a, b in zip(got, want, strict=True):
        assert (a.float() - b).norm() < 0.03 * b.norm()


@pytest.mark.usefixtures('few')
def test_weights_are_those_of_the_moment() -> None:
    neck, maps = neck_of(), stages()
    with torch.no_grad():
        neck(maps)
        for p in neck.parameters():
            p.mul_(0.9)
        got = neck(maps)
    agree(got, neck(maps))


def test_padding_is_no_part_of_checkpoints() -> None:
    neck = neck_of()
    assert not any('padding' in name for name in neck.state_dict())
    assert (neck.lateral.padding == 0).sum(dim=(1, 2)).tolist() == [8, 6, 4, 4]
