"""The queue: everybody's turn, urgent work first, and an end when it is asked for."""

from __future__ import annotations

import threading

import pytest

from orchestration.app.render_queue import JobCancelledError, QueueFullError, RenderQueue, Steps


@pytest.fixture
def queue():
    made = RenderQueue(most=4)
    yield made
    made.close()


def hold(gate: threading.Event) -> Steps:
    """Keep the queue busy until a gate is opened."""
    gate.wait(10)
    return None
    yield


def note(log: list[str], name: str, steps: int) -> Steps:
    for number in range(steps):
        log.append(f"{name}{number}")
        yield
    return name


def test_sessions_take_turns(queue):
    log: list[str] = []
    gate = threading.Event()
    queue.submit("gate", hold(gate), kind="")
    jobs = [queue.submit(name, note(log, name, 3), kind="video") for name in "abc"]
    gate.set()
    assert [job.result.result(10) for job in jobs] == ["a", "b", "c"]
    assert log == ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"]


def test_many_jobs_of_one_session_take_no_more_turns(queue):
    log: list[str] = []
    gate = threading.Event()
    queue.submit("gate", hold(gate), kind="")
    greedy = [queue.submit("greedy", note(log, f"g{number}.", 2), kind="") for number in range(3)]
    other = queue.submit("other", note(log, "o", 2), kind="")
    gate.set()
    other.result.result(10), greedy[-1].result.result(10)
    assert log[:4] == ["g0.0", "o0", "g0.1", "o1"]


def test_urgent_work_goes_before_long_work_of_its_session(queue):
    log: list[str] = []
    gate = threading.Event()
    queue.submit("gate", hold(gate), kind="")
    film = queue.submit("a", note(log, "film", 3), kind="video")
    still = queue.submit("a", note(log, "still", 1), kind="still", urgent=True)
    gate.set()
    film.result.result(10), still.result.result(10)
    assert log == ["still0", "film0", "film1", "film2"]


def test_a_cancelled_job_ends_before_its_next_step_and_frees_what_it_holds(queue):
    begun, freed = threading.Event(), threading.Event()

    def endless() -> Steps:
        try:
            while True:
                begun.set()
                yield
        finally:
            freed.set()

    job = queue.submit("a", endless(), kind="video")
    assert begun.wait(10)
    job.cancel()
    with pytest.raises(JobCancelledError):
        job.result.result(10)
    assert freed.is_set()


def test_newer_work_of_a_kind_replaces_older(queue):
    log: list[str] = []
    gate = threading.Event()
    queue.submit("gate", hold(gate), kind="")
    old = queue.submit("a", note(log, "old", 1), kind="still", urgent=True)
    elsewhere = queue.submit("b", note(log, "b", 1), kind="still", urgent=True)
    new = queue.submit("a", note(log, "new", 1), kind="still", urgent=True)
    gate.set()
    assert new.result.result(10) == "new" and elsewhere.result.result(10) == "b"
    with pytest.raises(JobCancelledError):
        old.result.result(10)
    assert sorted(log) == ["b0", "new0"]


def test_a_failure_ends_its_own_job_alone(queue):
    def fail() -> Steps:
        yield
        raise ValueError("broken")

    broken = queue.submit("a", fail(), kind="")
    log: list[str] = []
    assert queue.submit("a", note(log, "next", 2), kind="").result.result(10) == "next"
    with pytest.raises(ValueError, match="broken"):
        broken.result.result(10)


def test_a_waiter_that_gives_up_leaves_the_thread_alive(queue):
    """A request that ends cancels its future, which asyncio passes on to the job's."""
    gate, log = threading.Event(), []
    held = queue.submit("gate", hold(gate), kind="")
    assert not held.result.cancel()
    gate.set()
    assert queue.submit("a", note(log, "next", 1), kind="").result.result(10) == "next"


def test_a_session_may_not_fill_the_queue(queue):
    gate = threading.Event()
    queue.submit("gate", hold(gate), kind="")
    for _ in range(4):
        queue.submit("a", note([], "a", 1), kind="")
    with pytest.raises(QueueFullError):
        queue.submit("a", note([], "a", 1), kind="")
    queue.submit("b", note([], "b", 1), kind="")
    gate.set()


def test_closing_cancels_what_waits():
    queue, gate = RenderQueue(), threading.Event()
    queue.submit("gate", hold(gate), kind="")
    waiting = queue.submit("a", note([], "a", 1000), kind="")
    threading.Timer(0.1, gate.set).start()
    queue.close()
    with pytest.raises(JobCancelledError):
        waiting.result.result(0)
