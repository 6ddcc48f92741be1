"""Masks as codes of a small auto-encoder, an alternative to PCA (MEInst, Sec. 3.2).

Shape shorthand: N masks, m mask size, D length of a code.
"""

from pathlib import Path

import numpy as np
import torch
from mmdet.registry import MODELS
from torch import Tensor, nn

from mmagg.models.masks.boxed.mask_codec import MaskCodec, full_precision, mask_logits, read_arrays
from mmagg.models.masks.boxed.pca_codec import Dictionary


class LinearAndMore(nn.Module):
    """x -> A x + a + B relu(C x + c): a linear map beside a hidden layer; B starts at 0."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.down = nn.Linear(inputs, hidden)
        self.up = nn.Linear(hidden, outputs, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs) -> (N, outputs)."""
        return self.linear(x) + self.up(self.down(x).relu())


@MODELS.register_module()
class AutoEncoderMaskCodec(MaskCodec):
    """An auto-encoder whose encoder and decoder have a hidden layer each beside a linear map.

    The best linear auto-encoder is PCA, so its training starts there (`start_at`). The weights come from
    tools/analysis/fit_mask_codec.py and are frozen; codes have mean 0 and variance 1 over the training masks.

    Args:
        mask_size: m.
        num_codes: D.
        hidden: width of the hidden layers.
        dictionary: .npz of ``tools/analysis/fit_mask_codec.py --codec autoencoder``.

    Raises:
        ValueError: a dictionary that does not fit.
    """

    evidence = 'code_scale'
    code_mean: Tensor
    code_scale: Tensor

    def __init__(
        self, *, mask_size: int = 28, num_codes: int = 60, hidden: int = 256, dictionary: str | Path | None = None
    ) -> None:
        super().__init__(mask_size=mask_size, num_codes=num_codes, dictionary=dictionary)
        self.encoder = LinearAndMore(mask_size**2, hidden, num_codes)
        self.decoder = LinearAndMore(num_codes, hidden, mask_size**2)
        self.register_buffer('code_mean', torch.zeros(num_codes))
        self.register_buffer('code_scale', torch.zeros(num_codes))
        self.requires_grad_(False)
        self.read_if_there()

    def encode(self, masks: Tensor, labels: Tensor | None = None) -> Tensor:
        self.require_content()
        with full_precision(masks):
            codes = self.encoder(mask_logits(masks, sigmoid='constant'))
            return (codes - self.code_mean) / self.code_scale

    def decode(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        self.require_content()
        with full_precision(codes):
            masks = self.decoder(codes.float() * self.code_scale + self.code_mean)
        return masks.unflatten(1, (self.mask_size, self.mask_size))

    def assume(self) -> None:
        self.start_at(Dictionary.assumed(self.mask_size, self.num_codes))

    @torch.no_grad()
    def start_at(self, dictionary: Dictionary) -> None:
        """Initialise as the whitened PCA of a dictionary."""
        components = dictionary.components[0, : self.num_codes]
        scale = dictionary.explained_variance[0, : self.num_codes].sqrt()
        self.encoder.linear.weight.copy_(components / scale[:, None])
        self.encoder.linear.bias.copy_(-(components @ dictionary.mean[0]) / scale)
        self.decoder.linear.weight.copy_((components * scale[:, None]).t())
        self.decoder.linear.bias.copy_(dictionary.mean[0])
        self.code_mean.zero_()
        self.code_scale.fill_(1)
        self.fitted = True

    def write(self, path: Path) -> None:
        """Write the weights as an .npz."""
        np.savez(path, **{key: value.cpu().numpy() for key, value in self.state_dict().items()})

    def read(self, path: Path) -> None:
        found, wanted = read_arrays(path), {key: tuple(value.shape) for key, value in self.state_dict().items()}
        for key, shape in wanted.items():
            if key not in found or found[key].shape != shape:
                there = f'is {found[key].shape}' if key in found else 'is missing'
                raise ValueError(f'{path}: no auto-encoder of these sizes ({key} {there}, wanted {shape})')
        self.load_state_dict({key: torch.from_numpy(found[key]) for key in wanted})
