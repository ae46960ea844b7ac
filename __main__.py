"""The program of a stack: settings and topology to a plan, the plan to components."""

import json

import pulumi
import pulumi_command as command
import pulumi_docker as docker

from components import Balancer, Fleet, Image, ModelStore
from components.arguments import Arguments, stack_labels
from components.container import action
from images.recipes import recipe_hash
from lifecycle.errors import LifecycleError
from lifecycle.probe import read_topology, running_instances
from planner.document import plan_document
from planner.errors import PlanError
from planner.placement import Plan
from planner.placement import plan as plan_placements
from planner.rollout import rolling_order, waits_for
from planner.settings import Settings, parse_settings
from planner.table import render_table

RECIPES = ("base", "nginx", "devserver", "model")


def main() -> None:
    """Plan the stack, then declare it; nothing is registered when the plan cannot be made."""
    stack = pulumi.get_stack()
    try:
        settings = parse_settings(
            pulumi.Config().require_object("settings"), f"Pulumi.{stack}.yaml"
        )
        plan = plan_placements(
            settings, {name: read_topology(host.topology) for name, host in settings.hosts.items()}
        )
        ((_, host),) = settings.hosts.items()
        labels = stack_labels(pulumi.get_project(), stack)
        serving = running_instances(host.docker, labels)
    except (PlanError, LifecycleError) as error:
        raise pulumi.RunError(str(error)) from None
    pulumi.log.info(f"The plan of {stack}:\n{render_table(plan, settings)}")
    declare(settings, plan, serving, labels)


def declare(
    settings: Settings, plan: Plan, serving: frozenset[str], labels: dict[str, str]
) -> None:
    """Declare the images, the models, the balancer and the instances of *plan*."""
    ((host_name, host),) = settings.hosts.items()
    provider = docker.Provider(f"docker-{host_name}", host=host.docker)
    state_id = command.local.Command(
        "state-id", **action("identity"), opts=pulumi.ResourceOptions(ignore_changes=["create"])
    )
    told = Arguments(
        settings=settings,
        host=host,
        prefix=f"{pulumi.get_project()}-{pulumi.get_stack()}",
        labels=labels,
        state_id=state_id.stdout,
    )

    def after(*resources: pulumi.Resource) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(provider=provider, depends_on=list(resources))

    hashes = {name: recipe_hash(name) for name in RECIPES}
    images: dict[str, Image] = {}
    for name, args in told.images(hashes).items():
        images[name] = Image(name, args, after(*([images["base"]] if "base" in args else [])))
    server = images.get("server") or images["devserver"]
    models: list[pulumi.Resource] = []
    source = {"host_path": settings.models.directory}
    if settings.models.directory == "prepared":
        converter = images["devserver"]
        store = ModelStore(
            "models", told.model_store(converter.reference, hashes["model"]), after(converter)
        )
        models, source = [store], {"volume_name": store.volume}
    balancer = Balancer(
        "balancer", told.balancer(images["nginx"].reference), after(images["nginx"])
    )
    order = rolling_order((placement.name for placement in plan.placements), serving)
    placements = {placement.name: placement for placement in plan.placements}
    fleet = Fleet(
        host_name,
        {
            "instances": {
                name: told.instance(placements[name], server.reference, source, balancer)
                for name in order
            },
            "waits_for": waits_for(order, serving, settings.rollout.max_unavailable),
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
