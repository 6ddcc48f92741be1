"""tools/analysis/compare_learning.py: the table, what is skipped, what is refused; the runs are the tools' own."""

import json
import subprocess
from pathlib import Path

import pytest

from mmagg.cli.main import COMMANDS, run
from mmagg.experiments import compare_learning
from mmagg.io.errors import InputError


def finished(work_dir: Path, config: str, seed: int, ap: float | None) -> None:
    folder = work_dir / config / f'seed-{seed}' / 'test'
    folder.mkdir(parents=True)
    metrics = {} if ap is None else {'coco/segm_mAP': ap, 'coco/segm_mAP_75': ap / 2}
    (folder / 'metrics.json').write_text(json.dumps(metrics))


def test_finished_runs_are_summed_up(tmp_path, capsys, monkeypatch) -> None:
    for name in ('a', 'b'):
        (tmp_path / f'{name}.py').touch()
    (tmp_path / 'c.py').touch()
    for seed in range(3):
        finished(tmp_path / 'work', 'c', seed, -1.0)  # nothing is annotated
    for seed, ap in enumerate((0.1, 0.2, 0.3)):
        finished(tmp_path / 'work', 'a', seed, ap)
    finished(tmp_path / 'work', 'b', 0, 0.5)
    finished(tmp_path / 'work', 'b', 2, None)
    calls = []

    def train_and_test(command, log, jobs):
        calls.append(command)
        if command[0] == 'train':
            log.parent.mkdir(parents=True, exist_ok=True)
            (log.parent / 'last_checkpoint').write_text('weights.pth')
        else:
            finished(tmp_path / 'work', 'b', 1, 0.1)

    monkeypatch.setattr(compare_learning, 'call', train_and_test)
    configs = [str(tmp_path / f'{name}.py') for name in 'abc']
    arguments = [*configs, '--coco', 'data', '--work-dir', str(tmp_path / 'work')]
    assert run(COMMANDS['compare-learning'], arguments) == 0
    assert [command[0] for command in calls] == ['train', 'test'], 'only the run that was not there'
    assert 'weights.pth' in calls[1]
    out = capsys.readouterr().out
    assert '| a | 3 | 20.0 ± 10.0 | – | 10.0 ± 5.0 | – |' in out  # what is not measured is not 0
    assert '| b | 3 | 20.0 ± 26.5 |' in out
    assert '| c | 3 | – |' in out


def test_a_finished_run_is_not_taken_for_one_of_other_arguments(tmp_path, capsys, monkeypatch) -> None:
    (tmp_path / 'a.py').touch()
    fails = [True, False]

    def train_and_test(command, log, jobs):
        if command[0] == 'test':
            finished(tmp_path / 'work', 'a', 0, 0.1)
        elif fails.pop(0):
            raise ValueError

    def compared(*arguments: str) -> int:
        words = [str(tmp_path / 'a.py'), '--work-dir', str(tmp_path / 'work'), *arguments]
        return run(COMMANDS['compare-learning'], words)

    monkeypatch.setattr(compare_learning, 'call', train_and_test)
    assert compared('--coco', 'misspelt', '--seeds', '0') == 2
    assert compared('--coco', 'data', '--seeds', '0') == 0, 'nothing was trained before'
    assert compared('--coco', 'data', '--seeds', '0') == 0
    capsys.readouterr()
    for arguments, words in (
        (('--coco', 'other', '--seeds', '0'), 'seed-0 holds a run of other coco; name another --work-dir'),
        (('--coco', 'data', '--seeds', '0', '--cfg-options', 'a=1'), 'holds a run of other cfg_options'),
        (('--coco', 'data', '--seeds', '0', '0'), '--seeds 0 0: a seed is given twice'),
    ):
        assert compared(*arguments) == 2
        assert words in capsys.readouterr().err


def test_failures_end_in_one_line(tmp_path, capsys) -> None:
    assert run(COMMANDS['compare-learning'], [str(tmp_path / 'none.py'), '--coco', 'data']) == 2
    assert 'no such config' in capsys.readouterr().err
    with pytest.raises(InputError, match=r'trian\.py a\.py failed: error: mmagg has no command trian; .*log\.txt'):
        compare_learning.call(['trian', 'a.py'], tmp_path / 'log.txt', jobs=1)  # quicker than one that is there


def test_runs_have_the_threads_that_the_environment_says_or_their_share(tmp_path, monkeypatch) -> None:
    seen, popen = [], subprocess.Popen

    def started(words, *, env, **_):
        seen.append(env['OMP_NUM_THREADS'])
        return popen(['true'])

    monkeypatch.setattr(compare_learning.subprocess, 'Popen', started)
    monkeypatch.setattr('os.cpu_count', lambda: 8)
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    compare_learning.call(['train'], tmp_path / 'log.txt', jobs=2)
    monkeypatch.setenv('OMP_NUM_THREADS', '3')
    compare_learning.call(['train'], tmp_path / 'log.txt', jobs=2)
    assert seen == ['4', '3']


@pytest.mark.parametrize('file', ['run.json', 'test/metrics.json'])
@pytest.mark.parametrize('content', ['', '[]', '{"coco/segm_mAP": NaN, "coco": "x"}', '\ufeff{', '[' * 100_000])
def test_a_damaged_file_of_a_run_is_said_before_any_is_trained(file, content, tmp_path, capsys, monkeypatch) -> None:
    (tmp_path / 'a.py').touch()
    finished(tmp_path / 'work', 'a', 1, 0.1)
    damaged = tmp_path / 'work/a/seed-1' / file
    damaged.write_text(content)
    monkeypatch.setattr(compare_learning, 'call', None)
    words = [str(tmp_path / 'a.py'), '--coco', 'data', '--work-dir', str(tmp_path / 'work')]
    assert run(COMMANDS['compare-learning'], words) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert str(damaged if 'NaN' not in content or 'metrics' in file else damaged.parent) in line
