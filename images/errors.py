"""What can go wrong while staging, each with its remedy."""


class StageError(Exception):
    """A build context could not be made; the text says what was seen and what to do."""
