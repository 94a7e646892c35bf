"""Workers that make no progress are ended, and those that are well are left alone."""

from __future__ import annotations

import pytest

from orchestration.runtime import watchdog
from orchestration.runtime.watchdog import Heartbeat, Watchdog

PATIENCE = 60.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(watchdog, "time", clock)
    return clock


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    ranks: list[int] = []
    monkeypatch.setattr(watchdog, "_kill", lambda heartbeat: ranks.append(heartbeat.rank))
    return ranks


def beat(dog: Watchdog, rank: int, activity: str = "step 3 of epoch 1") -> None:
    dog.record(Heartbeat(rank, 100 + rank, "node", activity))


def test_workers_that_are_all_stuck_are_killed_once_and_named(clock, killed):
    said: list[str] = []
    dog = Watchdog(PATIENCE, said.append)
    for rank in (0, 1):
        beat(dog, rank)
    clock.now += PATIENCE + 1
    dog.check()
    dog.check()
    assert killed == [0, 1]
    assert said[0].startswith("worker 0 has made no progress for 61 s, since step 3 of epoch 1: training starts again")


def test_those_that_wait_for_one_that_works_are_well(clock, killed):
    """The leader validates, and the others wait for it for longer than the patience."""
    dog = Watchdog(PATIENCE, killed.append)
    beat(dog, 0), beat(dog, 1)
    for _ in range(5):
        clock.now += PATIENCE / 2
        beat(dog, 0, "validating epoch 1")
        dog.check()
    assert killed == []
    clock.now += PATIENCE + 1
    dog.check()
    assert set(killed) >= {0, 1}


def test_nobody_is_hurried_at_a_breakpoint(clock, killed):
    dog = Watchdog(PATIENCE, killed.append)
    beat(dog, 0), beat(dog, 1)
    dog.pause(1)
    clock.now += 100 * PATIENCE
    dog.check()
    beat(dog, 0)
    clock.now += PATIENCE + 1
    dog.check()
    assert killed == []
    beat(dog, 1)  # the person lets it go on
    clock.now += PATIENCE + 1
    dog.check()
    assert set(killed) >= {0, 1}


def test_workers_that_are_done_and_no_patience_kill_nobody(clock, killed):
    done, patient = Watchdog(PATIENCE, killed.append), Watchdog(0, killed.append)
    beat(done, 0), beat(done, 0, ""), beat(patient, 0)
    clock.now += 10 * PATIENCE
    done.check(), patient.check()
    assert killed == []
