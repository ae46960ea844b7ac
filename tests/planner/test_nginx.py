import json
import re
from pathlib import Path

import pytest

from planner.nginx import render_nginx
from planner.settings import BalancerSettings

GOLDEN = Path(__file__).parents[1] / "data" / "nginx" / "default.conf"


def render(*, drain_timeout_s: int = 600, **settings: object) -> str:
    balancer = BalancerSettings.model_validate(
        {key.replace("_", "-"): value for key, value in settings.items()}
    )
    return render_nginx(balancer, drain_timeout_s=drain_timeout_s)


def changed_lines(before: str, after: str) -> list[str]:
    pairs = zip(before.splitlines(), after.splitlines(), strict=True)
    return [new.strip() for old, new in pairs if old != new]


def test_the_default_configuration_is_the_agreed_one() -> None:
    assert render() == GOLDEN.read_text()


def test_the_same_settings_give_the_same_bytes() -> None:
    first = BalancerSettings.model_validate({"port": 9, "read-timeout-s": 7})
    second = BalancerSettings.model_validate({"read-timeout-s": 7, "port": 9})

    assert render_nginx(first, drain_timeout_s=1) == render_nginx(second, drain_timeout_s=1)


@pytest.mark.parametrize(
    ("setting", "value", "lines"),
    [
        ("worker_processes", 7, ["worker_processes 7;"]),
        ("connect_timeout_s", 7, ["proxy_connect_timeout 7s;"]),
        ("read_timeout_s", 7, ["proxy_read_timeout 7s;"]),
        ("send_timeout_s", 7, ["proxy_send_timeout 7s;"]),
        (
            "keepalive_min_timeout_s",
            7,
            ["worker_shutdown_timeout 637s;", "keepalive_min_timeout 7s;"],
        ),
        ("retry_after_s", 7, ["add_header Retry-After 7 always;"]),
        ("drain_timeout_s", 700, ["worker_shutdown_timeout 733s;"]),
    ],
)
def test_a_setting_changes_its_own_directive_and_nothing_else(
    setting: str, value: int, lines: list[str]
) -> None:
    changes = {setting: value}

    assert changed_lines(render(), render(**changes)) == lines


def test_the_largest_body_is_a_directive_and_told_to_who_sends_more() -> None:
    lines = changed_lines(render(), render(max_body_mib=7))

    assert lines[0] == "client_max_body_size 7m;"
    assert "larger than 7 MiB" in lines[1]
    assert len(lines) == 2


@pytest.mark.parametrize(
    "setting",
    [{"image": "nginx:1.30.6"}, {"address": "0.0.0.0"}, {"port": 9000}, {"cpus": "0-1"}],  # noqa: S104
    ids=lambda setting: next(iter(setting)),
)
def test_what_concerns_the_container_alone_is_not_in_the_file(setting: dict[str, object]) -> None:
    """So that it needs no reload."""
    assert render(**setting) == render()  # type: ignore[arg-type]


def test_every_error_body_is_json_as_the_openai_api_has_it() -> None:
    bodies = re.findall(r"return (\d+) '(.*)';", render())

    errors = {int(status): json.loads(body) for status, body in bodies if "error" in body}
    assert set(errors) == {404, 413, 502, 503}
    for error in errors.values():
        assert set(error["error"]) == {"message", "type"}


def test_no_error_body_holds_what_nginx_would_end_the_text_at_or_fill_in() -> None:
    for body in re.findall(r"return \d+ '(.*)';", render()):
        assert "'" not in body
        assert "$" not in body.replace("$generation", "")


def test_every_log_line_is_one_json_object() -> None:
    """With `escape=json`, whatever a variable holds."""
    parts = re.search(r"log_format requests escape=json\n((?: *'.*'\n?)+);", render())
    assert parts is not None

    line = "".join(re.findall(r"'(.*)'", parts[1]))

    assert set(json.loads(re.sub(r"\$\w+", "1", line))) >= {"request", "status", "upstream"}


def test_the_members_are_included_and_no_server_of_the_plan_is_written() -> None:
    servers = re.findall(r"^\s+server (.+);$", render(), re.MULTILINE)

    assert servers == ["127.0.0.1:9 down"]
    assert "include members/*.conf;" in render()


def test_every_brace_is_closed() -> None:
    """The template doubles them; one that is not would be lost or left."""
    text = re.sub(r"'[^']*'", "", render())

    assert text.count("{") == text.count("}")
    assert "{{" not in text
