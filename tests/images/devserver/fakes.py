"""
An engine without OpenVINO: a token is a byte, and a step gives each request its next one.

Run as ``python -m tests.images.devserver.fakes FLAGS`` it is the whole server process over models
of this kind: a model's folder says in ``fake.json`` how it loads.
"""

import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from images.devserver.devserver.errors import LoadError
from images.devserver.devserver.flags import Scheduling, parse_flags
from images.devserver.devserver.generation import Cancel, FinishReason, Load, Sampling, Step, Tokens
from images.devserver.devserver.server import run

ANSWER = "Grüße, 世界! "


@dataclass(eq=False)
class _Request:
    left: int
    sink: Callable[[Step], None]
    ignore_eos: bool
    made: int = 0
    cancelled: threading.Event = field(default_factory=threading.Event)


class FakeGenerator:
    """Answers every prompt with the same text, over and over where the end is ignored."""

    def __init__(
        self, answer: str = ANSWER, *, step_s: float = 0.002, fails_after: int = -1
    ) -> None:
        """
        Start the engine's thread.

        Args:
            answer: what it says, then it stops.
            step_s: seconds between steps.
            fails_after: the bytes after which a request gets an error; below 0 none does.
        """
        self.prompts: list[str] = []
        self.may_step = threading.Event()
        self.may_step.set()
        self._answer = answer.encode()
        self._step_s = step_s
        self._fails_after = fails_after
        self._active: list[_Request] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._peak = 0
        self._made = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    max_length = 100_000

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> Tokens:
        if messages[0]["role"] == "alien":
            raise ValueError("the chat template refused the messages: unknown role")
        return self.encode_text("".join(message["content"] for message in messages))

    def encode_text(self, text: str) -> Tokens:
        return tuple(text.encode())

    def decode(self, tokens: Sequence[int]) -> str:
        return bytes(tokens).decode(errors="replace")

    def start(self, prompt: Tokens, sampling: Sampling, sink: Callable[[Step], None]) -> Cancel:
        limit = sampling.max_new_tokens or self.max_length
        request = _Request(limit, sink, sampling.ignore_eos)
        with self._lock:
            self.prompts.append(bytes(prompt).decode())
            self._active.append(request)
            self._peak = max(self._peak, len(self._active))
        return request.cancelled.set

    def load(self) -> Load:
        return Load(running=len(self._active), peak=self._peak, tokens=self._made)

    def close(self) -> None:
        self._closing.set()
        self.may_step.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.wait(self._step_s):
            self.may_step.wait()
            with self._lock:
                self._active = [each for each in self._active if not self._advance(each)]

    def _advance(self, request: _Request) -> bool:
        if request.cancelled.is_set() or self._closing.is_set():
            return True
        if request.made == self._fails_after:
            request.sink(Step((), error="the KV cache cannot hold this request"))
            return True
        token = self._answer[request.made % len(self._answer)]
        request.made += 1
        self._made += 1
        finish: FinishReason | None = "length" if request.made == request.left else None
        if not request.ignore_eos and request.made == len(self._answer):
            finish = "stop"
        request.sink(Step((token,), finish))
        return finish is not None


def load_fake(folder: Path, _scheduling: Scheduling) -> FakeGenerator:
    """Load as ``fake.json`` in *folder* says: when a file is there, or not at all."""
    says = json.loads((folder / "fake.json").read_text())
    if "awaits" in says:
        (folder / "loading").touch()
        while not (folder / says["awaits"]).exists():
            time.sleep(0.01)
    if "error" in says:
        raise LoadError(says["error"])
    return FakeGenerator(step_s=0.01)


if __name__ == "__main__":
    logging.basicConfig(level="INFO", stream=sys.stdout)
    sys.exit(run(parse_flags(sys.argv[1:]), load_fake))
