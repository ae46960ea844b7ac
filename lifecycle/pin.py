"""
``python -m lifecycle.pin Pulumi.STACK.yaml``: write the digests of a stack's images.

A tag can come to mean another image; a digest cannot. The registry of each image is asked for the
digest that the tag has now, and the two values in the stack file are changed in place. What no
registry says is not written.
"""

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from lifecycle.registry import HUB, Reference, RegistryError, parse_reference, resolve_digest
from planner.errors import PlanError, SettingsError
from planner.settings import parse_settings
from planner.stack_file import SETTINGS_KEY, stack_settings

# What this project builds itself has no registry.
_OWN = frozenset({"devserver", "nginx"})
_SECTIONS = ("server", "balancer")
# Plain, and in either kind of quotation marks.
_STYLES = (None, "'", '"')
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageValue:
    """
    An image as a stack file has it.

    Attributes:
        key: the setting, such as ``server.image``.
        image: its value.
        start: where the value begins in the file's text.
        end: where it ends.
        quote: the quotation mark around it, or "".
    """

    key: str
    image: str
    start: int
    end: int
    quote: str


def main(argv: list[str]) -> int:
    """Pin the images of the stack file in *argv*; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lifecycle.pin", description=__doc__)
    parser.add_argument("stack_file", type=Path, help="such as Pulumi.dual-socket.yaml")
    parser.add_argument(
        "--registry", default=HUB, metavar="URL", help="of images that name no registry"
    )
    arguments = parser.parse_args(argv)
    try:
        for line in pin(arguments.stack_file, arguments.registry):
            print(line)
    except (RegistryError, PlanError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def pin(stack_file: Path, registry: str = HUB) -> list[str]:
    """
    Write the digest of each image that *stack_file* names by tag; keep all else of its text.

    Args:
        stack_file: a Pulumi.STACK.yaml.
        registry: URL of the registry of images that name none.

    Returns:
        A line for each of the images: what was written, or why nothing was.

    Raises:
        RegistryError: a registry gives no digest; the file is then as it was.
        SettingsError: the file has no settings, or some that cannot be.
    """
    try:
        text = stack_file.read_text()
    except OSError as error:
        raise SettingsError(
            f"{stack_file} cannot be read: {error.strerror}. Name a Pulumi.STACK.yaml."
        ) from None
    parse_settings(stack_settings(text, str(stack_file)), str(stack_file))
    lines: list[str] = []
    changes: dict[ImageValue, str] = {}
    for value in tuple(_image_values(text)):
        reference = _by_tag(value.image)
        if reference is None:
            lines.append(f"{value.key}: {value.image} has no tag that a registry could resolve")
            continue
        changes[value] = f"{value.image}@{resolve_digest(reference, registry)}"
        lines.append(f"{value.key}: {value.image} is now {changes[value]}")
    if changes:
        stack_file.write_text(_replaced(text, changes))
    return lines


def _by_tag(image: str) -> Reference | None:
    """Read *image*; None for what is built here or has its digest."""
    if image in _OWN or _DIGEST.search(image):
        return None
    return parse_reference(image)


def _image_values(text: str) -> Iterator[ImageValue]:
    """Find the images in the text of a stack file, in the order of `_SECTIONS`."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    for section in _SECTIONS:
        node = _at(root, ("config", SETTINGS_KEY, section, "image"))
        if not isinstance(node, yaml.ScalarNode):
            continue
        if node.style not in _STYLES:
            raise SettingsError(
                f"{section}.image is written as a block of lines. Write it behind the key."
            )
        yield ImageValue(
            key=f"{section}.image",
            image=node.value,
            start=node.start_mark.index,
            end=node.end_mark.index,
            quote=node.style or "",
        )


def _at(node: yaml.Node | None, path: tuple[str, ...]) -> yaml.Node | None:
    """Follow the keys of *path* down from *node*."""
    for key in path:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        node = next((value for name, value in pairs if name.value == key), None)
    return node


def _replaced(text: str, changes: Mapping[ImageValue, str]) -> str:
    """Put the new values into *text*, the last one first, so that the places of others hold."""
    for value in sorted(changes, key=lambda value: value.start, reverse=True):
        new = f"{value.quote}{changes[value]}{value.quote}"
        text = text[: value.start] + new + text[value.end :]
    return text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
