"""Writing a host's topology into ``hosts/NAME.json``, for stacks whose plan shall not reach it."""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from lifecycle.errors import LifecycleError
from lifecycle.live import live_topology
from lifecycle.probe import read_topology
from lifecycle.ssh import SshHost
from planner.errors import SettingsError, TopologyError
from planner.settings.host import TOPOLOGY_FILE
from planner.topology import HostTopology, differences
from planner.topology.kinds import EFFICIENCY
from planner.where import Where

_CAPTURED = "Captured on "
_COLUMNS = 100
_MIB = 1 << 20


def capture(
    name: str,
    *,
    url: str = "",
    known_hosts: str = "",
    host_key: str = "",
    directory: Path = Path("hosts"),
) -> str:
    """
    Capture a host into the file that the setting `topology` of a host names.

    Args:
        name: of the file, without folder and ``.json``.
        url: such as ``ssh://me@far``; "" for this machine.
        known_hosts: the only file whose host keys are trusted; "" for the user's own.
        host_key: the only host key trusted, as ``TYPE BASE64``; "" for what the files say.
        directory: the folder of the captured topologies.

    Returns:
        What was captured, what differs from the earlier capture, and the line for the stack file.

    Raises:
        SettingsError: the name or the URL is none.
        LifecycleError: the host cannot be reached, or the file cannot be written.
        TopologyError: the host does not say what a plan needs.
    """
    path = directory / _file_name(name)
    if known_hosts and not Path(known_hosts).expanduser().is_file():
        raise SettingsError(
            f"KNOWN_HOSTS: there is no file {known_hosts!r}; name one in the form of known_hosts, "
            "or leave KNOWN_HOSTS out to trust what you have connected to before"
        )
    where = Where(docker=url, known_hosts=known_hosts or None, host_key=host_key or None)
    host = SshHost.parse(where) if url else None
    live = live_topology(host)
    lines = [_summary(host, live), *_limits(live), "", *_replace(path, name, live)]
    return "\n".join([*lines, f"In the stack file, under the host: topology: hosts/{path.name}"])


def render(name: str, host: HostTopology) -> str:
    """
    Write the text of a captured file.

    It says nothing of by whom and over which address: the file is for everyone.
    """
    form = host.to_json()
    nodes = ",\n".join(f"      {json.dumps(node)}" for node in form.pop("nodes"))
    parts = [f'    "nodes": [\n{nodes}\n    ]']
    for key, value in form.items():
        text = f"[\n{_rows(value)}\n    ]" if isinstance(value, list) else json.dumps(value)
        parts.append(f'    "{key}": {text}')
    topology = ",\n".join(parts)
    note = json.dumps(_note(name))
    return f'{{\n  "note": {note},\n  "topology": {{\n{topology}\n  }}\n}}\n'


def _note(name: str) -> str:
    return (
        f"{_CAPTURED}{datetime.now(UTC).date()} by `make capture NAME={name}`: what the kernel of "
        "the host shows of its CPUs and memory, and what of them its Docker engine may use. "
        "Capture it again when the host has changed."
    )


def _rows(values: Sequence[object]) -> str:
    """Lay JSON values out in rows, so that a change of a few is a change of a few lines."""
    rows = [""]
    for value in values:
        item = json.dumps(value)
        if len(rows[-1]) + len(item) + 2 > _COLUMNS:
            rows.append("")
        rows[-1] += f"{'' if rows[-1] else '     '} {item},"
    return "\n".join(rows).rstrip(",")


def _file_name(name: str) -> str:
    if not name:
        raise SettingsError(
            "NAME is not set, and the file needs one; write `make capture NAME=far "
            "HOST=ssh://USER@HOST`, or without HOST for this machine"
        )
    if name.endswith(".json"):
        raise SettingsError(
            f"NAME: {name!r} ends in .json, which is added; write NAME={name.removesuffix('.json')}"
        )
    if not TOPOLOGY_FILE.fullmatch(f"hosts/{name}.json"):
        raise SettingsError(
            f"NAME: {name!r} is not the name of a file in hosts/; write letters, digits, dots, "
            "hyphens and underscores, with a letter or digit at the beginning"
        )
    return f"{name}.json"


def _summary(host: SshHost | None, live: HostTopology) -> str:
    nodes, threads = len(live.nodes), len(live.online)
    rows = [("NUMA node", "CPUs", "cores", "memory (MiB)")]
    for node in live.nodes:
        cores = sum(1 for core in live.cores if core.cpus & node.cpus)
        rows.append(
            (str(node.id), str(node.cpus) or "none", str(cores), str(node.memory_bytes // _MIB))
        )
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    head = (
        f"{host.where.docker if host else 'this machine'}: {nodes} NUMA node{'s' * (nodes > 1)}, "
        f"{len(live.cores)} cores, {threads} CPUs online"
    )
    cells = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join([head, *(line.rstrip() for line in cells)])


def _limits(live: HostTopology) -> Iterator[str]:
    if live.allowed_cpus != live.online:
        yield f"Docker may use only the CPUs {live.allowed_cpus or '(none)'}"
    if live.allowed_memory_nodes != live.memory_nodes:
        yield f"Docker may use only the memory nodes {live.allowed_memory_nodes or '(none)'}"
    if live.isolated:
        yield f"the kernel keeps the CPUs {live.isolated} isolated"
    if thrifty := live.cpus_of_kind(EFFICIENCY):
        yield f"the CPUs {thrifty} are of efficiency cores"


def _replace(path: Path, name: str, live: HostTopology) -> Iterator[str]:
    """Write the file, and say what differs from the one that was there."""
    if not path.exists():
        _write(path, render(name, live))
        yield f"{path} is new."
        return
    try:
        held = read_topology(str(path))
    except TopologyError:
        _write(path, render(name, live))
        yield f"{path} held no topology that can be read, and is written anew."
        return
    if found := differences(held, live):
        _write(path, render(name, live))
        yield f"{path} is written anew; what differs:"
        yield from (f"  {phrase}" for phrase in found)
        return
    # Memory that differs as it does from boot to boot must not reach a plan.
    kept = replace(live, nodes=held.nodes)
    if _is_captured(path, kept):
        yield f"{path}: nothing differs."
    else:
        _write(path, render(name, kept))
        yield f"{path}: nothing differs; it now says all that a capture says."


def _is_captured(path: Path, host: HostTopology) -> bool:
    """Whether the file says how and when it was captured, and of *host* all that is told today."""
    document = json.loads(path.read_text())
    note = str(document.get("note"))
    return note.startswith(_CAPTURED) and document.get("topology") == host.to_json()


def _write(path: Path, text: str) -> None:
    """Replace the file as a whole, so that an interrupted capture leaves the old one."""
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(exist_ok=True)
        part.write_text(text)
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise LifecycleError(
            subject=str(path),
            step="writing the captured topology",
            seen=error.strerror or str(error),
            remedy="mend that, then capture the host again",
        ) from None
