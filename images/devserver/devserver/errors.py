"""The faults that end the process or a request, each with the code it ends with."""


class UsageError(Exception):
    """A flag is unknown, out of range or contradicts another; the process exits with 64."""


class LoadError(Exception):
    """A model could not be loaded; the text says which file and what was wrong."""


class RequestError(Exception):
    """
    A request is answered with an error.

    Attributes:
        status: the HTTP status code.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
