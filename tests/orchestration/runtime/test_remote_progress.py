"""Progress of workers on other machines: what arrives, and what happens when their cluster goes."""

from __future__ import annotations

import threading

from ray.exceptions import ActorDiedError, ActorUnavailableError

from orchestration.runtime import remote_progress
from orchestration.runtime.progress import ProgressListener
from orchestration.runtime.remote_progress import RemoteProgress
from orchestration.runtime.watchdog import Watchdog


class Queue:
    """Gives messages, and fails where one is an error."""

    def __init__(self, *messages: object):
        self.messages = list(messages)

    def empty(self) -> bool:
        return not self.messages

    def get(self) -> object:
        message = self.messages.pop(0)
        if isinstance(message, Exception):
            raise message
        return message


class Epochs(ProgressListener):
    def __init__(self) -> None:
        self.epochs: list[int] = []

    def on_epoch(self, run, epoch, num_epochs, metrics) -> None:
        self.epochs.append(epoch)


def test_an_actor_that_is_away_is_asked_again_and_one_that_died_ends_the_delivery(monkeypatch):
    monkeypatch.setattr(remote_progress, "_QUIET", 0.0)
    first, second, third = (("on_epoch", ("run", epoch, 3, {})) for epoch in (1, 2, 3))
    remote = RemoteProgress.__new__(RemoteProgress)
    remote._stop = threading.Event()
    remote._queue = Queue(first, ActorUnavailableError("away", None), second, ActorDiedError(), third)
    listener = Epochs()
    remote._deliver(listener, Watchdog(0.0, str))
    assert listener.epochs == [1, 2]
