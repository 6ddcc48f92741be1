"""Learning curves in a training's work dir."""

from pathlib import Path

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from mmagg.io.errors import one_line
from mmagg.io.files import written_whole
from mmagg.io.run_folder import CURVES, RECORDS
from mmagg.io.tables import write_records
from mmagg.visualization.curves import plot_curves, read_scalars


def write_curves(work_dir: Path, out: Path) -> None:
    """Write curves.png and curves.csv of the training in ``work_dir`` to the folder ``out``.

    Raises:
        FileNotFoundError: there is no log in ``work_dir``.
    """
    records = read_scalars(work_dir)
    with written_whole(out / 'curves.png') as temporary:
        plot_curves(records, temporary)
    write_records(records, out / 'curves.csv')


def draw_outdated(work_dir: Path) -> None:
    """Draw the curves of a finished training again if it was killed before it drew its last ones.

    If that fails, the training is finished all the same; a line says so.
    """
    records = [path.stat().st_mtime_ns for path in work_dir.glob(RECORDS)]
    drawn = [(work_dir / name).stat().st_mtime_ns for name in CURVES if (work_dir / name).is_file()]
    if records and (len(drawn) < len(CURVES) or min(drawn) < max(records)):
        try:
            write_curves(work_dir, work_dir)
        except Exception as error:
            print_log(f'no learning curves: {one_line(error)}')


class LearningCurvesHook(Hook):
    """Draws curves after each validation; if that fails, the log says so and the training goes on."""

    priority = 'LOWEST'  # after LoggerHook

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Draw what there is so far."""
        self.draw(runner)

    @master_only
    def draw(self, runner: Runner) -> None:
        """Draw, in the main process; `mmagg.apis.train` calls it at the end as well, which may come early."""
        work_dir = Path(runner.work_dir)
        try:
            write_curves(work_dir, work_dir)
        except FileNotFoundError:  # ended before the first line of the log
            pass
        except Exception as error:
            runner.logger.warning(f'no learning curves: {one_line(error)}')
