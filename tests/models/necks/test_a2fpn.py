"""The neck against mmdet's PAFPN and FPN, and against the paper's equations written plainly."""

import pytest
import torch
import torch.nn.functional as F
from mmdet.models.necks import FPN, PAFPN

from mmagg.costs.plain_a2fpn import plainly
from mmagg.models.necks import A2FPN

STAGES = [12, 16, 20, 24]
MGC = dict(type='MultiLevelGlobalContext', channels=8, num_contexts=(8, 6, 4, 4))
SMALL_GACARAFE = dict(type='GACARAFE', reduced_channels=6, gate_channels=4)
SMALL_GACAP = dict(type='GACAP', reduced_channels=6, gate_channels=4)
SMALL = dict(in_channels=STAGES, out_channels=8, lateral=MGC, top_down=SMALL_GACARAFE, bottom_up=SMALL_GACAP)
PAFPN_FRAME = dict(
    lateral=dict(type='LateralConvs'),
    top_down=dict(type='NearestFusion'),
    bottom_up=dict(type='StridedConvFusion'),
    joint_level=False,
    finest_conv=False,
)
FORMS = {
    'full': {},
    'lite': dict(joint_level=False, finest_conv=False, lateral=MGC | dict(channels=4)),
    'no GCN': dict(lateral=MGC | dict(gcn=False)),
    'raw queries': dict(lateral=MGC | dict(norm_query=False)),
    'sigmoid': dict(top_down=SMALL_GACARAFE | dict(gain=1.0), bottom_up=SMALL_GACAP | dict(gain=1.0)),
    'one pathway': dict(bottom_up=None, finest_conv=False),
}


