"""Lines in time, however long an iteration takes."""

from types import SimpleNamespace

import pytest
from mmengine.hooks import LoggerHook

from mmagg.engine import progress
from mmagg.engine.progress import ProgressHook


def lines(monkeypatch: pytest.MonkeyPatch, *, seconds: float, iterations: int, mode: str, interval: int = 50) -> list:
    """(mode, iteration) of each line that the hook writes."""
    now, written = [0.0], []
    monkeypatch.setattr(progress, 'monotonic', lambda: now[0])
    runner = SimpleNamespace(
        hooks=[LoggerHook(interval=interval)],
        logger=SimpleNamespace(info=written.append),
        log_processor=SimpleNamespace(get_log_after_iter=lambda runner, index, mode: ({}, (mode, index + 1))),
    )
    hook = ProgressHook()
    hook.before_run(runner)
    now[0] += 1000  # building and reading count for nothing
    getattr(hook, f'before_{mode}_epoch')(runner)
    for index in range(iterations):
        now[0] += seconds
        getattr(hook, f'after_{mode}_iter')(runner, index, None, None)
    return written


@pytest.mark.parametrize('mode', ['train', 'val', 'test'])
def test_slow_iterations_show_themselves_every_ten_seconds(monkeypatch, mode):
    assert lines(monkeypatch, seconds=4, iterations=10, mode=mode) == [(mode, 3), (mode, 6), (mode, 9)]
    assert lines(monkeypatch, seconds=30, iterations=2, mode=mode) == [(mode, 1), (mode, 2)]


def test_fast_iterations_are_left_to_the_interval(monkeypatch):
    assert not lines(monkeypatch, seconds=0.1, iterations=200, mode='train')
    # The interval's own line starts the ten seconds anew.
    assert lines(monkeypatch, seconds=4, iterations=8, mode='train', interval=4) == [('train', 3), ('train', 7)]
    assert not lines(monkeypatch, seconds=4, iterations=8, mode='train', interval=2)
