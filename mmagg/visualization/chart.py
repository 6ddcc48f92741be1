"""Charts as files."""

from pathlib import Path

from matplotlib.figure import Figure

from mmagg.io.files import written_whole

DPI = 110  # dots per inch


def write_chart(figure: Figure, path: Path) -> None:
    """Write a chart, whole or not at all; the suffix of the path chooses the format."""
    with written_whole(path) as temporary:
        figure.savefig(temporary, dpi=DPI)
