"""The balancers that are compared: OVMS's demo, and what this program renders."""

import math
import re
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker

from images import debian
from images.commands import run
from lifecycle.balancer_config import DIRECTORY
from lifecycle.docker_host import last_lines, tar_of
from lifecycle.member import render_member
from planner.nginx import BOUNDED, LISTEN_PORT, render_nginx
from planner.settings import BalancerSettings

DEMO, OURS, AFFINITY = "OVMS demo", "this program", "with affinity"
NAMES = (DEMO, OURS, AFFINITY)

BOUND = 1.5
"""The bound of an instance with affinity, of the requests that it has on average."""

_GENERATION = b'map "" $generation { default 1; }\nmap "" $workers_died { default 0; }\n'
_STREAM_MODULE = "ngx_stream_module.so"
_START_S = 15

# https://github.com/openvinotoolkit/model_server/blob/main/demos/continuous_batching/scaling/nginx.conf
# with its own numbers; what is added is where a module, a process id and errors go.
_DEMO = """\
load_module {directory}/{module};
pid /tmp/nginx.pid;
error_log /dev/stderr;
worker_processes 16;
worker_rlimit_nofile 40000;
events {{
    worker_connections 10000;
}}
stream {{
    upstream ovms-cluster {{
        least_conn;
{servers}
    }}
    server {{
        listen 127.0.0.1:{port};
        proxy_pass ovms-cluster;
    }}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server behind a balancer, at 127.0.0.1."""

    port: int
    weight: int = 1


def demo_files(servers: Sequence[Server], port: int, module: bytes) -> dict[str, bytes]:
    """
    Return the files of the demo's balancer at *port*, by path.

    The demo has no weights; servers of different ones get them here, as it would be unfair to
    leave them out.
    """
    lines = [f"        server 127.0.0.1:{one.port}{_weight(one)};" for one in servers]
    text = _DEMO.format(
        directory=DIRECTORY, module=_STREAM_MODULE, servers="\n".join(lines), port=port
    )
    return {"current/nginx.conf": text.encode(), _STREAM_MODULE: module}


def _weight(server: Server) -> str:
    return "" if server.weight == 1 else f" weight={server.weight}"


def our_files(
    servers: Sequence[Server], port: int, *, clients: int, affinity: bool
) -> dict[str, bytes]:
    """Return the files of this program's balancer at *port*, by path, with its default settings."""
    bound = math.ceil(BOUND * clients / len(servers))
    settings = {"affinity": "session", "affinity-bound": bound} if affinity else {}
    text = render_nginx(
        BalancerSettings.model_validate(settings), drain_timeout_s=600, max_concurrency=256
    )
    # On the host's network, like the demo's.
    text = text.replace(f"listen {LISTEN_PORT} ", f"listen 127.0.0.1:{port} ")
    files = {"nginx.conf": text.encode(), "generation.conf": _GENERATION}
    for number, one in enumerate(servers):
        member = render_member("127.0.0.1", one.port, one.weight, is_open=True)
        bounded = re.sub(rb"( max_fails=0)", rb"\1 max_conns=%d" % bound, member)
        files[f"serving/{number}.conf"] = member
        files[f"{BOUNDED}{bound}/{number}.conf"] = bounded
    return {f"current/{path}": content for path, content in files.items()}


def fetch_stream_module(folder: Path, suite: str) -> bytes:
    """
    Fetch Nginx's module for TCP, which the balancer's image has not, into *folder*.

    Raises:
        StageError: it could not be had.
    """
    (deb,) = debian.download(suite, ["libnginx-mod-stream"], folder)
    run(["dpkg-deb", "--extract", deb, folder / "out"], remedy="Install dpkg.")
    return (folder / "out/usr/lib/nginx/modules" / _STREAM_MODULE).read_bytes()


@contextmanager
def running(
    client: docker.DockerClient, image: str, files: Mapping[str, bytes], port: int
) -> Iterator[None]:
    """
    Run Nginx of *image* with *files* on the host's network until the block ends.

    Raises:
        RuntimeError: it does not listen at *port* in time.
    """
    container = client.containers.create(
        image,
        ["nginx", "-c", f"{DIRECTORY}/current/nginx.conf", "-g", "daemon off;"],
        network_mode="host",
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        tmpfs={"/tmp": "mode=1777"},  # noqa: S108
    )
    try:
        folders = tuple({str(parent) for path in files for parent in Path(path).parents} - {"."})
        archive = tar_of(files, uid=101, gid=101, directories=tuple(sorted(folders)))
        container.put_archive(DIRECTORY, archive)
        container.start()
        deadline = time.monotonic() + _START_S
        while not _listens(port):
            if time.monotonic() > deadline:
                raise RuntimeError(f"Nginx does not listen: {' / '.join(last_lines(container))}")
            time.sleep(0.05)
        yield
    finally:
        container.remove(force=True)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
