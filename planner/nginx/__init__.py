"""
The balancer's configuration: everything but its members.

The text includes ``serving/*.conf``, one file an instance: ``members/*.conf``, each owned by that
instance's Activation, with those closed that the watcher put a mark on. Directive meanings and
defaults: the documentation of Nginx 1.30.
"""

from planner.nginx import template
from planner.nginx.refusals import PAGES, render_refusals
from planner.settings import BalancerSettings

LISTEN_PORT = 8080
"""The port inside the balancer's container; above 1023, so that no capability is needed."""

OPEN_FILES = 16384
"""How many files Nginx may have open: two a request, for each worker."""

# Added to the longest that a stream or a drain may take, so that the drain ends first and counts.
_SHUTDOWN_MARGIN_S = 30

_UPSTREAM = "model_servers"
_OVERFLOW = "overflow"

BOUNDED = "at-most-"
"""What the folder of the members with ``max_conns`` is called, before the number."""


def render_nginx(balancer: BalancerSettings, *, drain_timeout_s: int, max_concurrency: int) -> str:
    """
    Render ``nginx.conf``.

    Args:
        balancer: the stack's balancer settings.
        drain_timeout_s: how long a drain waits for the streams of one instance.
        max_concurrency: how many generations one instance runs at once.

    Returns:
        The whole file; the same input gives the same bytes.
    """
    return template.CONFIGURATION.format(
        workers=balancer.worker_processes,
        connect=balancer.connect_timeout_s,
        read=balancer.read_timeout_s,
        send=balancer.send_timeout_s,
        keepalive_min=balancer.keepalive_min_timeout_s,
        body=balancer.max_body_mib,
        retry_after=balancer.retry_after_s,
        shutdown=_SHUTDOWN_MARGIN_S
        + max(balancer.read_timeout_s, drain_timeout_s + balancer.keepalive_min_timeout_s),
        port=LISTEN_PORT,
        open_files=OPEN_FILES,
        pages=PAGES,
        refusals=render_refusals(
            max_body_mib=balancer.max_body_mib,
            max_requests=balancer.max_requests,
            read_timeout_s=balancer.read_timeout_s,
        ),
        limit_zone="" if balancer.max_requests is None else template.LIMIT_ZONE,
        limit=_limit(balancer),
        upstreams=_upstreams(balancer, max_concurrency),
        first=_first(balancer),
        again=_again(balancer),
    )


def _limit(balancer: BalancerSettings) -> str:
    if balancer.max_requests is None:
        return ""
    return template.LIMIT.format(most=balancer.max_requests)


def _upstreams(balancer: BalancerSettings, max_concurrency: int) -> str:
    keepalive = template.KEEP_ALIVE if balancer.retry == "unsent" else template.NO_KEEP_ALIVE
    unbound = {"members": "serving", "sticky": "", "keepalive": keepalive}
    if balancer.affinity == "none":
        return template.UPSTREAM.format(name=_UPSTREAM, **unbound)
    bound = balancer.affinity_bound or max_concurrency
    variable = f"$http_{balancer.affinity_header.lower().replace('-', '_')}"
    sticky = template.STICKY.format(variable=variable)
    bounded = {"members": f"{BOUNDED}{bound}", "sticky": sticky, "keepalive": keepalive}
    return template.UPSTREAM.format(name=_UPSTREAM, **bounded) + template.UPSTREAM.format(
        name=_OVERFLOW, **unbound
    )


def _first(balancer: BalancerSettings) -> str:
    """
    Render the first try of a request.

    A loading server's 404 or 503 goes on to the next one. A request that a server died on ends
    here, as one poisonous request would take every server down; one that may wait goes on to a
    second. No request ejects a server: the members have ``max_fails=0``.
    """
    again_on, bounds = "http_404 http_503 non_idempotent", ""
    if balancer.retry == "waiting":
        again_on, bounds = f"error {again_on}", template.WAITING
    return template.FIRST.format(upstream=_UPSTREAM, again_on=again_on, bounds=bounds, pages=PAGES)


def _again(balancer: BalancerSettings) -> str:
    """
    Render what follows where the first try found only servers that refuse or are silent.

    Where all members are at their bound, the last step is the members without one.
    """
    stop = template.STOP_WHEN_SENT
    if balancer.retry == "waiting":
        stop = template.STOP_WHEN_SENT_TWICE
    steps = [("@again", _UPSTREAM)]
    if balancer.affinity != "none":
        steps.append(("@overflow", _OVERFLOW))
    after = [name for name, _ in steps[1:]] + ["@failed"]
    return "".join(
        template.AGAIN.format(name=name, upstream=upstream, stop=stop, after=next_, pages=PAGES)
        for (name, upstream), next_ in zip(steps, after, strict=True)
    )
