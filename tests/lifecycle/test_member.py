import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle import member

NAME = "box-node0-0"
OPEN = member.render_member("172.30.80.16", 8001, 2, is_open=True)
CLOSED = member.render_member("172.30.80.16", 8001, 2, is_open=False)
PATH, CORDON, MARK = f"members/{NAME}.conf", f"cordoned/{NAME}", f"unwell/{NAME}"
EDITED = OPEN.replace(b"weight=2", b"weight=9")


@pytest.mark.parametrize(
    ("is_open", "text"),
    [
        (
            True,
            "# written by ovms-numa, sha256 HASH; an edit is undone\n"
            "server 172.30.80.16:8001 weight=2 max_fails=0;\n",
        ),
        (
            False,
            "# written by ovms-numa, sha256 HASH; an edit is undone\n"
            "server 172.30.80.16:8001 weight=2 max_fails=0 down;\n",
        ),
    ],
    ids=["open", "closed"],
)
def test_a_member_is_one_sealed_server_line_that_no_request_can_eject(
    is_open: bool, text: str
) -> None:
    rendered = member.render_member("172.30.80.16", 8001, 2, is_open=is_open)

    seal = rendered.decode().split("sha256 ")[1].split(";")[0]
    assert rendered.decode() == text.replace("HASH", seal)
    assert member.is_open(rendered) == is_open


def test_every_instance_has_files_of_its_own() -> None:
    paths = (member.member_path(NAME), member.cordon_path(NAME), member.unwell_path(NAME))
    assert paths == (PATH, CORDON, MARK)


def test_a_member_names_the_models_that_the_watcher_asks_it_for() -> None:
    rendered = member.render_member("10.0.0.2", 8000, 1, is_open=True, models=("a", "b"))

    assert rendered.decode().splitlines()[1:] == [
        "# model a", "# model b", "server 10.0.0.2:8000 weight=1 max_fails=0;",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("files", "gets"),
    [
        ({PATH: OPEN}, True),
        ({PATH: CLOSED}, False),
        ({PATH: OPEN, MARK: b"hangs\n"}, False),
        ({}, False),
    ],
    ids=["open", "closed", "unwell", "gone"],
)
def test_requests_go_to_what_is_open_and_has_no_mark(files: dict[str, bytes], gets: bool) -> None:
    assert member.gets_requests(files, NAME) == gets


@given(st.text())
def test_what_was_sealed_is_intact(text: str) -> None:
    assert member.is_intact(member.sealed(text.encode(errors="replace").decode()))


@pytest.mark.parametrize(
    "content",
    [EDITED, OPEN + b"server 10.0.0.1;\n", OPEN.split(b"\n", 1)[1], b"", b"\xff\xfe"],
    ids=["changed", "added to", "seal removed", "emptied", "no text"],
)
def test_what_was_edited_by_hand_is_not(content: bytes) -> None:
    assert not member.is_intact(content)


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({PATH: OPEN}, None),
        ({PATH: CLOSED, CORDON: b""}, None),
        ({}, "is not in the balancer"),
        ({PATH: EDITED}, "had its member file in the balancer edited by hand"),
        ({PATH: CLOSED}, "is closed in the balancer, and no one cordoned it"),
        ({PATH: OPEN, MARK: b"is silent\n"}, "was closed by the watcher, as it is silent"),
        ({PATH: OPEN, "unwell/other": b"is silent\n"}, None),
        (
            {PATH: CLOSED, "cordoned/other": b""},
            "is closed in the balancer, and no one cordoned it",
        ),
    ],
    ids=[
        "open",
        "cordoned",
        "gone",
        "edited",
        "closed",
        "unwell",
        "other unwell",
        "other cordoned",
    ],
)
def test_what_is_wrong_with_a_member_is_said(files: dict[str, bytes], fault: str | None) -> None:
    assert member.member_fault(files, NAME) == fault


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({}, None),
        ({"nginx.conf": None}, "lost its configuration"),
        ({"watch.sh": None}, "lost its configuration"),
        ({"nginx.conf": b"events {}\n"}, "had its nginx.conf edited by hand"),
        ({"judge.awk": b"END {}\n"}, "had its judge.awk edited by hand"),
    ],
    ids=["as written", "gone", "without its watcher", "edited", "judging otherwise"],
)
def test_what_is_wrong_with_the_configuration_is_said(
    files: dict[str, bytes | None], fault: str | None
) -> None:
    written = {path: member.sealed("\n") for path in (member.NGINX_CONF, *member.SCRIPTS)}
    there = {path: content for path, content in {**written, **files}.items() if content is not None}

    assert member.configuration_fault(there) == fault
