"""What is a fault: how a command must not end, whatever its input."""

import re
import signal
from pathlib import Path

from fuzz.isolation import GIGABYTE, PLANTED, Outcome

LONGEST = 2200  # characters of what is said in a line, with what stands around a shortened message
MOST = 1_000_000  # characters of output; the log of a run has its config, which may have long texts
SAID = ('error: ', 'warning: ', 'note: ')
MEMORY = 1.5 * GIGABYTE
CODES = (0, 1, 2, 3)
SKIPPED = ('browse', 'convert-data', 'demo', 'split-coco')  # commands that end with 1 where inputs were skipped
CONTROL = re.compile('[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029]')
TRACE = 'Traceback (most recent call last)'
UNEXPECTED = '(--traceback shows where)'  # what ends the line of an error that nobody foresaw
INTERNAL = re.compile(r'^\w*(Error|Exception): ')


def faults(
    outcome: Outcome, *, command: str, strict: bool, inputs_changed: list[str], left_over: list[str]
) -> list[str]:
    """What was wrong with the end of a command; empty if nothing.

    Args:
        outcome: how it ended.
        command: its name.
        strict: bad input must have been foreseen: its line names a file and is no bare exception.
        inputs_changed: of the files that it read.
        left_over: temporary files that it has left.
    """
    if not outcome.ready:
        return [f'the fuzzer itself failed: {_last(outcome.output)}']
    found = [f'an input is changed: {name}' for name in inputs_changed]
    found += [f'{"ran planted code" if event.startswith(PLANTED) else "outside"}: {event}' for event in outcome.events]
    if outcome.code is None:
        return [*found, f'hangs: still running after {outcome.seconds:.0f} s']
    if outcome.code < 0:
        return [*found, f'signal: {signal.Signals(-outcome.code).name}']
    found += [f'left over: {name}' for name in left_over]
    if outcome.memory > MEMORY:
        found.append(f'memory: {outcome.memory / GIGABYTE:.1f} GB')
    if TRACE in outcome.output:
        return [*found, f'traceback: {_place(outcome.output)}']
    if outcome.code not in CODES or (outcome.code == 1 and command not in SKIPPED):
        found.append(f'exit code {outcome.code}: {_last(outcome.output)}')
    return found + _of_lines(outcome, strict=strict)


def _of_lines(outcome: Outcome, *, strict: bool) -> list[str]:
    """What is wrong with what was printed."""
    lines, found = [line for line in outcome.output.split('\n') if line.strip()], []
    if len(outcome.output) > MOST:
        found.append(f'output of {len(outcome.output)} characters')
    for line in lines:
        if control := CONTROL.search(line):
            found.append(f'control character {control[0]!r} in: {line[:200]!r}')
            break
    found += [f'a line of {len(line)} characters' for line in lines if line.startswith(SAID) and len(line) > LONGEST][
        :1
    ]
    if outcome.code in (2, 3):
        last = lines[-1] if lines else ''
        if 'error: ' not in last:
            found.append(f'exit code {outcome.code} without an error at the end: {last[:200]!r}')
        if strict and (last.endswith(UNEXPECTED) or INTERNAL.match(last.removeprefix('error: '))):
            found.append(f'unforeseen: {last[:300]}')
    return found


def bare(outcome: Outcome) -> str | None:
    """The line of an error that nobody foresaw; None where there is none."""
    last = _last(outcome.output)
    return last if outcome.code == 2 and last.endswith(UNEXPECTED) else None


def _last(output: str) -> str:
    lines = [line for line in output.splitlines() if line.strip()]
    return lines[-1][:300] if lines else 'nothing printed'


def _place(output: str) -> str:
    """The error of a traceback, and where it arose: the last place in this package, and the last one."""
    frames = re.findall(r'File "([^"]+)", line (\d+), in (\S+)', output)
    own = [frame for frame in frames if '/mmagg/' in frame[0] and '/cli/main' not in frame[0]]
    places = [f'{"/".join(Path(file).parts[-2:])}:{line} {name}' for file, line, name in own[-1:] + frames[-1:]]
    return f'{_last(output)} in {", ".join(dict.fromkeys(places))}'
