"""What hosts of one stack must have and must not share."""

import ipaddress
from collections.abc import Iterator, Mapping

from planner.settings.host import HostSettings


def host_faults(
    hosts: Mapping[str, HostSettings], balancer_host: str | None
) -> Iterator[tuple[str, str]]:
    """
    Yield what keeps *hosts* from being one stack, each fault with the path of its key.

    Args:
        hosts: by name; one or more.
        balancer_host: the name of the one that the balancer runs on; None: not said.
    """
    names = ", ".join(sorted(hosts))
    if balancer_host is None and len(hosts) > 1:
        yield (
            "balancer.host",
            f"is null, and there are {len(hosts)} hosts ({names}); write the one that the "
            "balancer runs on",
        )
        return
    if balancer_host is not None and balancer_host not in hosts:
        yield "balancer.host", f"{balancer_host!r} is not among the hosts; write one of {names}"
        return
    yield from _shared(hosts, "docker", "one engine is one host")
    yield from _shared(hosts, "address", "instances of both would meet there")
    if balancer_host is not None:
        yield from _unreached(hosts, balancer_host)


def _unreached(hosts: Mapping[str, HostSettings], balancer_host: str) -> Iterator[tuple[str, str]]:
    """Yield the hosts whose instances the balancer cannot reach."""
    subnet = hosts[balancer_host].subnet
    for name in sorted(set(hosts) - {balancer_host}):
        its = hosts[name].address
        if its is None:
            yield (
                f"hosts.{name}.address",
                f"is null, and the balancer runs on {balancer_host}; write an IPv4 address of "
                f"{name} that {balancer_host} reaches in a private network",
            )
        elif ipaddress.IPv4Address(its) in subnet:
            yield (
                f"hosts.{name}.address",
                f"{its!r} is in the instances' network of {balancer_host} ({subnet}), from where "
                f"{name} is not reached; write an address of {name} itself, or give "
                f"{balancer_host} another subnet",
            )


def _shared(hosts: Mapping[str, HostSettings], key: str, why: str) -> Iterator[tuple[str, str]]:
    """Yield the hosts that have the value of an earlier one under *key*."""
    first: dict[str, str] = {}
    for name in sorted(hosts):
        value = getattr(hosts[name], key)
        if value is None:
            continue
        # The one is a link to the other.
        same = str(value).replace("unix:///var/run/", "unix:///run/")
        if same in first:
            yield (
                f"hosts.{name}.{key}",
                f"{value!r} is that of host {first[same]} too, and {why}; write its own",
            )
        first.setdefault(same, name)
