"""Multi-level global context, the lateral connections of A2-FPN (A2-FPN, Sec. 3.1, Fig. 3).

Context features are collected from every level of the backbone, related to one another by graph convolutions, and
distributed to all pixels of all levels. Plainly, with the pixels x_i of level i as columns:

    A(q, k) = softmax(√channels · normalised(k)ᵀ normalised(q))       cosine-similarity attention (A2-FPN, Eq. 3)
    e_i = φ_i(x_i) · softmax over pixels(√c_i · ψ_i(normalised(x_i)))ᵀ contexts of a level (A2-FPN, Eq. 1)
    gcn(e) = value(e) · A(query(e), key(e)) + e                       a graph convolution (A2-FPN, Eq. 4)
    e = gcn(concat(gcn_1(e_1), gcn_2(e_2), ...))                      all contexts (A2-FPN, Eq. 5)
    y_i = W_o (e · A(θ_i(x_i), e)) + ξ_i(x_i)                         pixels of the result (A2-FPN, Eq. 6)

The code reorders linear maps where that is cheaper; `mmagg.costs.plain_a2fpn` has the plain form.

Shape shorthand: B images, c_i channels of level i, n_i contexts of it, n of all levels, c channels of a context, C
channels of the result, (H, W) size of a level.
"""

import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmagg.models.layers import few_launches
from mmagg.ops import budget_on, chunk_size, in_few_launches

EPS = 1e-6
CHUNK_BYTES = 2**26  # of the tensors of a chunk of contexts or of pixels


def inverse_norm(x: Tensor, dim: int) -> Tensor:
    """1 / √(Σ x² + 1e-6) along `dim`, which is kept, in float32 at least."""
    norm = torch.linalg.vector_norm(x, dim=dim, keepdim=True, dtype=torch.promote_types(x.dtype, torch.float32))
    return (norm.square() + EPS).rsqrt()


def normalised(x: Tensor, dim: int) -> Tensor:
    """L2 normalisation along `dim`, in the dtype of `x`."""
    return (x * inverse_norm(x, dim)).to(x.dtype)


def cosine_attention(queries: Tensor, keys: Tensor, values: Tensor, *, norm_query: bool) -> Tensor:
    """Scaled cosine-similarity attention (A2-FPN, Eq. 3): weights softmax over the keys(√c · cosine similarity).

    Args:
        queries: (B, M, c).
        keys: (B, N, c).
        values: (B, N, v).
        norm_query: normalise the queries as well as the keys.

    Returns:
        (B, M, v).
    """
    queries = normalised(queries, 2) if norm_query else queries
    attended = F.scaled_dot_product_attention(
        queries[:, None], normalised(keys, 2)[:, None], values[:, None], scale=queries.shape[2] ** 0.5
    )
    return attended[:, 0]


