"""The last lines that a stack's containers wrote."""

from docker.models.containers import Container

from lifecycle.errors import LifecycleError
from lifecycle.found import BALANCER, find_stack
from lifecycle.member import host_of
from lifecycle.stack_file import StackFile


def last_logs(stack: StackFile, name: str, lines: int) -> str:
    """
    Return the last lines of each container of *stack*, each line behind its name.

    Args:
        stack: whose.
        name: of an instance, or `balancer`; empty: all of them.
        lines: how many of each, at most.

    Raises:
        LifecycleError: the stack has nothing on its hosts, or nothing of that name; or the host
            of that name is not reached.
    """
    found = find_stack(stack)
    containers = found.containers()
    host = stack.settings.balancer_host if name == BALANCER else host_of(name)
    if name not in containers and host in found.unreached:
        raise found.unreached[host]
    if name and name not in containers:
        raise LifecycleError(
            subject=stack.name,
            step="reading its logs",
            seen=f"there is no {name!r}; there are {', '.join(containers)}",
            remedy=f"name one of them with INSTANCE=NAME STACK={stack.name}, or none for all",
        )
    chosen = {name: containers[name]} if name else containers
    width = max(map(len, chosen), default=0)
    told = [
        f"{name:<{width}} | {line}"
        for name, container in chosen.items()
        for line in _tail(container, lines)
    ]
    unread = {} if name else found.unreached
    return "\n".join([*told, *(f"not looked at: {host}: {its}" for host, its in unread.items())])


def _tail(container: Container, lines: int) -> list[str]:
    return container.logs(tail=lines).decode(errors="replace").splitlines()
