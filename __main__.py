"""The program of a stack: settings and topology to a plan, the plan to components."""

import dataclasses
import json
import time
import uuid

import pulumi
import pulumi_command as command
import pulumi_docker as docker

from components import Balancer, Fleet, Image, ModelStore
from components.arguments import Arguments, stack_labels
from components.container import action
from components.seen import Seen
from images.recipes import recipe_hash
from lifecycle.errors import LifecycleError, RemoteHostError
from lifecycle.observe import observe
from lifecycle.probe import read_topology
from planner.claims import check_claims
from planner.document import plan_document
from planner.errors import PlanError
from planner.placement import Plan
from planner.placement import plan as plan_placements
from planner.rollout import rolling_order, waits_for
from planner.settings import parse_settings
from planner.table import render_table


def main() -> None:
    """Plan the stack, then declare it; nothing is registered when the plan cannot be made."""
    project, stack = pulumi.get_project(), pulumi.get_stack()
    hashes = {name: recipe_hash(name) for name in ("base", "nginx", "devserver", "model")}
    try:
        data = pulumi.Config().require_object("settings")
        settings = parse_settings(data, f"Pulumi.{stack}.yaml")
        plan = plan_placements(
            settings, {name: read_topology(host.topology) for name, host in settings.hosts.items()}
        )
        told = Arguments(
            settings=settings,
            prefix=f"{project}-{stack}",
            labels=stack_labels(project, stack),
        )
        seen, serving = look(told, plan, hashes)
    except (PlanError, LifecycleError) as error:
        raise pulumi.RunError(str(error)) from None
    pulumi.log.info(f"The plan of {stack}:\n{render_table(plan, settings)}")
    declare(dataclasses.replace(told, seen=seen), plan, serving, hashes)


def look(told: Arguments, plan: Plan, hashes: dict[str, str]) -> tuple[Seen, frozenset[str]]:
    """Look at the stack on its host, and say what was changed there since the last update."""
    references = [image["reference"] for image in told.images(hashes).values()]
    try:
        observation = observe(
            told.host_name, told.host.docker, told.labels, told.containers(plan), references
        )
    except RemoteHostError as error:
        if not pulumi.runtime.is_dry_run():
            raise
        pulumi.log.warn(f"not looked at: {error}")
        return Seen(reachable=False), frozenset()
    check_claims(plan, told.settings, observation.claims)
    for sentence in observation.drift():
        pulumi.log.info(f"drift: {sentence}")
    for name in sorted(observation.cordoned):
        pulumi.log.info(f"cordoned: {name}")
    now = time.strftime("%Y-%m-%d %H:%M:%S %z")
    seen = Seen(
        incarnations=observation.incarnations,
        drift={name: f"{fault} (seen {now})" for name, fault in observation.faults.items()},
        missing_images={image: uuid.uuid4().hex[:8] for image in observation.missing_images},
    )
    return seen, observation.serving


def declare(told: Arguments, plan: Plan, serving: frozenset[str], hashes: dict[str, str]) -> None:
    """Declare the images, the models, the balancer and the instances of *plan*."""
    provider = docker.Provider(f"docker-{told.host_name}", host=told.host.docker)
    state_id = command.local.Command(
        "state-id", **action("identity"), opts=pulumi.ResourceOptions(ignore_changes=["create"])
    )
    told = dataclasses.replace(told, state_id=state_id.stdout)

    def after(*resources: pulumi.Resource) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(provider=provider, depends_on=list(resources))

    images: dict[str, Image] = {}
    for name, args in told.images(hashes).items():
        images[name] = Image(name, args, after(*([images["base"]] if "base" in args else [])))
    server = images.get("server") or images["devserver"]
    models: list[pulumi.Resource] = []
    source: dict[str, pulumi.Input[str]] = {"host_path": told.settings.models.directory}
    if told.settings.models.directory == "prepared":
        converter = images["devserver"]
        store = ModelStore(
            "models", told.model_store(converter.reference, hashes["model"]), after(converter)
        )
        models, source = [store], {"volume_name": store.volume}
    balancer = Balancer(
        "balancer", told.balancer(images["nginx"].reference), after(images["nginx"])
    )
    placements = {placement.name: placement for placement in plan.placements}
    order = rolling_order(placements, serving)
    fleet = Fleet(
        told.host_name,
        {
            "instances": {
                name: told.instance(placements[name], server.reference, source, balancer)
                for name in order
            },
            "waits_for": waits_for(order, serving, told.settings.rollout.max_unavailable),
        },
        pulumi.ResourceOptions(provider=provider),
        after=[server, *models, balancer],
    )
    pulumi.export("endpoint", f"{balancer.url}/v3")
    pulumi.export("plan", plan_document(plan))
    pulumi.export(
        "placements", {name: fleet.servers[name].placement.apply(json.loads) for name in order}
    )


main()
