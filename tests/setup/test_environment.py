"""The lines of `make env`."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from engine import environment
from engine.value import Engine


class Shell:
    """A shell that evaluates the lines of one project after another."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        self.user = folder / "user"
        self.project = folder / "project"
        for one in (self.user, self.project):
            one.mkdir()
        self.variables = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.user),
            "XDG_CACHE_HOME": str(folder / "cache"),
            **variables,
        }

    def engine(self, how: str) -> Engine:
        target = self.folder / "cache" / "ovms-numa" / "engine" / how
        (target / "plugins").mkdir(parents=True, exist_ok=True)
        plugins = None if how == "path" else target / "plugins"
        return Engine(how=how, version="3.259.0", bin=target / "bin", plugins=plugins)

    def evaluate(self, how: str = "build", project: Path | None = None) -> list[str]:
        lines = environment.lines(
            self.engine(how), project or self.project, self.variables, user=self.user
        )
        script = "\n".join((*lines, "env -0"))
        printed = subprocess.run(
            ["/bin/sh", "-c", script],
            env=self.variables,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        shown = dict(entry.split("=", 1) for entry in printed.split("\0") if entry)
        self.variables = {name: shown[name] for name in shown if name not in ("PWD", "_", "SHLVL")}
        return lines


def log_in(folder: Path, current: str = "https://api.example.org") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "credentials.json").write_text(json.dumps({"current": current}))


def test_a_fresh_shell_gets_the_engine_its_plugins_and_a_state_in_the_project(
    tmp_path: Path,
) -> None:
    shell = Shell(tmp_path)

    shell.evaluate()

    engine, state = shell.engine("build"), shell.project / ".state"
    assert shell.variables["PATH"] == f"{engine.bin}:/usr/bin:/bin"
    assert shell.variables["PULUMI_HOME"] == str(state / "home")
    assert (state / "home" / "plugins").readlink() == engine.plugins
    assert shell.variables["PULUMI_BACKEND_URL"] == f"file://{state}"
    assert shell.variables["PULUMI_CONFIG_PASSPHRASE"] == ""
    assert shell.variables["PULUMI_SKIP_UPDATE_CHECK"] == "true"
    assert shell.variables["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] == "true"
    assert not (shell.user / ".pulumi").exists()


@pytest.mark.parametrize("how", ["path", "download", "build"])
@pytest.mark.parametrize(
    "own",
    [
        {},
        {"PULUMI_HOME": "/own/home"},
        {"PULUMI_BACKEND_URL": "s3://own", "PULUMI_CONFIG_PASSPHRASE": "own"},
        {"PULUMI_CONFIG_PASSPHRASE_FILE": "/own/file"},
    ],
    ids=["fresh", "own home", "own backend", "own passphrase"],
)
def test_evaluating_the_lines_again_changes_nothing(
    tmp_path: Path, how: str, own: dict[str, str]
) -> None:
    shell = Shell(tmp_path, **own)

    first = shell.evaluate(how)
    variables = shell.variables
    second = shell.evaluate(how)

    assert shell.variables == variables
    assert [line for line in first if not line.startswith("unset")] == second


def test_a_backend_of_the_users_is_kept_and_asks_for_their_passphrase(tmp_path: Path) -> None:
    shell = Shell(tmp_path, PULUMI_BACKEND_URL="s3://bucket")

    shell.evaluate()

    assert shell.variables["PULUMI_BACKEND_URL"] == "s3://bucket"
    assert "PULUMI_CONFIG_PASSPHRASE" not in shell.variables


@pytest.mark.parametrize(
    ("name", "value"),
    [("PULUMI_CONFIG_PASSPHRASE", "secret"), ("PULUMI_CONFIG_PASSPHRASE_FILE", "/secret")],
)
def test_a_passphrase_of_the_users_is_kept(tmp_path: Path, name: str, value: str) -> None:
    shell = Shell(tmp_path, **{name: value})

    shell.evaluate()

    assert shell.variables[name] == value
    assert shell.variables.get("PULUMI_CONFIG_PASSPHRASE", value) == value


@pytest.mark.parametrize("place", ["user", "home", "credentials"])
def test_a_login_of_the_users_stays_in_sight_and_decides_the_backend(
    tmp_path: Path, place: str
) -> None:
    own = tmp_path / "own"
    variable = {"home": "PULUMI_HOME", "credentials": "PULUMI_CREDENTIALS_PATH"}.get(place)
    shell = Shell(tmp_path, **({variable: str(own)} if variable else {}))
    folder = own if variable else shell.user / ".pulumi"
    log_in(folder)

    shell.evaluate()

    assert shell.variables["PULUMI_CREDENTIALS_PATH"] == str(folder)
    assert "PULUMI_BACKEND_URL" not in shell.variables
    assert "PULUMI_CONFIG_PASSPHRASE" not in shell.variables


def test_a_passphrase_file_named_later_is_not_hidden_by_the_empty_passphrase(
    tmp_path: Path,
) -> None:
    shell = Shell(tmp_path)
    shell.evaluate()
    shell.variables |= {"PULUMI_CONFIG_PASSPHRASE_FILE": "/secret"}

    shell.evaluate()

    assert "PULUMI_CONFIG_PASSPHRASE_FILE" in shell.variables
    assert "PULUMI_CONFIG_PASSPHRASE" not in shell.variables


def test_a_login_made_in_such_a_shell_is_found_by_the_next(tmp_path: Path) -> None:
    """Without an earlier login the CLI keeps it in the private home."""
    shell = Shell(tmp_path)
    shell.evaluate()

    log_in(shell.project / ".state" / "home")
    shell.evaluate()

    assert "PULUMI_BACKEND_URL" not in shell.variables


@pytest.mark.parametrize("text", ["", "{}", "[]", "no json", '{"current": ""}'])
def test_a_credentials_file_without_a_login_is_none(tmp_path: Path, text: str) -> None:
    shell = Shell(tmp_path)
    (shell.user / ".pulumi").mkdir()
    (shell.user / ".pulumi" / "credentials.json").write_text(text)

    shell.evaluate()

    assert shell.variables["PULUMI_BACKEND_URL"] == f"file://{shell.project}/.state"


def test_another_clone_does_not_take_the_first_ones_state(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    shell.evaluate()

    shell.evaluate(project=other)

    assert shell.variables["PULUMI_BACKEND_URL"] == f"file://{other}/.state"
    assert shell.variables["PULUMI_HOME"] == f"{other}/.state/home"
    assert "PULUMI_CREDENTIALS_PATH" not in shell.variables


def test_another_engine_replaces_the_first_one(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.evaluate("build")

    shell.evaluate("download")

    engine = shell.engine("download")
    assert shell.variables["PATH"] == f"{engine.bin}:/usr/bin:/bin"
    assert "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION" not in shell.variables
    assert (Path(shell.variables["PULUMI_HOME"]) / "plugins").readlink() == engine.plugins


def test_the_users_own_engine_keeps_the_users_own_home(tmp_path: Path) -> None:
    shell = Shell(tmp_path, PULUMI_HOME="/own/home")

    shell.evaluate("path")

    assert shell.variables["PULUMI_HOME"] == "/own/home"
    assert shell.variables["PATH"] == "/usr/bin:/bin"
    assert "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION" not in shell.variables


def test_a_folder_with_a_quote_and_a_space_survives_the_shell(tmp_path: Path) -> None:
    folder = tmp_path / "it's here"
    folder.mkdir()
    shell = Shell(folder)

    shell.evaluate()

    assert shell.variables["PATH"].split(os.pathsep)[0] == str(shell.engine("build").bin)
