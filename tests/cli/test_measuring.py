"""Arguments and reports of the commands of costs."""

import argparse
import json
from pathlib import Path

import pytest
import torch

from mmagg.cli.measuring import add_json, add_runs, add_shape, print_report
from mmagg.io.errors import InputError


def parsed(*argv: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_shape(parser, (4, 6), 'size')
    add_runs(parser)
    add_json(parser)
    parser.add_argument('--threads', type=int)
    return parser.parse_args(argv)


def measure(*, shape: tuple[int, int], runs: int) -> dict:
    return {'shape': shape, 'runs': runs, 'threads': torch.get_num_threads()}


def table(report: dict) -> str:
    return f'{report["shape"]} {report["runs"]} {report["threads"]}'


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield before
    torch.set_num_threads(before)


def test_arguments_become_those_of_the_measurement(tmp_path: Path, threads: int, capsys) -> None:
    file = tmp_path / 'new' / 'report.json'
    print_report(parsed(), measure, table)
    assert capsys.readouterr().out == f'(4, 6) 3 {threads}\n'
    argv = ['--shape', '2', '3', '--runs', '1', '--threads', str(threads + 1), '--json', str(file)]
    print_report(parsed(*argv), measure, table)
    assert capsys.readouterr().out == f'(2, 3) 1 {threads + 1}\nwritten to {file}\n'
    assert json.loads(file.read_text()) == {'shape': [2, 3], 'runs': 1, 'threads': threads + 1}


def test_nothing_is_measured_for_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match='is a folder; name a file'):
        print_report(parsed('--json', str(tmp_path)), lambda **_: pytest.fail('measured'), table)
