"""Multi-level global context against A2-FPN's equations, pixel by pixel and context by context."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmagg.models.layers import MultiLevelGlobalContext, global_context
from mmagg.models.layers.global_context import ContextGCN, cosine_attention, even_parts, normalised

SIZES = ((3, 5), (2, 3), (1, 1))


def context_net(**options) -> MultiLevelGlobalContext:
    net = MultiLevelGlobalContext(
        in_channels=(3, 4, 5), num_contexts=(3, 2, 2), **dict(channels=4, out_channels=6) | options
    )
    for p in net.parameters():
        torch.nn.init.normal_(p)
    return net.double()


def levels(batch: int = 2) -> list[Tensor]:
    return [torch.randn(batch, c, *size).double() for c, size in zip((3, 4, 5), SIZES, strict=True)]


def at_pixel(conv: torch.nn.Module, x: Tensor) -> Tensor:
    """A 1x1 convolution of one pixel (c,)."""
    return conv.weight.flatten(1) @ x + conv.bias


def unit(x: Tensor) -> Tensor:
    return x / (x.square().sum() + 1e-6).sqrt()


def test_the_attention_is_a_softmax_of_cosines():
    """Eq. 3 for one query, by hand."""
    torch.manual_seed(0)
    queries, keys, values = torch.randn(1, 5, 9).double(), torch.randn(1, 4, 9).double(), torch.randn(1, 4, 3).double()
    out = cosine_attention(queries, keys, values, norm_query=True)
    cosines = [F.cosine_similarity(queries[0, 2], key, dim=0) for key in keys[0]]
    weights = (3 * torch.stack(cosines)).exp()
    torch.testing.assert_close(out[0, 2], (weights[:, None] * values[0]).sum(0) / weights.sum(), rtol=1e-5, atol=1e-5)


def test_more_contexts_than_channels_are_capped():
    with pytest.warns(UserWarning, match=r'cannot be orthogonal; taking \[64, 128, 128, 64\]'):
        mgc = MultiLevelGlobalContext(in_channels=(64, 128, 256, 512))
    assert [conv.out_channels for conv in mgc.entities] == [64, 128, 128, 64]


def test_contexts_are_collected_pixel_by_pixel() -> None:
    """Eq. 1."""
    net, feats = context_net(), levels()
    for level, x in enumerate(feats):
        got = net.collect(level, x)
        for image, pixels in enumerate(x.flatten(2).transpose(1, 2)):
            scores = [math.sqrt(len(p)) * at_pixel(net.entities[level], unit(p)) for p in pixels]
            weights = torch.stack(scores).exp() / sum(score.exp() for score in scores)  # (pixels, contexts)
            want = sum(at_pixel(net.embed[level], p)[:, None] * w for p, w in zip(pixels, weights, strict=True))
            torch.testing.assert_close(got[image], want)


@pytest.mark.parametrize('norm_query', [True, False])
def test_contexts_reason_one_by_one(norm_query: bool) -> None:
    """Eq. 4."""
    gcn = ContextGCN(channels=8, norm_query=norm_query).double()
    contexts = torch.randn(1, 8, 5).double()
    for n, context in enumerate(contexts[0].t()):
        query = at_pixel(gcn.query, context)
        query = unit(query) if norm_query else query
        weights = [(math.sqrt(2) * unit(at_pixel(gcn.key, other)) @ query).exp() for other in contexts[0].t()]
        values = [at_pixel(gcn.value, other) for other in contexts[0].t()]
        want = context + sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)
        torch.testing.assert_close(gcn(contexts)[0, :, n], want)


def test_levels_reason_alone_and_then_together() -> None:
    """Eq. 5."""
    net, contexts = context_net(), [torch.randn(2, 4, n).double() for n in (3, 2, 2)]
    alone = [gcn(x) for gcn, x in zip(net.level_gcns, contexts, strict=True)]
    torch.testing.assert_close(net.reason(contexts), net.joint_gcn(torch.cat(alone, 2)))
    assert torch.equal(context_net(gcn=False).reason(contexts), torch.cat(contexts, 2))


@pytest.mark.parametrize('out_channels', [3, 6], ids=['convolve contexts', 'convolve pixels'])
def test_contexts_are_distributed_to_every_pixel(out_channels: int) -> None:
    """Eq. 6, in either order of the linear maps."""
    net, feats, contexts = context_net(out_channels=out_channels), levels(), torch.randn(2, 4, 7).double()
    for level, x in enumerate(feats):
        got = net.distribute(level, x, contexts).flatten(2)
        for image, pixels in enumerate(x.flatten(2).transpose(1, 2)):
            entities = contexts[image].t()
            for place, pixel in enumerate(pixels):
                query = unit(at_pixel(net.query[level], pixel))
                weights = [(math.sqrt(4) * unit(entity) @ query).exp() for entity in entities]
                attended = sum(w * entity for w, entity in zip(weights, entities, strict=True)) / sum(weights)
                want = at_pixel(net.out[level], attended) + at_pixel(net.lateral[level], pixel)
                torch.testing.assert_close(got[image, :, place], want)


@pytest.mark.parametrize('gcn', [True, False])
def test_batch_equals_one_by_one_in_parts_of_any_size(gcn: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    net, feats = context_net(gcn=gcn), levels(3)
    together = net(feats)
    monkeypatch.setattr(global_context, 'CHUNK_BYTES', 1)  # one context, one pixel at a time
    for i in range(3):
        for got, want in zip(net([x[i : i + 1] for x in feats]), together, strict=True):
            torch.testing.assert_close(got, want[i : i + 1])


def test_parts_are_even_and_have_every_item_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(global_context, 'CHUNK_BYTES', 100)
    for number in (1, 9, 10, 11, 25, 31):
        parts = [list(range(number))[part] for part in even_parts(number, 10, torch.device('cpu'))]
        assert [i for part in parts for i in part] == list(range(number))
        assert max(map(len, parts)) <= 10
        assert len(parts) == math.ceil(number / 10)


def test_orthogonality_is_the_distance_of_products_from_one() -> None:
    """Eq. 2, product by product."""
    net, want = context_net(), 0.0
    for conv in net.entities:
        rows = conv.weight.flatten(1).tolist()
        for i, a in enumerate(rows):
            for j, b in enumerate(rows):
                want += (sum(x * y for x, y in zip(a, b, strict=True)) - (i == j)) ** 2
    assert net.orthogonality().item() == pytest.approx(want)


def test_pixels_of_zeros_are_not_divided_by_zero() -> None:
    x = torch.zeros(1, 3, 2, requires_grad=True)
    y = normalised(x, 1)
    y.sum().backward()
    assert not y.any()
    assert x.grad.isfinite().all()
    ones = normalised(torch.full((1, 4, 1), 300.0, dtype=torch.half), 1)  # their sum of squares is not finite in half
    torch.testing.assert_close(ones, torch.full((1, 4, 1), 0.5, dtype=torch.half))


def test_wrong_sizes_are_named() -> None:
    with pytest.raises(ValueError, match=r'3 levels of the backbone, but num_contexts=\(3, 2\)'):
        MultiLevelGlobalContext(in_channels=(3, 4, 5), num_contexts=(3, 2))
    with pytest.raises(ValueError, match='channels=6: they must be divisible by 4'):
        context_net(channels=6)
