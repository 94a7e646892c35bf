"""Small operations are computed in one thread, many items in several processes, and training in all threads."""

from __future__ import annotations

import os

import cv2
import pytest
import torch

from posegen.errors import ConfigError, MotionError
from posegen.io.storage import StorageFolder
from posegen.motion.motion import write_motion
from posegen.parallel import map_in_processes, num_processes, one_thread, threads
from tests.support import command_line
from tests.support.estimator_files import walking
from tests.support.threads import where


@pytest.fixture(autouse=True)
def two_threads(monkeypatch):
    """A process that has two threads, as on a machine of two CPUs."""
    monkeypatch.delenv("OMP_NUM_THREADS")
    before, opencv = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(2)
    cv2.setNumThreads(2)
    yield
    torch.set_num_threads(before)
    cv2.setNumThreads(opencv)


def counts() -> tuple[int, int]:
    return torch.get_num_threads(), cv2.getNumThreads()


def test_one_thread_and_in_it_all_for_training():
    with one_thread():
        assert counts() == (1, 1)
        with threads(0):
            assert torch.get_num_threads() == 2
        with one_thread(), threads(0):
            assert torch.get_num_threads() == 2
        assert counts() == (1, 1)
    assert counts() == (2, 2)
    with threads(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2


def test_threads_that_are_asked_for_stay(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with one_thread():
        assert counts() == (2, 2)


def test_processes_are_as_many_as_are_worth_their_start(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3}, raising=False)
    assert num_processes(1191, 0.03) == 2
    assert num_processes(20, 0.03) == 0
    with one_thread():
        assert num_processes(1191, 0.03) == 2
    torch.set_num_threads(1)
    assert num_processes(1191, 0.03) == 0


def test_items_in_this_process_in_one_thread_each():
    places = list(map_in_processes(where, [3, 1, 2], 0))
    assert [place.item for place in places] == [3, 1, 2]
    assert {place[1:] for place in places} == {(os.getpid(), 1, 1)}
    assert counts() == (2, 2)


def test_items_in_processes_in_order_and_an_error_as_it_is():
    places = list(map_in_processes(where, range(12), 2))
    assert [place.item for place in places] == list(range(12))
    assert os.getpid() not in {place.process for place in places}
    assert {(place.threads, place.opencv) for place in places} == {(1, 1)}
    with pytest.raises(MotionError, match="thirteen is broken"):
        list(map_in_processes(where, [1, 13, 2], 2))
    with pytest.raises(ConfigError, match="a process died"):
        list(map_in_processes(where, [1, 99, 2], 2))


def test_few_items_are_ahead_of_their_reader():
    """Results wait in memory, which those of a long video would fill."""
    taken = []

    def items():
        for number in range(40):
            taken.append(number)
            yield number if number != 13 else 0

    results = map_in_processes(where, items(), 2)
    for _ in range(3):
        next(results)
    assert len(taken) <= 3 + 2 * 2
    results.close()
    assert [place.item for place in map_in_processes(where, [5, 6], 2)] == [5, 6]  # also after work that was left


def test_two_readers_share_the_processes():
    one, other = map_in_processes(where, range(8), 2), map_in_processes(where, range(10, 13), 2)
    assert [next(one).item, next(other).item] == [0, 10]
    one.close()
    assert [place.item for place in other] == [11, 12]


def test_a_command_computes_in_one_thread(tmp_path, monkeypatch, capsys):
    """Also the next command of a process that had two threads, which it has again afterwards."""
    from orchestration.data import motion_conversion

    counted = []
    convert = motion_conversion.load_edited
    monkeypatch.setattr(motion_conversion, "load_edited", lambda *given: counted.append(counts()) or convert(*given))
    write_motion(StorageFolder(tmp_path), "walk.npz", walking())
    code, _, error = command_line.run(f"motion convert {tmp_path}/walk.npz {tmp_path}/walk.bvh", capsys)
    assert code == 0, error
    assert counted == [(1, 1)] and counts() == (2, 2)