def stages(height, width, *, batch=2, channels=STAGES, dtype=torch.float64, grad=False):
    """C2 to C5 of an image of this size."""
    generator, maps = torch.Generator().manual_seed(0), []
    height, width = -(-height // 4), -(-width // 4)
    for c in channels:
        maps.append(torch.randn(batch, c, height, width, generator=generator, dtype=dtype).requires_grad_(grad))
        height, width = -(-height // 2), -(-width // 2)
    return maps


def randomly(neck, std=0.1):
    with torch.no_grad():
        for p in neck.parameters():
            p.normal_(std=std)
    return neck


def small_neck(*, std=0.3, **options):
    """With random weights: the initial kernels are nearly uniform, and biases zero."""
    torch.manual_seed(0)
    return randomly(A2FPN(**SMALL | options).double(), std)


def copy_in_order(source, target):
    """mmdet's weights, part by part in the order in which we have them."""
    state = {
        name: [value for key, value in source.state_dict().items() if key.startswith(name)]
        for name in ('lateral_convs', 'fpn_convs', 'downsample_convs', 'pafpn_convs')
    }
    levels = 2 * len(target.top_down_convs)
    ours = [*state['lateral_convs'], *state['fpn_convs'][:levels], *state['downsample_convs'], *state['pafpn_convs']]
    ours += state['fpn_convs'][levels:]
    target.load_state_dict(dict(zip(target.state_dict(), ours, strict=True)))


@pytest.mark.parametrize(
    'theirs, options',
    [
        ((PAFPN, {}), {}),
        ((FPN, {}), dict(bottom_up=None)),
        (
            (PAFPN, dict(start_level=1, add_extra_convs='on_output', relu_before_extra_convs=True)),
            dict(start_level=1, add_extra_convs='on_output', relu_before_extra_convs=True),
        ),
        ((PAFPN, dict(start_level=1, add_extra_convs='on_output')), dict(start_level=1, add_extra_convs='on_output')),
    ],
    ids=['PAFPN', 'FPN', 'P3 to P7', 'P3 to P7 without ReLU'],
)
@pytest.mark.parametrize('size', [(64, 96), (33, 65)])
def test_without_modules_it_is_mmdets_bit_for_bit(theirs, options, size):
    kind, more = theirs
    theirs = randomly(kind(in_channels=STAGES, out_channels=8, num_outs=5, **more))
    ours = A2FPN(in_channels=STAGES, out_channels=8, **PAFPN_FRAME | options)
    copy_in_order(theirs, ours)
    maps = stages(*size, dtype=torch.float32)
    for a, b in zip(ours(maps), theirs(maps), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('size', [(64, 96), (33, 65), (32, 32)])
def test_fast_forms_equal_the_plain_equations(form, size):
    neck, maps = small_neck(**FORMS[form]), stages(*size, grad=True)
    outputs = []
    for form in (neck, plainly(neck), plainly(neck, unfold=True)):
        levels = form(maps)
        loss = sum((level * torch.linspace(-1, 2, level.numel()).view_as(level)).sum() for level in levels)
        outputs.append((levels, torch.autograd.grad(loss, [*maps, *form.parameters()])))
    ours, our_gradients = outputs[0]
    for want, gradients in outputs[1:]:
        for a, b in zip(ours, want, strict=True):
            torch.testing.assert_close(a, b)
        for a, b in zip(our_gradients, gradients, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7 * max(1, b.abs().max().item()))


@pytest.mark.parametrize('size', [(64, 96), (33, 65), (32, 32), (4, 4)])
def test_sizes(size):
    maps = stages(*size)
    for form in FORMS.values():
        levels = small_neck(**form)(maps)
        want = [x.shape[2:] for x in maps]
        want.append(tuple(-(-side // 2) for side in want[-1]))
        assert [x.shape[2:] for x in levels] == want
        assert all(torch.isfinite(x).all() for x in levels)


@pytest.mark.parametrize('form', ['full', 'lite'])
def test_batch_equals_one_by_one(form):
    neck, maps = small_neck(**FORMS[form]), stages(64, 96, batch=3)
    together = neck(maps)
    for i in range(3):
        for a, b in zip(neck([x[i : i + 1] for x in maps]), together, strict=True):
            torch.testing.assert_close(a, b[i : i + 1])


def test_channels_last():
    neck, maps = small_neck(), stages(64, 96)
    want = neck(maps)
    neck = neck.to(memory_format=torch.channels_last)
    got = neck([x.contiguous(memory_format=torch.channels_last) for x in maps])
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16], ids=['bf16', 'fp16'])
def test_mixed_precision(dtype):
    neck, maps = small_neck(std=0.1).float(), stages(64, 96, dtype=torch.float32, grad=True)
    want = neck(maps)
    with torch.autocast('cpu', dtype=dtype):
        got = neck(maps)
        loss = sum(x.float().square().mean() for x in got)
    loss.backward()
    for a, b in zip(got, want, strict=True):
        assert (a.float() - b).norm() < 0.03 * b.norm()
    assert all(torch.isfinite(p.grad).all() for p in neck.parameters())


def test_pixels_of_zeros_have_finite_gradients():
    neck, maps = small_neck(), stages(64, 96)
    maps = [x.clone() for x in maps]
    for x in maps:
        x[:, :, : x.shape[2] // 2 + 1] = 0
        x.requires_grad_()
    sum(x.square().sum() for x in neck(maps)).backward()
    assert all(x.grad.abs().max() < 1e6 for x in maps)
    assert all(torch.isfinite(p.grad).all() for p in neck.parameters())


def test_every_parameter_learns():
    """All but the biases of the spatial softmaxes, which shift every logit alike."""
    neck = small_neck(std=0.1)
    sum((x * torch.randn_like(x)).sum() for x in neck(stages(64, 96))).backward()
    still = {name for name, p in neck.named_parameters() if p.grad.abs().max() < 1e-9}
    assert still == {
        *(f'lateral.entities.{i}.bias' for i in range(4)),
        *(f'{way}.{i}.encoder.mask.bias' for way in ('top_down', 'bottom_up') for i in range(4)),
    }


def test_initial_weights():
    neck = A2FPN(in_channels=(64, 128), num_outs=3, lateral=dict(type='MultiLevelGlobalContext', num_contexts=(64, 32)))
    neck.init_weights()
    for conv in neck.lateral.entities:
        rows = conv.weight.flatten(1)
        torch.testing.assert_close(rows @ rows.t(), torch.eye(len(rows)), rtol=0, atol=1e-5)
    assert neck.lateral.orthogonality() < 1e-6
    for fusion in (*neck.top_down, *neck.bottom_up):
        assert 0.0008 < fusion.predictor.kernels.weight.std() < 0.0012
        bound = (6 / (64 * 9 * 2)) ** 0.5
        assert 0.95 * bound < fusion.predictor.blend.weight.abs().max() <= bound, 'Xavier, uniform'
    assert all(not p.any() for name, p in neck.named_parameters() if name.endswith('bias') and 'norm' not in name)


def test_the_joint_level_takes_part_in_both_pathways():
    """Fig. 2, level by level, with the fusions of PAFPN."""
    frame = PAFPN_FRAME | dict(joint_level=True, finest_conv=True)
    neck, (c2, c3, c4, c5) = randomly(A2FPN(in_channels=STAGES, out_channels=8, **frame)), stages(64, 96)
    neck = neck.double()
    p2, p3, p4, p5 = (conv(x) for conv, x in zip(neck.lateral.convs, (c2, c3, c4, c5), strict=True))
    p6 = neck.joint_conv(c5)

    def up(coarse, fine):
        return fine + F.interpolate(coarse, size=fine.shape[2:])

    p5 = up(p6, p5)
    p4 = up(p5, p4)
    p3 = up(p4, p3)
    p2 = up(p3, p2)
    p2, p3, p4, p5, p6 = (conv(x) for conv, x in zip(neck.top_down_convs, (p2, p3, p4, p5, p6), strict=True))
    p3 = p3 + neck.bottom_up[0].conv(p2)
    p4 = p4 + neck.bottom_up[1].conv(p3)
    p5 = p5 + neck.bottom_up[2].conv(p4)
    p6 = p6 + neck.bottom_up[3].conv(p5)
    want = [conv(x) for conv, x in zip(neck.bottom_up_convs, (p2, p3, p4, p5, p6), strict=True)]
    for a, b in zip(neck(stages(64, 96)), want, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(num_outs=4), 'the pathways make 5 levels'),
        (dict(start_level=4), 'start_level=4'),
        (dict(add_extra_convs='on_input'), "add_extra_convs is 'on_input'"),
        (dict(bottom_up=None), 'finest_conv=True'),
        (dict(lateral=MGC | dict(num_contexts=(4, 4))), r'4 levels of the backbone, but num_contexts=\(4, 4\)'),
        (dict(lateral=MGC | dict(channels=6)), 'divisible by 4'),
        (dict(top_down=dict(type='GACARAFE', kernel_size=4)), 'kernel_size=4'),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        A2FPN(**SMALL | options)
