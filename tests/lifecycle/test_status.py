import re
from collections.abc import Callable
from pathlib import Path

import pytest

from lifecycle.__main__ import main
from lifecycle.found import BALANCER
from lifecycle.member import cordon_path, member_path, unwell_path
from lifecycle.observe import Observation
from lifecycle.status import Line, Status, look
from tests.lifecycle.docker_double import refusal
from tests.lifecycle.stack_double import FIRST, SECOND, Stack, stand_up_stack, write_stack_file
from tests.lifecycle.world import MODEL, World, write_proc, write_sockets

Captured = pytest.CaptureFixture[str]
See = Callable[[Observation], None]


@pytest.fixture
def stack(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    standing = stand_up_stack(world, tmp_path, monkeypatch)
    monkeypatch.setattr("lifecycle.observe_hosts.observe", lambda *_: Observation())
    world.server.answers[f"GET /v2/models/{MODEL}/ready"] = [(200, "")]
    return standing


@pytest.fixture
def see(monkeypatch: pytest.MonkeyPatch) -> See:
    """Has the look at the host find something."""
    return lambda seen: monkeypatch.setattr("lifecycle.observe_hosts.observe", lambda *_: seen)


def row(status: Status, name: str) -> list[str]:
    lines = status.render().splitlines()
    return next(re.split(r"\s{2,}", line) for line in lines if line.startswith(name))


def test_a_stack_that_serves_is_a_table_and_a_total(stack: Stack) -> None:
    status = look(stack.file)

    heading, first, second, balancer, *rest = status.render().splitlines()
    start = "2026-03-01 09:08:07"
    assert re.split(r"\s{2,}", heading)[:4] == ["instance", "NUMA node", "CPUs planned", "found"]
    assert first.split() == [
        FIRST, "0", "0", "0", "0", "0", "100%", *start.split(), "2", "0", "open", "server:1",
    ]  # fmt: skip
    assert second.split()[:2] == [SECOND, "0"]
    assert balancer.split() == [
        "balancer", "-", "any", "0", "any", "0", "-", *start.split(), "2", "0", "running",
        "nginx:1",
    ]  # fmt: skip
    assert rest == ["", "2 of 2 instances serve at http://127.0.0.1:8000"]
    assert status.is_well


def test_every_column_begins_below_its_heading(stack: Stack) -> None:
    heading, first, *_ = look(stack.file).render().splitlines()

    assert heading.index("state") == first.index("open")
    assert heading.index("up since") == first.index("2026")


def test_connections_are_counted_in_the_instance(stack: Stack) -> None:
    write_sockets(
        stack.machines[SECOND].mounts["/proc"], port=stack.world.server.port, connections=4
    )

    status = look(stack.file)

    assert (row(status, FIRST)[9], row(status, SECOND)[9]) == ("0", "4")


def test_what_the_kernel_enforces_is_shown_beside_what_was_planned(stack: Stack) -> None:
    tasks = {7: ("0-1", "0-1"), 12: ("0", "0-1")}
    proc = stack.machines[FIRST].mounts["/proc"]
    write_proc(proc, port=stack.world.server.port, tasks=tasks)

    status = look(stack.file)

    assert row(status, FIRST)[2:6] == ["0", "0-1", "0", "0-1"]
    assert f"\nwrong: {FIRST} was re-pinned: CPUs: planned 0, found 0 and 0-1;" in status.render()
    assert not status.is_well


def test_a_fault_seen_on_the_host_is_said_once(stack: Stack, see: See) -> None:
    write_proc(
        stack.machines[FIRST].mounts["/proc"],
        port=stack.world.server.port,
        tasks={7: ("1", "0"), 12: ("1", "0")},
    )
    see(Observation(faults={FIRST: "was re-pinned: CPUs: planned 0, found 1"}))

    assert look(stack.file).render().count("wrong: ") == 1


def test_an_instance_that_does_not_run_has_no_placement(stack: Stack, see: See) -> None:
    stack.machines[FIRST].status = "exited"
    see(Observation(faults={FIRST: "is exited, not running"}))

    status = look(stack.file)

    assert row(status, FIRST)[2:11] == ["0", "-", "0", "-", "-", "-", "2", "-", "exited"]
    assert f"\nwrong: {FIRST} is exited, not running\n1 of 2 instances serves at" in status.render()
    assert not status.is_well


def test_a_model_that_is_not_loaded_yet_is_wrong(stack: Stack) -> None:
    stack.world.server.answers[f"GET /v2/models/{MODEL}/ready"] = [(404, "")]

    status = look(stack.file)

    assert f"wrong: {FIRST} is not ready with the model '{MODEL}': it answers 404" in (
        status.render()
    )
    assert (status.serving, status.is_well) == ((), False)


def test_of_what_the_watcher_closed_it_says_why_and_what_keeps_it_closed(
    stack: Stack, see: See
) -> None:
    stack.put({unwell_path(FIRST): b"refused connections\n"})
    see(Observation(faults={FIRST: "was closed by the watcher, as it refused connections"}))
    stack.world.server.answers[f"GET /v2/models/{MODEL}/ready"] = [(404, "")]

    status = look(stack.file)

    assert (
        f"wrong: {FIRST} was closed by the watcher, as it refused connections\n"
        f"wrong: {FIRST} is not ready with the model '{MODEL}': it answers 404\n"
    ) in status.render()
    assert row(status, FIRST)[10] == "closed"


def test_a_balancer_that_does_not_answer_is_wrong(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lifecycle.balancer_config.LISTEN_PORT", 1)

    status = look(stack.file)

    assert "\nwrong: balancer does not answer at 127.0.0.1:8080\n" in status.render()
    assert not status.is_well


def test_a_container_that_ends_meanwhile_is_no_failure_of_the_command(stack: Stack) -> None:
    stack.machines[FIRST].refusals["exec"] = refusal("it is not running", 409)

    status = look(stack.file)

    assert f"wrong: {FIRST} does not show where it runs: it is not running" in status.render()
    assert row(status, FIRST)[9] == "-"


def test_a_cordoned_instance_is_shown_and_nothing_is_wrong(stack: Stack, see: See) -> None:
    stack.put_members(SECOND)
    stack.put({cordon_path(FIRST): b""})
    see(Observation(cordoned=frozenset({FIRST})))

    status = look(stack.file)

    assert row(status, FIRST)[10] == "cordoned"
    assert f"\n\ncordoned: {FIRST}\n1 of 2 instances serves at" in status.render()
    assert status.is_well


def test_where_every_instance_is_cordoned_the_stack_does_not_serve(stack: Stack, see: See) -> None:
    stack.put_members()
    see(Observation(cordoned=frozenset({FIRST, SECOND})))

    assert not look(stack.file).is_well


def test_an_instance_that_is_open_behind_its_cordon_is_pointed_out(stack: Stack, see: See) -> None:
    see(Observation(cordoned=frozenset({FIRST})))

    assert f"cordoned: {FIRST}, yet it is open; cordon it again" in look(stack.file).render()


def test_the_cordon_of_an_instance_that_is_gone_is_pointed_out(stack: Stack, see: See) -> None:
    see(Observation(cordoned=frozenset({"box-node7-0"})))

    assert "`make uncordon INSTANCE=box-node7-0` forgets it" in look(stack.file).render()


def test_a_closed_instance_that_waits_for_an_update_is_not_well(stack: Stack) -> None:
    stack.put_members(SECOND)

    status = look(stack.file)

    assert row(status, FIRST)[10] == "closed"
    assert not status.is_well


def test_without_a_balancer_nothing_is_open_and_there_is_no_endpoint(
    stack: Stack, see: See
) -> None:
    del stack.world.engine.machines[stack.machines[BALANCER].name]
    see(Observation(gone=("balancer is gone",)))

    status = look(stack.file)

    assert status.render().endswith("\nwrong: balancer is gone\n0 of 2 instances serve")
    assert not status.is_well


def test_the_tenth_instance_of_a_node_comes_behind_the_second(stack: Stack) -> None:
    machine = stack.machines[FIRST]
    for number in (10, 2):
        name = f"box-node0-{number}"
        labels = {**machine.labels, "ovms-numa.role": name, "ovms-numa.instance": name}
        copy = type(machine)(**{**vars(machine), "name": name, "labels": labels})
        stack.world.engine.machines[name] = copy
        stack.put({member_path(name): stack.member(is_open=True)})

    names = [line.name for line in look(stack.file).lines]

    assert names == [FIRST, SECOND, "box-node0-2", "box-node0-10", "balancer"]


def test_the_commands_print_text_and_tell_by_their_status_what_is_wrong(
    stack: Stack, tmp_path: Path, capsys: Captured
) -> None:
    file = str(tmp_path / "Pulumi.dev.yaml")

    well = main(["status", file])
    closed = main(["cordon", file, "--instance", FIRST])
    assert stack.is_cordoned(FIRST)
    waiting = main(["status", file])
    opened = main(["uncordon", file, "--instance", FIRST])

    out = capsys.readouterr().out
    assert (well, closed, waiting, opened) == (0, 0, 1, 0), "this look at the host sees no cordon"
    assert out.endswith(f"{FIRST} is open again; 2 of 2 instances are open\n")


def test_the_logs_of_all_are_each_behind_a_name(
    stack: Stack, tmp_path: Path, capsys: Captured
) -> None:
    file = str(tmp_path / "Pulumi.dev.yaml")
    stack.machines[FIRST].log = "one\ntwo\nthree\n"
    stack.machines[BALANCER].log = "started\n"

    assert main(["logs", file, "--lines", "2"]) == 0

    assert capsys.readouterr().out.splitlines() == [
        f"{FIRST} | two",
        f"{FIRST} | three",
        "balancer    | started",
    ]


def test_the_logs_of_one(stack: Stack, tmp_path: Path, capsys: Captured) -> None:
    file = str(tmp_path / "Pulumi.dev.yaml")
    stack.machines[SECOND].log = "one\ntwo\n"

    assert main(["logs", file, "--instance", SECOND]) == 0
    assert main(["logs", file, "--instance", "box-node7-0"]) == 1

    out, err = capsys.readouterr()
    assert out == f"{SECOND} | one\n{SECOND} | two\n"
    assert f"there is no 'box-node7-0'; there are {FIRST}, {SECOND}, balancer.\n" in err


def test_a_refusal_of_docker_is_no_traceback(
    stack: Stack, tmp_path: Path, capsys: Captured
) -> None:
    stack.machines[FIRST].refusals["logs"] = refusal("the logging driver does not support reading")

    assert main(["logs", str(tmp_path / "Pulumi.dev.yaml")]) == 1
    assert capsys.readouterr().err.endswith("then run this again.\n")


@pytest.mark.parametrize("command", ["status", "logs", "cordon", "uncordon"])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Pulumi.nowhere.yaml", "cannot be read: No such file or directory. Name a stack"),
        ("stack.yaml", "a stack file is called Pulumi.STACK.yaml"),
    ],
)
def test_a_stack_file_that_there_is_not_is_said(
    tmp_path: Path, capsys: Captured, command: str, name: str, words: str
) -> None:
    assert main([command, str(tmp_path / name)]) == 1
    assert words in capsys.readouterr().err


def test_the_faults_of_the_settings_are_all_said(tmp_path: Path, capsys: Captured) -> None:
    file = write_stack_file(tmp_path, balancer={"port": 0}, rolout={})

    assert main(["status", str(file)]) == 1

    err = capsys.readouterr().err
    assert "balancer.port" in err
    assert "rolout" in err


def test_a_line_that_is_open_and_wrong_does_not_serve() -> None:
    line = Line(name=FIRST, cells=("",) * 10, is_open=True, faults=("was re-pinned",))
    status = Status(endpoint=None, lines=(line,), cordoned=frozenset(), gone=(), unreached={})

    assert status.serving == ()
