"""Which servers a request was at, as Nginx tells it."""

import re

# Between servers that were tried in one location a comma, between two locations a colon; white
# space tells that one from an address's own.
_BETWEEN = re.compile(r"\s*,\s+|\s+:\s+")


def values_of(variable: str) -> tuple[str, ...]:
    """
    Split one of Nginx's ``$upstream_...`` variables into the values of all tries, in their order.

    Source: the documentation of ``ngx_http_upstream_module``.
    """
    return tuple(_BETWEEN.split(variable.strip())) if variable.strip() else ()


def servers_of(upstream_addr: str) -> tuple[str, ...]:
    """
    Return the servers that a request was tried at, out of ``$upstream_addr``, in their order.

    Returns:
        Each as ADDRESS:PORT. Where no server is open, Nginx names the group, which is none.
    """
    return tuple(value for value in values_of(upstream_addr) if ":" in value)
