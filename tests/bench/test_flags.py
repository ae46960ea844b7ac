"""The command line of OVMS's demo, and the faults of others."""

import argparse
import math
import shlex
from pathlib import Path

import pytest

from bench.flags import models_url_of, parse, url_of

DEMO = (
    "--host localhost --port 80 --endpoint /v3/chat/completions --backend openai-chat "
    "--model meta-llama/Meta-Llama-3-8B-Instruct "
    "--dataset-path ShareGPT_V3_unfiltered_cleaned_split.json --num-prompts 2000 "
    "--request-rate inf --save-result --seed 10"
)
"""As `demos/continuous_batching/scaling/README.md` of model_server had it in 2024."""


def flags(line: str) -> argparse.Namespace:
    return parse(shlex.split(line))


def test_the_demo_s_line_is_understood_as_it_is() -> None:
    demo = flags(DEMO)

    assert url_of(demo) == "http://localhost:80/v3/chat/completions"
    assert demo.backend == "openai-chat"
    assert demo.model == "meta-llama/Meta-Llama-3-8B-Instruct"
    assert demo.dataset_path == Path("ShareGPT_V3_unfiltered_cleaned_split.json")
    assert (demo.num_prompts, demo.request_rate, demo.seed) == (2000, math.inf, 10)
    assert demo.save_result


def test_so_is_the_line_of_vllm_s_own_documents() -> None:
    line = flags(
        "--backend openai-chat --base-url http://10.0.0.1:8000/ --endpoint /v3/chat/completions "
        "--model m --dataset-name random --random-input-len 256 --random-output-len 180 "
        "--num-prompts 1000 --request-rate 20 --max-concurrency 64 --ignore-eos "
        "--percentile-metrics ttft,tpot,itl,e2el --metric-percentiles 50,90,99.9 "
        "--save-result --result-dir results --result-filename one.json --disable-tqdm"
    )

    assert url_of(line) == "http://10.0.0.1:8000/v3/chat/completions"
    assert models_url_of(line) == "http://10.0.0.1:8000/v3/models"
    assert (line.random_input_len, line.random_output_len) == (256, 180)
    assert line.percentile_metrics == ("ttft", "tpot", "itl", "e2el")
    assert line.metric_percentiles == (50.0, 90.0, 99.9)
    assert (line.result_dir, line.result_filename) == (Path("results"), "one.json")


def test_without_flags_a_local_endpoint_is_asked_a_thousand_times_at_once() -> None:
    line = flags("")

    assert url_of(line) == "http://127.0.0.1:8000/v3/chat/completions"
    assert (line.request_rate, line.max_concurrency, line.timeout) == (math.inf, None, None)
    assert line.connections == "pooled"
    assert line.percentile_metrics == ("ttft", "tpot", "itl")


def test_an_address_of_version_six_is_put_in_brackets() -> None:
    assert url_of(flags("--host ::1")) == "http://[::1]:8000/v3/chat/completions"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--backend tgi", "invalid choice: 'tgi'"),
        ("--endpoint /v1/completions", "no path that ends with /chat/completions; OVMS has /v3"),
        ("--endpoint v3/chat/completions", "no path that ends with"),
        ("--base-url 10.0.0.1:80", "begins with neither http:// nor https://"),
        ("--num-prompts 0", "'0' is not a whole number of 1 or more"),
        ("--num-prompts 1.5", "'1.5' is not a whole number"),
        ("--request-rate 0", "'0' is not a number above 0"),
        ("--request-rate nan", "'nan' is not a number above 0"),
        ("--grace -1", "'-1' is not a number of 0 or more"),
        ("--metric-percentiles 50,101", "'101' is not a number from 0 to 100"),
        ("--percentile-metrics ttft,foo", "'foo' is none of ttft, tpot, itl, e2el"),
        ("--dataset-name random --dataset-path x", "leave out --dataset-path, or use sharegpt"),
        ("--dataset-path x --random-input-len 5", "are for --dataset-name random"),
        ("--tokenizer x", "unrecognized arguments: --tokenizer x"),
    ],
)
def test_a_wrong_flag_is_refused_with_what_is_right(
    capsys: pytest.CaptureFixture[str], line: str, said: str
) -> None:
    with pytest.raises(SystemExit) as end:
        flags(line)

    assert end.value.code == 2
    assert said in capsys.readouterr().err
