"""One change of every setting, and what the engine shows and does for it, in words."""

import json
import re
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel

from planner.settings import Section, Settings, parse_settings
from planner.topology import HostTopology
from tests.engine.changes_seen import Effect, Touch, effects, read_touches, resources, tell
from tests.engine.other_machine import words_for
from tests.engine.stack import ROOT, Run, Stack
from tests.engine.test_up import MODEL

DOCUMENT = ROOT / "docs/changes.md"

BASE: dict[str, Any] = {
    "hosts": {"local": {"subnet": "172.30.114.0/24"}},
    "placement": {"instances-per-node": 2, "cores-per-instance": 1, "cpu-sharing": "allowed"},
    "models": {"names": [MODEL]},
    "balancer": {"port": 18092},
    "rollout": {"start-timeout-s": 120, "drain-timeout-s": 120, "stop-timeout-s": 5},
}
"""The stack that is changed; beside a dev stack on the same CPUs."""

DUAL_SOCKET = "hosts/dual-socket.json"
TWO_NODES = {
    "hosts.NAME.topology": DUAL_SOCKET,
    "placement.instances-per-node": 1,
    "placement.exclude-nodes": [1],
}
"""What a machine of one NUMA node and without siblings cannot show, this one can."""


HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKICSTLzWoWiaQ69fxAIMoWRUV2OZKd0cGQgdyy2A3KX"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """
    A setting, and another value for it.

    Attributes:
        setting: its path, as it is written; ``NAME`` stands for the host's name.
        to: the other value.
        given: settings that differ from the stack's before and after the change alike.
        machine: the captured machine on which it is shown; "": this one.
        after: the setting whose change in this table is made first.
        up: whether an update with it is run too.
        refused: whether the program refuses it, while the stack runs.
    """

    setting: str
    to: Any
    given: Mapping[str, Any] = field(default_factory=dict)
    machine: str = ""
    after: str = ""
    up: bool = False
    refused: bool = False


def _changes() -> Iterator[Change]:
    host, placement, server = "hosts.NAME", "placement", "server"
    models, balancer, rollout = "models", "balancer", "rollout"
    affinity = f"{balancer}.affinity"
    yield Change(setting=host, to="other", refused=True)
    yield Change(setting=f"{host}.docker", to="unix:///run/docker.sock")
    # They are of hosts behind SSH; what a change does there tests/engine/test_ssh.py shows.
    yield Change(setting=f"{host}.host-key", to=HOST_KEY, refused=True)
    yield Change(setting=f"{host}.known-hosts", to="hosts/known_hosts", refused=True)
    # Of engines at tcp://; what a changed URL does there is what it does here.
    yield Change(setting=f"{host}.tls", to="tls/local", refused=True)
    yield Change(setting=f"{host}.topology", to=DUAL_SOCKET, machine=DUAL_SOCKET)
    yield Change(setting=f"{host}.subnet", to="172.30.114.0/25", up=True)
    yield Change(setting=f"{host}.address", to="10.0.0.7")
    yield Change(setting=f"{placement}.policy", to="none")
    yield Change(setting=f"{placement}.unit", to="socket", refused=True)
    yield Change(setting=f"{placement}.instances-per-node", to=3)
    yield Change(setting=f"{placement}.cores-per-instance", to=2)
    # Instances that float claim no CPUs: else other stacks of this machine would be in the way.
    yield Change(
        setting=f"{placement}.cpu-sharing", to="refused", given={"placement.cpu-binding": "none"}
    )
    yield Change(setting=f"{placement}.exclude-nodes", to=[], given=TWO_NODES, machine=DUAL_SOCKET)
    yield Change(setting=f"{placement}.reserved-cpus", to="0")
    yield Change(setting=f"{placement}.reserved-cores", to=1)
    yield Change(setting=f"{placement}.reserved-memory-mib", to=2048)
    yield Change(setting=f"{placement}.isolated-cpus", to="use")
    yield Change(setting=f"{placement}.smt", to="siblings", given=TWO_NODES, machine=DUAL_SOCKET)
    yield Change(setting=f"{placement}.cpu-binding", to="host")
    yield Change(setting=f"{placement}.memory-binding", to="none")
    yield Change(setting=f"{placement}.min-local-share", to=0.9, up=True)
    yield Change(setting=f"{server}.image", to="openvino/model_server:2026.3", up=True)
    yield Change(setting=f"{server}.rest-port", to=8100)
    yield Change(setting=f"{server}.max-concurrency", to=128)
    yield Change(setting=f"{server}.hang-timeout-s", to=1200)
    yield Change(setting=f"{server}.log-level", to="DEBUG")
    yield Change(setting=f"{server}.weights", to="shared", after="models.single")
    yield Change(setting=f"{server}.flags", to={"load-delay": "0"})
    yield Change(setting=f"{server}.user", to="5001:5001")
    yield Change(setting=f"{models}.directory", to="/srv/models")
    yield Change(setting=f"{models}.names", to=["qwen3-8b"], after="models.directory")
    yield Change(setting=f"{models}.memory-mib", to=1024)
    yield Change(setting=f"{models}.weights-mib", to=1024)
    yield Change(setting=f"{models}.cache-size", to=1)
    yield Change(setting=f"{models}.overhead-mib", to=1024)
    yield Change(setting=f"{models}.single", to={"path": MODEL}, after="models.directory", up=True)
    yield from (
        Change(setting=f"models.single.{key}", to=value, after="models.single")
        for key, value in _SINGLE.items()
    )
    yield Change(setting=f"{balancer}.image", to="nginx:1.30")
    yield Change(setting=f"{balancer}.host", to="local")
    yield Change(setting=f"{balancer}.address", to="127.0.0.2")
    yield Change(setting=f"{balancer}.port", to=18093, up=True)
    yield Change(setting=f"{balancer}.cpus", to="0")
    yield Change(setting=f"{balancer}.connect-timeout-s", to=3)
    yield Change(setting=f"{balancer}.read-timeout-s", to=601, up=True)
    yield Change(setting=f"{balancer}.send-timeout-s", to=31)
    yield Change(setting=f"{balancer}.keepalive-min-timeout-s", to=4)
    yield Change(setting=f"{balancer}.max-body-mib", to=5)
    yield Change(setting=f"{balancer}.worker-processes", to=3)
    yield Change(setting=f"{balancer}.retry-after-s", to=11)
    yield Change(setting=f"{balancer}.retry", to="waiting")
    yield Change(setting=f"{balancer}.max-requests", to=48)
    yield Change(setting=affinity, to="session", up=True)
    yield Change(setting=f"{affinity}-header", to="X-Conversation-Id", after=affinity)
    yield Change(setting=f"{affinity}-bound", to=12, after=affinity)
    yield Change(setting=f"{rollout}.max-unavailable", to=2)
    yield Change(setting=f"{rollout}.start-timeout-s", to=121, up=True)
    yield Change(setting=f"{rollout}.generate-timeout-s", to=61)
    yield Change(setting=f"{rollout}.drain", to=False)
    # Longer than Nginx gives its streams anyway, which is `balancer.read-timeout-s`.
    yield Change(setting=f"{rollout}.drain-timeout-s", to=900)
    yield Change(setting=f"{rollout}.stop-timeout-s", to=6, up=True)
    yield Change(setting="images.base", to="debian:13")


_SINGLE: dict[str, Any] = {
    "path": "another-directory",
    "cache-size": 1,
    "max-num-seqs": 64,
    "max-num-batched-tokens": 512,
    "enable-prefix-caching": False,
    "dynamic-split-fuse": False,
    "kv-cache-precision": "u8",
    "tool-parser": "hermes3",
    "reasoning-parser": "qwen3",
    "enable-tool-guided-generation": True,
    "plugin-config": {"NUM_STREAMS": 1},
}

_REFUSALS = r"\S+ gets the address .+|\S+: (?:keys are of hosts|certificates are of engines) .+"

CHANGES = {change.setting: change for change in _changes()}


def leaves(model: type[BaseModel] = Settings, before: str = "") -> Iterator[str]:
    """Walk *model*: the path of each setting that is written as one value."""
    for name, its in model.model_fields.items():
        path = f"{before}{its.alias or name}"
        optional = get_origin(its.annotation) in (Union, types.UnionType)
        sections = list(_sections(its.annotation))
        if get_origin(its.annotation) is not None and not optional and sections:
            path = f"{path}.NAME"
        if optional or path.endswith(".NAME") or not sections:
            yield path
        for section in sections:
            yield from leaves(section, f"{path}.")


def _sections(annotation: Any) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for part in get_args(annotation):
        yield from _sections(part)


def changed(settings: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return *settings* with each of *values*, by path; one of ``hosts.NAME`` renames the host."""
    new: dict[str, Any] = json.loads(json.dumps(settings))
    for path, value in values.items():
        if path == "hosts.NAME":
            new["hosts"] = {value: next(iter(new["hosts"].values()))}
            continue
        *sections, key = _keys(path, new)
        place = new
        for section in sections:
            place = place.setdefault(section, {})
        place[key] = value
    return new


