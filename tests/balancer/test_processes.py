"""What becomes of requests and of the watcher when a process of the balancer's container ends."""

import os
import signal
from collections import Counter
from collections.abc import Sequence

import pytest

from tests.balancer.asking import hold, reached, release, statuses, wait_until
from tests.balancer.conftest import Serve
from tests.balancer.real_nginx import RealNginx, answer_of
from tests.balancer.scripted_server import ScriptedServer
from tests.balancer.watching import wait_until_closed, wait_until_open, watched

pytestmark = pytest.mark.engine

WATCHED = True
MASTER, WORKER = "nginx: master process", "nginx: worker process"


def test_a_killed_look_is_followed_by_the_next(nginx: RealNginx, serve: Serve) -> None:
    out, _ = serve(2)
    held = nginx.send("hold")
    watched(out)
    for pid in processes(nginx, "watch.sh"):
        os.kill(pid, signal.SIGKILL)

    out.ready = 503

    assert wait_until_closed(nginx)
    out.ready = 200
    wait_until_open(nginx)
    release([out, _], [held])


def test_a_killed_worker_is_replaced(nginx: RealNginx, serve: Serve) -> None:
    for server in serve(2):
        watched(server)
    (worker, *others) = processes(nginx, WORKER)
    count = 1 + len(others)

    os.kill(worker, signal.SIGKILL)

    wait_until(lambda: worker not in (now := processes(nginx, WORKER)) and len(now) == count)
    assert statuses(nginx, 4) == {200: 4}


def test_a_killed_master_is_replaced_while_its_workers_go_on(
    nginx: RealNginx, serve: Serve
) -> None:
    servers = serve(2)
    for server in servers:
        watched(server)
    started = nginx.container.attrs["State"]["StartedAt"]
    held = hold(nginx, 2)
    before = processes(nginx, WORKER)
    (master,) = processes(nginx, MASTER)

    os.kill(master, signal.SIGKILL)

    seen: Counter[int] = Counter()

    def another_is_there() -> bool:
        seen.update(statuses(nginx, 1))
        return bool(processes(nginx, MASTER))

    wait_until(another_is_there)
    seen += statuses(nginx, 50)
    assert set(seen) == {200}
    # The next configuration reaches the workers that answer.
    servers[0].ready = 503
    assert wait_until_closed(nginx)
    assert statuses(nginx, 6) == {200: 6}
    release(servers, held)
    wait_until(lambda: not set(before) & set(processes(nginx, WORKER)))
    assert nginx.container.attrs["State"]["StartedAt"] == started


def test_where_master_and_workers_are_killed_the_container_starts_again(
    nginx: RealNginx, serve: Serve
) -> None:
    for server in serve(2):
        watched(server)
    started = nginx.container.attrs["State"]["StartedAt"]

    for pid in (*processes(nginx, MASTER), *processes(nginx, WORKER)):
        os.kill(pid, signal.SIGKILL)

    wait_until(lambda: nginx.container.attrs["State"]["StartedAt"] != started)
    wait_until(nginx.is_up)
    assert statuses(nginx, 4) == {200: 4}


def test_a_killed_worker_leaves_no_request_counted_against_the_limit(
    nginx: RealNginx, serve: Serve
) -> None:
    """Also where more of them die."""
    servers = serve(2)
    nginx.configure(max_requests=4)
    killed = died(nginx)
    for sent in (4, 8):
        held = [nginx.send("hold") for _ in range(4)]
        # Else a worker may read the request that is to be refused before one of these.
        wait_until_held(servers, sent)
        assert nginx.ask().status == 429
        workers = processes(nginx, WORKER)
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        for one in held:
            one.close()
        killed += len(workers)

        wait_until_died(nginx, killed)
        nginx.settle()
        assert statuses(nginx, 4) == {200: 4}
    for server in servers:
        server.release()


def test_a_stop_lets_what_is_in_progress_end(nginx: RealNginx, serve: Serve) -> None:
    servers = serve(1)
    held = nginx.send("hold")
    wait_until(lambda: servers[0].got == ["hold"])

    nginx.container.kill(signal="SIGQUIT")
    servers[0].release()

    assert answer_of(held).status == 200
    wait_until(lambda: nginx.container.status == "exited")
    assert nginx.container.attrs["State"]["ExitCode"] == 0
    nginx.container.start()
    wait_until(nginx.is_up)


def wait_until_held(servers: Sequence[ScriptedServer], count: int) -> None:
    wait_until(lambda: sum(reached(servers, "hold")) == count)


def wait_until_died(nginx: RealNginx, count: int) -> None:
    wait_until(lambda: died(nginx) == count)


def died(nginx: RealNginx) -> int:
    """How many workers died, as the watcher counted them."""
    return int(nginx.files().get("died", b"0"))


def processes(nginx: RealNginx, title: str) -> list[int]:
    """The host's ids of the processes in the container whose command line has *title*."""
    rows = nginx.container.top(ps_args="-o pid,args")["Processes"]
    return [int(pid) for pid, args in rows if title in args]
