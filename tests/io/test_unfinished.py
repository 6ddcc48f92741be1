"""What was done before an error is kept, whenever it comes."""

from pathlib import Path

import pytest

from mmagg.io.unfinished import kept_unfinished


class Lines:
    """A growing file; closing it for the first time is interrupted."""

    def __init__(self, path: Path) -> None:
        self.path, self.count, self.interrupted = path, 0, False

    def write(self, line: str) -> None:
        self.path.write_text(line)
        self.count += 1

    def close(self) -> None:
        if not self.interrupted:
            self.interrupted = True
            raise KeyboardInterrupt


@pytest.mark.parametrize('lines', [0, 1])
def test_an_interrupt_while_the_file_is_closed(tmp_path: Path, lines: int) -> None:
    def run() -> None:
        with kept_unfinished(tmp_path / 'a.txt', Lines) as growing:
            for _ in range(lines):
                growing.write('done')

    with pytest.raises(KeyboardInterrupt):
        run()
    assert [path.read_text() for path in tmp_path.iterdir()] == ['done'] * lines
