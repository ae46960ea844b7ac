"""The times and tries of requests, out of the lines that Docker keeps of a balancer."""

import json
from typing import Any, cast

from docker.models.containers import Container

from tests.engine import balancer_log
from tests.engine.balancer_log import BalancerLog, wall_time

AT = 1_796_074_149.0
NOTICE = "2026/11/30 21:29:09 [notice] 21#21: signal 1 (SIGHUP) received from 40, reconfiguring"


class Logging:
    """Stands in for a container that wrote *lines*."""

    def __init__(self, *lines: str) -> None:
        self._text = "\n".join(lines)
        self.asked: dict[str, Any] = {}

    def logs(self, **asked: Any) -> bytes:
        self.asked = asked
        return self._text.encode()


def request(**fields: object) -> str:
    logged = {
        "seconds": 2.5,
        "upstream": "10.0.0.1:8000",
        "upstream_status": "200",
        "status": 200,
        "completion": "OK",
    }
    return json.dumps(logged | fields)


def read(*lines: str) -> BalancerLog:
    return balancer_log.read(cast(Container, Logging(*lines)), AT)


def test_a_request_began_as_long_before_its_line_as_it_took() -> None:
    (sent,) = read(f"2026-11-30T21:29:09.250000000Z {request()}").sent

    assert (sent.began, sent.ended) == (AT - 2.25, AT + 0.25)
    assert sent.tries == (("10.0.0.1:8000", "200"),)
    assert sent.status == 200


def test_each_server_that_was_tried_has_its_status() -> None:
    line = request(upstream="10.0.0.1:8000, 10.0.0.2:8002", upstream_status="502, 200")

    (sent,) = read(f"2026-11-30T21:29:09Z {line}").sent

    assert sent.status_at("10.0.0.1:8000") == "502"
    assert sent.status_at("10.0.0.2:8002") == "200"
    assert sent.status_at("10.0.0.3:8004") is None


def test_a_request_that_no_server_was_open_for_was_tried_at_none() -> None:
    line = request(upstream="model_servers", upstream_status="502", status=503)

    (sent,) = read(f"2026-11-30T21:29:09Z {line}").sent

    assert sent.tries == ()


def test_lines_that_are_no_whole_request_are_passed_over() -> None:
    cut = request()[:-9]

    log = read(f"2026-11-30T21:29:09Z {cut}", "no time at all", f"2026-11-30T21:29:09Z {NOTICE}")

    assert log.sent == ()
    assert log.reloads == (AT,)


def test_what_was_made_after_a_time_is_loaded_by_the_first_reload_after_it() -> None:
    log = BalancerLog(sent=(), reloads=(1.0, 5.0))

    assert log.loaded_after(0.5) == 1.0
    assert log.loaded_after(1.0) == 5.0
    assert log.loaded_after(5.0) is None


def test_a_time_is_read_to_the_part_of_a_second() -> None:
    assert wall_time("2026-11-30T21:29:09.123456789Z") == AT + 0.123456789
    assert wall_time("yesterday") is None


def test_only_what_was_written_since_is_asked_for() -> None:
    container = Logging()

    balancer_log.read(cast(Container, container), AT + 0.9)

    assert container.asked["since"] == AT
    assert container.asked["timestamps"] is True
