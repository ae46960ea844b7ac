"""As many open files as a run needs connections: the soft limit is often 1024."""

import resource
from pathlib import Path

from bench.load import LoadError

_SPARE = 32


def allow_connections(count: int) -> None:
    """
    Raise this process's soft limit of open files, so that it can have *count* connections more.

    Raises:
        LoadError: the hard limit is below that.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + len(list(Path("/proc/self/fd").iterdir())) + _SPARE
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise LoadError(
            f"{count} connections at once need {needed} open files, but this process may have "
            f"{hard} (its hard limit). Raise it (`ulimit -Hn {needed}`, as root), or bound the "
            f"connections with --max-concurrency {max(1, count - (needed - hard))}."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
