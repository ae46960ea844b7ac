from typing import Any

import pytest

from planner.errors import SettingsError
from planner.settings import parse_settings

MINIMAL: dict[str, Any] = {"hosts": {"box": {}}}
DIGEST = "sha256:" + "0123456789abcdef" * 4


def faults_of(data: Any) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as refused:
        parse_settings(data, "Pulumi.x.yaml")
    return refused.value.faults


def fault_at(path: str, value: object) -> str:
    """The one fault of settings in which only *path* (section.key) is written."""
    section, key = path.split(".", 1)
    (fault,) = faults_of({**MINIMAL, section: {key: value}})
    start = f"Pulumi.x.yaml: {path}"
    assert fault.startswith(start)
    return fault.removeprefix(start).removeprefix(": ")


def accepts(path: str, value: object) -> bool:
    section, key = path.split(".", 1)
    try:
        parse_settings({**MINIMAL, section: {key: value}}, "test")
    except SettingsError:
        return False
    return True


def test_a_host_s_name_is_all_that_must_be_written() -> None:
    settings = parse_settings({"hosts": {"box": None}}, "test")

    assert settings == parse_settings(MINIMAL, "test")
    assert settings.hosts["box"].docker == "unix:///var/run/docker.sock"
    assert settings.placement.instances_per_node == 1
    assert settings.server.max_concurrency == 256
    assert settings.models.names == ("smollm2-135m-instruct",)


def test_keys_are_written_with_hyphens_only() -> None:
    assert faults_of({**MINIMAL, "server": {"rest_port": 1}}) == (
        "Pulumi.x.yaml: server.rest_port: unknown key; did you mean rest-port",
    )


def test_settings_cannot_be_changed_once_read() -> None:
    settings = parse_settings(MINIMAL, "test")

    with pytest.raises(ValueError, match="frozen"):
        settings.server.rest_port = 1


def test_every_fault_of_every_section_is_told_at_once() -> None:
    data = {
        "hosts": {"Box": {"docker": "http://far:2375", "dokcer": "x"}},
        "placement": {"instances-per-node": 0, "quota": 1, "smt": "both", "reserved-cpus": 3},
        "server": {"rest-port": "8000", "flags": {"rest_port": 1, "x": None, 3: 1}},
        "models": {"directory": "/models"},
        "balancer": {"port": 70000, "max-body-mib": None},
        "rollout": [],
        "blancer": {},
    }

    assert faults_of(data) == (
        "Pulumi.x.yaml: hosts.Box: 'Box' cannot begin a container's name; write at most 20 "
        "lower-case letters, digits and hyphens, with a letter or digit at both ends",
        "Pulumi.x.yaml: hosts.Box.docker: 'http://far:2375' is a Docker engine on the network, "
        "where whoever reaches it is root; write ssh://USER@HOST, or unix:///var/run/docker.sock "
        "for this machine, or tcp://HOST:PORT with its certificates under tls",
        "Pulumi.x.yaml: hosts.Box.dokcer: unknown key; did you mean docker",
        "Pulumi.x.yaml: placement.instances-per-node: 0 is below 1, the least there is; "
        "write 1 or more",
        "Pulumi.x.yaml: placement.reserved-cpus: 3 is not text; a Linux list is; "
        "write it in quotes, such as '0-3,8'",
        "Pulumi.x.yaml: placement.smt: 'both' is none of the values there are; "
        "write 'one-per-core' or 'siblings'",
        "Pulumi.x.yaml: placement.quota: unknown key; the keys here are policy, unit, "
        "instances-per-node, cores-per-instance, cpu-sharing, exclude-nodes, reserved-cpus, "
        "reserved-cores, reserved-memory-mib, isolated-cpus, smt, cpu-binding, memory-binding, "
        "min-local-share",
        "Pulumi.x.yaml: server.rest-port: '8000' is text; "
        "it takes a whole number, without quotes; write that",
        "Pulumi.x.yaml: server.flags.rest_port: --rest_port is written by the program itself; "
        "change server.rest-port",
        "Pulumi.x.yaml: server.flags.x: None is no value of a flag; "
        "write text, a whole number, true or false",
        "Pulumi.x.yaml: server.flags[3]: 3 is a number; it takes text; write that",
        "Pulumi.x.yaml: models.names: is missing: models.directory is '/models', a path without "
        "model; write the names of the models that its config.json lists",
        "Pulumi.x.yaml: balancer.port: 70000 is above 65535, the most there is; "
        "write 65535 or less",
        "Pulumi.x.yaml: balancer.max-body-mib: is empty; it takes a whole number, without quotes; "
        "write that, or leave the key out if it has a default",
        "Pulumi.x.yaml: rollout: [] is a list; "
        "it takes keys with values, indented below it; write that",
        "Pulumi.x.yaml: blancer: unknown key; did you mean balancer",
    )


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        ({}, "hosts: is missing; there is no default for it; write it as Pulumi.dev.yaml shows"),
        (
            [],
            "(top): [] is a list; it takes keys with values, indented below it; write that",
        ),
        (
            {"hosts": {}},
            "hosts: names no host, and instances need one; write one, such as local: {}",
        ),
    ],
    ids=["nothing", "a list", "no host"],
)
def test_there_is_a_host(data: Any, fault: str) -> None:
    assert faults_of(data) == (f"Pulumi.x.yaml: {fault}",)