def _keys(path: str, settings: Mapping[str, Any]) -> list[str]:
    return [next(iter(settings["hosts"])) if key == "NAME" else key for key in path.split(".")]


def value_at(settings: Mapping[str, Any], path: str) -> Any:
    """Return the value of the setting *path*, its default where *settings* leaves it out."""
    if path == "hosts.NAME":
        return next(iter(settings["hosts"]))
    value: Any = parse_settings(settings, "the table of changes").model_dump(
        by_alias=True, mode="json"
    )
    for key in _keys(path, settings):
        value = value[key]
    return value


@dataclass(kw_only=True)
class Changing:
    """The stack that is changed, and what was seen of each change."""

    stack: Stack
    values: dict[str, Any] = field(default_factory=dict)
    """For some settings another value than the table's, which only an update needs."""
    made: set[str] = field(default_factory=set)
    lines: dict[str, str] = field(default_factory=dict)

    def show(self, change: Change) -> tuple[Touch, ...]:
        """Preview *change*, and tell what it touches that is not touched without it."""
        if change.after:
            self.make(CHANGES[change.after])
        if change.machine:
            return self._show_elsewhere(change)
        with_given = changed(self.stack.settings, change.given)
        without = self._preview(with_given) if change.given else ()
        shown = self._preview(changed(with_given, {change.setting: change.to}))
        more = tuple(touch for touch in shown if touch not in without)
        twice = {touch.name for touch in without} & {touch.name for touch in more}
        assert not twice, f"{twice} are touched without the change too, which hides what it does"
        return more

    def _show_elsewhere(self, change: Change) -> tuple[Touch, ...]:
        machine = HostTopology.from_json(json.loads((ROOT / change.machine).read_text()))
        own = self.stack.enter
        self.stack.enter = words_for(machine, self.stack.folder / "machine")
        try:
            return self.show(replace(change, machine=""))
        finally:
            self.stack.enter = own

    def make(self, change: Change) -> None:
        """Bring the stack up with *change* beside those made before, unless it was."""
        if change.setting not in self.made:
            self.bring_up(change)

    def bring_up(self, change: Change) -> tuple[Effect, ...]:
        """Bring the stack up with *change*; return what it touched, which is what was shown."""
        if change.after:
            self.make(CHANGES[change.after])
        to = self.values.get(change.setting, change.to)
        settings = changed(self.stack.settings, {change.setting: to})
        shown = self._preview(settings)
        # Both instances at once, which is quicker; it touches no resource, as its line says.
        self.stack.settings = changed(settings, {"rollout.max-unavailable": 2})
        self.stack.configure({})
        run = self.stack.up()
        self.stack.settings = settings
        assert run.status == 0, run.output
        self.made.add(change.setting)
        touched = effects(read_touches(self.stack))
        assert touched == effects(shown)
        return touched

    def _refusal(self, change: Change) -> str:
        """Return the sentences with which *change* is refused."""
        run = preview_of(self.stack, changed(self.stack.settings, {change.setting: change.to}))
        assert run.status != 0, run.output
        return " ".join(dict.fromkeys(re.findall(_REFUSALS, run.output)))

    def _preview(self, settings: dict[str, Any]) -> tuple[Touch, ...]:
        run = preview_of(self.stack, settings)
        assert run.status == 0, run.output
        return read_touches(self.stack)

    def line(self, change: Change) -> str:
        """Preview *change*, and return its line of the table."""
        before = value_at(changed(self.stack.settings, change.given), change.setting)
        if change.refused:
            does, touched = f"is refused: {self._refusal(change)}", "none"
        else:
            touches = self.show(change)
            does, touched = tell(touches), resources(effects(touches))
        cells = (
            f"`{change.setting}`",
            f"`{_plain(before)}` → `{_plain(change.to)}`",
            does,
            touched,
            "`preview`, `up`" if change.up else "`preview`",
        )
        self.lines[change.setting] = f"| {' | '.join(cells)} |"
        return self.lines[change.setting]


def preview_of(stack: Stack, settings: dict[str, Any], *arguments: str) -> Run:
    """Preview *stack* with other *settings*; they stay in its stack file."""
    own, stack.settings = stack.settings, settings
    try:
        stack.configure({})
    finally:
        stack.settings = own
    return stack.preview(*arguments)


def _plain(value: Any) -> str:
    return value or "''" if isinstance(value, str) else json.dumps(value)


def render(lines: Iterable[str]) -> str:
    """Return the document, with *lines* as its table."""
    return (Path(__file__).with_name("changes_head.md")).read_text() + "\n".join(lines) + "\n"
