"""
The command line: the flags of vLLM's serving benchmark that have a meaning here, and our own.

Names and meanings: ``vllm/benchmarks/serve.py``. The defaults of backend and endpoint are OVMS's.
"""

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from bench.load import Connections
from bench.results import METRICS

_CHAT = "/chat/completions"
RANDOM_INPUT_LEN, RANDOM_OUTPUT_LEN = 1024, 128
"""Of ``--dataset-name random``, where they are not given."""

T = TypeVar("T")
N = TypeVar("N", int, float)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; ends the process with status 2 and a sentence where it is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Load an OpenAI-compatible server and measure it as vLLM's benchmark does.",
        allow_abbrev=False,
    )
    for add in (_add_target, _add_dataset, _add_traffic, _add_results):
        add(parser)
    flags = parser.parse_args(argv)
    if fault := _fault(flags):
        parser.error(fault)
    return flags


def url_of(flags: argparse.Namespace) -> str:
    """Return where chat completions are asked for."""
    host = f"[{flags.host}]" if ":" in flags.host else flags.host
    base = flags.base_url or f"http://{host}:{flags.port}"
    return f"{base.rstrip('/')}{flags.endpoint}"


def models_url_of(flags: argparse.Namespace) -> str:
    """Return where the same server lists its models."""
    return f"{url_of(flags).removesuffix(_CHAT)}/models"


def _fault(flags: argparse.Namespace) -> str:
    if not flags.endpoint.startswith("/") or not flags.endpoint.endswith(_CHAT):
        return (
            f"--endpoint {flags.endpoint}: is no path that ends with {_CHAT}; OVMS has /v3{_CHAT}"
        )
    if not url_of(flags).startswith(("http://", "https://")):
        return f"--base-url {flags.base_url}: begins with neither http:// nor https://"
    if flags.dataset_name == "random" and flags.dataset_path:
        return "--dataset-name random reads no file: leave out --dataset-path, or use sharegpt"
    lengths = flags.random_input_len or flags.random_output_len
    if lengths and (flags.dataset_path or flags.dataset_name == "sharegpt"):
        return "--random-input-len and --random-output-len are for --dataset-name random"
    return ""


def _add_target(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("server").add_argument
    add("--backend", choices=["openai-chat"], default="openai-chat", help="the API; always streams")
    add("--base-url", metavar="URL", help="instead of host and port, such as http://HOST:PORT")
    add("--host", default="127.0.0.1")
    add("--port", type=_whole, default=8000)
    add("--endpoint", metavar="PATH", default=f"/v3{_CHAT}", help="default %(default)s")
    add("--model", metavar="NAME", help="default: the first that the server lists")


def _add_dataset(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("prompts").add_argument
    add(
        "--dataset-name",
        choices=["sharegpt", "random"],
        help="sharegpt: the conversations of --dataset-path, or without it made-up prompts with "
        "the mean lengths of OVMS's demo; random: made-up prompts of one length "
        "(default: sharegpt, or random where a length is given)",
    )
    add("--dataset-path", type=Path, metavar="FILE", help="a JSON file in ShareGPT's format")
    add(
        "--num-prompts",
        type=_whole,
        help="default 1000; with --duration: as many as there is time for",
    )
    add("--random-input-len", type=_whole, help=f"words of a prompt, default {RANDOM_INPUT_LEN}")
    add(
        "--random-output-len", type=_whole, help=f"tokens of an answer, default {RANDOM_OUTPUT_LEN}"
    )
    add("--seed", type=int, default=0, help="of prompts and arrivals, default %(default)s")
    add(
        "--ignore-eos",
        action=argparse.BooleanOptionalAction,
        help="generate as many tokens as asked for (default: for made-up prompts)",
    )
    add("--temperature", type=_not_negative, default=0.0, help="default %(default)s: greedy")


def _add_traffic(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("traffic").add_argument
    add(
        "--request-rate",
        type=_positive,
        default=math.inf,
        help="requests in a second, a Poisson process; inf, the default: all at once",
    )
    add("--max-concurrency", type=_whole, help="the most requests in flight; default: no bound")
    add(
        "--connections",
        choices=[str(kind) for kind in Connections],
        default=str(Connections.POOLED),
        help="pooled, the default: kept and used again; new: one for each request",
    )
    add("--timeout", type=_positive, metavar="SECONDS", help="of a request; default: none")
    add("--duration", type=_positive, metavar="SECONDS", help="begin no request after that")
    add(
        "--grace",
        type=_not_negative,
        default=30.0,
        metavar="SECONDS",
        help="for requests in flight after --duration or Ctrl-C, default %(default)g",
    )


def _add_results(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("results").add_argument
    add(
        "--percentile-metrics",
        type=_list_of(_metric),
        default=("ttft", "tpot", "itl"),
        metavar="METRIC,…",
        help=f"of {', '.join(METRICS)}; default ttft,tpot,itl",
    )
    add(
        "--metric-percentiles",
        type=_list_of(_percent),
        default=(99.0,),
        metavar="NUMBER,…",
        help="0 to 100; default 99",
    )
    add("--save-result", action="store_true", help="write a JSON file")
    add("--result-dir", type=Path, default=Path(), metavar="FOLDER", help="default: this one")
    add("--result-filename", metavar="NAME", help="default: made of rate, model and date")
    add("--disable-tqdm", action="store_true", help="show no progress")


def _list_of(item: Callable[[str], T]) -> Callable[[str], tuple[T, ...]]:
    return lambda text: tuple(item(part.strip()) for part in text.split(","))


def _metric(text: str) -> str:
    if text not in METRICS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(METRICS)}")
    return text


def _whole(text: str) -> int:
    return _number(text, int, lambda value: value >= 1, "a whole number of 1 or more")


def _positive(text: str) -> float:
    return _number(text, float, lambda value: value > 0, "a number above 0")


def _not_negative(text: str) -> float:
    return _number(text, float, lambda value: value >= 0, "a number of 0 or more")


def _percent(text: str) -> float:
    return _number(text, float, lambda value: 0 <= value <= 100, "a number from 0 to 100")


def _number(text: str, kind: Callable[[str], N], fits: Callable[[N], bool], wanted: str) -> N:
    try:
        if fits(value := kind(text)):
            return value
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
