"""ProtoNet against the authors' values, and against the same network written plainly."""

import pytest
import torch
import torch.nn.functional as F
from mmdet.models.dense_heads.yolact_head import YOLACTProtonet
from mmdet.registry import MODELS
from torch import nn

from mmagg.models.heads import SemanticHead
from mmagg.models.layers import ProtoNet

NUM_CONVS = 3  # of the golden case


def close(ours: torch.Tensor, want: torch.Tensor, rel: float = 2e-5) -> bool:
    """Within the tolerance of the reference cases: relative to the largest value."""
    return ours.shape == want.shape and (ours - want).abs().max() <= rel * want.abs().max()


def our_key(key: str) -> str:
    """A key of the authors' basis module, in ours, ProtoNet's or SemanticHead's."""
    part, index, *rest = key.split('.')
    if part == 'seg_head':
        block, kind = divmod(int(index), 3)
        return '.'.join(['conv_logits' if block == 2 else f'convs.{block}.{("conv", "bn")[kind]}', *rest])
    if part == 'tower' and int(index) == NUM_CONVS + 2:
        return '.'.join(['conv_bases', *rest])
    block = int(index) - (part == 'tower' and int(index) > NUM_CONVS)
    return f'{part}.{block}.{("conv", "bn")[int(rest[0])]}.{rest[1]}'


@pytest.fixture
def golden(shared) -> dict:
    return torch.load(shared / 'golden/blendmask/basis_3convs_sem.pt', weights_only=True)


@pytest.fixture
def modules(golden) -> tuple[ProtoNet, SemanticHead]:
    state = {key.removeprefix('sd.'): value for key, value in golden.items() if key.startswith('sd.')}
    basis = ProtoNet(in_channels=16, channels=8, num_convs=NUM_CONVS)
    semantic = SemanticHead(num_classes=int(golden['num_classes']), in_channels=16, channels=8)
    for module, theirs in ((basis, False), (semantic, True)):
        module.load_state_dict({our_key(k): v for k, v in state.items() if k.startswith('seg_head') == theirs})
    return basis, semantic


def test_golden_inference(golden, modules):
    feats = [golden[level] for level in ('p3', 'p4', 'p5')]
    assert close(modules[0].eval()(feats), golden['bases_eval'])


def test_golden_training(golden, modules):
    basis, semantic = modules
    feats = [golden[level].requires_grad_() for level in ('p3', 'p4', 'p5')]
    bases = basis(feats)
    loss = semantic.loss(feats, golden['sem_stride8'].long())
    assert close(bases, golden['bases_train'])
    assert close(loss, golden['loss_basis_sem'])

    (bases.square().mean() + loss).backward()
    assert close(feats[0].grad, golden['grad_p3'], 1e-4)
    assert close(feats[2].grad, golden['grad_p5'], 1e-4)
    assert close(basis.conv_bases.weight.grad, golden['grad_tower_last'], 1e-4)

    statistics = {key.removeprefix('after_train.'): v for key, v in golden.items() if key.startswith('after_train.')}
    ours = {**basis.state_dict(), **semantic.state_dict()}
    assert len(statistics) == 6
    for key, want in statistics.items():
        assert close(ours[our_key(key)], want), key


def plainly(net: ProtoNet, feats: list[torch.Tensor]) -> torch.Tensor:
    """Bases in eval mode, written out with plain functions."""

    def block(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
        bn = layer.bn
        x = F.conv2d(x, layer.conv.weight, padding=1) - bn.running_mean[:, None, None]
        x = x / (bn.running_var[:, None, None] + bn.eps).sqrt()
        return (x * bn.weight[:, None, None] + bn.bias[:, None, None]).clamp(min=0)

    maps = [block(refine, feats[level]) for refine, level in zip(net.refine, net.levels, strict=True)]
    size = maps[0].shape[-2:]
    x = sum(F.interpolate(m, size=size, mode='bilinear') for m in maps)
    for layer in net.tower[:-1]:
        x = block(layer, x)
    x = block(net.tower[-1], F.interpolate(x, size=(2 * size[0], 2 * size[1]), mode='bilinear'))
    return torch.einsum('kc,bchw->bkhw', net.conv_bases.weight[:, :, 0, 0], x) + net.conv_bases.bias[:, None, None]


def randomly(module: nn.Module) -> nn.Module:
    """Random statistics and weights, so that nothing is hidden by zeros and ones."""
    for value in module.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.1, 0.5)
    return module.double().eval()


