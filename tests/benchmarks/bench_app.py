"""Seconds that several people wait for the page at once: ``python -m tests.benchmarks.bench_app``, or with a number.

Each gives a photo, asks for a still of an action and for three more in other colours, and watches a short video.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections import defaultdict

import httpx2

from posegen.io.images import encode_png
from posegen.synthetic.studio import RenderSettings, render_action

SCENE = {"actions": ["wave"], "frames": 12}
COLORS = ("teal", "red", "#ffd1dc")
SERVE = "from orchestration.cli.main import main; main()"


class Designer:
    """One person at the page."""

    def __init__(self, client: httpx2.AsyncClient, waits: dict[str, list[float]]):
        self.client, self.waits = client, waits

    async def ask(self, what: str, path: str, **body: object) -> dict:
        start = time.perf_counter()
        answer = await self.client.post(path, **body)  # type: ignore[arg-type]
        self.waits[what].append(time.perf_counter() - start)
        return answer.raise_for_status().json()

    async def work(self, photo: bytes) -> None:
        session = f"/api/sessions/{(await self.ask('page', '/api/sessions'))['session']}"
        await self.ask("photo", f"{session}/person", content=photo)
        await self.ask("still of another action", f"{session}/still", json=SCENE)
        for color in COLORS:
            await self.ask("still in another colour", f"{session}/still", json={**SCENE, "upper": color})
        start = time.perf_counter()
        video = (await self.ask("video begun", f"{session}/videos", json=SCENE))["video"]
        content = b""
        async with self.client.stream("GET", f"{session}/videos/{video}/frames") as stream:
            async for chunk in stream.aiter_raw():
                if b"F" not in content and b"\xff\xd8\xff" in chunk:
                    self.waits["first frame"].append(time.perf_counter() - start)
                    content = b"F"
        self.waits["whole video"].append(time.perf_counter() - start)
        await self.client.post(f"{session}/end")


async def measure(address: str, people: int) -> dict[str, list[float]]:
    waits: dict[str, list[float]] = defaultdict(list)
    photo = encode_png(render_action("bruno", "wave_one_hand", 8, RenderSettings(size=(576, 384))).images[0])
    async with httpx2.AsyncClient(base_url=address, timeout=3600, limits=httpx2.Limits(max_connections=None)) as client:
        await Designer(client, defaultdict(list)).work(photo)  # networks are loaded
        await asyncio.gather(*(Designer(client, waits).work(photo) for _ in range(people)))
    return waits


def main() -> None:
    people = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    command = [sys.executable, "-u", "-c", SERVE, "app", "--port", "0", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address = server.stdout.readline().removeprefix("the page: ").partition(";")[0]
        try:
            waits = asyncio.run(measure(address, people))
        finally:
            server.terminate()
    print(f"{people} at once, seconds waited: median and longest")
    for what, seconds in waits.items():
        print(f"{what:26s} {statistics.median(seconds):7.2f} {max(seconds):7.2f}")


if __name__ == "__main__":
    main()