@pytest.mark.parametrize("name", ["", "-a", "a-", "a_b", "a.b", "A", "a" * 21, "ä"])
def test_a_host_s_name_can_begin_a_container_s_name(name: str) -> None:
    (fault,) = faults_of({"hosts": {name: {}}})

    assert f"{name!r} cannot begin a container's name" in fault


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("docker", "http://far:2375", "is a Docker engine on the network"),
        ("docker", "/var/run/docker.sock", "is not the URL of a Docker engine"),
        ("docker", "unix://run/docker.sock", "is not the URL of a Docker engine"),
        ("docker", "ssh://me@far\n", "is not a user and a host"),
        ("docker", "ssh://me@far:0", "has port 0, and ports are 1 to 65535"),
        ("topology", "box.json", "says not where the topology comes from"),
        ("topology", "hosts/../box.json", "says not where the topology comes from"),
        ("subnet", "172.30.80.0", "is not between a /16 and a /27"),
        ("subnet", "172.30.80.0/28", "is not between a /16 and a /27"),
        ("subnet", "10.0.0.0/8", "is not between a /16 and a /27"),
        ("subnet", "172.30.80.1/24", "has host bits set; write an IPv4 network such as"),
        ("subnet", 24, "24 is not text; write an IPv4 network such as"),
        ("subnet", "8.8.8.0/24", "is not a private network"),
    ],
)
def test_a_host_is_described_in_terms_that_can_be_used(key: str, value: object, words: str) -> None:
    (fault,) = faults_of({"hosts": {"box": {key: value}}})

    assert fault.startswith(f"Pulumi.x.yaml: hosts.box.{key}: ")
    assert words in fault


@pytest.mark.parametrize(
    "host",
    [
        {"topology": "hosts/box-1.json", "docker": "unix:///run/user/1000/docker.sock"},
        {"topology": "hosts/far.json", "docker": "ssh://Ops.Team-1@node-1.example:2222"},
        {"topology": "hosts/far.json", "docker": "ssh://me@10.0.0.5"},
        {"subnet": "10.1.0.0/16"},
        {"subnet": "192.168.7.32/27"},
    ],
)
def test_a_host_may_have_its_own_engine_topology_and_subnet(host: dict[str, str]) -> None:
    settings = parse_settings({"hosts": {"box": host}}, "test").hosts["box"]

    assert {key: str(getattr(settings, key)) for key in host} == host


@pytest.mark.parametrize(
    ("path", "own", "image"),
    [
        ("server.image", "devserver", "openvino/model_server:2026.3"),
        ("balancer.image", "nginx", f"nginx@{DIGEST}"),
        ("images.base", "local", f"registry.example:5000/a/b_c--d:1.0@{DIGEST}"),
    ],
)
def test_an_image_is_our_own_or_pinned(path: str, own: str, image: str) -> None:
    assert accepts(path, own)
    assert accepts(path, image)
    assert "has neither tag nor digest" in fault_at(path, "debian")
    for word in ("", "a b", "A:1", "a:", f"a@{DIGEST[:-1]}", "a@sha1:00", "-a:1", "a:1\n"):
        assert f"{word!r} is not an image reference" in fault_at(path, word)