def even_parts(number: int, bytes_per_item: int, device: torch.device) -> list[slice]:
    """Slices of `number` items of equal size, since small matrix products are slow, within CHUNK_BYTES each.

    On a GPU, where calls cost more than memory, within its own budget.
    """
    size = chunk_size(bytes_per_item, budget_on(device, None) if device.type == 'cuda' else CHUNK_BYTES)
    size = -(-number // -(-number // size))
    return [slice(start, start + size) for start in range(0, number, size)]


class ContextGCN(nn.Module):
    """A graph convolution over contexts, with their attention as adjacency matrix (A2-FPN, Eq. 4).

    Args:
        channels: c.
        norm_query: as in `cosine_attention`.
    """

    def __init__(self, *, channels: int, norm_query: bool) -> None:
        super().__init__()
        self.query = nn.Conv1d(channels, channels // 4, 1)
        self.key = nn.Conv1d(channels, channels // 4, 1)
        self.value = nn.Conv1d(channels, channels, 1)
        self.norm_query = norm_query

    def forward(self, contexts: Tensor) -> Tensor:
        """(B, c, n) -> (B, c, n)."""
        query, key, value = (conv(contexts).transpose(1, 2) for conv in (self.query, self.key, self.value))
        return cosine_attention(query, key, value, norm_query=self.norm_query).transpose(1, 2) + contexts


@MODELS.register_module()
class MultiLevelGlobalContext(BaseModule):
    """Lateral connections with multi-level global context (A2-FPN, Eqs. 1 to 6).

    Args:
        in_channels: c_i of each level, from the finest.
        out_channels: C.
        channels: c; 128 in the Lite form.
        num_contexts: n_i of each level; capped at c_i, with a warning, since more cannot be orthogonal.
        gcn: graph convolutions of the contexts (A2-FPN, Eqs. 4 and 5; "w/o GCN" in Table 3).
        norm_query: normalise queries as well as keys; without, the distributor's softmax saturates.

    Raises:
        ValueError: `in_channels` and `num_contexts` are not of one length, or c cannot be divided by 4.
    """

    def __init__(
        self,
        *,
        in_channels: Sequence[int],
        out_channels: int = 256,
        channels: int = 256,
        num_contexts: Sequence[int] = (256, 192, 128, 64),
        gcn: bool = True,
        norm_query: bool = True,
    ) -> None:
        super().__init__()
        if len(in_channels) != len(num_contexts):
            raise ValueError(f'{len(in_channels)} levels of the backbone, but num_contexts={tuple(num_contexts)}')
        if channels % 4:
            raise ValueError(f'channels={channels}: they must be divisible by 4 (A2-FPN, Eq. 4)')
        if any(n > c for n, c in zip(num_contexts, in_channels, strict=True)):
            capped = [min(n, c) for n, c in zip(num_contexts, in_channels, strict=True)]
            warnings.warn(
                f'num_contexts={list(num_contexts)} of {list(in_channels)} channels cannot be orthogonal; '
                f'taking {capped}',
                stacklevel=2,
            )
            num_contexts = capped

        def convs(outputs: Sequence[int]) -> Any:  # a ModuleList, of whose items no types are known
            return nn.ModuleList(nn.Conv2d(i, o, 1) for i, o in zip(in_channels, outputs, strict=True))

        levels = len(in_channels)
        self.entities = convs(num_contexts)  # ψ
        self.embed = convs([channels] * levels)  # φ
        self.query = convs([channels] * levels)  # θ
        self.lateral = convs([out_channels] * levels)  # ξ
        self.out: Any = nn.ModuleList(nn.Conv2d(channels, out_channels, 1) for _ in in_channels)  # W_o
        new_gcn = partial(ContextGCN, channels=channels, norm_query=norm_query)
        self.level_gcns = nn.ModuleList(new_gcn() for _ in in_channels) if gcn else None
        self.joint_gcn = new_gcn() if gcn else None
        self.norm_query = norm_query
        # For graph convolutions of all levels at once, to the longest: no key is beyond a level's own contexts.
        places = torch.arange(max(num_contexts)).expand(levels, 1, -1)
        padding = -1e4 * (places >= torch.tensor(num_contexts)[:, None, None])
        self.register_buffer('padding', padding, persistent=False)

    def init_weights(self) -> None:
        """Orthogonal ψ; the rest by the neck's `init_cfg`."""
        super().init_weights()
        for conv in self.entities:
            nn.init.orthogonal_(conv.weight)

    def forward(self, feats: Sequence[Tensor]) -> list[Tensor]:
        """Levels (B, c_i, H, W) -> levels (B, C, H, W)."""
        if in_few_launches(feats[0]):
            return few_launches.global_context(self, feats)
        contexts = self.reason([self.collect(i, x) for i, x in enumerate(feats)])
        return [self.distribute(i, x, contexts) for i, x in enumerate(feats)]

    def collect(self, level: int, x: Tensor) -> Tensor:
        """The contexts of one level (A2-FPN, Eq. 1): (B, c_i, H, W) -> (B, c, n_i)."""
        embed, pixels = self.embed[level], x.flatten(2).transpose(1, 2)  # (B, H W, c_i)
        weight, bias = self.entities[level].weight.flatten(1), self.entities[level].bias
        scale = x.shape[1] ** 0.5
        factors = scale * inverse_norm(pixels, 2)

        def pool(part: slice) -> Tensor:
            """The attention-pooled features of some contexts, (B, c_i, n)."""
            # The norm of a pixel is a factor, which is applied after the product.
            logits = torch.addcmul(scale * bias[part], pixels @ weight[part].t(), factors)
            return pixels.transpose(1, 2) @ logits.softmax(dim=1).to(x.dtype)

        # φ after pooling: both are linear, and a context's weights sum to one, so that the bias stays.
        parts = even_parts(len(bias), 3 * 4 * len(x) * pixels.shape[1], x.device)
        pooled = [pool(part) for part in parts]
        return F.conv1d(pooled[0] if len(parts) == 1 else torch.cat(pooled, dim=2), embed.weight.flatten(2), embed.bias)

    def reason(self, contexts: list[Tensor]) -> Tensor:
        """Graph convolutions per level, then of all contexts (A2-FPN, Eqs. 4 and 5): (B, c, n_i) each -> (B, c, n)."""
        if self.level_gcns is None or self.joint_gcn is None:
            return torch.cat(contexts, dim=2)
        return self.joint_gcn(torch.cat([gcn(x) for gcn, x in zip(self.level_gcns, contexts, strict=True)], dim=2))

    def distribute(self, level: int, x: Tensor, contexts: Tensor) -> Tensor:
        """The result of a level (A2-FPN, Eq. 6): (B, c_i, H, W) pixels and (B, c, n) contexts -> (B, C, H, W)."""
        result, keys = self.lateral[level](x), contexts.transpose(1, 2)
        query, out = ((conv.weight.flatten(1), conv.bias) for conv in (self.query[level], self.out[level]))
        # W_o on the n contexts instead of on every pixel, since a pixel's weights sum to one. If C > c, on the pixels
        # nevertheless: attention over C channels would cost more.
        widens = result.shape[1] > contexts.shape[1]
        values = keys if widens else F.linear(keys, *out)
        pixels = x.flatten(2).transpose(1, 2)  # (B, H W, c_i)
        sums = result.view(*result.shape[:2], -1).transpose(1, 2)
        for part in even_parts(pixels.shape[1], 3 * 4 * len(x) * result.shape[1], x.device):
            queries = F.linear(pixels[:, part], *query)
            attended = cosine_attention(queries, keys, values, norm_query=self.norm_query)
            sums[:, part].add_(F.linear(attended, *out) if widens else attended)  # `+=` would copy it to itself
        return result

    def orthogonality(self) -> Tensor:
        """The sum over the levels of ‖W_ψ W_ψᵀ - I‖² (A2-FPN, Eq. 2, without λ), in float32 also under autocast."""
        total: Any = 0.0
        for conv in self.entities:
            with torch.autocast(conv.weight.device.type, enabled=False):
                rows = conv.weight.flatten(1)
                total += (rows @ rows.t() - torch.eye(len(rows), dtype=rows.dtype, device=rows.device)).square().sum()
        return total
