"""``python -m bench``: the flags become a load, it is run, shown and kept."""

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path

from bench.client import first_model
from bench.dataset import DatasetError, Prompt, read_sharegpt, sample
from bench.flags import RANDOM_INPUT_LEN, RANDOM_OUTPUT_LEN, models_url_of, url_of
from bench.load import Connections, Load, LoadError
from bench.progress import Progress
from bench.report import as_json, file_name, render_remainder, render_table
from bench.results import Summary, summarise
from bench.run import Run, Stop, Watch, run
from bench.synthetic import demo_prompts, random_prompts

_PROMPTS = 1000
_NOT_RUN, _FAILED, _SIGNALLED = 2, 1, 128


def command(flags: argparse.Namespace) -> int:
    """
    Do what the *flags* ask for.

    Returns:
        0; 1 where requests failed; 2 where nothing was run or kept; 130 and 143 after Ctrl-C and
        SIGTERM.
    """
    try:
        return asyncio.run(_command(flags))
    except KeyboardInterrupt:
        return _SIGNALLED + signal.SIGINT
    except (DatasetError, LoadError) as error:
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:
        print(
            f"error: {error.filename} cannot be written: {error.strerror}. Name another "
            "--result-dir or --result-filename.",
            file=sys.stderr,
        )
    return _NOT_RUN


async def _command(flags: argparse.Namespace) -> int:
    if flags.save_result:
        flags.result_dir.mkdir(parents=True, exist_ok=True)
    prompts, dataset = _prompts(flags)
    load = _load(flags, prompts, flags.model or await first_model(models_url_of(flags)))
    print(f"{load.url}, model {load.model}, prompts: {dataset}", file=sys.stderr)
    outcome, signalled = await _watched(load, show=not flags.disable_tqdm)
    summary = summarise(outcome.records, outcome.duration_s, flags.metric_percentiles)
    print(render_table(summary, load, flags.percentile_metrics), end="")
    print(render_remainder(outcome, summary, load), end="", flush=True)
    if flags.save_result:
        _save(flags, outcome, summary, load, dataset)
    if signalled:
        return _SIGNALLED + signalled[0]
    return _FAILED if summary.failed else 0


def _prompts(flags: argparse.Namespace) -> tuple[tuple[Prompt, ...], str]:
    """Return the prompts, and where they are from in words."""
    count = flags.num_prompts or _PROMPTS
    if flags.dataset_path is not None:
        passing = read_sharegpt(flags.dataset_path)
        if flags.num_prompts is None and flags.duration is not None:
            count = len(passing)
        name = f"{len(passing)} conversations of {flags.dataset_path.name}"
        return sample(passing, count, flags.seed), name
    if flags.dataset_name == "random" or flags.random_input_len or flags.random_output_len:
        inputs = flags.random_input_len or RANDOM_INPUT_LEN
        outputs = flags.random_output_len or RANDOM_OUTPUT_LEN
        made = random_prompts(count, flags.seed, inputs=inputs, outputs=outputs)
        return made, f"made up, {inputs} words each, for {outputs} tokens each"
    made = demo_prompts(count, flags.seed)
    return made, "made up, with the mean lengths of ShareGPT in OVMS's demo"


def _load(flags: argparse.Namespace, prompts: tuple[Prompt, ...], model: str) -> Load:
    made_up = flags.dataset_path is None
    return Load(
        url=url_of(flags),
        model=model,
        prompts=prompts,
        repeat=flags.duration is not None and flags.num_prompts is None,
        request_rate=flags.request_rate,
        seed=flags.seed,
        max_concurrency=flags.max_concurrency,
        connections=Connections(flags.connections),
        timeout_s=flags.timeout,
        duration_s=flags.duration,
        grace_s=flags.grace,
        ignore_eos=made_up if flags.ignore_eos is None else flags.ignore_eos,
        temperature=flags.temperature,
    )


async def _watched(load: Load, *, show: bool) -> tuple[Run, list[int]]:
    """Run *load* with its progress shown, and return what came of it and the signals that came."""
    progress, stop = Progress(load.planned, sys.stderr), Stop()
    signalled: list[int] = []

    def end(number: int) -> None:
        (stop.waiting if signalled else stop.beginning).set()
        signalled.append(number)

    def stopping(in_flight: int) -> None:
        progress.note(
            f"no further request is begun; {in_flight} in flight have {load.grace_s:g} s to end "
            "(Ctrl-C cuts them)"
        )

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end, number)
    shown = asyncio.create_task(progress.show() if show else asyncio.sleep(0))
    try:
        watch = Watch(started=progress.started, ended=progress.ended, stopping=stopping)
        return await run(load, stop, watch), signalled
    finally:
        shown.cancel()
        await asyncio.gather(shown, return_exceptions=True)


def _save(
    flags: argparse.Namespace, outcome: Run, summary: Summary, load: Load, dataset: str
) -> None:
    path: Path = flags.result_dir / (flags.result_filename or file_name(outcome, load))
    kept = as_json(outcome, summary, load, flags.percentile_metrics, dataset)
    path.write_text(json.dumps(kept) + "\n")
    print(f"saved: {path}", file=sys.stderr)
