"""What can go wrong on a host, in words an operator can act on."""

_DISK_FULL = "no space left on device"
# The kernel's answer also where a CPU set of a control group cannot be had, where the shared memory
# of a container is full, and where there are too many watches; no disk is full then.
_NO_DISK = ("/sys/fs/cgroup", "/dev/shm", "inotify")  # noqa: S108
MAKE_SPACE = (
    "make space on that disk (Docker's own is at the Docker Root Dir that `docker info` shows, "
    "and `docker system df` says what takes it), then run this again: it goes on from here"
)
"""What to do about a full disk."""


class LifecycleError(Exception):
    """
    A step on a host failed.

    Its text says whom it concerns, the step, what was seen, the server's last log lines where
    there are some, and what to do. Where a full disk was seen, or is what the last log line
    names, that is to make space.
    """

    def __init__(
        self, *, subject: str, step: str, seen: str, remedy: str, log_lines: tuple[str, ...] = ()
    ) -> None:
        self.subject = subject
        self.step = step
        self.seen = seen
        self.remedy = MAKE_SPACE if _names_a_full_disk(seen, *log_lines[-1:]) else remedy
        self.log_lines = log_lines
        log = "".join(f"\n    {line}" for line in log_lines)
        super().__init__(
            f"{subject}: {step}: {seen}."
            + (f"\n  Its last log lines:{log}" if log_lines else "")
            + f"\n  What to do: {self.remedy}."
        )


class UnreachableError(LifecycleError):
    """
    Nothing answers for the host: it is down, silent or unknown by name, or its Docker is.

    Who wants to can leave it as it is and go on with other hosts.
    """


class CutOffError(UnreachableError):
    """
    Nothing answers, and this machine is what keeps it from that: it tells nothing about the host.

    It has no SSH client, no network, or no name server that knows the host.
    """


class RefusedError(LifecycleError):
    """
    What answers is not known to be the host, or does not let this user do what is needed.

    Somebody else's machine may answer, so nothing goes on beside it.
    """


def _names_a_full_disk(*texts: str) -> bool:
    return any(
        _DISK_FULL in text.lower() and not any(place in text for place in _NO_DISK)
        for text in texts
    )
