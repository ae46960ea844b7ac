"""A Pulumi engine that only records, and a way to run declarations under it."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pulumi
import pytest
from pulumi.runtime import mocks

T = TypeVar("T")

CONTAINER = "docker:index/container:Container"
COMMAND = "command:local:Command"
IMAGE = "docker:index/remoteImage:RemoteImage"
NETWORK = "docker:index/network:Network"
VOLUME = "docker:index/volume:Volume"


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
    """Run a function that declares resources to its end; return what was declared."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)

    def run(declare: Callable[[], object]) -> RecordingEngine:
        engine = RecordingEngine()
        pulumi.runtime.set_mocks(_Answers(), project="ovms-numa", stack="test", monitor=engine)

        @pulumi.runtime.test  # type: ignore[untyped-decorator]
        def program() -> None:
            declare()

        program()
        return engine

    yield run
    pulumi.runtime.settings.reset_options()
    loop.close()
    asyncio.set_event_loop(None)
