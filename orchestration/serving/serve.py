"""``posegen serve``: videos by HTTP, rendered by replicas on Ray Serve."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from orchestration.runtime.ports import take_port
from orchestration.runtime.ray_session import start_ray
from orchestration.runtime.token_file import read_token
from orchestration.serving.gateway import Gateway
from orchestration.serving.renderer import Renderer
from orchestration.serving.settings import ServeSettings
from posegen.errors import ConfigError

APP = "posegen"
"""The application's name in Ray Serve."""
_RENDERER = "renderer"
_MOST_CONNECTIONS = 1000
_HEALTH_SECONDS = 5.0  # between two looks at a replica


@dataclass(frozen=True)
class Served:
    """Address and subject of a running server."""

    address: str
    figures: str
    """Address of Prometheus figures; empty if Ray exports none."""


def serve_videos(settings: ServeSettings, on_ready: Callable[[Served], object]) -> None:
    """Serve videos until the process is interrupted.

    Args:
        settings: How.
        on_ready: Called once requests are answered.

    Raises:
        ConfigError: Ray Serve, an optional dependency, is not installed, the port is taken, or there is no such run.
    """
    served = start_serving(settings)
    from ray import serve

    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        on_ready(served)
        stop.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        serve.shutdown()


def start_serving(settings: ServeSettings) -> Served:
    """Start replicas and the HTTP interface, and return when they answer. Raises ConfigError, see `serve_videos`."""
    try:
        from ray import serve
        from ray.serve.exceptions import RayServeException
    except ImportError:
        raise ConfigError("serving needs more packages: install with `pip install 'posegen[serve]'`") from None
    token = read_token(settings.token_file)
    take_port(settings.host, settings.port).close()  # Ray Serve would say it in a page of lines
    if settings.run:
        import posegen as pg

        pg.load(settings.run, dataset=settings.dataset)  # a run that is none is refused here, in one line
    start_ray()
    listen = serve.HTTPOptions(host=settings.host, port=settings.port)
    serve.start(http_options=listen, logging_config={"log_level": "ERROR"})
    try:
        serve.run(_application(settings, token), name=APP, route_prefix="/")
    except (RuntimeError, RayServeException) as error:
        serve.shutdown()
        raise ConfigError(f"serving did not start: {error}") from None
    return Served(f"http://{settings.host}:{settings.port}", _figures())


def _figures() -> str:
    import ray

    node: dict[str, Any] = next(iter(ray.nodes()), {})
    port = node.get("MetricsExportPort")
    return f"http://{node['NodeManagerAddress']}:{port}/metrics" if port else ""


class _ServedReplicas:
    """Replicas on Ray Serve, as the gateway reaches them."""

    def _handle(self) -> Any:
        from ray import serve

        return serve.get_deployment_handle(_RENDERER, APP)

    async def render(self, content: bytes, suffix: str, options: dict[str, Any]) -> bytes | str:
        return await self._handle().render.remote(content, suffix, options)

    async def stream(self, content: bytes, suffix: str, options: dict[str, Any]) -> AsyncIterator[bytes]:
        async for part in self._handle().options(stream=True).stream.remote(content, suffix, options):
            yield part

    async def ping(self) -> None:
        await self._handle().ping.remote()

    async def count_running(self) -> int:
        from ray import serve

        status = await asyncio.to_thread(serve.status)  # waits for Ray Serve's controller
        application = status.applications.get(APP)
        if application is None or _RENDERER not in application.deployments:
            return 0
        states = application.deployments[_RENDERER].replica_states
        return sum(count for state, count in states.items() if state == "RUNNING")

    def is_lost(self, error: Exception) -> bool:
        from ray.exceptions import RayActorError

        return isinstance(error, RayActorError)

    def is_full(self, error: Exception) -> bool:
        from ray.serve.exceptions import BackPressureError

        return isinstance(error, BackPressureError)


def _application(settings: ServeSettings, token: str) -> Any:
    """Return the application: the gateway in front of the replicas."""
    from ray import serve

    assert settings.fewest_and_most is not None
    fewest, most = settings.fewest_and_most
    replicas: Any = serve.deployment(
        Renderer,
        name=_RENDERER,
        ray_actor_options={"num_cpus": settings.cpus, "num_gpus": settings.gpus},
        max_ongoing_requests=1,  # a video keeps a replica busy
        max_queued_requests=settings.queue,
        autoscaling_config={"min_replicas": fewest, "max_replicas": most, "target_ongoing_requests": 1},
        health_check_period_s=_HEALTH_SECONDS,
    )

    def build() -> Any:  # called where the gateway runs
        return Gateway(_ServedReplicas(), token=token, knows_clips=bool(settings.run)).build()

    @serve.deployment(name="gateway", ray_actor_options={"num_cpus": 0}, max_ongoing_requests=_MOST_CONNECTIONS)
    @serve.ingress(build)
    class Ingress:
        """Starts after the renderer, and has nothing else to say."""

        def __init__(self, renderer: Any):
            self._renderer = renderer

    deployed: Any = Ingress
    return deployed.bind(replicas.bind(settings.run, settings.dataset))
