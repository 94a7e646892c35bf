"""Work without steps gives signs of life as long as it is done."""

from __future__ import annotations

import threading
import time

from orchestration.runtime.pulse import pulse


def test_work_beats_and_waiting_does_not():
    beats: list[float] = []
    with pulse(lambda: beats.append(time.monotonic()), interval=0.2):
        end = time.process_time() + 0.5
        while time.process_time() < end:
            sum(range(1000))
        assert beats
        time.sleep(0.5)  # what was worked before is noticed
        seen = len(beats)
        time.sleep(1.5)
        assert len(beats) <= seen + 1


def test_nothing_beats_afterwards():
    beats: list[int] = []
    with pulse(lambda: beats.append(1), interval=0.05):
        pass
    assert not any(thread.name == "pulse" for thread in threading.enumerate()) and not beats
