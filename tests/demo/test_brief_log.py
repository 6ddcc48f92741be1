"""mmengine's console output, reduced to progress and errors."""

import io

from mmagg.demo.brief_log import BriefLog

LOG = """2024/01/01 00:00:00 - mmengine - INFO - Config:
model = dict(loss=1)
2024/01/01 00:00:00 - mmengine - WARNING - The prefix is not set in metric class
2024/01/01 00:00:00 - e - INFO - Epoch(train) [2][ 20/100]  lr: 1.0e-03  eta: 0:05:16  loss: 1.5358  loss_cls: 0.3
2024/01/01 00:00:00 - e - INFO - Epoch(val) [2][100/100]    eta: 0:00:00  time: 0.45
2024/01/01 00:00:00 - e - INFO - Epoch(val) [2][100/100]    coco/bbox_mAP: 0.1  coco/bbox_x: 0  coco/segm_mAP: 0.3
2024/01/01 00:00:00 - mmengine - INFO - Iter(train) [ 40/100]  eta: 1 day, 0:05:16  loss: 2.0
2024/01/01 00:00:00 - mmengine - ERROR - /a/coco_metric.py - compute_metrics - 465 - Nothing was found.
written to metrics.json
"""


def test_progress_and_errors_are_left():
    out = io.StringIO()
    log = BriefLog(out)
    for start in range(0, len(LOG), 7):  # a print arrives in pieces
        log.write(LOG[start : start + 7])
    assert out.getvalue().splitlines() == [
        '  train [2][20/100]  eta 0:05:16  loss 1.5358',
        '  val   [2][100/100]  eta 0:00:00',
        '  val   [2][100/100]  box AP 0.1  mask AP 0.3',
        '  train [40/100]  eta 1 day, 0:05:16  loss 2.0',
        '  Nothing was found.',
    ]
