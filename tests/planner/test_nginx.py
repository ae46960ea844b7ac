import difflib
import json
import re
from pathlib import Path

import pytest

from planner.nginx import BOUNDED, render_nginx
from planner.nginx.refusals import PAGES
from planner.settings import BalancerSettings

GOLDEN = Path(__file__).parents[1] / "data" / "nginx"
ALL_OPTIONS = {"retry": "waiting", "max_requests": 48, "affinity": "session", "affinity_bound": 12}


def render(*, drain_timeout_s: int = 600, max_concurrency: int = 256, **settings: object) -> str:
    balancer = BalancerSettings.model_validate(
        {key.replace("_", "-"): value for key, value in settings.items()}
    )
    return render_nginx(balancer, drain_timeout_s=drain_timeout_s, max_concurrency=max_concurrency)


def changed_lines(before: str, after: str) -> list[str]:
    """What is in *after* and not in *before*, with a minus what is gone, without comments."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    changed = [line for line in lines if line[:3] not in ("---", "+++") and line[0] in "-+"]
    told = [("- " if line[0] == "-" else "") + line[1:].strip() for line in changed]
    return [line for line in told if line.removeprefix("- ") and not line.startswith("#")]


def added_lines(before: str, after: str) -> list[str]:
    return [line for line in changed_lines(before, after) if not line.startswith("- ")]


def upstreams(text: str) -> dict[str, list[str]]:
    """The directives of each upstream."""
    return {
        name: [line.strip() for line in body.splitlines() if line and "#" not in line]
        for name, body in re.findall(r"^    upstream (\w+) \{\n(.*?)^    \}", text, re.M | re.S)
    }


@pytest.mark.parametrize(
    ("name", "settings"),
    [("default", {}), ("all-options", ALL_OPTIONS)],
    ids=["default", "all options"],
)
def test_the_configuration_is_the_agreed_one(name: str, settings: dict[str, object]) -> None:
    assert render(**settings) == (GOLDEN / f"{name}.conf").read_text()  # type: ignore[arg-type]


def test_the_same_settings_give_the_same_bytes() -> None:
    first = BalancerSettings.model_validate({"port": 9, "read-timeout-s": 7})
    second = BalancerSettings.model_validate({"read-timeout-s": 7, "port": 9})

    texts = [
        render_nginx(settings, drain_timeout_s=1, max_concurrency=1) for settings in (first, second)
    ]

    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("setting", "value", "lines"),
    [
        ("worker_processes", 7, ["worker_processes 7;"]),
        ("connect_timeout_s", 7, ["proxy_connect_timeout 7s;"]),
        ("send_timeout_s", 7, ["proxy_send_timeout 7s;"]),
        (
            "keepalive_min_timeout_s",
            7,
            ["worker_shutdown_timeout 637s;", "keepalive_min_timeout 7s;"],
        ),
        ("retry_after_s", 7, ["429 7;", "503 7;"]),
        ("drain_timeout_s", 700, ["worker_shutdown_timeout 733s;"]),
    ],
)
def test_a_setting_changes_its_own_directive_and_nothing_else(
    setting: str, value: int, lines: list[str]
) -> None:
    changes = {setting: value}

    assert added_lines(render(), render(**changes)) == lines


@pytest.mark.parametrize(
    ("setting", "directive", "told"),
    [
        ("max_body_mib", "client_max_body_size 7m;", "larger than 7 MiB"),
        ("read_timeout_s", "proxy_read_timeout 7s;", "silent for 7 s"),
    ],
)
def test_a_bound_is_a_directive_and_told_to_who_meets_it(
    setting: str, directive: str, told: str
) -> None:
    body, line = added_lines(render(), render(**{setting: 7}))

    assert line == directive
    assert told in body


def test_what_waits_goes_on_when_its_server_dies_and_takes_no_more_than_two() -> None:
    """Without idle connections: one that fails would not count as a try."""
    changed = changed_lines(render(), render(retry="waiting"))

    assert changed == [
        "- keepalive 64;",
        "keepalive 0;",
        *["- proxy_next_upstream http_404 http_503 non_idempotent;"],
        "proxy_next_upstream error http_404 http_503 non_idempotent;",
        "proxy_next_upstream_tries 2;",
        "proxy_next_upstream_timeout 0;",
        *["- proxy_next_upstream http_404 http_503 non_idempotent;"],
        "proxy_next_upstream error http_404 http_503 non_idempotent;",
        "proxy_next_upstream_tries 2;",
        "proxy_next_upstream_timeout 0;",
        "- # The last one had it, and did not answer.",
        '- if ($upstream_bytes_sent ~ "[1-9][0-9]*$") {',
        'set $tries "$upstream_bytes_sent/$upstream_status";',
        'if ($upstream_bytes_sent ~ "[1-9].*[,:].*[1-9]") {',
        "return 502;",
        "}",
        'if ($tries ~ "[1-9][0-9]*/.*504$") {',
    ]


def test_completions_above_the_limit_are_refused_and_models_are_not_counted() -> None:
    changed = changed_lines(render(), render(max_requests=48))

    assert changed == [
        '429 \'{"error": {"message": "48 requests are in progress, the most at once", '
        '"type": "rate_limit_error"}}\';',
        "limit_conn_zone $workers_died zone=requests:64k;",
        "limit_conn requests 48;",
        "limit_conn_status 429;",
        "limit_conn_log_level info;",
    ]


def test_sessions_return_to_members_below_the_bound_and_overflow_to_all() -> None:
    before, after = render(), render(affinity="session", affinity_bound=12)

    assert upstreams(after) == {
        "model_servers": [
            "zone model_servers 256k;",
            "least_conn;",
            "server 127.0.0.1:9 down;",
            "include at-most-12/*.conf;",
            "sticky learn create=$http_x_session_id lookup=$http_x_session_id "
            "zone=sessions:4m timeout=1h header;",
            "keepalive 64;",
        ],
        "overflow": [
            "zone overflow 256k;",
            "least_conn;",
            "server 127.0.0.1:9 down;",
            "include serving/*.conf;",
            "keepalive 64;",
        ],
    }
    assert [line for line in added_lines(before, after) if "@" in line] == [
        "error_page 502 504 = @overflow;",
        "location @overflow {",
    ]


def test_affinity_has_the_bound_of_the_server_where_none_is_set() -> None:
    assert f"include {BOUNDED}64/*.conf;" in render(affinity="session", max_concurrency=64)


def test_without_affinity_its_header_and_bound_and_the_server_s_change_nothing() -> None:
    text = render(affinity_header="X-User", affinity_bound=3, max_concurrency=64)

    assert text == render()


def test_the_session_is_named_by_the_header_of_the_setting() -> None:
    text = render(affinity="session", affinity_header="X-Conversation-Id")

    assert "learn create=$http_x_conversation_id lookup=$http_x_conversation_id " in text


@pytest.mark.parametrize(
    "setting",
    [{"image": "nginx:1.30.6"}, {"address": "0.0.0.0"}, {"port": 9000}, {"cpus": "0-1"}],  # noqa: S104
    ids=lambda setting: next(iter(setting)),
)
def test_what_concerns_the_container_alone_is_not_in_the_file(setting: dict[str, object]) -> None:
    """So that it needs no reload."""
    assert render(**setting) == render()  # type: ignore[arg-type]


def bodies(text: str) -> dict[str, str]:
    (refusals,) = re.findall(r"map \$status \$refusal \{\n(.*?)\n    \}", text, re.S)
    return dict(re.findall(r"^ +(\w+) '(.*)';$", refusals, re.M))


def test_every_error_body_is_json_as_the_openai_api_has_it() -> None:
    errors = {status: json.loads(body) for status, body in bodies(render(max_requests=1)).items()}

    assert set(errors) - {"default"} >= {"400", "404", "405", "413", "429", "502", "503", "504"}
    for error in errors.values():
        assert set(error["error"]) == {"message", "type"}


def test_no_error_body_holds_what_nginx_would_end_the_text_at_or_fill_in() -> None:
    for body in bodies(render(max_requests=1)).values():
        assert "'" not in body
        assert "$" not in body


def test_no_place_answers_an_error_in_another_form() -> None:
    """Where a location has an `error_page`, it inherits none."""
    places = re.findall(r"^        location (\S+ ?\S*) \{\n(.*?)^        \}", render(), re.M | re.S)

    with_pages = {name: body for name, body in places if "error_page" in body}
    assert set(with_pages) >= {"@again"}
    for body in with_pages.values():
        assert f"error_page {PAGES} /refused;" in body


def test_every_log_line_is_one_json_object() -> None:
    """With `escape=json`, whatever a variable holds."""
    parts = re.search(r"log_format requests escape=json\n((?: *'.*'\n?)+);", render())
    assert parts is not None

    line = "".join(re.findall(r"'(.*)'", parts[1]))

    assert set(json.loads(re.sub(r"\$\w+", "1", line))) >= {"request", "status", "upstream"}


@pytest.mark.parametrize("settings", [{}, ALL_OPTIONS], ids=["default", "all options"])
def test_the_members_are_included_and_no_server_of_the_plan_is_written(
    settings: dict[str, object],
) -> None:
    text = render(**settings)  # type: ignore[arg-type]

    assert set(re.findall(r"^\s+server (.+);$", text, re.M)) == {"127.0.0.1:9 down"}
    assert "include serving/*.conf;" in text


@pytest.mark.parametrize("settings", [{}, ALL_OPTIONS], ids=["default", "all options"])
def test_every_brace_is_closed(settings: dict[str, object]) -> None:
    """The template doubles them; one that is not would be lost or left."""
    text = re.sub(r"'[^']*'", "", render(**settings))  # type: ignore[arg-type]

    assert text.count("{") == text.count("}")
    assert "{{" not in text
