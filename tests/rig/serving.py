"""What the instances of a stack on the rig may use, and whether they and the balancer serve."""

import http.client
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from docker.errors import DockerException

from lifecycle.balancer_config import read_all
from lifecycle.errors import LifecycleError
from lifecycle.member import gets_requests
from lifecycle.reach import reach
from tests.engine.stack import Stack
from tests.rig.errors import RigError
from tests.rig.reached import Rig

_LIMIT_S = 600
_ANSWER_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """CPUs and memory nodes, as Linux lists."""

    cpus: str
    memory_nodes: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """
    A stack that is up on the rig.

    Attributes:
        prefix: of its containers' names.
        rows: of its plan, by instance.
        port: of the balancer, on the rig and forwarded.
        model: that is asked.
    """

    rig: Rig
    prefix: str
    rows: Mapping[str, Mapping[str, Any]]
    port: int
    model: str

    @classmethod
    def of(cls, rig: Rig, stack: Stack) -> "Served":
        """Read what the stack exports."""
        outputs = stack.outputs()
        return cls(
            rig=rig,
            prefix=stack.prefix,
            rows={row["instance"]: row for row in outputs["plan"]},
            port=int(urlsplit(outputs["endpoint"]).port or 80),
            model=stack.settings["models"]["names"][0],
        )

    def planned(self) -> dict[str, Lists]:
        """The lists of each instance in the plan."""
        return {
            name: Lists(cpus=row["cpus"], memory_nodes=row["memory_nodes"])
            for name, row in self.rows.items()
        }

    def configured(self) -> dict[str, Lists]:
        """The lists that Docker keeps for each instance."""
        configs = {name: self.container(name).attrs["HostConfig"] for name in self.rows}
        return {
            name: Lists(cpus=config["CpusetCpus"], memory_nodes=config["CpusetMems"])
            for name, config in configs.items()
        }

    def enforced(self) -> dict[str, set[Lists]]:
        """The lists of each instance's processes, as the kernel shows them to anybody."""
        return {
            name: {
                lists for process in self._processes(name) if (lists := self._of_process(process))
            }
            for name in self.rows
        }

    def container(self, instance: str) -> Any:
        """The container of an instance."""
        return self.rig.client.containers.get(f"{self.prefix}-{instance}")

    def instance_answers(self, instance: str) -> bool:
        """Say whether an instance itself, asked from its host, generates a token."""
        networks = self.container(instance).attrs["NetworkSettings"]["Networks"].values()
        addresses = [network["IPAddress"] for network in networks if network["IPAddress"]]
        if not addresses:
            return False
        port = self.rows[instance]["port"]
        return self._generates(reach(self.rig.where).http(addresses[0], port, _ANSWER_S))

    def balancer_answers(self) -> bool:
        """Say whether the balancer, asked from this machine, has an instance generate a token."""
        return self._generates(
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=_ANSWER_S)
        )

    def all_answer(self) -> bool:
        """Say whether every instance generates and gets requests, and the balancer answers."""
        generate = all(map(self.instance_answers, self.rows)) and self.balancer_answers()
        files = read_all(self.container("balancer"))
        return generate and all(gets_requests(files, name) for name in self.rows)

    def _processes(self, instance: str) -> list[str]:
        top = self.container(instance).top()
        column = top["Titles"].index("PID")
        return [process[column] for process in top["Processes"]]

    def _of_process(self, pid: str) -> Lists | None:
        """Return the lists of a process; none where it ended, as those of a health check do."""
        lines = self.rig.run(f"cat /proc/{pid}/status || true").splitlines()
        if not lines:
            return None
        told = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        return Lists(cpus=told["Cpus_allowed_list"], memory_nodes=told["Mems_allowed_list"])

    def _generates(self, connection: http.client.HTTPConnection) -> bool:
        messages = [{"role": "user", "content": "a"}]
        body = json.dumps({"model": self.model, "max_tokens": 1, "messages": messages})
        try:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/v3/chat/completions", body, headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            return False
        finally:
            connection.close()
        return response.status == 200 and answer["usage"]["completion_tokens"] == 1


def seconds_until(condition: Callable[[], bool], *, since: float) -> float:
    """Wait until *condition* holds, and return the seconds since the monotonic time *since*."""
    while time.monotonic() < since + _LIMIT_S:
        with suppress(LifecycleError, RigError, DockerException, OSError):
            if condition():
                return time.monotonic() - since
        time.sleep(1)
    raise AssertionError(f"not so within {_LIMIT_S} s")
