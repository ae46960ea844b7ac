"""The program of a stack: settings and topology to a plan, the plan to components."""

import asyncio
import json
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace

import pulumi

from components import declare_stack
from components.arguments import Arguments
from components.seen import Seen
from images.recipes import folder_hash, recipe_hash
from lifecycle.balancer_config import SCRIPTS
from lifecycle.changed_hosts import refuse_changed_hosts
from lifecycle.conflicts import refuse_conflicts
from lifecycle.errors import LifecycleError
from lifecycle.model_files import read_model_files
from lifecycle.observe import Observation
from lifecycle.observe_hosts import Expected, observe_hosts, refuse_without_balancer
from lifecycle.probe import read_topology
from planner.document import plan_document, unplaced_document
from planner.errors import PlanError
from planner.labels import stack_labels
from planner.placement import Plan
from planner.placement import plan as plan_placements
from planner.rollout import plan_rollout
from planner.settings import parse_settings
from planner.table import render_table
from planner.topology import HostTopology

# How the SDK's own executor ends after an error that it has shown. Any other status makes the
# engine add an error of its own, "an unhandled error occurred", which buries what is wrong.
_SAID = 32

UNREACHED = (
    "Until then: what the stack has on {host} stays as it is. A change there comes last and fails, "
    "and the next `pulumi up` that reaches {host} makes it."
)


async def main() -> dict[str, object]:
    """
    Plan the stack, then declare it; nothing is registered when the plan cannot be made.

    Returns:
        The stack's outputs.
    """
    project, stack = pulumi.get_project(), pulumi.get_stack()
    hashes = {name: recipe_hash(name) for name in ("base", "nginx", "devserver", "model")}
    hashes["scripts"] = folder_hash(SCRIPTS)
    try:
        data = pulumi.Config().require_object("settings")
        settings = parse_settings(data, f"Pulumi.{stack}.yaml")
        topologies = {name: read_topology(host.topology) for name, host in settings.hosts.items()}
        plan = plan_placements(settings, topologies, read_model_files(settings))
        hosts = {
            name: Arguments(
                settings=settings,
                host_name=name,
                prefix=f"{project}-{stack}",
                labels=stack_labels(project, stack),
            )
            for name in sorted(settings.hosts)
        }
        seen = look(hosts, plan, topologies, hashes)
    except (PlanError, LifecycleError) as error:
        pulumi.log.error(str(error))
        sys.exit(_SAID)
    pulumi.log.info(f"The plan of {stack}:\n{render_table(plan, settings)}")
    hosts = {name: replace(told, seen=as_seen(seen.get(name))) for name, told in hosts.items()}
    serving = {name: observation.serving for name, observation in seen.items()}
    rollout = plan_rollout(plan, serving, settings.rollout.max_unavailable)
    balancer, fleet = declare_stack(hosts, plan, rollout, hashes)
    # Lets the registrations begin. The SDK waits for those that have, and only then for their
    # outputs, of which it looks at all whenever one is there: 58 s and 10 s with 128 instances.
    await asyncio.sleep(0)
    return {
        "endpoint": f"{balancer.url}/v3",
        "plan": plan_document(plan),
        "unplaced": unplaced_document(plan),
        "placements": {
            name: server.placement.apply(json.loads) for name, server in fleet.servers.items()
        },
    }


def look(
    hosts: Mapping[str, Arguments],
    plan: Plan,
    topologies: Mapping[str, HostTopology],
    hashes: Mapping[str, str],
) -> dict[str, Observation]:
    """Look at the stack on its hosts, and say what was changed there since the last update."""
    expected = {
        name: Expected(
            where=told.host.where,
            containers=told.containers(plan),
            images=[image["reference"] for image in told.images(hashes).values()],
            captured=told.host.topology != "probe",
        )
        for name, told in hosts.items()
    }
    told = next(iter(hosts.values()))
    front = told.settings.balancer_host
    observations: dict[str, Observation] = {}
    for name, seen in observe_hosts(expected, told.labels, balancer_host=front).items():
        if isinstance(seen, Observation):
            observations[name] = seen
            continue
        # A preview of hosts elsewhere needs none of them.
        local = expected[name].where.docker.startswith("unix:")
        if name == front and (local or not pulumi.runtime.is_dry_run()):
            raise refuse_without_balancer(seen, len(expected))
        pulumi.log.warn(f"not looked at: {seen}\n  {UNREACHED.format(host=name)}")
    refuse_changed_hosts(plan, told.settings, topologies, observations)
    refuse_conflicts(plan, told.settings, observations)
    for seen in observations.values():
        say(seen)
    return observations


def say(seen: Observation) -> None:
    """Say what was seen of a host that an operator should know."""
    for sentence in seen.warnings:
        pulumi.log.warn(sentence)
    for sentence in seen.drift():
        pulumi.log.info(f"drift: {sentence}")
    for instance in sorted(seen.cordoned):
        pulumi.log.info(f"cordoned: {instance}")


def as_seen(observation: Observation | None) -> Seen:
    """Return what the components need of an observation; None: the host was not looked at."""
    if observation is None:
        return Seen(reachable=False)
    now = time.strftime("%Y-%m-%d %H:%M:%S %z")
    return Seen(
        incarnations=observation.incarnations,
        drift={name: f"{fault} (seen {now})" for name, fault in observation.faults.items()},
        missing_images={image: uuid.uuid4().hex[:8] for image in observation.missing_images},
    )


pulumi.run(main)
