import pytest
import torch

from mmagg.apis.hardware import hardware, usable_device
from mmagg.io.errors import InputError


def test_a_device_is_tried() -> None:
    assert usable_device('cpu') == torch.device('cpu')
    assert usable_device() == torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')
    with pytest.raises(InputError, match='--device nonsense: '):
        usable_device('nonsense')


def test_the_processor_is_named() -> None:
    found = hardware('cpu')
    assert found['cpu']
    assert found['cores'] >= 1
    assert found['gpu'] is None
    assert found['torch'] == torch.__version__
