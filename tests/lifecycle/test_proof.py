from pathlib import Path

import pytest
from docker.models.containers import Container

from lifecycle import proof
from lifecycle.docker_host import CommandError
from lifecycle.pages import Pages, parse_numa_maps
from tests.lifecycle.docker_double import Machine, as_container
from tests.lifecycle.world import LOCAL, write_numa_maps, write_proc

PORT = 8000
ONE = ("0", "0")

# Captured from a kernel: a server that listens on all addresses of both kinds, a client on IPv4
# and one on IPv6, each with both ends here.
TCP_TO_18501 = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
 220: 0100007F:ACA0 0100007F:4845 01 00000000:00000000 00:00000000 00000000     0        0 282652 \
2 00000000b4c4c92a 21 0 0 10 -1
"""
TCP6_OF_18501 = """\
  sl  local_address                         remote_address                        st tx_queue \
rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:4845 00000000000000000000000000000000:0000 0A \
00000000:00000000 00:00000000 00000000     0        0 119100 1 000000008420dd7d 100 0 0 10 0
   2: 00000000000000000000000001000000:4845 00000000000000000000000001000000:CB7A 01 \
00000000:00000000 00:00000000 00000000     0        0 282655 1 00000000715866bb 20 0 0 10 -1
   3: 0000000000000000FFFF00000100007F:4845 0000000000000000FFFF00000100007F:ACA0 01 \
00000000:00000000 00:00000000 00000000     0        0 282653 1 000000004ff7bbde 21 0 0 10 -1
   8: 00000000000000000000000001000000:CB7A 00000000000000000000000001000000:4845 01 \
00000000:00000000 00:00000000 00000000     0        0 282654 2 00000000d8ff8dc9 20 0 0 10 -1
"""


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    return tmp_path / "proc"


def container(proc: Path) -> Container:
    return as_container(Machine(name="server", calls=[], mounts={"/proc": proc}))


def test_the_proof_covers_every_task_of_the_process_that_owns_the_port(proc: Path) -> None:
    write_proc(proc, port=PORT, tasks={7: ONE, 12: ONE, 13: ONE})

    found = proof.read(container(proc), PORT)

    assert found == proof.Proof(
        cpus=("0",), memory_nodes=("0",), tasks=3, pages=parse_numa_maps(LOCAL)
    )
    assert found.faults("0", "0") == ()


def test_the_processes_that_it_started_count_too(proc: Path) -> None:
    write_proc(proc, port=PORT, tasks={7: ONE})
    parents = {1: 0, 7: 1, 20: 7, 21: 20, 22: 1}
    for pid, parent in parents.items():
        (proc / f"{pid}/task/{pid}").mkdir(parents=True, exist_ok=True)
        (proc / f"{pid}/stat").write_text(f"{pid} (a (b) c) S {parent} 7 7 0 -1 4194560 9\n")
        cpus = "0" if pid == 7 else str(pid - 19)
        status = f"Cpus_allowed_list:\t{cpus}\nMems_allowed_list:\t0\n"
        (proc / f"{pid}/task/{pid}/status").write_text(status)
        (proc / f"{pid}/numa_maps").write_text(LOCAL)

    found = proof.read(container(proc), PORT)

    assert (found.cpus, found.tasks) == (("0", "1", "2"), 3)
    one, three = parse_numa_maps(LOCAL), found.pages
    assert three is not None
    assert three.anonymous == {node: 3 * size for node, size in one.anonymous.items()}


def test_other_processes_of_the_container_do_not_count(proc: Path) -> None:
    """An init process, or a command that somebody runs inside, may float."""
    write_proc(proc, port=PORT, tasks={7: ONE})
    (proc / "1/task/1").mkdir(parents=True)
    (proc / "1/task/1/status").write_text("Cpus_allowed_list:\t0-7\nMems_allowed_list:\t0-1\n")

    assert proof.read(container(proc), PORT).cpus == ("0",)


def test_all_processes_that_share_the_port_count(proc: Path) -> None:
    write_proc(proc, port=PORT, tasks={7: ONE})
    (proc / "8/fd").mkdir(parents=True)
    (proc / "8/fd/5").symlink_to("socket:[119100]")
    (proc / "8/task/8").mkdir(parents=True)
    (proc / "8/task/8/status").write_text("Cpus_allowed_list:\t3\nMems_allowed_list:\t0\n")
    (proc / "8/numa_maps").write_text("7f00 default stack anon=3 N1=3 kernelpagesize_kB=4\n")

    found = proof.read(container(proc), PORT)

    assert found.cpus == ("0", "3")
    assert found.pages is not None
    assert found.pages.anonymous == {0: 1024 * 4096, 1: 3 * 4096}


def test_one_task_that_strays_is_found_with_its_lists(proc: Path) -> None:
    write_proc(proc, port=PORT, tasks={7: ("0-3", "0"), 12: ("0-3", "0"), 13: ("4-7", "0-1")})

    found = proof.read(container(proc), PORT)

    assert found.faults("0-3", "0") == (
        "CPUs: planned 0-3, found 0-3 and 4-7",
        "memory nodes: planned 0, found 0 and 0-1",
    )


def test_a_server_that_listens_on_ipv6_is_proven(proc: Path) -> None:
    write_proc(proc, port=1, tasks={7: ONE}, tcp6=TCP6_OF_18501)
    (proc / "net/tcp").write_text(TCP_TO_18501)

    assert proof.read(container(proc), 18501).faults("0", "0") == ()


def test_connections_are_counted_at_the_servers_end_on_both_kinds_of_addresses(proc: Path) -> None:
    elsewhere = TCP6_OF_18501.replace("1000000:CB7A 01", "2000000:CB7A 01")
    elsewhere = elsewhere.replace("0100007F:ACA0", "02501EAC:ACA0")
    write_proc(proc, port=1, tasks={7: ONE}, tcp6=elsewhere)
    (proc / "net/tcp").write_text(TCP_TO_18501)

    assert proof.connections(container(proc), 18501) == 2


def test_connections_of_the_container_itself_do_not_count(proc: Path) -> None:
    """They are its health check's."""
    write_proc(proc, port=1, tasks={7: ONE}, tcp6=TCP6_OF_18501)
    (proc / "net/tcp").write_text(TCP_TO_18501)

    assert proof.connections(container(proc), 18501) == 0


