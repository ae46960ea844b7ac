"""What hosts of one stack must have and must not share."""

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
    for name in sorted(hosts):
        if len(hosts) > 1 and name != balancer_host and hosts[name].address is None:
            yield (
                f"hosts.{name}.address",
                f"is null, and the balancer runs on {balancer_host}; write an IPv4 address of "
                f"{name} that {balancer_host} reaches in a private network",
            )


def _shared(hosts: Mapping[str, HostSettings], key: str, why: str) -> Iterator[tuple[str, str]]:
    """Yield the hosts that have the value of an earlier one under *key*."""
    first: dict[str, str] = {}
    for name in sorted(hosts):
        value = getattr(hosts[name], key)
        if value is None:
            continue
        if value in first:
            yield (
                f"hosts.{name}.{key}",
                f"{value!r} is that of host {first[value]} too, and {why}; write its own",
            )
        first.setdefault(value, name)
