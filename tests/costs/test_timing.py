"""Forms of a computation that take turns."""

import torch

from mmagg.costs.timing import clocked, compare, in_turns, measure
from mmagg.ops.stage import stage

CPU = torch.device('cpu')


def test_each_run_follows_one_of_the_same_form_that_does_not_count():
    calls = []
    forms = {name: lambda name=name: calls.append(name) or len(calls) for name in 'ab'}
    assert in_turns(forms, 2) == {'a': [2, 6], 'b': [4, 8]}
    assert ''.join(calls) == 'aabbaabb'


def test_forms_are_compared_with_the_first():
    x = torch.ones(1024)
    found = compare({'one': lambda: [x + 1], 'two': lambda: [torch.cat([x, x])[:1024] + 1.5]}, CPU, runs=1)
    assert [found[name]['difference'] for name in found] == [0, 0.5]
    assert [found[name]['largest'] for name in found] == [2, 2.5]
    assert found['two']['mib'] > found['one']['mib'] >= 4096 / 2**20
    assert all(each['ms'] > 0 for each in found.values())


def test_time_is_that_of_one_call():
    calls = []
    assert clocked(lambda: calls.append(1), CPU, calls=5)['rest'] > 0
    assert len(calls) == 5


def test_marked_stages_are_told_apart_where_that_is_asked_for():
    @stage('inner')
    def form():
        return torch.ones(1024).sum()

    for stages, names in (True, {'inner', 'rest'}), (False, {'rest'}):
        found = measure({1: form}, CPU, runs=3, stages=stages)[1]
        assert set(found['stages_ms']) == names
        assert found['ms'] > 0
        assert found['mib'] >= 4096 / 2**20
