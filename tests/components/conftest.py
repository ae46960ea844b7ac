"""A Pulumi engine that only records, and a way to run declarations under it."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pulumi
import pytest
import yaml
from pulumi.runtime import mocks

from images.recipes import recipe_hash
from lifecycle.errors import UnreachableError
from lifecycle.observe import Observation
from lifecycle.reach import Where

T = TypeVar("T")

CONTAINER = "docker:index/container:Container"
COMMAND = "command:local:Command"
IMAGE = "docker:index/remoteImage:RemoteImage"
NETWORK = "docker:index/network:Network"
VOLUME = "docker:index/volume:Volume"

ROOT = Path(__file__).parents[2]
INSTANCES = ("local-node0-0", "local-node0-1")
MODELS = f"models-{recipe_hash('model')}"


class _Answers(mocks.Mocks):
    """Echoes inputs back as outputs, with what the provider would add."""

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        added = {"stdout": "{}"} if args.typ == COMMAND else {}
        return f"{args.name}-id", {**args.inputs, **added}

    def call(self, args: mocks.MockCallArgs) -> Any:
        raise AssertionError(f"a plan that looks things up is not repeatable: {args.token}")


class RecordingEngine(mocks.MockMonitor):
    """Keeps every registration request: inputs and options alike."""

    latest: "RecordingEngine"
    """The one of the program that ran last, also where that program failed."""

    def __init__(self) -> None:
        super().__init__(_Answers())
        self.requests: dict[tuple[str, str], Any] = {}
        RecordingEngine.latest = self

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802
        key = (request.type, request.name)
        assert key not in self.requests, f"{key} is declared twice"
        if request.type != "pulumi:pulumi:Stack":
            self.requests[key] = request
        return super().RegisterResource(request)  # type: ignore[no-untyped-call]

    def names(self, token: str) -> list[str]:
        return [name for kind, name in self.requests if kind == token]

    def request(self, token: str, name: str) -> Any:
        return self.requests[token, name]

    def inputs(self, token: str, name: str) -> dict[str, Any]:
        fields = self.requests[token, name].object
        return dict(pulumi.runtime.rpc.deserialize_properties(fields))

    def depends_on(self, token: str, name: str) -> set[str]:
        """The names that a resource waits for."""
        return {urn.rsplit("::", 1)[1] for urn in self.requests[token, name].dependencies}


Deploy = Callable[[Callable[[], object]], RecordingEngine]


@pytest.fixture
def deploy() -> Iterator[Deploy]:
    """Run a function that declares resources, or gives what awaits them; return what it did."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)

    def run(declare: Callable[[], object]) -> RecordingEngine:
        engine = RecordingEngine()
        pulumi.runtime.set_mocks(_Answers(), project="ovms-numa", stack="test", monitor=engine)

        @pulumi.runtime.test  # type: ignore[untyped-decorator]
        def program() -> object:
            return declare()

        program()
        return engine

    yield run
    pulumi.runtime.settings.reset_options()
    loop.close()
    asyncio.set_event_loop(None)


Declared = Callable[..., RecordingEngine]


@pytest.fixture
def declared(deploy: Deploy, monkeypatch: pytest.MonkeyPatch) -> Callable[..., RecordingEngine]:
    """Run ``__main__.py`` with the dev stack's settings, changed by path, on two CPUs."""

    def run(
        *,
        others: dict[str, Any] | None = None,
        serving: frozenset[str] = frozenset(),
        faults: dict[str, str] | None = None,
        gone: bool = False,
        **changes: Any,
    ) -> RecordingEngine:
        import runpy

        import lifecycle.conflicts
        import lifecycle.observe_hosts
        import lifecycle.probe
        from planner.topology import HostTopology

        settings = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())["config"]
        settings = settings["ovms-numa:settings"]
        settings["hosts"].update(others or {})
        for path, value in changes.items():
            section, key = path.split("__")
            settings.setdefault(section, {})[key.replace("_", "-")] = value
        topology = HostTopology.from_json(
            {
                "nodes": [{"id": 0, "cpus": "0-1", "memory_bytes": 2**34, "distances": [10]}],
                "cores": ["0", "1"],
                "packages": [0, 0],
                "online": "0-1",
            }
        )
        monkeypatch.setattr(lifecycle.probe, "probe_topology", lambda: topology)
        roles = ("balancer", "configuration", "instances", "published", *INSTANCES, MODELS)
        observation = Observation(
            incarnations={} if gone else dict.fromkeys(roles, "0a1b2c3d"),
            serving=serving,
            faults=faults or {},
        )

        def observe(host: str, where: Where, *_: object) -> Observation:
            if where.is_remote:
                raise UnreachableError(subject=host, step="", seen="", remedy="")
            return observation

        monkeypatch.setattr(lifecycle.observe_hosts, "observe", observe)
        # Whatever else runs on this machine, the port of the dev stack is free.
        monkeypatch.setattr(lifecycle.conflicts, "refuse_taken_port", lambda *_, **__: None)
        pulumi.runtime.set_all_config({"ovms-numa:settings": json.dumps(settings)}, [])

        def program() -> object:
            started: list[Callable[[], Awaitable[object]]] = []
            monkeypatch.setattr(pulumi, "run", started.append)
            runpy.run_path(str(ROOT / "__main__.py"))
            return started[0]()

        return deploy(program)

    return run
