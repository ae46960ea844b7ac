"""What the rig cannot do, in words."""


class RigError(Exception):
    """The emulated host could not be made, started or reached; says what to do about it."""
