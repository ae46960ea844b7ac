"""
``python -m bench.weights STACK-FILE --below FOLDER MODEL…``: where a server's memory lies.

On the stack's host, of two NUMA nodes or more, servers of its image run one after another on the
second node, with the weights held in one way or the other. Before, the host's page cache is
emptied, and the model's files and the image's libraries are read on one node, or not at all. What
the server then has on which node is read from its own ``numa_maps``, after it has generated. It
empties the host's page cache: for a test host only.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

from bench.weights_host import WeightsHost, weights_host
from lifecycle.errors import LifecycleError
from lifecycle.pages import rounded
from lifecycle.reach import reach
from lifecycle.stack_file import read_stack_file

_WEIGHTS = "openvino_model.bin"
_MIB = 1 << 20
_KINDS = ("anonymous", "model", "libraries")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """
    What is varied.

    Attributes:
        model: the folder below the models.
        read_on: the node that model and libraries are read on before; None: they are not.
        weights: `server.weights`.
        bound: whether memory is bound to the server's node, beside the CPUs.
    """

    model: str
    read_on: int | None
    weights: str
    bound: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """
    What was found; memory in MiB by NUMA node.

    Attributes:
        case: of which.
        node: that the server ran on.
        memory_nodes: that the kernel let it take memory from.
        cache_before: page cache of the weights' file before the server started.
        cache_after: the same after it generated.
        memory: the server's, by kind: anonymous, model, libraries.
        local_share: of the anonymous memory.
        weights_share: of anonymous memory and mapped model files together.
        ready_s: from its start until the model was ready.
        token_s: for the first token.
    """

    case: Case
    node: int
    memory_nodes: str
    cache_before: Mapping[str, int]
    cache_after: Mapping[str, int]
    memory: Mapping[str, Mapping[str, int]]
    local_share: float
    weights_share: float
    ready_s: float
    token_s: float


def cases(models: Sequence[str], nodes: Sequence[int]) -> Iterator[Case]:
    """Vary all with files read before; with nothing read before only the weights."""
    for model in models:
        for read_on, weights, bound in product(nodes, ("shared", "private"), (True, False)):
            yield Case(model=model, read_on=read_on, weights=weights, bound=bound)
        for weights in ("shared", "private"):
            yield Case(model=model, read_on=None, weights=weights, bound=True)


def prepare(host: WeightsHost, case: Case, previous: Case | None) -> None:
    """Fill the page cache for *case*, unless it is as *previous* had it: servers leave it so."""
    if case.read_on is None:
        host.empty_cache()
    elif previous is None or (previous.model, previous.read_on) != (case.model, case.read_on):
        host.empty_cache()
        host.read_on(case.read_on, case.model)


def measure(host: WeightsHost, case: Case) -> Measured:
    """Measure one case on the second NUMA node of *host*."""
    node = sorted(host.cpus)[1]
    file = f"{case.model}/{_WEIGHTS}"
    before = host.cached(file)
    served = host.serve(case.model, case.weights, node, bound=case.bound)
    anonymous, model = served.pages.anonymous, served.pages.model
    both = (sum(anonymous.values()) + sum(model.values())) or 1
    return Measured(
        case=case,
        node=node,
        memory_nodes=" and ".join(served.memory_nodes),
        cache_before=_in_mib(before),
        cache_after=_in_mib(host.cached(file)),
        memory=served.pages.in_mib(),
        local_share=rounded(anonymous.get(node, 0) / sum(anonymous.values())),
        weights_share=rounded((anonymous.get(node, 0) + model.get(node, 0)) / both),
        ready_s=round(served.ready_s, 1),
        token_s=round(served.token_s, 2),
    )


def _in_mib(by_node: Mapping[int, int]) -> dict[str, int]:
    return {str(node): round(its / _MIB) for node, its in by_node.items()}


def render(measured: Sequence[Measured], sizes: Mapping[str, int], about: str) -> str:
    """
    Render the report as Markdown.

    Args:
        measured: every case.
        sizes: of each model's weights file, in MiB.
        about: the host, in a sentence.
    """
    lines = [
        "# Where the weights lie",
        "",
        "`make weights-report` writes this page, and what it measured as `weights.json` beside it.",
        about,
        "A server runs on the CPUs of the second NUMA node, its memory bound to that node or not.",
        "Before, the page cache is emptied, and all files of model and image are read once on the "
        "node named; `-`: they are not, and the server itself reads them first.",
        "Memory is in MiB on node 0 / node 1, after the first token, from `numa_maps`: "
        "`anonymous` with compiled weights and KV cache, `model` as mapped from the models' "
        "files, `libraries` as mapped from all others.",
        "`local share` is what `placement.min-local-share` requires: of anonymous memory; "
        "`with model` counts the mapped model files too.",
        "Times are from the start of the container until the model is ready; one run each.",
        "",
        *_summary(measured),
    ]
    for model, size in sizes.items():
        lines += ["", f"## {model}: {size} MiB of weights", "", *_table(measured, model)]
    return "\n".join([*lines, ""])


def _summary(measured: Sequence[Measured]) -> Iterator[str]:
    """Compare the settings by the worst of their cases."""
    yield (
        "| model | weights | least local share | least with model | most anonymous, MiB "
        "| most mapped, MiB |"
    )
    yield "|---|---|---|---|---|---|"
    for model, weights in dict.fromkeys((one.case.model, one.case.weights) for one in measured):
        its = [one for one in measured if (one.case.model, one.case.weights) == (model, weights)]
        most = {kind: max(sum(one.memory[kind].values()) for one in its) for kind in _KINDS}
        yield (
            f"| {model} | {weights} | {min(one.local_share for one in its):.3f} "
            f"| {min(one.weights_share for one in its):.3f} "
            f"| {most['anonymous']} | {most['model']} |"
        )


def _table(measured: Sequence[Measured], model: str) -> Iterator[str]:
    yield (
        "| read on | weights | bound | Mems_allowed | cache before | cache after | anonymous "
        "| model | libraries | local share | with model | ready, s | token, s |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|---|---|"
    for one in measured:
        case = one.case
        if case.model != model:
            continue
        by_kind = (_pair(one.memory[kind]) for kind in _KINDS)
        cells = (
            "-" if case.read_on is None else f"node {case.read_on}",
            case.weights,
            "yes" if case.bound else "no",
            one.memory_nodes,
            _pair(one.cache_before),
            _pair(one.cache_after),
            *by_kind,
            f"{one.local_share:.3f}",
            f"{one.weights_share:.3f}",
            f"{one.ready_s:.1f}",
            f"{one.token_s:.2f}",
        )
        yield f"| {' | '.join(cells)} |"


def _pair(by_node: Mapping[str, int]) -> str:
    return f"{by_node.get('0', 0)} / {by_node.get('1', 0)}"


def kept(raw: Path) -> list[Measured]:
    """Read what an earlier run measured; none where there is no such file."""
    if not raw.exists():
        return []
    rows = json.loads(raw.read_text())
    return [Measured(**{**row, "case": Case(**row["case"])}) for row in rows]


def main(argv: Sequence[str]) -> int:
    """Measure every case, then write the report and its raw numbers."""
    parser = argparse.ArgumentParser(prog="python -m bench.weights", description=__doc__)
    parser.add_argument("stack", type=Path, help="Pulumi.STACK.yaml of one test host")
    parser.add_argument("models", nargs="+", metavar="MODEL", help="a model's folder, below:")
    parser.add_argument("--below", required=True, help="folder of the host, such as /srv/models")
    parser.add_argument("--output", type=Path, required=True, help="the report to write")
    parser.add_argument("--resume", action="store_true", help="keep what is in its .json")
    arguments = parser.parse_args(argv)
    stack, raw = read_stack_file(arguments.stack), arguments.output.with_suffix(".json")
    (where,) = stack.hosts.values()
    try:
        client = reach(where, timeout_s=600).client
    except LifecycleError as error:
        print(f"{error}\n  The rig is started by `make rig`.", file=sys.stderr)
        return 1
    measured = kept(raw) if arguments.resume else []
    done = {one.case for one in measured}
    with weights_host(client, stack.settings.server.image, arguments.below) as host:
        previous = None
        for case in cases(arguments.models, sorted(host.cpus)[:2]):
            if case not in done:
                prepare(host, case, previous)
                previous = case
                measured.append(measure(host, case))
                raw.write_text(json.dumps([asdict(one) for one in measured], indent=1) + "\n")
                print(measured[-1], file=sys.stderr, flush=True)
        sizes = {
            model: round(host.size(f"{model}/{_WEIGHTS}") / _MIB) for model in arguments.models
        }
    info = client.info()
    about = (
        f"The host is `{info['OperatingSystem']}`, kernel {info['KernelVersion']}, "
        f"{info['NCPU']} CPUs, Docker {info['ServerVersion']}, cgroup v{info['CgroupVersion']}."
    )
    arguments.output.write_text(render(measured, sizes, about))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
