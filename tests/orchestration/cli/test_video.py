"""Commands that generate videos and measure runs."""

from __future__ import annotations

from tests.support.command_line import refusals

test_bad_input_is_one_line_and_writes_nothing = refusals(
    ("evaluate nowhere", "no run in nowhere"),
    ("generate nowhere --content a --poses b --out c.mp4", "no run in nowhere"),
    ("generate nowhere --dataset d --content a --poses b --out c.avi", "written as .mp4, got 'c.avi'"),
    ("generate nowhere --content a --poses b --out c.mp4 --batch 0", "got batch 0, expected 1 or more"),
    ("animate nowhere --content a --action wave --out c.mp4", "no run in nowhere"),
    ("transfer nowhere --behavior a --posture b --out c.mp4", "nowhere"),
    ("export nowhere a.onnx", "nowhere"),
)
