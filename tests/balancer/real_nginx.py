"""The balancer's own Nginx in the container that the program makes for it, without a stack."""

import http.client
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import docker
from docker.models.containers import Container
from docker.types import IPAMConfig, IPAMPool

from components.arguments import NGINX_USER
from components.balancer import TMPFS
from lifecycle import balancer_config
from lifecycle.member import (
    NGINX_CONF,
    SCRIPTS,
    member_path,
    members,
    render_member,
    sealed,
    unwell_path,
)
from lifecycle.reach import Link, Where, reach
from lifecycle.spec import BalancerRef
from planner.nginx import LISTEN_PORT, render_nginx
from planner.settings import BalancerSettings
from tests.balancer.scripted_server import ScriptedServer
from tests.engine.stack import alone

NAME = "ovms-numa-nginx-under-test"
SUBNET, GATEWAY, ADDRESS, NOBODY = (
    "172.30.119.0/27", "172.30.119.1", "172.30.119.2", "172.30.119.30",
)  # fmt: skip
"""The network, this machine in it, Nginx, and an address that no one has."""

MODEL = "m"
"""What the members serve."""

# The SDK's stubs know only two of Docker's four policies.
_UNLESS_STOPPED: Any = {"Name": "unless-stopped", "MaximumRetryCount": 0}

# As long as a worker that a reload ends may still take a new connection.
_SETTLED = 8
_POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a client got."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def error(self) -> dict[str, str]:
        """The error of its body, in the form of the OpenAI API."""
        error: dict[str, str] = json.loads(self.text)["error"]
        return error

    @property
    def upstream(self) -> str:
        """The server that answered."""
        return self.headers.get("X-Upstream", "").rpartition(" ")[2]


@dataclass(kw_only=True)
class RealNginx:
    """Nginx, and what the program's own code does to its configuration."""

    servers_at: str
    """The address of this machine that Nginx reaches servers at."""
    address: str
    port: int
    link: Link
    reference: BalancerRef
    pushed: str = ""
    """The configuration that was pushed last."""

    def configure(self, **settings: object) -> None:
        """Push what the planner renders of *settings* of the balancer, unless it is there."""
        balancer = BalancerSettings.model_validate(
            {key.replace("_", "-"): value for key, value in settings.items()}
        )
        text = render_nginx(balancer, drain_timeout_s=1, max_concurrency=256)
        if text != self.pushed:
            self.put({NGINX_CONF: sealed(text)})
            self.pushed = text

    def open(
        self, servers: Sequence[ScriptedServer], *, closed: Sequence[ScriptedServer] = ()
    ) -> None:
        """Have *servers* and no others as members, some of them *closed*."""
        put = {
            member_path(f"local-node0-{n}"): render_member(
                server.address, server.port, 1, is_open=server not in closed, models=(MODEL,)
            )
            for n, server in enumerate(servers)
        }
        files = self.files()
        others = {member_path(name) for name in members(files)} - {*put}
        self.put(put, *others, *map(unwell_path, members(files)))

    def open_address(self, name: str, address: str, port: int) -> None:
        """Add an open member."""
        self.put({member_path(name): render_member(address, port, 1, is_open=True)})

    @property
    def container(self) -> Container:
        """Its container, as it is now."""
        return self.link.client.containers.get(NAME)

    def files(self) -> dict[str, bytes]:
        """Return its current configuration."""
        return balancer_config.read_all(self.link.client.containers.get(NAME))

    def put(self, put: dict[str, bytes], *remove: str) -> None:
        """Lay files over its configuration, without those of *remove*."""
        balancer_config.change(self.link, self.reference, put, remove=remove)
        self.settle()

    def is_up(self) -> bool:
        """Tell whether it answers."""
        return balancer_config.loaded_generation(self.link, self.reference) is not None

    def settle(self) -> None:
        """Wait until no worker of the generation before takes connections."""
        files = self.files()
        for _ in range(_SETTLED):
            balancer_config.wait_until_loaded(self.link, self.reference, files)
            time.sleep(_POLL_S)

    def send(
        self,
        prompt: str = "hi",
        *,
        method: str = "POST",
        path: str = "/v3/completions",
        headers: Mapping[str, str] | None = None,
    ) -> http.client.HTTPConnection:
        """Send a request on a connection of its own and return at once."""
        connection = http.client.HTTPConnection(self.address, self.port, timeout=30)
        body = json.dumps({"prompt": prompt}) if method == "POST" else None
        connection.request(method, path, body, dict(headers or {}))
        return connection

    def ask(self, prompt: str = "hi", **request: Any) -> Answer:
        """Send a request and return the answer."""
        return answer_of(self.send(prompt, **request))


def answer_of(connection: http.client.HTTPConnection) -> Answer:
    """Wait for the answer to what was sent."""
    with connection.getresponse() as response:
        answer = Answer(
            status=response.status, headers=dict(response.headers), text=response.read().decode()
        )
    connection.close()
    return answer


@contextmanager
def running_nginx(image: str, *, watched: bool) -> Iterator[RealNginx]:
    """
    Start Nginx without a member, and remove all at the end.

    Args:
        image: the balancer's.
        watched: with the watcher, as in a stack; else with nothing that closes a member.
    """
    link = reach(Where(docker="unix:///var/run/docker.sock"))
    alone(NAME)
    _clear(link.client)
    with ExitStack() as made:
        pool = IPAMPool(subnet=SUBNET, gateway=GATEWAY)
        network = link.client.networks.create(NAME, ipam=IPAMConfig(pool_configs=[pool]))
        made.callback(network.remove)
        volume = link.client.volumes.create()
        made.callback(volume.remove)
        container = _create(link.client, image, volume.name, watched=watched)
        made.callback(container.remove, force=True)
        reference = BalancerRef(
            container=NAME, volume=volume.name, address=ADDRESS, keepalive_min_s=0
        )
        texts = {name: balancer_config.script(name) for name in SCRIPTS}
        texts[NGINX_CONF] = render_nginx(BalancerSettings(), drain_timeout_s=1, max_concurrency=256)
        files = {path: sealed(text) for path, text in texts.items()}
        balancer_config.change(link, reference, files)
        balancer_config.start(link, reference, start_s=30)
        yield RealNginx(
            servers_at=GATEWAY, address=ADDRESS, port=LISTEN_PORT, link=link, reference=reference
        )


def _clear(client: docker.DockerClient) -> None:
    """Remove what a killed run left."""
    for container in client.containers.list(all=True, filters={"name": f"^/{NAME}$"}):
        container.remove(force=True)
    for network in client.networks.list(names=[NAME]):
        network.remove()


def _create(client: docker.DockerClient, image: str, volume: str, *, watched: bool) -> Container:
    """Make the container as `components.balancer` declares it."""
    current = f"{balancer_config.DIRECTORY}/current"
    return client.containers.create(
        image,
        ["sh", f"{current}/run.sh", balancer_config.DIRECTORY]
        if watched
        else ["nginx", "-c", f"{current}/nginx.conf", "-g", "daemon off;"],
        init=True,
        stop_signal="SIGQUIT",
        restart_policy=_UNLESS_STOPPED,
        name=NAME,
        user=NGINX_USER,
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        tmpfs=TMPFS,
        volumes={volume: {"bind": balancer_config.DIRECTORY, "mode": "rw"}},
        network=NAME,
        networking_config={NAME: client.api.create_endpoint_config(ipv4_address=ADDRESS)},
    )
