"""
Hold an instance closed, and let it serve again: by an operator's hand.

A cordon is a mark in the balancer's configuration, put there by the same change that closes the
instance. As long as it is there, updates and repairs leave the instance closed.
"""

import re

from lifecycle import balancer_config, member, proof
from lifecycle.errors import LifecycleError
from lifecycle.found import BALANCER, Found, find_stack, placement, port_of, reference
from lifecycle.member import host_of
from lifecycle.observe import cordoned_in
from lifecycle.stack_file import StackFile


def cordon(stack: StackFile, name: str, *, force: bool) -> str:
    """
    Close the instance *name* in the balancer, and keep it closed.

    What it has in flight goes on; this does not wait for it.

    Args:
        stack: whose.
        name: of the instance.
        force: also when no other instance is open.

    Returns:
        What is open now, and how many connections the instance still has, in words.

    Raises:
        LifecycleError: there is no such instance, or no other that is open, or the change failed.
    """
    found = find_stack(stack)
    reference(found)
    if name not in found.known():
        raise _unknown(found, name, tuple(found.known()))
    if found.open_instances() == [name] and not force:
        raise _the_last(found, name)
    content = found.files.get(member.member_path(name))
    put = {member.cordon_path(name): b""}
    if content is not None and member.is_open(content):
        put[member.member_path(name)] = _turned(content, is_open=False)
    if len(put) > 1 or name not in cordoned_in(found.files):
        balancer_config.change(found.links[BALANCER], reference(found), put)
    return f"{name} is cordoned; {_open_now(stack)}{_in_flight(found, name)}"


def uncordon(stack: StackFile, name: str) -> str:
    """
    Take the cordon off the instance *name*, and open it where it runs as planned.

    Returns:
        What is open now, in words.

    Raises:
        LifecycleError: nothing of that name is cordoned or there; or the instance stays closed,
            as it does not run as planned. The cordon is then off all the same.
    """
    found = find_stack(stack)
    reference(found)
    cordoned = cordoned_in(found.files)
    if name not in {*found.known(), *cordoned}:
        raise _unknown(found, name, tuple(cordoned or found.known()))
    if name not in cordoned and found.is_open(name):
        return f"{name} was not cordoned; {_open_now(stack)}"
    reason = _unfit(found, name)
    # Without a cordon a closed instance waits for an update, which proves it first.
    if name not in cordoned:
        raise _stays_closed(found, name, f"it {reason}")
    path, mark = member.member_path(name), member.cordon_path(name)
    put = {} if reason else {path: _turned(found.files[path], is_open=True)}
    balancer_config.change(found.links[BALANCER], reference(found), put, remove=(mark,))
    if name not in found.known():
        return f"{name} is not cordoned any more; the stack has no such instance on its hosts"
    if reason:
        raise _stays_closed(found, name, f"the cordon is off, but it {reason}")
    return f"{name} is open again; {_open_now(stack)}"


def _turned(content: bytes, *, is_open: bool) -> bytes:
    """
    Return a member file opened or closed.

    One that was edited by hand keeps its broken seal, so that the edit is still seen and undone.
    """
    seal, _, text = content.decode(errors="replace").partition("\n")
    text = re.sub(r"(?m)^(server [^;]*?)(?: down)?;$", r"\1;" if is_open else r"\1 down;", text)
    return member.sealed(text) if member.is_intact(content) else f"{seal}\n{text}".encode()


def _unfit(found: Found, name: str) -> str | None:
    """Say why the instance *name* cannot be opened, as the end of a sentence."""
    container = found.instances.get(name)
    if container is None and host_of(name) in found.unreached:
        return "is on a host that is not reached"
    if container is None:
        return "is not there"
    if container.status != "running":
        return f"is {container.status}, not running"
    if fault := member.member_fault(found.files, name):
        return fault
    _, faults = placement(container, found.stack.settings.placement.min_local_share)
    return "; it ".join(faults) or None


def _open_now(stack: StackFile) -> str:
    found = find_stack(stack)
    count, total = len(found.open_instances()), len(found.instances)
    unseen = f" (without {', '.join(sorted(found.unreached))})" if found.unreached else ""
    return f"{count} of {total} instances {'is' if count == 1 else 'are'} open{unseen}"


def _in_flight(found: Found, name: str) -> str:
    if name not in found.instances:
        return "; what it has in flight is not known, as its host is not reached"
    container = found.instances[name]
    if container.status != "running":
        return ""
    count = proof.connections(container, port_of(container))
    return (
        f"; {count} connections to it end by themselves (`make status STACK={found.stack.name}`)"
        if count
        else "; it has nothing in flight"
    )


def _unknown(found: Found, name: str, there: tuple[str, ...]) -> LifecycleError:
    stack = found.stack.name
    return LifecycleError(
        subject=stack,
        step="finding the instance",
        seen=f"there is no {name!r}; there are {', '.join(sorted(there)) or 'none'}"
        if name
        else f"none is named; there are {', '.join(sorted(there)) or 'none'}",
        remedy=f"name one of them with INSTANCE=NAME STACK={stack}",
    )


def _the_last(found: Found, name: str) -> LifecycleError:
    return LifecycleError(
        subject=name,
        step="cordoning it",
        seen=f"it is the only one of {len(found.instances)} instances that is open, and without it "
        "the endpoint answers 503",
        remedy="open another one first (`make uncordon INSTANCE=NAME`, or `make up` where "
        f"`make status STACK={found.stack.name}` shows one that is down), or say FORCE=1",
    )


def _stays_closed(found: Found, name: str, reason: str) -> LifecycleError:
    return LifecycleError(
        subject=name,
        step="opening it",
        seen=reason,
        remedy=f"run `make up STACK={found.stack.name}`, which repairs, proves and opens it",
    )
