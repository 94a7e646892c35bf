"""Record the load of a machine while something runs on it."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import Self

import psutil
import torch

_INTERVAL = 5.0  # seconds between two samples


class SystemMonitor:
    """Samples processor, memory and GPU of this machine from a thread. Use it as a context."""

    def __init__(self) -> None:
        self._sums: defaultdict[str, float] = defaultdict(float)
        self._count = 0
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._repeat, daemon=True, name="system-monitor")

    def __enter__(self) -> Self:
        psutil.cpu_percent()  # counts from the call before
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def take(self) -> dict[str, float]:
        """Return the means since the last call, named as MLflow names them; nothing where there was no time for a
        sample."""
        with self._lock:
            means = {name: total / self._count for name, total in self._sums.items()}
            self._sums.clear()
            self._count = 0
        return means

    def _repeat(self) -> None:
        while not self._stop.wait(_INTERVAL):
            sample = _sample()
            with self._lock:
                self._count += 1
                for name, value in sample.items():
                    self._sums[name] += value


def _sample() -> dict[str, float]:
    memory = psutil.virtual_memory()
    sample = {
        "system/cpu_utilization_percentage": psutil.cpu_percent(),
        "system/system_memory_usage_megabytes": memory.used / 1e6,
        "system/system_memory_usage_percentage": memory.percent,
    }
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        sample[f"system/gpu_{index}_memory_usage_megabytes"] = (total - free) / 1e6
        sample[f"system/gpu_{index}_memory_usage_percentage"] = 100 * (total - free) / total
    return sample
