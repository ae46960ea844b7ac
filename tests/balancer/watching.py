"""What the watcher did to the members, and how long a test waits for it."""

from lifecycle.member import unwell_path
from tests.balancer.asking import wait_until
from tests.balancer.real_nginx import RealNginx
from tests.balancer.scripted_server import ScriptedServer

FIRST, SECOND = "local-node0-0", "local-node0-1"


def reason(nginx: RealNginx, name: str = FIRST) -> str | None:
    """Why the watcher holds the member closed; none: it does not."""
    content = nginx.files().get(unwell_path(name))
    return None if content is None else content.decode().strip()


def wait_until_closed(nginx: RealNginx) -> str:
    """Return the reason; one that generates may be open again soon."""
    seen: list[str | None] = []

    def closed() -> bool:
        seen.append(reason(nginx))
        return seen[-1] is not None

    wait_until(closed)
    nginx.settle()
    return seen[-1] or ""


def wait_until_open(nginx: RealNginx) -> None:
    wait_until(lambda: reason(nginx) is None)
    nginx.settle()


def watched(server: ScriptedServer, looks: int = 9) -> None:
    """Wait until the watcher looked so often at *server*; it closes none for silence before."""
    before = server.looks
    wait_until(lambda: server.looks >= before + looks)


def asked(server: ScriptedServer, count: int) -> None:
    """Wait until *server* was asked so often, whether it answers or not."""
    before = server.asked
    wait_until(lambda: server.asked >= before + count)
