"""Put the balancer's configuration in place and start it."""

from collections.abc import Callable

from lifecycle import balancer_config, member
from lifecycle.reach import reach
from lifecycle.spec import Push


def push(spec: Push, progress: Callable[[str], None]) -> dict[str, object]:
    """
    Validate and load the ``nginx.conf`` of *spec*, starting the balancer where it does not run.

    Member files belong to the instances and are not touched.

    Returns:
        The balancer's container.

    Raises:
        LifecycleError: Nginx refuses the configuration, or does not start.
    """
    link = reach(spec.where)
    texts = {name: balancer_config.script(name) for name in member.SCRIPTS}
    texts[member.NGINX_CONF] = "".join(f"{line}\n" for line in spec.nginx_conf)
    files = {path: member.sealed(text) for path, text in texts.items()}
    balancer_config.change(link, spec.balancer, files)
    progress("configuration loaded")
    balancer_config.start(link, spec.balancer, start_s=spec.start_s)
    progress("runs")
    return {"balancer": spec.balancer.container}
