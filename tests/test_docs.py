"""The documents say what is there: targets, links, paths, versions, settings."""

import re
from pathlib import Path

import pytest
import yaml

from engine import pins
from planner.__main__ import plan_text
from planner.errors import PlacementError
from planner.placement import plan
from planner.settings import Section, Settings, parse_settings
from planner.stack_file import SETTINGS_KEY
from planner.table import render_table
from planner.topology import HostTopology

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
README = (ROOT / "README.md").read_text()

each_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS]
)


def _code(text: str) -> str:
    """Return what *text* shows as code: fenced blocks and inline spans, a line each."""
    fenced = re.findall(r"^```[a-z]*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", _prose(text))
    return "\n".join([*fenced, *spans])


def _prose(text: str) -> str:
    """Return *text* without its fenced blocks."""
    return re.sub(r"^```[a-z]*\n.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def _section(text: str, heading: str) -> str:
    """Return what stands below ``## heading`` up to the next such heading."""
    return text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def test_the_documents_that_a_reader_expects_are_there() -> None:
    names = {str(path.relative_to(ROOT)) for path in DOCUMENTS}

    assert names >= {
        "AGENTS.md", "CHANGELOG.md", "CONTRIBUTING.md", "README.md", "docs/architecture.md",
    }  # fmt: skip
    assert "Apache License" in (ROOT / "LICENSE").read_text()


def test_every_make_target_that_a_document_names_is_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    # But for the message that a stack "did not make" a container.
    command = re.compile(r"(?:^|[$(\s])(?<!not )make (?:-s )?([a-z][a-z-]*)", re.MULTILINE)

    named = {
        (str(path.relative_to(ROOT)), target)
        for path in DOCUMENTS
        for target in command.findall(_code(path.read_text()))
    }

    assert {target for _, target in named} >= {"plan", "up", "down", "preview", "check", "test"}
    assert [one for one in sorted(named) if one[1] not in targets] == []


@each_document
def test_every_relative_link_leads_to_a_file(document: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", _prose(document.read_text()))
    relative = [link.partition("#")[0] for link in links if "://" not in link]

    assert [link for link in relative if link and not (document.parent / link).exists()] == []


def test_every_path_of_the_layout_exists() -> None:
    rows = re.findall(r"^\| `([^`]+)` \|", _section(README, "Layout"), re.MULTILINE)

    assert len(rows) >= 8
    assert [path for path in rows if not (ROOT / path).exists()] == []


def test_the_layout_names_every_folder_of_sources() -> None:
    rows = re.findall(r"^\| `([^`]+)/` \|", _section(README, "Layout"), re.MULTILINE)
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")}

    assert folders - set(rows) == set()


@each_document
def test_a_document_names_no_host_but_the_loopback(document: Path) -> None:
    """Where packages and images come from is the machine's own setting."""
    hosts = re.findall(r"\b(?:[a-z0-9-]+\.)+(?:com|dev|io|net|org)\b", document.read_text())

    # The Debian package that is Docker's engine.
    assert set(hosts) - {"docker.io"} == set()


def test_the_instructions_for_agents_are_short() -> None:
    assert len((ROOT / "AGENTS.md").read_text().splitlines()) <= 50


@each_document
def test_a_line_of_prose_is_one_sentence(document: Path) -> None:
    lines = _prose(document.read_text()).splitlines()
    plain = [re.sub(r"`[^`]*`", "code", line) for line in lines if not line.startswith(("|", "!"))]

    assert [line for line in plain if re.search(r"[a-z)][.?!] [A-Z]", line)] == []


def test_the_versions_of_the_readme_are_those_that_are_checked() -> None:
    makefile = (ROOT / "Makefile").read_text()
    python = re.search(r"sys\.version_info < \((\d+), (\d+)\)", makefile)
    deploy = _section(README, "Deploy")

    assert python is not None
    assert f"Python {python[1]}.{python[2]} or newer" in deploy
    assert f"Go {pins.dotted(pins.GO)} or newer" in deploy
    assert f"`pulumi` {pins.dotted(pins.PULUMI)} or newer" in deploy


@each_document
def test_every_setting_that_a_document_names_exists(document: Path) -> None:
    sections = {
        name: field.annotation
        for name, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
    }
    keys = {
        f"{section}.{field.alias or name}"
        for section, model in sections.items()
        for name, field in model.model_fields.items()
    }
    named = re.findall(
        rf"`((?:{'|'.join(sections)})\.[a-z-]+)(?::[^`\n]*)?`", _prose(document.read_text())
    )

    assert "placement.memory-binding" in keys
    assert [name for name in named if name not in keys] == []


def _dev_settings(**placement: int | str) -> Settings:
    settings = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())["config"][SETTINGS_KEY]
    settings["placement"] |= {key.replace("_", "-"): value for key, value in placement.items()}
    return parse_settings(settings, "Pulumi.dev.yaml")


@pytest.fixture
def machine() -> dict[str, HostTopology]:
    """The machine that Pulumi.dev.yaml describes."""
    node = {"id": 0, "cpus": "0-1", "memory_bytes": 2**34, "distances": [10]}
    document = {"nodes": [node], "cores": ["0", "1"], "packages": [0, 0], "online": "0-1"}
    return {"local": HostTopology.from_json(document, "the machine of this test")}


def test_the_readme_shows_the_plan_as_it_is_printed(machine: dict[str, HostTopology]) -> None:
    settings = _dev_settings()

    assert render_table(plan(settings, machine), settings) in README


def test_operations_shows_the_two_socket_plan_as_it_is_printed() -> None:
    table, _, _ = plan_text(ROOT / "Pulumi.dual-socket.yaml").partition("\n\n")

    assert f"\n{table}\n" in (ROOT / "docs/operations.md").read_text()


def test_the_layout_names_every_document() -> None:
    named = set(re.findall(r"\]\((docs/[^)]+)\)", _section(README, "Layout")))
    there = {str(path.relative_to(ROOT)) for path in ROOT.glob("docs/**/*.md")}

    assert there - named == set()


def test_the_readme_shows_a_refusal_as_it_is_printed(machine: dict[str, HostTopology]) -> None:
    with pytest.raises(PlacementError) as refusal:
        plan(_dev_settings(instances_per_node=3, cpu_sharing="refused"), machine)

    assert f"error: {refusal.value.faults[0]}\n" in README


def test_the_readme_shows_a_failure_as_it_is_printed() -> None:
    """The golden file is what a refused flag prints on the real engine, its log left out."""
    golden = ROOT / "tests/data/failed_activation/flag.txt"
    shown = {line.strip() for line in _section(README, "When something fails").splitlines()}

    assert set(golden.read_text().splitlines()) - {"(log)"} <= shown


def test_operations_shows_every_drift_in_the_words_that_are_tested() -> None:
    tests = (ROOT / "tests/engine/test_drift.py").read_text()
    words = tests.replace("{FIRST}", "local-node0-0").replace("{image}", "NAME")
    tested = set(re.findall(r'"(drift: [^"]+)"', words))
    operations = (ROOT / "docs/operations.md").read_text()

    shown = set(re.findall(r"`(drift: [^`]+)`", _section(operations, "Drift")))

    assert len(tested) >= 8
    assert tested - shown == set()
