"""One request of a measurement, and what it was measured on."""

import contextlib
import json
import os
import platform
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import docker

from bench.record import Record
from engine.pins import PULUMI, dotted

_IMAGES = Path(__file__).parents[2] / "images"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """
    One request; times in seconds from the beginning of what is measured, before it negative.

    Attributes:
        started: when it was sent.
        first: when its first token came; none came: None.
        ended: when nothing more came.
        end: how it ended, as `bench.record.End`.
        instance: the address that answered.
        error: what was seen, where it was lost.
    """

    started: float
    first: float | None
    ended: float
    end: str
    instance: str | None
    error: str

    @classmethod
    def of(cls, record: Record, began: float) -> "Request":
        """Tell *record* in time from *began*."""
        first = record.chunks[0] if record.chunks else None
        return cls(
            started=round(record.started - began, 3),
            first=None if first is None else round(first - began, 3),
            ended=round(record.ended - began, 3),
            end=record.end.value,
            instance=record.instance,
            error=record.error,
        )


def publish(report: str, raw: Sequence[Mapping[str, object]], output: Path | None) -> None:
    """Write *report* to *output*, and the *raw* numbers as JSON beside it; None: print it."""
    if output is None:
        sys.stdout.write(report)
        return
    output.write_text(report)
    output.with_suffix(".json").write_text(json.dumps(raw) + "\n")


def about() -> str:
    """Say on what it was measured, and with which versions."""
    with contextlib.closing(docker.from_env()) as client:
        engine = client.version()["Version"]
    wanted = (_IMAGES / "devserver/requirements.in").read_text().splitlines()
    genai = next(line for line in wanted if line.startswith("openvino-genai=="))
    nginx = tomllib.loads((_IMAGES / "nginx/recipe.toml").read_text())["at-least"]["nginx"]
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"Machine: {len(os.sched_getaffinity(0))} CPUs, Linux {platform.release()}, "
        f"Docker {engine}, Pulumi {dotted(PULUMI)}, Nginx {nginx}, {genai.replace('==', ' ')}, "
        f"Python {platform.python_version()}; load at the end {load} (1, 5, 15 minutes)."
    )
