"""Which stack a command is about, out of its stack file: no engine and no state is needed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from planner.errors import SettingsError
from planner.labels import stack_labels
from planner.settings import Settings, parse_settings
from planner.stack_file import stack_settings
from planner.where import Where

_PREFIX, _SUFFIX = "Pulumi.", ".yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class StackFile:
    """
    A stack, as its file and its project's describe it.

    Attributes:
        project: the project's name.
        name: the stack's name, without the organisation that a backend may put before it.
        settings: all of its settings.
    """

    project: str
    name: str
    settings: Settings

    @property
    def labels(self) -> dict[str, str]:
        """The labels that everything of the stack on its hosts carries."""
        return stack_labels(self.project, self.name)

    @property
    def hosts(self) -> Mapping[str, Where]:
        """How each host is reached, by its name and in the order of names."""
        return {name: self.settings.hosts[name].where for name in sorted(self.settings.hosts)}


def read_stack_file(path: Path) -> StackFile:
    """
    Read a ``Pulumi.STACK.yaml``, and the project's name out of the ``Pulumi.yaml`` beside it.

    Raises:
        SettingsError: one of them cannot be read, or the settings have faults; names all faults.
    """
    name = path.name.removeprefix(_PREFIX).removesuffix(_SUFFIX)
    if path.name != f"{_PREFIX}{name}{_SUFFIX}":
        raise SettingsError(
            f"{path} does not name its stack: a stack file is called Pulumi.STACK.yaml. "
            "Name one that is."
        )
    settings = _settings(path)
    project = yaml.safe_load(_read(path.with_name("Pulumi.yaml")))["name"]
    return StackFile(project=str(project), name=name, settings=settings)


def _settings(path: Path) -> Settings:
    return parse_settings(stack_settings(_read(path), str(path)), path.name)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be read: {error.strerror}. Name a stack whose file is there "
            "(STACK=NAME for Pulumi.NAME.yaml)."
        ) from None