@pytest.mark.parametrize(
    ("flag", "value", "words"),
    [
        ("--cache_dir", "/x", "is not the name of a flag"),
        ("Cache", "/x", "is not the name of a flag"),
        ("rest_workers", 2, "is written by the program itself; change server.max-concurrency"),
        ("metrics_enable", True, "is written by the program itself; leave it out"),
        ("cache_size", 2, "belongs to one model, and OVMS refuses it beside --config_path"),
        ("cache_dir", 1.5, "1.5 is no value of a flag"),
        ("cache_dir", ["/x"], "is no value of a flag"),
        ("cache_dir", "a\nb", "has a line break or a NUL"),
    ],
)
def test_a_flag_that_the_program_derives_or_the_server_refuses_is_refused(
    flag: str, value: object, words: str
) -> None:
    (fault,) = faults_of({**MINIMAL, "server": {"flags": {flag: value}}})

    assert fault.startswith(f"Pulumi.x.yaml: server.flags.{flag}: ")
    assert words in fault


def test_flags_keep_the_types_they_are_written_in() -> None:
    flags = {"cache_dir": "/c", "grpc_workers": 1, "verbose_response": True, "load-delay": 0}

    read = parse_settings({**MINIMAL, "server": {"flags": flags}}, "test").server.flags

    assert {name: (type(value), value) for name, value in read.items()} == {
        name: (type(value), value) for name, value in flags.items()
    }


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("server.user", "ovms", "is not UID:GID in numbers"),
        ("server.user", "0:0", "is root, which a model server need not be"),
        ("server.max-concurrency", 10000, "is above 9999"),
        ("server.log-level", "info", "write 'ERROR', 'WARNING', 'INFO', 'DEBUG' or 'TRACE'"),
        ("server.rest-port", True, "is true or false; it takes a whole number"),
        ("server.rest-port", 8000.0, "is a number with a fraction; it takes a whole number"),
        ("server.rest-port", {}, "is a mapping; it takes a whole number"),
        ("server.flags", None, "is empty; it takes keys with values"),
        ("models.directory", "models", "is not an absolute path without '..'"),
        ("models.directory", "/a/../b", "is not an absolute path without '..'"),
        ("models.names", [], "is an empty list; write one or more"),
        ("models.names", "a", "is text; it takes a list"),
        ("models.names", ["org/a"], "has a slash, which a URL cannot carry inside a name; write"),
        ("models.names", ["-a"], "is not a model name"),
        ("models.names", ["a", "b", "a"], "a is there twice; write each model once"),
        ("models.names", ["a"], "the prepared directory holds only smollm2-135m-instruct"),
        ("balancer.address", "localhost", "is not an IPv4 address"),
        ("balancer.address", 1, "is not an IPv4 address"),
        ("balancer.cpus", "0-6:2", "Docker takes no stride"),
        ("rollout.drain", "yes", "is text; it takes true or false, without quotes"),
        ("placement.exclude-nodes", [0, 1, 0], "NUMA nodes [0] are there twice"),
        ("placement.exclude-nodes", [-1], "is below 0"),
        ("placement.cores-per-instance", 0, "is below 1"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_the_remedy(
    path: str, value: object, words: str
) -> None:
    assert words in fault_at(path, value)


def test_a_directory_of_the_operator_s_serves_the_models_he_names() -> None:
    models = {"directory": "/srv/models", "names": ["a", "b.c_d-1"]}

    assert parse_settings({**MINIMAL, "models": models}, "test").models.names == ("a", "b.c_d-1")


def test_a_setting_of_null_takes_the_default_only_where_null_is_one() -> None:
    assert accepts("placement.cores-per-instance", None)
    assert not accepts("placement.instances-per-node", None)


def test_a_password_in_a_url_is_not_printed() -> None:
    host = {"docker": "ssh://me:s3cret@far", "topology": "hosts/far.json"}

    (fault,) = faults_of({"hosts": {"box": host}})

    assert "holds a password" in fault
    assert "s3cret" not in fault
