"""Exclusive time by stage, and marks in a profile."""

import pytest
import torch

from mmagg.ops.stage import StageClock, StageMeter, stage


def test_a_nested_stage_is_not_charged_to_its_parent(time):
    clock = StageClock()
    time.sleep(100)
    with clock.stage('outer'):
        time.sleep(1)
        with clock.stage('inner'):
            time.sleep(5)
            with clock.stage('outer'):  # once more, further in
                time.sleep(20)
        time.sleep(2)
    time.sleep(100)
    with clock.stage('later'):
        time.sleep(7)
    assert clock.seconds == {'outer': 23, 'inner': 5, 'later': 7}
    assert clock.total == 35


def test_a_stage_that_fails_is_closed(time):
    clock = StageClock()

    def fail():
        with clock.stage('inner'):
            time.sleep(1)
            raise KeyError

    with clock.stage('outer'):
        with pytest.raises(KeyError):
            fail()
        time.sleep(2)
    assert clock.seconds == {'outer': 2, 'inner': 1}


class Lazy:
    """Runs its tower in the middle of decoding."""

    def __init__(self, time):
        self.time = time

    @stage('head')
    def tower(self):
        self.time.sleep(10)
        return 'features'

    @stage('decode')
    def decode(self, *, factor):
        self.time.sleep(1)
        features = self.tower()
        self.time.sleep(2)
        return f'{factor} {features}'


def test_marks_are_charged_while_a_clock_listens(time):
    clock, lazy = StageClock(), Lazy(time)
    with clock.listening(), clock.stage('post'):
        time.sleep(4)
        assert lazy.decode(factor=2) == '2 features'
    assert clock.seconds == {'decode': 3, 'head': 10, 'post': 4}
    lazy.decode(factor=1)
    assert clock.total == 17


def test_the_innermost_clock_listens(time):
    outer, inner, lazy = StageClock(), StageClock(), Lazy(time)
    with outer.listening():
        with inner.listening():
            lazy.tower()
        lazy.decode(factor=1)
    assert (outer.total, inner.total) == (13, 10)


def test_nobody_listens_after_an_error():
    clock = StageClock()
    with pytest.raises(KeyError), clock.listening():
        raise KeyError
    with stage('later'):
        pass
    assert not clock.seconds


def test_anything_that_grows_can_be_metered():
    work = []
    meter = StageMeter(lambda: len(work))
    with meter.stage('outer'):
        work.append(1)
        with meter.stage('inner'):
            work.extend([1, 2])
    assert meter.spent == {'outer': 1, 'inner': 2}


def test_marks_are_ranges_of_a_profile(time):
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        Lazy(time).decode(factor=1)
    ranges = {event.name: event.time_range for event in profile.events() if event.name.startswith('mmagg::')}
    assert set(ranges) == {'mmagg::decode', 'mmagg::head'}
    assert ranges['mmagg::decode'].start <= ranges['mmagg::head'].start
    assert ranges['mmagg::head'].end <= ranges['mmagg::decode'].end
