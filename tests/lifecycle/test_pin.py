"""Pinning against a registry of this test's own, on this machine."""

import hashlib
import json
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lifecycle import pin, registry
from planner.errors import SettingsError
from tests.lifecycle.registry_double import MANIFEST, NGINX, SERVER, TOKEN, Registry

STACK = """\
# A comment before.
config:
  ovms-numa:settings:
    hosts: {far: {}}
    balancer:
      image: 'nginx:1.30'   # quoted, behind it a comment
    server:
      # image: not/this:1
      image: openvino/model_server:2026.3
      flags: {image: nginx:1.30}
encryptionsalt: v1:abc
"""


@pytest.fixture
def double() -> Iterator[Registry]:
    started = Registry()
    yield started
    started.close()


@pytest.fixture
def stack_file(tmp_path: Path) -> Path:
    path = tmp_path / "Pulumi.x.yaml"
    path.write_text(STACK)
    return path


def refusal_of(stack_file: Path, url: str, capsys: pytest.CaptureFixture[str]) -> str:
    before = stack_file.read_text()

    status = pin.main([str(stack_file), "--registry", url])

    printed = capsys.readouterr()
    assert status == 1
    assert printed.out == ""
    assert stack_file.read_text() == before
    return printed.err


def test_the_two_images_get_their_digests_and_nothing_else_changes(
    double: Registry, stack_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = pin.main([str(stack_file), "--registry", double.url])

    assert status == 0
    assert stack_file.read_text() == STACK.replace("'nginx:1.30'", f"'nginx:1.30@{NGINX}'").replace(
        "image: openvino/model_server:2026.3", f"image: openvino/model_server:2026.3@{SERVER}"
    )
    assert capsys.readouterr().out == (
        "server.image: openvino/model_server:2026.3 is now "
        f"openvino/model_server:2026.3@{SERVER}\n"
        f"balancer.image: nginx:1.30 is now nginx:1.30@{NGINX}\n"
    )


def test_the_digest_asked_for_is_the_one_of_all_platforms(
    double: Registry, stack_file: Path
) -> None:
    pin.pin(stack_file, double.url)

    assert double.seen == [
        "HEAD /v2/openvino/model_server/manifests/2026.3",
        "HEAD /v2/library/nginx/manifests/1.30",
    ]
    for accepted in double.accepted:
        assert "application/vnd.oci.image.index.v1+json" in accepted
        assert "application/vnd.docker.distribution.manifest.list.v2+json" in accepted


@pytest.mark.parametrize("key", ["token", "access_token"])
def test_a_registry_that_wants_a_token_gets_the_one_it_gives(
    double: Registry, stack_file: Path, key: str
) -> None:
    double.wants_token = True
    double.token_body = json.dumps({key: TOKEN}).encode()

    pin.pin(stack_file, double.url)

    assert f"nginx:1.30@{NGINX}" in stack_file.read_text()
    assert double.seen[:3] == [
        "HEAD /v2/openvino/model_server/manifests/2026.3",
        "GET /token?service=the+registry&scope=repository%3Aopenvino%2Fmodel_server%3Apull",
        "HEAD /v2/openvino/model_server/manifests/2026.3",
    ]


def test_a_registry_that_does_not_say_the_digest_is_asked_for_the_manifest(
    double: Registry, stack_file: Path
) -> None:
    double.says_digest = False

    pin.pin(stack_file, double.url)

    assert f"nginx:1.30@sha256:{hashlib.sha256(MANIFEST).hexdigest()}" in stack_file.read_text()


def test_a_second_run_changes_nothing_and_asks_nobody(double: Registry, stack_file: Path) -> None:
    pin.pin(stack_file, double.url)
    pinned, asked = stack_file.read_text(), len(double.seen)

    lines = pin.pin(stack_file, double.url)

    assert stack_file.read_text() == pinned
    assert len(double.seen) == asked
    assert all(line.endswith("has no tag that a registry could resolve") for line in lines)


def test_an_image_may_name_its_registry(double: Registry, stack_file: Path) -> None:
    own = f"{double.address}/openvino/model_server:2026.3"
    stack_file.write_text(
        f"config: {{'ovms-numa:settings': {{hosts: {{a: }}, server: {{image: '{own}'}}}}}}\n"
    )

    lines = pin.pin(stack_file, "http://127.0.0.1:9")

    assert lines == [f"server.image: {own} is now {own}@{SERVER}"]
    assert f"'{own}@{SERVER}'" in stack_file.read_text()


def test_what_is_built_here_has_no_registry(stack_file: Path) -> None:
    stack_file.write_text(
        "config: {'ovms-numa:settings': "
        "{hosts: {a: }, server: {image: devserver}, balancer: {image: nginx}}}\n"
    )

    assert len(pin.pin(stack_file, "http://127.0.0.1:9")) == 2


def test_where_no_registry_answers_one_sentence_says_so(
    stack_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing listens on port 9 of this machine."""
    error = refusal_of(stack_file, "http://127.0.0.1:9", capsys)

    assert error == (
        "No registry answers at 127.0.0.1:9 ([Errno 111] Connection refused); the stack file is as "
        "it was. Run `make pin` where it can be reached, or write the digest by hand.\n"
    )


def test_nothing_is_written_when_only_one_of_two_images_is_known(
    double: Registry, stack_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del double.digests["library/nginx:1.30"]

    assert refusal_of(stack_file, double.url, capsys) == (
        f"{double.url} has no library/nginx:1.30. Write a tag that is there into the stack file.\n"
    )


@pytest.mark.parametrize(
    ("challenge", "token_body", "words"),
    [
        ('Basic realm="x"', b"", "only after a login (status 401)"),
        ('Bearer realm="file:///etc/passwd"', b"", "only after a login (status 401)"),
        (None, b"not JSON", "gives no token for openvino/model_server"),
        (None, b"{}", "gives no token for openvino/model_server"),
        (None, b'{"token": "another"}', "only after a login (status 401)"),
    ],
    ids=["a password", "a file", "no JSON", "no token", "the wrong token"],
)
def test_a_registry_that_lets_nobody_in_is_said_to(
    double: Registry,
    stack_file: Path,
    capsys: pytest.CaptureFixture[str],
    challenge: str | None,
    token_body: bytes,
    words: str,
) -> None:
    double.wants_token, double.challenge, double.token_body = True, challenge, token_body

    assert words in refusal_of(stack_file, double.url, capsys)


def test_a_registry_in_trouble_is_said_to_be(
    double: Registry, stack_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    double.status = 500

    assert "answers status 500" in refusal_of(stack_file, double.url, capsys)


def test_a_digest_that_is_none_is_not_written(
    double: Registry, stack_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    double.digests["openvino/model_server:2026.3"] = "sha256:abc\\n  evil: 1"

    assert "which is no sha256" in refusal_of(stack_file, double.url, capsys)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"Pulumi\.y\.yaml cannot be read: No such file"):
        pin.pin(tmp_path / "Pulumi.y.yaml")


def test_a_file_without_settings_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "Pulumi.y.yaml"
    path.write_text("config: {}\n")

    assert "has no settings under config" in refusal_of(path, "http://127.0.0.1:9", capsys)


def test_a_stack_file_with_faults_is_left_alone(
    stack_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stack_file.write_text(STACK.replace("model_server:2026.3", "model_server"))

    assert "has neither tag nor digest" in refusal_of(stack_file, "http://127.0.0.1:9", capsys)


def test_an_image_in_a_block_of_lines_is_left_alone(
    stack_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stack_file.write_text(STACK.replace("'nginx:1.30'   #", ">-\n        nginx:1.30\n      #"))

    assert "balancer.image is written as a block" in refusal_of(
        stack_file, "http://127.0.0.1:9", capsys
    )


@pytest.mark.parametrize(
    ("image", "where", "repository"),
    [
        ("nginx:1.30", None, "library/nginx"),
        ("openvino/model_server:2026.3", None, "openvino/model_server"),
        ("docker.io/library/nginx:1", None, "library/nginx"),
        ("docker.io/nginx:1", None, "library/nginx"),
        ("registry.example/a/b:1", "https://registry.example", "a/b"),
        ("registry.example:5000/b:1", "https://registry.example:5000", "b"),
        ("localhost/b:1", "http://localhost", "b"),
        ("localhost:5000/b:1", "http://localhost:5000", "b"),
    ],
)
def test_an_image_is_looked_for_where_docker_would(
    image: str, where: str | None, repository: str
) -> None:
    reference = registry.parse_reference(image)

    assert (reference.registry, reference.repository) == (where, repository)
    assert reference.tag == image.rpartition(":")[2]


def test_the_module_is_a_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["pin", str(tmp_path / "none.yaml")])

    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(pin.__file__), run_name="__main__")

    assert ended.value.code == 1
    assert "none.yaml cannot be read" in capsys.readouterr().err
