"""
The files of a backend of the Pulumi CLI that keeps states in a folder.

Layout below the backend's ``.pulumi`` (pkg/backend/diy of the CLI): ``stacks/PROJECT/STACK.json``,
``history/PROJECT/STACK/``, ``backups/PROJECT/STACK/``, ``locks/organization/PROJECT/STACK/``.
Each file is written under another name and renamed, so it is whole at any time; the attributes
that the CLI's file library lays beside it (``FILE.attrs``) are written in place. A run that is
killed then leaves them empty, and the CLI reads nothing more of that stack: it says "failed to
load checkpoint: EOF" (seen). Without the attributes it reads the file as well.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_SCHEME = "file://"
ATTRIBUTES = ".attrs"


@dataclass(frozen=True, slots=True, kw_only=True)
class StackFiles:
    """Where the files of one stack are."""

    folder: Path
    """The backend's ``.pulumi``."""
    project: str
    stack: str
    """Without organization and project."""

    @property
    def locks(self) -> Path:
        """The folder of the stack's locks."""
        return self.folder / "locks" / "organization" / self.project / self.stack

    def mend(self, say: Callable[[str], None]) -> None:
        """Remove what was half written; *say* is told of each file."""
        for path in self._all():
            if path.name.endswith(".tmp"):
                path.unlink(missing_ok=True)
                say(f"removed the half-written {path.name}")
            elif path.name.endswith(ATTRIBUTES) and not _is_json(path):
                path.unlink(missing_ok=True)
                say(f"removed the half-written {path.name}, which the state does not need")

    def _all(self) -> Iterator[Path]:
        yield from sorted((self.folder / "stacks" / self.project).glob(f"{self.stack}.json*"))
        for kind in ("history", "backups"):
            yield from sorted((self.folder / kind / self.project / self.stack).glob("*"))


def stack_files(backend_url: str, project: str, stack: str) -> StackFiles | None:
    """
    Return where the files of *stack* are, or none for a backend that is not in files.

    Args:
        backend_url: as `PULUMI_BACKEND_URL` has it, such as ``file:///srv/state`` or
            ``file://~``; options after a question mark are left out.
        project: the project's name.
        stack: the stack's name, with or without organization and project before it.
    """
    if not backend_url.startswith(_SCHEME):
        return None
    path = backend_url.removeprefix(_SCHEME).partition("?")[0]
    folder = Path(path or ".").expanduser() / ".pulumi"
    return StackFiles(folder=folder, project=project, stack=stack.rpartition("/")[2])


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text())
    except ValueError:
        return False
    except FileNotFoundError:
        return True  # whoever removed it needs no mending
    return True
