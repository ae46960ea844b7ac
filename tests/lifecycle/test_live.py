from pathlib import Path

import pytest

from lifecycle.errors import LifecycleError
from lifecycle.live import live_topology, topology_at
from lifecycle.probe import probe_topology
from lifecycle.ssh import SshHost
from planner.errors import TopologyError
from planner.where import Where
from tests.lifecycle.scripted_ssh import ScriptedSsh
from tests.planner.worlds import TWO_NODES, make_host, sysfs_of

FAR = Where(docker="ssh://me@far")


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ScriptedSsh:
    client = ScriptedSsh(tmp_path / "bin", monkeypatch)
    client.is_host(tmp_path / "root")
    for path, text in sysfs_of(TWO_NODES).items():
        (tmp_path / "root" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / path).write_text(text)
    return client


def test_an_engine_of_this_machine_has_the_topology_of_this_machine() -> None:
    assert topology_at(Where(docker="unix:///run/docker.sock")) == probe_topology()


@pytest.mark.usefixtures("client")
def test_a_host_behind_ssh_has_the_topology_of_that_host() -> None:
    assert live_topology(SshHost.parse(FAR)) == make_host(TWO_NODES)


def test_an_engine_on_the_network_leads_to_no_files() -> None:
    assert topology_at(Where(docker="tcp://10.0.0.7:2376")) is None


def test_a_host_that_cannot_be_reached_is_named(client: ScriptedSsh) -> None:
    client.fails("ssh: connect to host far port 22: Connection refused")

    with pytest.raises(LifecycleError, match="ssh://me@far: reading its files"):
        live_topology(SshHost.parse(FAR))


@pytest.mark.usefixtures("client")
def test_what_a_host_does_not_say_is_named_with_the_host(tmp_path: Path) -> None:
    (tmp_path / "root/sys/devices/system/node/node1/meminfo").unlink()

    with pytest.raises(
        TopologyError, match=f"{FAR.docker}: sys/devices/system/node/node1/meminfo is"
    ):
        live_topology(SshHost.parse(FAR))
