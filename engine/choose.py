"""Which engine this machine gets."""

from collections.abc import Callable, Mapping

from engine import build, download, find
from engine.errors import EngineError
from engine.value import Engine, say

_WAYS: dict[str, Callable[[Mapping[str, str]], Engine]] = {
    "path": find.on_path,
    "download": download.obtain,
    "build": build.obtain,
}


def ensure(environ: Mapping[str, str]) -> Engine:
    """
    Return the user's own engine, or else the official release, or else one built here.

    `ENGINE` forces one way. What was downloaded or built earlier is taken before the network is
    tried again.

    Raises:
        EngineError: the forced way is refused, no way is left, or a download is not what its
            release says.
    """
    forced = environ.get("ENGINE", "")
    if not forced:
        return _first(environ)
    if forced not in _WAYS:
        raise EngineError(f"ENGINE is {forced!r}, which is none of {', '.join(_WAYS)}. Set one")
    return _WAYS[forced](environ)


def _first(environ: Mapping[str, str]) -> Engine:
    try:
        return find.on_path(environ)
    except find.NotThereError:
        pass
    except EngineError as refusal:
        say(f"not the one on PATH: {_fact(refusal)}")
    ready = download.cached(environ) or build.cached(environ)
    if ready is not None:
        return ready
    try:
        return download.obtain(environ)
    except download.UnreachableError as refusal:
        say(f"not downloaded: {_fact(refusal)}")
    return build.obtain(environ)


def _fact(refusal: EngineError) -> str:
    """Leave the remedy out where another way is tried at once."""
    return str(refusal).partition(". ")[0]
