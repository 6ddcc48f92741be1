"""Uploads keep what they are given."""

import numpy as np
import torch

from mmagg.ops import upload

CPU = torch.device('cpu')


def test_values_of_any_kind() -> None:
    given = torch.arange(3)
    assert upload(given, CPU) is given
    for values in ([0, 1, 2], np.arange(3), range(3)):
        assert torch.equal(upload(values, CPU), given)
    assert torch.equal(upload([1, 0.5], CPU, dtype=torch.float64), torch.tensor([1, 0.5], dtype=torch.float64))
