"""The command that comes next, as it is typed by who typed this one."""

import shlex
import shutil
import sys
from pathlib import Path


def sibling(name: str, *arguments: object) -> str:
    """Another command with its arguments, by the door that this process came through.

    Args:
        name: the command, which has that name under ``tools/`` as well.
        arguments: its arguments, not quoted.
    """
    door = Path(sys.argv[0])
    if door.suffix == '.py' and door.with_name(f'{name}.py').is_file():
        words = [_interpreter(), door.with_name(f'{name}.py')]
    elif door.name == 'mmagg':
        words = ['mmagg' if shutil.which('mmagg') == str(door) else door, name]
    else:
        words = [_interpreter(), '-m', 'mmagg', name]
    return shlex.join(map(str, [*words, *arguments]))


def _interpreter() -> str:
    """As it was typed; launchers give a full path."""
    return (sys.orig_argv or ['python'])[0]
