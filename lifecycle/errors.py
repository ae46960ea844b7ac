"""What can go wrong on a host, in words an operator can act on."""


class LifecycleError(Exception):
    """
    A step on a host failed.

    Its text says whom it concerns, the step, what was seen, the server's last log lines where
    there are some, and what to do.
    """

    def __init__(
        self, *, subject: str, step: str, seen: str, remedy: str, log_lines: tuple[str, ...] = ()
    ) -> None:
        self.subject = subject
        self.step = step
        self.seen = seen
        self.remedy = remedy
        self.log_lines = log_lines
        log = "".join(f"\n    {line}" for line in log_lines)
        super().__init__(
            f"{subject}: {step}: {seen}."
            + (f"\n  Its last log lines:{log}" if log_lines else "")
            + f"\n  What to do: {remedy}."
        )


class RemoteHostError(LifecycleError):
    """The host is not this machine, and actions drive only the Docker engine of this one."""
