"""The versions that belong together; requirements.txt pins the same ones for Python."""

PULUMI = (3, 259, 0)
"""The least CLI version; the exact one for download and build. From 3.260 on it is no Go module."""

DOCKER_PLUGIN = "5.2.0"
COMMAND_PLUGIN = "1.2.1"

GO = (1, 25, 11)
"""The least Go version; Pulumi's own go.mod asks for it."""

RELEASES = "https://get.pulumi.com/releases/sdk"
"""Where the official CLI releases and their checksum files lie."""


def dotted(version: tuple[int, ...]) -> str:
    """Print a version, such as 3.259.0."""
    return ".".join(str(part) for part in version)
