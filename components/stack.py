"""A whole stack: images, models, balancer and instances on all its hosts."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_command as command
import pulumi_docker as docker

from components.arguments import Arguments
from components.balancer import Balancer
from components.container import action
from components.fleet import Fleet
from components.image import Image
from components.model_store import ModelStore
from components.network import network
from planner.placement import Plan
from planner.rollout import Rollout

_Awaited = Sequence[Awaitable[pulumi.Resource]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Host:
    """What instances need of their host, once it is declared."""

    told: Arguments
    provider: docker.Provider
    images: dict[str, Image]
    models: list[pulumi.Resource]
    models_source: dict[str, pulumi.Input[str]]
    alone: pulumi.ResourceOptions
    """The options of what waits for nothing else on the host."""

    @property
    def server(self) -> Image:
        return self.images.get("server") or self.images["devserver"]


def declare_stack(
    hosts: Mapping[str, Arguments], plan: Plan, rollout: Rollout, hashes: Mapping[str, str]
) -> tuple[Balancer, Fleet]:
    """
    Declare all of a stack.

    Args:
        hosts: what the components are told on each host, by its name.
        plan: where the instances go.
        rollout: in which order they are touched.
        hashes: content hash of each recipe in `images/`, and `scripts` of what runs beside Nginx.

    Returns:
        The balancer, and the instances behind it.
    """
    state_id = command.local.Command(
        "state-id", **action("identity"), opts=pulumi.ResourceOptions(ignore_changes=["create"])
    )
    # What changes on a host that is not reached fails, and the engine then begins nothing more:
    # so all of it waits until every instance of the others is active.
    loop = asyncio.get_running_loop()
    active: dict[str, asyncio.Future[pulumi.Resource]] = {
        placement.name: loop.create_future()
        for placement in plan.placements
        if hosts[placement.host].seen.reachable
    }
    declared = {
        name: _declare_host(
            dataclasses.replace(told, state_id=state_id.stdout),
            hashes,
            # The balancer's own are what those instances wait for.
            () if told.seen.reachable or told.has_balancer else tuple(active.values()),
        )
        for name, told in hosts.items()
    }
    front = next(host for host in declared.values() if host.told.has_balancer)
    balancer = Balancer(
        "balancer",
        front.told.balancer(front.images["nginx"].reference, plan, hashes["scripts"]),
        pulumi.ResourceOptions(provider=front.provider, depends_on=[front.images["nginx"]]),
    )
    fleet = _declare_fleet(declared, plan, rollout, balancer)
    for name, future in active.items():
        future.set_result(fleet.servers[name].activation)
    return balancer, fleet


def _declare_host(told: Arguments, hashes: Mapping[str, str], last: _Awaited) -> _Host:
    where = told.host.where
    provider = docker.Provider(
        f"docker-{told.host_name}",
        host=where.docker,
        ssh_opts=where.ssh_options() if where.is_remote else None,
        cert_path=where.tls,
    )

    def after(*resources: pulumi.Resource) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(provider=provider, depends_on=[*resources, *last])

    images: dict[str, Image] = {}
    for role, args in told.images(hashes).items():
        base = [images["base"]] if "base" in args else []
        images[role] = Image(told.resource(role), args, after(*base))
    models: list[pulumi.Resource] = []
    source: dict[str, pulumi.Input[str]] = {"host_path": told.settings.models.directory}
    if told.settings.models.directory == "prepared":
        converter = images["devserver"]
        store = ModelStore(
            told.resource("models"),
            told.model_store(converter.reference, hashes["model"]),
            after(converter),
        )
        models, source = [store], {"volume_name": store.volume}
    return _Host(
        told=told,
        provider=provider,
        images=images,
        models=models,
        models_source=source,
        alone=after(),
    )


def _declare_fleet(
    hosts: Mapping[str, _Host], plan: Plan, rollout: Rollout, balancer: Balancer
) -> Fleet:
    networks = {
        name: balancer.network if host.told.has_balancer else _network(host)
        for name, host in hosts.items()
    }
    placements = {placement.name: placement for placement in plan.placements}
    on = {name: hosts[placements[name].host] for name in rollout.order}
    return Fleet(
        "fleet",
        {
            "instances": {
                name: host.told.instance(
                    placements[name],
                    host.server.reference,
                    host.models_source,
                    networks[placements[name].host],
                    balancer,
                )
                for name, host in on.items()
            },
            "waits_for": dict(rollout.waits_for),
            "providers": {name: host.provider for name, host in on.items()},
            "after": {name: [host.server, *host.models, balancer] for name, host in on.items()},
        },
    )


def _network(host: _Host) -> pulumi.Output[str]:
    """Declare the network of instances whose ports are published for a balancer elsewhere."""
    told = host.told
    return network(
        told.resource("instances"),
        f"{told.prefix}-instances",
        "instances",
        told.owned(),
        told.seen,
        host.alone,
        subnet=str(told.host.subnet),
    ).name
