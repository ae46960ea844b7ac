"""What the state of a stack holds, and that whoever has it sees the same stack."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.engine.changes import BASE, changed
from tests.engine.killing import environment, exported
from tests.engine.stack import ROOT, Run, Stack

pytestmark = pytest.mark.changes

FIRST = "local-node0-0"
ONE_INSTANCE = changed(BASE, {"placement.instances-per-node": 1})
SOCKET = Path("/var/run/docker.sock")

SECRET = "of the operator, and of nobody else"  # noqa: S105
"""Stands in the stack's configuration, encrypted, and in the environment of `pulumi up`."""

NOBODY = 65534

# Dates with a time of day, in the forms of ISO 8601 and of Docker, and with a zone or without.
TIME = re.compile(r"\b20\d\d-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?")
SECRET_KEY = re.compile(r"passw|secret|token|credential|private|api_?key", re.IGNORECASE)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack brought up by an operator who has secrets."""
    stack = Stack(name="changes", folder=tmp_path_factory.mktemp("state"), settings=ONE_INSTANCE)
    stack.clear()
    file = str(stack.folder / "stack.yaml")
    _run(
        stack,
        "config",
        "set",
        "--secret",
        "--config-file",
        file,
        "--stack",
        "changes",
        "key",
        SECRET,
    )
    assert SECRET not in Path(file).read_text()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("OPERATORS_PASSWORD", SECRET)
            run = stack.up()
        assert run.status == 0, run.output
        yield stack
    finally:
        removed = stack.destroy()
        assert removed.status == 0, removed.output
        assert stack.remains() == []


def _run(stack: Stack, *arguments: str) -> str:
    process = stack.start(*arguments)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    return output


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A value of a resource's inputs or outputs that holds no other."""

    path: tuple[str, ...]
    value: object

    def __str__(self) -> str:
        return f"{'.'.join(self.path)}: {self.value!r}"


def _leaves(stack: Stack) -> list[Leaf]:
    """All that the program and the providers wrote; stack traces are the SDK's own."""
    return [
        leaf
        for resource in exported(stack)["deployment"]["resources"]
        for part in ("inputs", "outputs")
        for leaf in _walk(resource.get(part), (resource["urn"].rpartition("::")[2], part))
    ]


def _walk(value: object, path: tuple[str, ...]) -> Iterator[Leaf]:
    if isinstance(value, Mapping):
        for key, its in value.items():
            yield Leaf(path=path, value=key)
            yield from _walk(its, (*path, key))
    elif isinstance(value, list):
        for number, its in enumerate(value):
            yield from _walk(its, (*path, str(number)))
    else:
        yield Leaf(path=path, value=value)


def _that_hold(leaves: list[Leaf], *texts: str) -> list[str]:
    return [str(leaf) for leaf in leaves if any(text in str(leaf.value) for text in texts)]


def test_inputs_and_outputs_hold_no_path_of_the_operator(stack: Stack) -> None:
    leaves = _leaves(stack)

    assert _that_hold(leaves, "/workspace")
    own = (ROOT, Path.home(), stack.folder.parent, os.environ["PATH"])
    assert _that_hold(leaves, *map(str, own)) == []


def test_the_state_holds_no_secret_in_clear(stack: Stack) -> None:
    files = [path for path in (stack.folder / "state").rglob("*") if path.is_file()]
    named = [leaf for leaf in _leaves(stack) if leaf.value and SECRET_KEY.search(leaf.path[-1])]
    # How the provider's library packs the types of a resource, by the names of all its inputs.
    values = [leaf for leaf in named if "__pulumi_raw_state_delta" not in leaf.path]

    assert any(b"secure" in path.read_bytes() for path in files)
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
    assert [str(leaf) for leaf in values] == []


def test_inputs_and_outputs_hold_no_time_but_that_of_a_drift(stack: Stack) -> None:
    before = [str(leaf) for leaf in _leaves(stack) if TIME.search(str(leaf.value))]
    stack.container(FIRST).stop(timeout=5)
    run = stack.up()

    after = {leaf.path[2:] for leaf in _leaves(stack) if TIME.search(str(leaf.value))}

    assert run.status == 0, run.output
    assert before == []
    assert after == {("environment", "DRIFT")}


def checkout_at(folder: Path) -> Path:
    """Copy the project as it is on disk: what git knows and what it would take up."""
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    for name in filter(None, names.split("\0")):
        # A file that was removed and is not committed so yet is still listed.
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    (folder / "venv").symlink_to(ROOT / "venv")
    return folder


def _preview(stack: Stack, checkout: Path, env: Mapping[str, str], *before: str) -> Run:
    """Preview in *checkout*, by the command line that *before* begins."""
    command = (
        *before,
        *("pulumi", "preview", "--expect-no-changes", "--stack", stack.name),
        *("--config-file", str(checkout / "stack.yaml"), "--non-interactive", "--color", "never"),
    )
    run = subprocess.run(
        command, cwd=checkout, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False,
    )  # fmt: skip
    return Run(status=run.returncode, output=run.stdout)


def test_the_same_stack_from_another_checkout_is_no_difference(
    stack: Stack, tmp_path: Path
) -> None:
    checkout = checkout_at(tmp_path / "elsewhere")
    shutil.copy(stack.folder / "stack.yaml", checkout)

    run = _preview(stack, checkout, environment(stack))

    assert run.status == 0, run.output
    assert "The plan of changes" in run.output


@pytest.fixture
def home(stack: Stack) -> Iterator[Path]:
    """What another user has: a home, a checkout, a copy of the state; all of it its own."""
    home = Path(tempfile.mkdtemp(prefix="ovms-numa-"))
    checkout = checkout_at(home / "checkout")
    shutil.copy(stack.folder / "stack.yaml", checkout)
    shutil.copytree(stack.folder / "state", home / "state")
    pulumi_home = home / ".pulumi"
    pulumi_home.mkdir()
    own = Path(environment(stack).get("PULUMI_HOME", Path.home() / ".pulumi"))
    (pulumi_home / "plugins").symlink_to((own / "plugins").resolve())
    for path in [home, *home.rglob("*")]:
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    yield home
    shutil.rmtree(home)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_the_same_stack_by_another_user_is_no_difference(stack: Stack, home: Path) -> None:
    env = {
        **environment(stack),
        "HOME": str(home),
        "USER": "nobody",
        "LOGNAME": "nobody",
        "PULUMI_HOME": str(home / ".pulumi"),
        "PULUMI_BACKEND_URL": f"file://{home / 'state'}",
    }
    # The engine and the interpreter may lie in the home of the user who runs the tests: the
    # other one may read there, and do no more. To Docker it comes by its group, as anyone does.
    other = (
        "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", f"--groups={SOCKET.stat().st_gid}",
        "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search", "--",
    )  # fmt: skip
    who = subprocess.check_output([*other, "id", "-u"], text=True).strip()

    run = _preview(stack, home / "checkout", env, *other)

    assert who == str(NOBODY)
    assert run.status == 0, run.output
    assert "The plan of changes" in run.output