@pytest.mark.parametrize("count", [0, 1, 37])
def test_connections_are_counted_where_the_kernel_has_no_ipv6(proc: Path, count: int) -> None:
    write_proc(proc, port=PORT, tasks={7: ONE}, connections=count)

    assert not (proc / "net/tcp6").exists()
    assert proof.connections(container(proc), PORT) == count


def test_connections_to_another_port_do_not_count(proc: Path) -> None:
    write_proc(proc, port=PORT, tasks={7: ONE}, connections=2)

    assert proof.connections(container(proc), PORT + 1) == 0


def test_a_connection_that_only_lingers_does_not_count(proc: Path) -> None:
    """State 06 is TIME_WAIT: nobody will send on it again."""
    write_proc(proc, port=PORT, tasks={7: ONE}, connections=2)
    table = proc / "net/tcp"
    table.write_text(table.read_text().replace(" 01 ", " 06 ", 1))

    assert proof.connections(container(proc), PORT) == 1


def test_a_port_that_nobody_listens_on_is_said(proc: Path) -> None:
    write_proc(proc, port=PORT, tasks={7: ONE}, connections=1)

    with pytest.raises(CommandError) as refused:
        proof.read(container(proc), 9999)

    assert str(refused.value) == "no process in the container listens on port 9999"


def test_a_connection_is_not_taken_for_the_listening_socket(proc: Path) -> None:
    """A client of the server's in the same network, with the port as its own."""
    write_proc(proc, port=PORT, tasks={7: ONE}, connections=1)
    table = proc / "net/tcp"
    table.write_text(table.read_text().replace(" 0A ", " 01 "))

    with pytest.raises(CommandError, match="no process"):
        proof.read(container(proc), PORT)


