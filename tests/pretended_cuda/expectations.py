"""What is asked of every family on the pretended CUDA device."""

from typing import Any

import pytest

LAUNCHES = 0.05  # share of the recorded number that they may differ by


def check_predictions(found: dict[str, Any]) -> None:
    """As on the CPU, finite under autocast, and waits that grow with nothing."""
    predict = found['predict']
    for part in ('few', 'many'):
        assert predict[part]['found'] > 0
        assert predict[part]['differs'] == []
    assert predict['amp'] == {'fp16': True, 'bf16': True}
    many = places(predict['many'])
    assert places(predict['few']) == many, 'waits grow with the candidates'
    assert places(predict['chunks']) == many, 'waits grow with the chunks'


def check_training(found: dict[str, Any]) -> None:
    """Losses and gradients as on the CPU, and finite under autocast, of which bfloat16 was deterministic."""
    train = found['train']
    assert train['losses'] == pytest.approx(train['expected'], rel=1e-4)
    assert train['gradients'] < 1e-3
    assert train['amp'] == {'fp16': True, 'bf16': True}


def check_budget(counted: dict[str, Any], waits: int, launches: int) -> None:
    """Exactly so many waits, of which all are told, and about so many launches."""
    assert counted['waits'] == waits, '\n' + '\n'.join(f'{n} {why}: {place}' for n, why, place in counted['places'])
    assert counted['launches'] == pytest.approx(launches, rel=LAUNCHES)


def places(counted: dict[str, Any]) -> list[str]:
    return sorted(f'{n} {why}: {place}' for n, why, place in counted['places'])
