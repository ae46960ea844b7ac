"""The switch of the rig: what is said to QEMU, and what becomes of its answers."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.rig import machine
from tests.rig.errors import RigError
from tests.rig.place import Place

GREETING: dict[str, object] = {"QMP": {"version": {}, "capabilities": []}}
EVENT: dict[str, object] = {"event": "RESET", "data": {"guest": False}}
DONE: dict[str, object] = {"return": {}}


@contextmanager
def emulator(place: Place, *answers: list[dict[str, object]]) -> Iterator[list[str]]:
    """Greet at the monitor of *place*, and answer each order with the next of *answers*."""
    orders: list[str] = []

    def serve() -> None:
        connection, _ = listening.accept()
        with connection, connection.makefile("rw") as stream:
            stream.write(json.dumps(GREETING) + "\n")
            stream.flush()
            for answer in answers:
                orders.append(json.loads(stream.readline())["execute"])
                stream.write("".join(json.dumps(one) + "\n" for one in answer))
                stream.flush()

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place.monitor))
        listening.listen()
        served = threading.Thread(target=serve, daemon=True)
        served.start()
        yield orders
        served.join(timeout=60)


def test_the_switch_is_pressed_whatever_else_qemu_has_to_say(tmp_path: Path) -> None:
    place = Place(tmp_path)

    with emulator(place, [EVENT, DONE], [EVENT, DONE]) as orders:
        machine.reset(place)

    assert orders == ["qmp_capabilities", "system_reset"]


def test_a_refusal_is_told(tmp_path: Path) -> None:
    place = Place(tmp_path)
    refused: dict[str, object] = {"error": {"class": "GenericError", "desc": "not now"}}

    with (
        emulator(place, [DONE], [refused]),
        pytest.raises(RigError, match=r"takes no orders at .*: not now"),
    ):
        machine.reset(place)


def test_a_qemu_that_hangs_up_is_not_waited_for(tmp_path: Path) -> None:
    place = Place(tmp_path)

    with emulator(place, [DONE], []), pytest.raises(RigError, match="ended the connection"):
        machine.reset(place)


def test_a_qemu_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(RigError, match="takes no orders at"):
        machine.reset(Place(tmp_path))
