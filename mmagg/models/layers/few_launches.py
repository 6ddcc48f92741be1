"""A2-FPN's layers on a GPU in inference, where small operators cost more than what they compute.

The equations are those of `global_context`, `gacarafe` and `gacap`. The weights of convolutions that have as many
inputs are concatenated once in a pass, the graph convolutions of all levels run together, sums are part of the products
before them, and `mmagg.ops.fused` has the steps that remain.

Shape shorthand: B images, L levels, c_i channels of level i, n_i contexts of it, N the largest n_i, n of all levels, c
channels of a context, C channels of the result, (H, W) and (h, w) sizes of a fine level and of a coarse one.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmagg.models.layers.channel_gate import attention_pooled
from mmagg.ops import (
    budget_on,
    channel_weights,
    chunk_size,
    reassemble_down,
    reassemble_up,
    unit_vectors,
    upsampling_adjoint,
    weigh_and_add_,
)

Weights = tuple[Tensor, Tensor]  # (outputs, inputs) and bias (outputs,)


def joined(groups: Sequence[Sequence[Any]]) -> list[Weights]:
    """The weights of groups of 1x1 convolutions, all with as many inputs: those of a group below one another."""
    convs = [conv for group in groups for conv in group]
    sizes = [sum(conv.out_channels for conv in group) for group in groups]
    weight, bias = torch.cat([conv.weight.flatten(1) for conv in convs]), torch.cat([conv.bias for conv in convs])
    return list(zip(weight.split(sizes), bias.split(sizes), strict=True))


def size_of_parts(x: Tensor, floats: int) -> int:
    """How many items of B x `floats` numbers, and two copies of them, are within the device's budget."""
    return chunk_size(3 * 4 * len(x) * floats, budget_on(x.device, None))


# Multi-level global context (A2-FPN, Eqs. 1 to 6)


def global_context(mgc: Any, feats: Sequence[Tensor]) -> list[Tensor]:
    """`MultiLevelGlobalContext`: levels (B, c_i, H, W) -> levels (B, C, H, W)."""
    of_levels, of_all = (
        [conv for gcn in gcns for conv in (gcn.query, gcn.key, gcn.value)]
        for gcns in (mgc.level_gcns or (), () if mgc.joint_gcn is None else (mgc.joint_gcn,))
    )
    own, joint, out = joined([of_levels, of_all, mgc.out])
    widens = mgc.out[0].out_channels > mgc.out[0].in_channels

    contexts = [collected(mgc.entities[i], mgc.embed[i], x) for i, x in enumerate(feats)]
    if of_levels:
        everything = convolved_by_level(contexts, *own, mgc.padding, norm_query=mgc.norm_query)
        everything = convolved(everything, F.linear(everything, *joint), None, norm_query=mgc.norm_query)
    else:
        everything = torch.cat(contexts, dim=1)
    keys = unit_vectors(everything)
    values = [everything] * len(feats) if widens else F.linear(everything, *out).chunk(len(feats), dim=2)
    return [distributed(mgc, i, x, keys, values[i], widens=widens) for i, x in enumerate(feats)]


def collected(entities: Any, embed: Any, x: Tensor) -> Tensor:
    """The contexts of one level (A2-FPN, Eq. 1): (B, c_i, H, W) -> (B, n_i, c)."""
    pixels = x.flatten(2).transpose(1, 2)
    units = unit_vectors(pixels, scale=x.shape[1] ** 0.5)
    # A bias would shift the logits of all pixels alike, which no softmax sees.
    parts = entities.weight.flatten(1).split(size_of_parts(x, pixels.shape[1]))
    pooled = [(units @ part.t()).softmax(dim=1).to(x.dtype).transpose(1, 2) @ pixels for part in parts]
    return F.linear(pooled[0] if len(pooled) == 1 else torch.cat(pooled, dim=1), embed.weight.flatten(1), embed.bias)


def convolved(contexts: Tensor, projected: Tensor, mask: Tensor | None, *, norm_query: bool) -> Tensor:
    """A graph convolution (A2-FPN, Eq. 4).

    Args:
        contexts: (G, n, c).
        projected: (G, n, c/4 + c/4 + c), their queries, keys and values.
        mask: (G, 1, n), added to the logits of the keys.
        norm_query: as in `cosine_attention`.

    Returns:
        (G, n, c).
    """
    width = (projected.shape[2] - contexts.shape[2]) // 2
    query, key, value = projected.split([width, width, contexts.shape[2]], dim=2)
    if norm_query:
        both = projected.flatten(0, 1)[:, : 2 * width].unflatten(1, (2, width)).transpose(0, 1)
        query, key = unit_vectors(both, scale=width**0.25).unflatten(1, projected.shape[:2])
    else:
        key = unit_vectors(key, scale=width**0.5)
    key = key.transpose(1, 2)
    logits = torch.bmm(query, key) if mask is None else torch.baddbmm(mask, query, key)
    return torch.baddbmm(contexts, logits.softmax(dim=2).to(value.dtype), value)


