"""A C++ compiler that reads the headers of torch once, for all files of mmcv.

    python precompiled.py FOLDER COMPILER... -- ARGUMENTS...

Nearly all the time that mmcv's 78 files take goes to the same headers. The first file that is compiled makes a
precompiled header with the very flags it was given, since gcc and clang take one with no others, and every file begins
with it. A compiler that refuses it gets the file as it is: then all works, and takes longer.
"""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

HEADERS = '#include <torch/types.h>\n#include <functional>\n#include <map>\n#include <vector>\n'
# Of one file alone: what it is, where it goes, which files it depends on.
SOURCES = ('.c', '.cc', '.cpp', '.cxx')
OF_A_FILE = {'-c': 0, '-o': 1, '-MF': 1, '-MT': 1, '-MQ': 1, '-MD': 0, '-MMD': 0}


def main(folder: Path, compiler: list[str], arguments: list[str]) -> int:
    """Compile a file with the header, or without; whatever else is asked for (linking, the version) is passed on."""
    if '-c' in arguments and made(folder, compiler, flags(arguments)):
        with_header = [*compiler, '-include', str(folder / 'headers.h'), *arguments]
        if subprocess.run(with_header).returncode == 0:
            return 0
    return subprocess.run([*compiler, *arguments]).returncode


def flags(arguments: list[str]) -> list[str]:
    """The arguments that are the same for all files."""
    kept, left = [], 0
    for argument in arguments:
        if left:
            left -= 1
        elif argument in OF_A_FILE:
            left = OF_A_FILE[argument]
        elif argument.startswith('-') or not argument.endswith(SOURCES):
            kept.append(argument)
    return kept


def made(folder: Path, compiler: list[str], flags: list[str]) -> bool:
    """True if there is a precompiled header; the first process makes it, and the others wait for it."""
    header, result, refused = folder / 'headers.h', folder / 'headers.h.gch', folder / 'refused'
    with open(folder / 'lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not result.exists() and not refused.exists():
            header.write_text(HEADERS)
            done = subprocess.run([*compiler, *flags, '-x', 'c++-header', str(header), '-o', str(result)])
            if done.returncode:
                result.unlink() if result.exists() else None
                refused.touch()
        return result.exists()


if __name__ == '__main__':
    end = sys.argv.index('--')
    try:
        sys.exit(main(Path(sys.argv[1]), sys.argv[2:end], sys.argv[end + 1 :]))
    except KeyboardInterrupt:
        sys.exit(130)
