"""Every setting touches what docs/changes.md says, and no more."""

import io
import os
import tarfile
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
import yaml

from tests.engine.changes import (
    BASE,
    CHANGES,
    DOCUMENT,
    Change,
    Changing,
    changed,
    leaves,
    preview_of,
    render,
)
from tests.engine.changes_seen import effects, read_touches, resources
from tests.engine.killing import members
from tests.engine.load import clients, wait_until
from tests.engine.stack import Stack
from tests.engine.test_up import INSTANCES, MODEL

changes = pytest.mark.changes

WRITES = os.environ.get("OVMS_NUMA_WRITE_CHANGES") == "1"
"""Set by ``make changes``: the document is written, not compared."""

THIRD = "local-node0-2"
IMAGE = ("ovms-numa-changed/server", "changed")


def _each(changes: Iterable[Change]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("change", list(changes), ids=lambda change: change.setting)


def _documented() -> list[str]:
    return [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of its own: what is changed here stays changed until the end."""
    stack = Stack(name="changes", folder=tmp_path_factory.mktemp("changes"), settings=BASE)
    stack.clear()
    try:
        run = stack.up()
        assert run.status == 0, run.output
        yield stack
    finally:
        removed = stack.destroy()
        for image in stack.client.images.list(name=IMAGE[0]):
            stack.client.images.remove(image.tags[0])
        assert removed.status == 0, removed.output
        assert stack.remains() == []


@pytest.fixture(scope="module")
def changing(stack: Stack) -> Iterator[Changing]:
    """The stack as its settings are changed; all lines of the document are written at the end."""
    changing = Changing(stack=stack)
    yield changing
    if WRITES:
        DOCUMENT.write_text(render(changing.lines[setting] for setting in CHANGES))


@pytest.fixture(scope="module")
def elsewhere(changing: Changing, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """An image of another name and a directory of the host, with what the instances have now."""
    stack = changing.stack
    folder = tmp_path_factory.mktemp("models")
    container = stack.container(INSTANCES[0])
    chunks, _ = container.get_archive("/workspace")
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        archive.extractall(folder, filter="data")
    helper = stack.client.containers.create(container.attrs["Config"]["Image"])
    helper.commit(*IMAGE)
    helper.remove()
    changing.values = {
        "models.directory": str(folder / "workspace"),
        "server.image": ":".join(IMAGE),
    }
    return changing.values


def _changes_before(change: Change) -> int:
    """How many other changes are made before *change*; they stay made."""
    return 1 + _changes_before(CHANGES[change.after]) if change.after else 0


def _started(stack: Stack, names: Iterable[str]) -> list[str]:
    return [stack.container(name).attrs["State"]["StartedAt"] for name in names]


def _backwards(settings: Any) -> Any:
    """The same settings, with the keys of every section the other way round."""
    if not isinstance(settings, dict):
        return settings
    return {key: _backwards(value) for key, value in reversed(settings.items())}


def test_every_setting_is_in_the_table_once() -> None:
    assert list(CHANGES) == list(leaves())


def test_the_document_has_a_line_for_every_setting_and_nothing_else() -> None:
    lines = _documented()

    assert [line.split("`")[1] for line in lines] == list(CHANGES)
    assert DOCUMENT.read_text() == render(lines)


def _check_up(change: Change, changing: Changing) -> None:
    before = _started(changing.stack, INSTANCES)

    found = changing.bring_up(change)

    assert WRITES or f"| {resources(found)} |" in changing.lines.get(change.setting, _line(change))
    replaced = any(one.verb == "replace" and one.name in INSTANCES for one in found)
    assert (_started(changing.stack, INSTANCES) != before) == replaced


def _line(change: Change) -> str:
    return next(line for line in _documented() if line.startswith(f"| `{change.setting}` |"))


@changes
def test_the_order_of_keys_in_the_stack_file_is_no_difference(stack: Stack) -> None:
    """A stack file that an editor sorts is the same stack."""
    stack.configure({})
    file = stack.folder / "stack.yaml"
    ordered = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump(_backwards(ordered), sort_keys=False))

    stack.nothing_to_do()

    assert list(yaml.safe_load(file.read_text())) != list(ordered)


@changes
def test_one_instance_more_touches_no_other(stack: Stack) -> None:
    before = _started(stack, INSTANCES)
    stack.configure({"placement": {"instances-per-node": 3}})

    run = stack.up()

    assert run.status == 0, run.output
    made = {(one.verb, one.name) for one in effects(read_touches(stack))}
    assert made == {("create", THIRD), ("create", f"{THIRD}-activation")}
    assert _started(stack, INSTANCES) == before
    with clients(stack.outputs()["endpoint"], MODEL, count=3) as load:
        wait_until(lambda: len(load.answers) == 3)
    assert load.failures == []


@changes
def test_one_instance_less_is_drained_and_its_member_file_goes(stack: Stack) -> None:
    stack.configure({"placement": {"instances-per-node": 3}})
    assert stack.up().status == 0
    before = _started(stack, INSTANCES)

    with clients(stack.outputs()["endpoint"], MODEL, count=4) as load:
        wait_until(lambda: len(load.answers) == 3)
        stack.configure({})
        run = stack.up()
        load.answers.clear()
        wait_until(lambda: len(load.answers) == 2)

    assert run.status == 0, run.output
    assert load.failures == []
    assert run.names("delete")[:2] == [f"{THIRD}-activation", THIRD]
    gone = {(one.verb, one.name) for one in effects(read_touches(stack))}
    assert gone == {("delete", THIRD), ("delete", f"{THIRD}-activation")}
    assert _started(stack, INSTANCES) == before
    assert set(members(stack)) == set(INSTANCES)


@changes
def test_a_renamed_host_is_refused_before_anything_is_made(stack: Stack) -> None:
    """Its instances would need the addresses that the old ones have until the end."""
    preview_of(stack, changed(BASE, {"hosts.NAME": "other"}))
    run = stack.up()
    made = [name for name in stack.remains() if "other-node" in name]
    stack.configure({})

    assert made == []
    assert run.status != 0
    assert "other-node0-0 gets the address 172.30.114.16 of local-node0-0" in run.output
    stack.nothing_to_do()


@changes
@_each(change for change in CHANGES.values() if not change.after)
def test_preview_shows_what_the_document_says_of(change: Change, changing: Changing) -> None:
    line = changing.line(change)

    assert WRITES or line in _documented()


@changes
@pytest.mark.usefixtures("elsewhere")
@_each(change for change in CHANGES.values() if change.up and not change.after)
def test_up_touches_what_preview_showed_of(change: Change, changing: Changing) -> None:
    _check_up(change, changing)


@changes
@pytest.mark.usefixtures("elsewhere")
@_each(sorted((change for change in CHANGES.values() if change.after), key=_changes_before))
def test_preview_shows_and_up_touches_after_another_change(
    change: Change, changing: Changing
) -> None:
    line = changing.line(change)

    assert WRITES or line in _documented()
    if change.up:
        _check_up(change, changing)