def test_a_container_that_stopped_is_said_in_the_words_of_the_engine(proc: Path) -> None:
    stopped = Machine(name="server", calls=[], mounts={"/proc": proc}, status="exited")

    with pytest.raises(CommandError) as refused:
        proof.read(as_container(stopped), PORT)

    assert str(refused.value) == "container server is not running"


def test_a_task_that_ends_while_the_tasks_are_read_is_no_fault(proc: Path) -> None:
    """A server's threads come and go; the shell lists them before `cat` opens them."""
    write_proc(proc, port=PORT, tasks={7: ONE})
    (proc / "7/task/99").mkdir()
    (proc / "7/task/99/status").symlink_to("gone")

    assert proof.read(container(proc), PORT).faults("0", "0") == ()


@pytest.mark.parametrize(
    ("found", "planned", "faults"),
    [
        (("0-3",), "0,1,2,3", ()),
        (("0-3",), None, ()),
        (("0-3",), "0-2", ("CPUs: planned 0-2, found 0-3",)),
        ((), "0-2", ("CPUs: planned 0-2, found none",)),
        (("0-2", "3"), None, ()),
    ],
    ids=["same in other words", "not planned", "other", "nothing found", "many, not planned"],
)
def test_only_what_differs_from_the_plan_is_a_fault(
    found: tuple[str, ...], planned: str | None, faults: tuple[str, ...]
) -> None:
    assert proof.Proof(cpus=found, memory_nodes=(), tasks=1).faults(planned, None) == faults


def test_a_kernel_without_numa_leaves_the_pages_unmeasured_and_nothing_wrong(proc: Path) -> None:
    write_proc(proc, port=PORT, tasks={7: ONE}, numa_maps=None)

    found = proof.read(container(proc), PORT)

    assert (found.pages, found.memory_faults("0", 1.0)) == (None, ())


def test_a_kernel_that_tells_no_page_sizes_leaves_the_pages_unmeasured(proc: Path) -> None:
    write_proc(proc, port=PORT, tasks={7: ONE}, numa_maps="7f00 default stack anon=3 N0=3\n")

    assert proof.read(container(proc), PORT).pages is None


def test_pages_that_may_not_be_read_are_said(proc: Path) -> None:
    write_proc(proc, port=PORT, tasks={7: ONE})
    (proc / "7/numa_maps").unlink()

    with pytest.raises(CommandError, match=r"cat: /proc/7/numa_maps: No such file or directory"):
        proof.read(container(proc), PORT)


def test_a_process_that_just_ended_shows_no_memory(proc: Path) -> None:
    write_proc(proc, port=PORT, tasks={7: ONE})
    write_numa_maps(proc, "")

    with pytest.raises(CommandError) as refused:
        proof.read(container(proc), PORT)

    assert str(refused.value) == "process 7 shows no memory"


@pytest.mark.parametrize(
    ("by_node", "nodes", "least", "found"),
    [
        ({0: 99, 1: 1}, "0", 0.99, None),
        ({0: 989, 1: 11}, "0", 0.99, "0.989: 989 MiB on node 0 and 11 MiB on node 1"),
        ({1: 7}, "0", 0.99, "0: 7 MiB on node 1"),
        ({1: 7}, "0", 0, None),
        ({0: 5, 1: 5, 2: 1}, "0-1", 0.99, "0.909: 5 MiB on node 0 and 5 MiB on node 1 and 1"),
        ({0: 5, 1: 5}, "0-1", 1, None),
        ({1: 7}, None, 1, None),
    ],
    ids=["enough", "too little", "none", "nothing required", "a socket", "all of it", "not bound"],
)
def test_too_little_local_memory_is_a_fault_with_the_memory_of_each_node(
    by_node: dict[int, int], nodes: str | None, least: float, found: str | None
) -> None:
    mib = {node: its << 20 for node, its in by_node.items()}
    pages = Pages(anonymous=mib, model={}, libraries={0: 1 << 40})

    faults = proof.Proof(cpus=(), memory_nodes=(), tasks=1, pages=pages).memory_faults(nodes, least)

    assert len(faults) == (found is not None)
    planned = f"local share of its memory: planned at least {least:g} on node {nodes}, "
    assert all(fault.startswith(f"{planned}found {found}") for fault in faults)
