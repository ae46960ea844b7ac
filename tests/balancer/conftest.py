"""One Nginx for all tests of this folder, and model servers that do as they are told."""

import contextlib
from collections.abc import Callable, Iterator

import docker
import pytest

from bench.nginx_image import nginx_image
from tests.balancer.real_nginx import NAME, RealNginx, running_nginx
from tests.balancer.scripted_server import ScriptedServer, scripted_servers

Serve = Callable[[int], list[ScriptedServer]]
"""Start so many servers and open them, and no others."""


@pytest.fixture(scope="session")
def image() -> Iterator[str]:
    client = docker.DockerClient(base_url="unix:///var/run/docker.sock")
    with nginx_image(client, NAME) as tag:
        yield tag


@pytest.fixture(scope="module")
def running(image: str, request: pytest.FixtureRequest) -> Iterator[RealNginx]:
    """Nginx; with the watcher where the module says that it is WATCHED."""
    with running_nginx(image, watched=getattr(request.module, "WATCHED", False)) as nginx:
        yield nginx


@pytest.fixture
def nginx(running: RealNginx) -> RealNginx:
    """Nginx with the default settings; its members are those of the test before."""
    running.configure()
    return running


@pytest.fixture
def serve(nginx: RealNginx) -> Iterator[Serve]:
    """Start servers and open them."""
    with contextlib.ExitStack() as made:

        def start(count: int) -> list[ScriptedServer]:
            servers = made.enter_context(scripted_servers(nginx.servers_at, count))
            nginx.open(servers)
            return servers

        yield start
