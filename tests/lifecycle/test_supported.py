from typing import Any

import docker
import pytest

from lifecycle.errors import LifecycleError
from lifecycle.observe import observe
from lifecycle.reach import Where
from lifecycle.supported import refuse_unsupported
from tests.lifecycle.docker_double import Engine

URL = "unix:///run/user/1000/docker.sock"
SECCOMP = "name=seccomp,profile=default"


def message_of(options: list[str]) -> str:
    with pytest.raises(LifecycleError) as refused:
        refuse_unsupported({"SecurityOptions": options}, URL)
    return str(refused.value)


def test_a_rootless_engine_is_refused_with_the_reason_and_another_engine() -> None:
    assert message_of([SECCOMP, "name=rootless", "name=cgroupns"]) == (
        f"{URL}: looking at the host: its engine is rootless: the addresses of its containers are "
        "not reachable from the host, from where each instance is asked before it gets traffic, "
        "and the cgroup controller `cpuset`, which the CPUs and memory nodes of an instance need, "
        "is not delegated to a user by default.\n"
        "  What to do: set `docker` of the host to an engine that runs as root, such as "
        "`unix:///var/run/docker.sock`, then run this again."
    )


def test_an_engine_with_selinux_is_refused_with_the_reason_and_the_key() -> None:
    assert message_of([SECCOMP, "name=selinux"]) == (
        f"{URL}: looking at the host: its engine confines containers by SELinux, and this version "
        "labels no files for that: the containers could not read a `models.directory`.\n"
        "  What to do: start dockerd without `selinux-enabled` (a flag of its command line, a key "
        "of /etc/docker/daemon.json), or name another host; then run this again."
    )


@pytest.mark.parametrize(
    "options", [None, [], [SECCOMP], ["name=apparmor", SECCOMP, "name=cgroupns"]]
)
def test_other_engines_are_taken(options: list[str] | None) -> None:
    refuse_unsupported({"SecurityOptions": options}, URL)


def test_a_look_at_the_host_refuses_before_it_lists_anything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Rootless(Engine):
        def list(self, **_: Any) -> list[Any]:
            raise AssertionError("nothing is looked for")

    engine = Rootless(security=["name=rootless"])
    monkeypatch.setattr(docker, "DockerClient", lambda **_: engine)

    with pytest.raises(LifecycleError, match="its engine is rootless"):
        observe("box", Where(docker=URL), {}, (), ())
