"""The one error that this package shows to the operator."""


class EngineError(Exception):
    """One sentence of fact with the values seen, and one of remedy."""