def convolved_by_level(
    contexts: Sequence[Tensor], weight: Tensor, bias: Tensor, mask: Tensor, *, norm_query: bool
) -> Tensor:
    """The graph convolutions of all levels, each of its own contexts, as one of batches (A2-FPN, Eq. 5).

    Args:
        contexts: (B, n_i, c) of each level.
        weight: (L (c/4 + c/4 + c), c), of queries, keys and values of each level.
        bias: of as many.
        mask: (L, 1, N), far below zero beyond n_i.
        norm_query: as in `cosine_attention`.

    Returns:
        (B, n, c).
    """
    levels, images, longest = len(contexts), len(contexts[0]), max(contexts, key=lambda x: x.shape[1])
    # Fewer contexts than N are followed by any others: as keys they are masked, and what they become is left out.
    padded = torch.cat([part for x in contexts for part in (x, longest[:, x.shape[1] :])], dim=1)
    padded = padded.unflatten(1, (levels, -1)).transpose(0, 1).flatten(1, 2)  # (L, B N, c)
    weights = weight.unflatten(0, (levels, -1)).transpose(1, 2)
    projected = torch.baddbmm(bias.view(levels, 1, -1), padded, weights)
    padded, projected = (x.unflatten(1, (images, -1)).flatten(0, 1) for x in (padded, projected))
    mask = mask[:, None].expand(-1, images, -1, -1).flatten(0, 1)
    out = convolved(padded, projected, mask, norm_query=norm_query).unflatten(0, (levels, images))
    return torch.cat([ours[:, : x.shape[1]] for ours, x in zip(out, contexts, strict=True)], dim=1)


def distributed(mgc: Any, level: int, x: Tensor, keys: Tensor, values: Tensor, *, widens: bool) -> Tensor:
    """The result of a level (A2-FPN, Eq. 6).

    Args:
        mgc: the `MultiLevelGlobalContext`.
        level: its number.
        x: (B, c_i, H, W).
        keys: (B, n, c), the contexts, of unit length.
        values: (B, n, C); the contexts themselves, (B, n, c), if it widens.
        widens: C > c: W_o on the pixels.

    Returns:
        (B, C, H, W).
    """
    result, query, out = mgc.lateral[level](x), mgc.query[level], mgc.out[level]
    weight = query.weight.flatten(1).t().expand(len(x), -1, -1)
    size = size_of_parts(x, result.shape[1])
    pixels, sums = (maps.flatten(2).transpose(1, 2).split(size, dim=1) for maps in (x, result))
    for part, total in zip(pixels, sums, strict=True):
        queries = torch.baddbmm(query.bias, part, weight)
        queries = unit_vectors(queries) if mgc.norm_query else queries
        attended = F.scaled_dot_product_attention(
            queries[:, None], keys[:, None], values[:, None], scale=keys.shape[2] ** 0.5
        )[:, 0]
        total += F.linear(attended, out.weight.flatten(1), out.bias) if widens else attended
    return result


# Fusions with global attention (A2-FPN, Eqs. 7 to 13)


def pair_weights(fusions: Iterable[nn.Module]) -> dict[nn.Module, Weights]:
    """The joined convolutions of each `PairEncoder`, by its fusion; `fusions` of other kinds have none."""
    pairs: list[Any] = [fusion for fusion in fusions if hasattr(fusion, 'encoder')]
    if not pairs:
        return {}
    return dict(zip(pairs, joined([(pair.encoder.reduce, pair.encoder.mask) for pair in pairs]), strict=True))


def encoded(fusion: Any, first: Tensor, second: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Features and mask of a pair of maps, of which the second has been convolved; see `PairEncoder.split`."""
    both = torch.baddbmm(second.flatten(2), weight.expand(len(first), -1, -1), first.flatten(2))
    return fusion.encoder.split(both.view(second.shape))


def reweighted(gate: Any, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """`ChannelGate` of two pooled maps (B, C, 1, 1), in the order of concatenation -> (B, C) of coarse and fine map."""
    squeeze, norm, excite = gate.squeeze, gate.norm, gate.excite
    return channel_weights(
        first.flatten(1),
        second.flatten(1),
        (squeeze.weight.flatten(1), squeeze.bias),
        (norm.weight.flatten(), norm.bias.flatten()),
        (excite.weight.flatten(1), excite.bias),
        eps=norm.eps,
        gain=gate.gain,
    )


def gacarafe(fusion: Any, coarse: Tensor, fine: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`GACARAFE` with its joined weights: (B, C, h, w) and (B, C, H, W) -> (B, C, H, W)."""
    small = F.max_pool2d(fine, 2, ceil_mode=True)
    of_coarse, of_small = weight.chunk(2, dim=1)
    features, mask = encoded(fusion, coarse, F.conv2d(small, of_small[..., None, None], bias), of_coarse)
    weights = reweighted(fusion.gate, attention_pooled(coarse, mask), attention_pooled(small, mask))
    large = reassemble_up(coarse, fusion.predictor(features))[:, :, : fine.shape[2], : fine.shape[3]]
    return weigh_and_add_(large, weights[0], fine, weights[1])


def gacap(fusion: Any, coarse: Tensor, fine: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`GACAP` with its joined weights: (B, C, h, w) and (B, C, H, W) -> (B, C, h, w)."""
    of_fine, of_coarse = weight.chunk(2, dim=1)
    # A bias is the same before and after upsampling.
    other = F.conv2d(coarse, of_coarse[..., None, None], bias)
    other = F.interpolate(other, size=fine.shape[2:], mode='bilinear', align_corners=False)
    features, mask = encoded(fusion, fine, other, of_fine)
    pooled = attention_pooled(coarse, upsampling_adjoint(mask, coarse.shape[2:]))
    weights = reweighted(fusion.gate, attention_pooled(fine, mask), pooled)
    small = reassemble_down(fine, fusion.predictor(features))
    return weigh_and_add_(small, weights[1], coarse, weights[0])
