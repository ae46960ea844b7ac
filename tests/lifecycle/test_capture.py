import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lifecycle import capture as capturing
from lifecycle.__main__ import main
from lifecycle.capture import capture
from lifecycle.errors import LifecycleError
from lifecycle.probe import probe_topology, read_topology
from planner.errors import SettingsError, TopologyError
from planner.settings.host import HostSettings
from planner.topology import HostTopology
from tests.lifecycle.scripted_ssh import ScriptedSsh
from tests.planner.worlds import GIB, TWO_NODES, make_host, sysfs_of

FAR = "ssh://me@far"
MIB = 1 << 20


class Far:
    """A host behind a scripted ssh, and the folder its captures go to."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.folder = tmp_path / "root", tmp_path / "hosts"
        self.client = ScriptedSsh(tmp_path / "bin", monkeypatch)
        self.client.is_host(self.root)
        self.shows(sysfs_of(TWO_NODES))

    def shows(self, files: dict[str, str]) -> None:
        for path, text in files.items():
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).write_text(text)

    def captured(self) -> list[str]:
        """Capture it; return the printed lines."""
        return capture("far", url=FAR, directory=self.folder).splitlines()

    @property
    def file(self) -> Path:
        return self.folder / "far.json"


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Far:
    return Far(tmp_path, monkeypatch)


def test_a_captured_host_is_summed_up_with_the_line_for_its_stack_file(far: Far) -> None:
    assert far.captured() == [
        "ssh://me@far: 2 NUMA nodes, 8 cores, 8 CPUs online",
        "NUMA node  CPUs  cores  memory (MiB)",
        "0          0-3   4      16384",
        "1          4-7   4      16384",
        "",
        f"{far.file} is new.",
        "In the stack file, under the host: topology: hosts/far.json",
    ]


def test_the_file_is_what_a_host_s_setting_takes(far: Far) -> None:
    far.captured()

    assert read_topology(str(far.file)) == make_host(TWO_NODES)
    assert HostSettings(topology=f"hosts/{far.file.name}").topology == "hosts/far.json"


def test_the_file_says_how_and_when_it_was_captured_but_not_by_whom_and_over_which_address(
    far: Far,
) -> None:
    far.captured()
    text = far.file.read_text()
    note = json.loads(text)["note"]

    assert FAR not in text
    assert note == (
        f"Captured on {datetime.now(UTC).date()} by `make capture NAME=far`: what the kernel of "
        "the host shows of its CPUs and memory, and what of them its Docker engine may use. "
        "Capture it again when the host has changed."
    )


def test_the_file_reads_well_and_a_change_of_few_cores_is_a_change_of_few_lines() -> None:
    many = make_host({0: [f"{cpu},{cpu + 64}" for cpu in range(64)]})

    lines = capturing.render("far", many).splitlines()

    assert len(lines) < 30
    assert max(len(line) for line in lines if "note" not in line) <= 100
    assert (
        '      {"id": 0, "cpus": "0-127", "memory_bytes": 17179869184, "distances": [10]}' in lines
    )
    assert HostTopology.from_json(json.loads("\n".join(lines))["topology"]) == many


def test_a_host_that_did_not_change_is_captured_to_the_same_bytes(far: Far) -> None:
    far.captured()
    before = far.file.read_bytes()

    assert far.captured()[-2] == f"{far.file}: nothing differs."
    assert far.file.read_bytes() == before


def test_what_changed_is_said_and_captured(far: Far) -> None:
    far.captured()
    far.shows({"sys/devices/system/cpu/online": "0-6\n"})

    assert far.captured()[-3:-1] == [
        f"{far.file} is written anew; what differs:",
        "  CPUs online: captured 0-7, now 0-6",
    ]
    assert str(read_topology(str(far.file)).online) == "0-6"


def test_memory_that_another_kernel_takes_changes_no_plan(far: Far) -> None:
    far.captured()
    before = far.file.read_bytes()
    less = (16 * GIB - 100 * MIB) // 1024
    far.shows({"sys/devices/system/node/node1/meminfo": f"Node 1 MemTotal: {less} kB\n"})

    assert far.captured()[-2] == f"{far.file}: nothing differs."
    assert far.file.read_bytes() == before


def test_a_file_that_was_made_up_and_is_right_is_called_captured_and_changes_no_plan(
    far: Far,
) -> None:
    made_up = make_host(TWO_NODES)
    far.folder.mkdir()
    far.file.write_text(json.dumps({"note": "invented", "topology": made_up.to_json()}))
    less = (16 * GIB - 100 * MIB) // 1024
    far.shows({"sys/devices/system/node/node1/meminfo": f"Node 1 MemTotal: {less} kB\n"})

    assert (
        far.captured()[-2] == f"{far.file}: nothing differs; it now says all that a capture says."
    )
    assert "invented" not in far.file.read_text()
    assert read_topology(str(far.file)) == made_up


@pytest.mark.parametrize("text", ["{", "[]", "{}", "\x00"])
def test_a_file_that_cannot_be_read_is_replaced(far: Far, text: str) -> None:
    far.folder.mkdir()
    far.file.write_text(text)

    assert far.captured()[-2] == (
        f"{far.file} held no topology that can be read, and is written anew."
    )
    assert read_topology(str(far.file)) == make_host(TWO_NODES)


def test_what_docker_may_not_use_is_said(far: Far) -> None:
    far.shows(
        {
            "sys/fs/cgroup/system.slice/cpuset.cpus.effective": "0-3\n",
            "sys/fs/cgroup/system.slice/cpuset.mems.effective": "0\n",
        }
    )

    assert far.captured()[4:6] == [
        "Docker may use only the CPUs 0-3",
        "Docker may use only the memory nodes 0",
    ]


def test_isolated_cpus_and_thrifty_cores_are_said_and_captured(far: Far) -> None:
    far.shows(
        {
            "sys/devices/system/cpu/isolated": "7\n",
            "sys/devices/cpu_core/cpus": "0-3\n",
            "sys/devices/cpu_atom/cpus": "4-7\n",
        }
    )

    assert far.captured()[4:6] == [
        "the kernel keeps the CPUs 7 isolated",
        "the CPUs 4-7 are of efficiency cores",
    ]
    captured = read_topology(str(far.file))
    assert (str(captured.isolated), str(captured.cpus_of_kind("efficiency"))) == ("7", "4-7")


def test_a_file_of_before_isolated_cpus_and_versions_gains_them(far: Far) -> None:
    far.shows({"sys/fs/cgroup/cgroup.controllers": "cpuset cpu\n"})
    far.captured()
    document = json.loads(far.file.read_text())
    for key in ("isolated", "kinds", "cgroup_version"):
        del document["topology"][key]
    far.file.write_text(json.dumps(document))

    far.captured()

    assert read_topology(str(far.file)).cgroup_version == 2


def test_nodes_without_cpus_and_without_memory_are_shown(far: Far) -> None:
    far.shows(sysfs_of({0: ["0"], 1: [], 2: ["1"]}, without_memory=[2]))

    assert far.captured()[:5] == [
        "ssh://me@far: 3 NUMA nodes, 2 cores, 2 CPUs online",
        "NUMA node  CPUs  cores  memory (MiB)",
        "0          0     1      16384",
        "1          none  0      16384",
        "2          1     1      0",
    ]


def test_a_host_that_does_not_say_enough_is_named_and_leaves_the_file(far: Far) -> None:
    far.captured()
    before = far.file.read_bytes()
    (far.root / "sys/devices/system/node/node1/meminfo").unlink()

    with pytest.raises(TopologyError) as refused:
        far.captured()

    assert str(refused.value) == (
        "ssh://me@far: sys/devices/system/node/node1/meminfo is missing: "
        "the kernel does not say how much memory it has"
    )
    assert far.file.read_bytes() == before


def test_without_a_host_this_machine_is_captured(tmp_path: Path) -> None:
    text = capture("here", directory=tmp_path)

    assert text.startswith("this machine: ")
    assert read_topology(str(tmp_path / "here.json")) == probe_topology()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "NAME is not set, and the file needs one; write `make capture NAME=far HOST="),
        ("far.json", "NAME: 'far.json' ends in .json, which is added; write NAME=far"),
        ("../far", "NAME: '../far' is not the name of a file in hosts/; write letters, digits,"),
        ("hosts/far", "NAME: 'hosts/far' is not the name of a file in hosts/"),
        (".far", "with a letter or digit at the beginning"),
        ("a b", "NAME: 'a b' is not the name of a file in hosts/"),
    ],
)
def test_a_name_that_is_none_of_a_file_is_refused_before_the_host_is_reached(
    far: Far, name: str, words: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        capture(name, url=FAR, directory=far.folder)

    assert words in str(refused.value)
    assert not far.folder.exists()


def test_a_file_that_cannot_be_written_is_named(far: Far) -> None:
    far.folder.write_text("in the way")

    with pytest.raises(LifecycleError) as refused:
        far.captured()

    assert (refused.value.subject, refused.value.step) == (
        str(far.file),
        "writing the captured topology",
    )


def test_the_command_takes_host_and_pins(
    far: Far, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    pins = tmp_path / "pins"
    pins.touch()

    status = main(["capture", "far", "--host", FAR, "--known-hosts", str(pins)])

    assert status == 0
    assert capsys.readouterr().out.endswith("topology: hosts/far.json\n")
    assert f'UserKnownHostsFile="{pins}"' in far.client.argv
    assert read_topology("hosts/far.json") == make_host(TWO_NODES)


def test_a_host_that_cannot_be_reached_is_exit_status_1(
    far: Far, capsys: pytest.CaptureFixture[str]
) -> None:
    far.client.fails("ssh: connect to host far port 22: Connection refused")

    assert main(["capture", "far", "--host", FAR]) == 1

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("ssh://me@far: reading its files: nothing listens on its port 22.\n")
