"""
What goes wrong with a stack that serves, and that it mends by itself.

A short version of `bench_faults`: each fault once, on instances that load quickly, and no time is
asserted. The tests follow each other on one stack, which mends itself between them. On a machine
that is busy with other things an instance may be slow enough to be closed for a while without
cause, which the benchmark counts; here it is none, but none may be restarted without cause.
"""

from collections.abc import Iterator

import pytest

from tests.engine import faults
from tests.engine.faults import Fault
from tests.engine.faults_measure import measure
from tests.engine.faults_measured import Measured
from tests.engine.faults_site import Site
from tests.engine.rolling_load import Mix
from tests.engine.stack import Stack

pytestmark = pytest.mark.engine

SETTINGS = {
    "hosts": {"local": {"subnet": "172.30.118.0/24"}},
    "placement": {"instances-per-node": 2, "cores-per-instance": 1, "cpu-sharing": "allowed"},
    "server": {"flags": {"load-delay": 3, "faults": True}},
    "balancer": {"port": 18165, "keepalive-min-timeout-s": 1},
    "rollout": {"start-timeout-s": 120, "drain-timeout-s": 60, "stop-timeout-s": 5},
}
MIX = Mix(clients=4, streams=4, short_tokens=16, long_tokens=100)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose servers go wrong where they are asked to."""
    stack = Stack(name="faults", folder=tmp_path_factory.mktemp("faults"), settings=SETTINGS)
    stack.clear()
    run = stack.up()
    try:
        assert run.status == 0, run.output
        yield stack
    finally:
        stack.configure({})
        removed = stack.destroy()
        assert removed.status == 0, removed.output
        assert stack.remains() == []


@pytest.fixture
def site(stack: Stack) -> Site:
    return Site(stack)


def struck(site: Site, fault: Fault) -> Measured:
    """Strike *site*, and check that no instance was restarted that was not struck."""
    measured = measure(site, fault, MIX)
    restarted = [down.instance for down in measured.downs if down.restarts]
    assert len(restarted) <= fault.what.downs, measured.in_words()
    assert set(restarted) <= set(measured.victims or restarted), measured.in_words()
    return measured


def assert_mended(measured: Measured) -> None:
    """Check that the struck instance was closed, restarted, and opened when it had generated."""
    (down,) = (one for one in measured.downs if one.restarts)
    assert None not in (down.closed_s, down.restarted_s, down.opened_s), measured.in_words()
    assert down.kept == 0, measured.in_words()


def named(name: str, *, retry: str = "unsent") -> Fault:
    (fault,) = (one for one in faults.faults() if one.what.name == name and one.what.retry == retry)
    return fault


def test_a_killed_server_fails_no_new_request_and_comes_back_by_itself(site: Site) -> None:
    measured = struck(site, named("SIGKILL of a server"))

    assert measured.failed == ()
    assert_mended(measured)


def test_a_hung_server_is_closed_and_restarted(site: Site) -> None:
    measured = struck(site, named("SIGSTOP of a server"))

    assert_mended(measured)


def test_a_killing_request_costs_one_instance_and_its_own_client_an_answer(site: Site) -> None:
    measured = struck(site, named("a killing request"))

    assert measured.killer_got == "status 502"
    assert measured.failed == ()
    assert_mended(measured)


def test_a_killed_worker_of_nginx_is_replaced_and_fails_no_new_request(site: Site) -> None:
    measured = struck(site, named("SIGKILL of an Nginx worker"))

    assert measured.healed_s is not None
    assert measured.failed == ()


def test_a_killed_watcher_is_replaced_and_the_next_one_watches(site: Site) -> None:
    measured = struck(site, named("SIGKILL of the watcher"))
    after = struck(site, named("SIGKILL of a server"))

    assert measured.healed_s is not None
    assert (measured.lost, measured.failed) == ((), ())
    assert after.failed == ()
    assert_mended(after)


def test_no_container_has_docker_s_socket(site: Site) -> None:
    assert site.sockets() == []


def test_what_waits_for_its_first_token_outlives_a_killed_server_where_that_is_asked_for(
    site: Site,
) -> None:
    site.stack.configure({"balancer": {"retry": "waiting"}})
    run = site.stack.up()
    assert run.status == 0, run.output

    measured = struck(site, named("SIGKILL of a server", retry="waiting"))

    assert (measured.lost_waiting, measured.failed) == ((), ())
    assert_mended(measured)
