"""The lines that put an engine into a shell: `eval "$(make -s env)"`."""

import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from engine import cache
from engine.value import Engine

_MARK = "OVMS_NUMA_ENV"
"""Names the project whose lines a shell has evaluated: what they set is not the user's own."""


def lines(engine: Engine, project: Path, environ: Mapping[str, str], *, user: Path) -> list[str]:
    """
    Return shell lines; evaluated twice, they change nothing the second time.

    The user's own login, backend and passphrase hold where they exist. Otherwise the state lies
    in `.state` of the project. Makes that folder, and the private Pulumi home in it.

    Args:
        engine: what to put on PATH.
        project: this project's folder.
        environ: the shell's environment.
        user: the user's home folder in the user database; the CLI does not look at HOME.
    """
    own = _own(environ)
    login = _login(own, user)
    values = _values(engine, project, own, login)
    stale = [name for name in environ if name not in own and name not in values]
    return [
        *(f"unset {name}" for name in stale),
        *(f"export {name}={shlex.quote(value)}" for name, value in values.items()),
    ]


def _own(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment as it was before any project's lines were evaluated."""
    own = dict(environ)
    if _MARK not in environ:
        return own
    state = Path(environ[_MARK]) / ".state"
    set_by_lines = {"PULUMI_HOME": str(state / "home"), "PULUMI_BACKEND_URL": _url(state)}
    for name, value in set_by_lines.items():
        if own.get(name) == value:
            del own[name]
    # Ours, if one of the user's own is named by now; the CLI would take the empty one.
    if own.get("PULUMI_CONFIG_PASSPHRASE") == "" and own.get("PULUMI_CONFIG_PASSPHRASE_FILE"):
        del own["PULUMI_CONFIG_PASSPHRASE"]
    own.pop("PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION", None)
    return own


def _values(engine: Engine, project: Path, own: Mapping[str, str], login: Path) -> dict[str, str]:
    state = project / ".state"
    path = cache.without_cached(own.get("PATH", ""), own)
    values = {_MARK: str(project), "PULUMI_SKIP_UPDATE_CHECK": "true"}
    if engine.plugins is None:
        values["PATH"] = path
    else:
        values["PATH"] = os.pathsep.join((str(engine.bin), path))
        values["PULUMI_HOME"] = str(_private_home(state, engine.plugins))
        values |= _credentials(own, login)
    if engine.how == "build":
        values["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] = "true"
    return values | _backend(state, own, login)


def _private_home(state: Path, plugins: Path) -> Path:
    """
    Make the folder where the CLI keeps which stack is selected, with the engine's plugins in it.

    It lies in the project, because the engine's own folder is shared and goes with its version.
    """
    home = state / "home"
    home.mkdir(parents=True, exist_ok=True)
    link = home / "plugins"
    if not link.is_symlink() or link.readlink() != plugins:
        fresh = home / f".plugins-{os.getpid()}"
        fresh.symlink_to(plugins)
        fresh.replace(link)
    return home


def _login(own: Mapping[str, str], user: Path) -> Path:
    """Return the folder where the CLI looks for the user's login."""
    for name in ("PULUMI_CREDENTIALS_PATH", "PULUMI_HOME"):
        if own.get(name):
            return Path(own[name])
    return user / ".pulumi"


def _credentials(own: Mapping[str, str], login: Path) -> dict[str, str]:
    """
    Keep the user's login where it is, which a private Pulumi home would hide.

    Not without one: the CLI makes the folder that it is told, and the user's is not ours to make.
    """
    named = "PULUMI_CREDENTIALS_PATH" in own or "PULUMI_HOME" in own
    if named or (login / "credentials.json").is_file():
        return {"PULUMI_CREDENTIALS_PATH": str(login)}
    return {}


def _backend(state: Path, own: Mapping[str, str], login: Path) -> dict[str, str]:
    """Choose the state's place, and the passphrase of what is secret in it."""
    if own.get("PULUMI_BACKEND_URL"):
        return {"PULUMI_BACKEND_URL": own["PULUMI_BACKEND_URL"]}
    if _logged_in(login) or _logged_in(state / "home"):
        return {}
    state.mkdir(parents=True, exist_ok=True)
    values = {"PULUMI_BACKEND_URL": _url(state)}
    if not own.get("PULUMI_CONFIG_PASSPHRASE") and not own.get("PULUMI_CONFIG_PASSPHRASE_FILE"):
        values["PULUMI_CONFIG_PASSPHRASE"] = ""
    return values


def _logged_in(folder: Path) -> bool:
    """Tell whether a login is current there; the CLI writes it as `current` in its JSON file."""
    try:
        credentials = json.loads((folder / "credentials.json").read_text())
    except (OSError, ValueError):
        return False
    return isinstance(credentials, dict) and bool(credentials.get("current"))


def _url(state: Path) -> str:
    return f"file://{state}"
