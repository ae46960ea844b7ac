"""
``python -m planner Pulumi.STACK.yaml``: print the plan of a stack without Pulumi;
with ``--engines`` the Docker engines of its hosts, a URL a line;
``python -m planner --schema``: print the JSON Schema of stack files.

The one file of the planner that reads files.
"""

import argparse
import sys
from pathlib import Path

from lifecycle.model_files import read_model_files
from lifecycle.probe import probe_topology, read_topology
from planner.errors import PlanError, SettingsError
from planner.placement import plan
from planner.schema import render_schema
from planner.settings import HostSettings, Settings, parse_settings
from planner.stack_file import stack_settings
from planner.table import render_table
from planner.topology import HostTopology


def main(argv: list[str]) -> int:
    """Print the plan, or what keeps it from being made; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m planner", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("stack_file", type=Path, nargs="?", help="such as Pulumi.dev.yaml")
    what.add_argument("--schema", action="store_true", help="print the schema of stack files")
    parser.add_argument("--topology", type=Path, help="a captured topology, instead of the stack's")
    parser.add_argument("--engines", action="store_true", help="print the hosts' Docker engines")
    arguments = parser.parse_args(argv)
    if arguments.schema:
        sys.stdout.write(render_schema())
        return 0
    try:
        if arguments.engines:
            sys.stdout.write(_engines_text(arguments.stack_file))
        else:
            sys.stdout.write(plan_text(arguments.stack_file, arguments.topology))
    except PlanError as error:
        for fault in error.faults:
            print(f"error: {fault}", file=sys.stderr)
        return 1
    return 0


def plan_text(stack_file: Path, topology_file: Path | None = None) -> str:
    """
    Make the plan of a stack and render it.

    Args:
        stack_file: a Pulumi.STACK.yaml; captured topologies are found beside it.
        topology_file: the topology to plan for; None: the one that the settings name.

    Raises:
        PlanError: something of it cannot be read, or the plan cannot be made.
    """
    settings = _read_settings(stack_file)
    topologies = {
        name: read_topology(str(topology_file))
        if topology_file
        else _host_topology(host, stack_file.parent)
        for name, host in settings.hosts.items()
    }
    return render_table(plan(settings, topologies, read_model_files(settings)), settings)


def _engines_text(stack_file: Path) -> str:
    hosts = _read_settings(stack_file).hosts
    return "".join(f"{hosts[name].docker}\n" for name in sorted(hosts))


def _read_settings(path: Path) -> Settings:
    try:
        text = path.read_text()
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be read: {error.strerror}. Name a Pulumi.STACK.yaml that is there."
        ) from None
    return parse_settings(stack_settings(text, str(path)), path.name)


def _host_topology(host: HostSettings, directory: Path) -> HostTopology:
    if host.topology == "probe":
        return probe_topology()
    return read_topology(str(directory / host.topology))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