@pytest.mark.parametrize('levels, num_convs', [((0, 1, 2), 2), ((0,), 3), ((1, 3), 0)])
def test_is_the_network_of_the_paper_at_odd_sizes(levels, num_convs):
    net = randomly(ProtoNet(in_channels=6, levels=levels, channels=4, num_convs=num_convs, num_bases=3))
    feats = [torch.randn(2, 6, h, w).double() for h, w in ((9, 13), (5, 7), (3, 4), (2, 2))]
    bases = net(feats)
    height, width = feats[levels[0]].shape[-2:]
    assert bases.shape == (2, 3, 2 * height, 2 * width)
    torch.testing.assert_close(bases, plainly(net, feats))
    torch.testing.assert_close(bases[1:], net([x[1:] for x in feats]))


def test_proto_p3_is_yolacts():
    theirs = YOLACTProtonet(num_classes=3, in_channels=6, proto_channels=(5, 5, 5, None, 5, 4), include_last_relu=False)
    ours = ProtoNet(in_channels=6, levels=(0,), channels=5, num_convs=2, norm_cfg=None)
    ours.init_weights()
    pairs = zip(ours.parameters(), theirs.protonet.parameters(), strict=True)
    for our, their in pairs:
        their.data.copy_(our)
    x = torch.randn(2, 6, 7, 9)
    torch.testing.assert_close(ours([x]), theirs.protonet(x))


def test_normalisation_is_synchronised_as_in_the_release():
    net = ProtoNet(in_channels=6, channels=4)
    assert all(isinstance(layer.bn, nn.SyncBatchNorm) for layer in (*net.refine, *net.tower))
    plain = ProtoNet(in_channels=6, channels=4, norm_cfg=dict(type='BN'))
    plain.load_state_dict(net.state_dict())
    feats = [torch.randn(2, 6, s, s) for s in (8, 4, 2)]
    assert torch.equal(net.train()(feats), plain.train()(feats)), 'in one process'
    assert torch.equal(net.eval()(feats), plain.eval()(feats))
    semantic = SemanticHead(num_classes=3, in_channels=6)
    assert not [x for x in semantic.modules() if isinstance(x, nn.SyncBatchNorm)]


def test_initial_weights():
    net = ProtoNet(in_channels=64, channels=32, num_convs=1)
    last = net.conv_bases.weight.clone()
    net.init_weights()
    for layer in (*net.refine, *net.tower):
        bound = (3 / layer.conv.weight[0].numel()) ** 0.5  # of a uniform variable with variance 1 / fan-in
        assert 0.99 * bound < layer.conv.weight.abs().max() <= bound
        assert layer.conv.bias is None
        assert layer.bn.weight.eq(1).all()
    assert torch.equal(net.conv_bases.weight, last)


def test_size_of_the_released_model():
    parts = [
        MODELS.build(dict(type='ProtoNet', in_channels=256)),
        MODELS.build(dict(type='SemanticHead', num_classes=80, in_channels=256)),
    ]
    assert sum(p.numel() for part in parts for p in part.parameters()) == 1_930_197


def test_mixed_precision():
    net = ProtoNet(in_channels=6, channels=4)
    feats = [torch.randn(2, 6, s, s) for s in (8, 4, 2)]
    with torch.autocast('cpu', dtype=torch.bfloat16):
        bases = net(feats)
    bases.float().square().mean().backward()
    assert all(p.grad.isfinite().all() for p in net.parameters())


def test_needs_a_level():
    with pytest.raises(ValueError, match='levels'):
        ProtoNet(in_channels=6, levels=())
