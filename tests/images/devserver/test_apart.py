"""Both sides of `apart` over a real pipe, with a batch of the tests' own."""

import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection, Pipe
from queue import SimpleQueue

import pytest

from images.devserver.devserver.apart import Apart, Steps, compute
from images.devserver.devserver.generation import Load, Sampling, Step, Tokens
from tests.images.devserver.conftest import wait_until

LONG = tuple(range(200_000))
"""More than a pipe holds."""


class HeldBatch:
    """Gives each request its prompt back, one token a step that the test lets it make."""

    def __init__(self) -> None:
        self.may_step = threading.Semaphore(0)
        self.entered = 0
        self._left: dict[int, list[int]] = {}
        self._peak = 0
        self._made = 0

    def add(self, number: int, prompt: Tokens, sampling: Sampling) -> None:
        if sampling.temperature == -1:
            raise ValueError("temperature -1 cannot be")
        self._left[number] = list(prompt)

    def cancel(self, number: int) -> None:
        self._left.pop(number, None)

    def step(self) -> Steps:
        if not self._left:
            return ()
        self.entered += 1
        self.may_step.acquire()
        self._peak = max(self._peak, len(self._left))
        self._made += len(self._left)
        steps = [
            (number, Step((left.pop(0),), None if left else "stop"))
            for number, left in self._left.items()
        ]
        self._left = {number: left for number, left in self._left.items() if left}
        return steps

    def load(self) -> Load:
        return Load(running=len(self._left), peak=self._peak, tokens=self._made)


class Pair:
    """Both sides; the one that computes is a thread here."""

    def __init__(self) -> None:
        ours, self.theirs = Pipe()
        self.batch = HeldBatch()
        self.ended = threading.Event()
        self.computing = threading.Thread(target=self._compute, args=(self.theirs,))
        self.computing.start()
        self.apart = Apart(ours, self.ended.set)
        self._ours = ours

    def _compute(self, channel: Connection) -> None:
        with channel:
            compute(channel, self.batch)

    def wait_until_in_step(self, number: int) -> None:
        """Wait until step *number* began, in which no message is read."""
        wait_until(lambda: self.batch.entered == number)

    def wait_until_sent(self) -> None:
        """Wait until a message lies in the pipe, while a step is computed."""
        wait_until(self.theirs.poll)

    def close(self) -> None:
        self.batch.may_step.release(1000)
        self.apart.close()
        self.computing.join()
        self._ours.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.close()


def test_a_request_gets_its_steps_in_order_and_the_last_one_says_so(pair: Pair) -> None:
    got: SimpleQueue[Step] = SimpleQueue()
    pair.batch.may_step.release(3)

    pair.apart.start((7, 8, 9), Sampling(), got.put)

    assert [got.get(timeout=20) for _ in range(3)] == [
        Step((7,)),
        Step((8,)),
        Step((9,), "stop"),
    ]
    wait_until(lambda: pair.apart.load() == Load(running=0, peak=1, tokens=3))


def test_two_requests_share_a_step_and_each_gets_its_own(pair: Pair) -> None:
    first: SimpleQueue[Step] = SimpleQueue()
    second: SimpleQueue[Step] = SimpleQueue()
    pair.apart.start((1, 2), Sampling(), first.put)
    pair.wait_until_in_step(1)
    pair.apart.start((3,), Sampling(), second.put)
    pair.wait_until_sent()

    pair.batch.may_step.release(2)

    assert [first.get(timeout=20).tokens for _ in range(2)] == [(1,), (2,)]
    assert second.get(timeout=20) == Step((3,), "stop")
    wait_until(lambda: pair.apart.load().peak == 2)


def test_what_the_engine_refuses_gets_an_error_and_the_others_go_on(pair: Pair) -> None:
    refused: SimpleQueue[Step] = SimpleQueue()
    other: SimpleQueue[Step] = SimpleQueue()
    pair.apart.start((1,), Sampling(temperature=-1), refused.put)
    pair.apart.start((2,), Sampling(), other.put)

    pair.batch.may_step.release(2)
    assert refused.get(timeout=20) == Step((), error="temperature -1 cannot be")
    assert other.get(timeout=20) == Step((2,), "stop")
    wait_until(lambda: pair.apart.load().running == 0)


def test_during_a_step_requests_are_handed_over_and_counted_without_a_wait(pair: Pair) -> None:
    pair.apart.start((1,), Sampling(), lambda _: None)
    pair.wait_until_in_step(1)

    cancels = [pair.apart.start(LONG, Sampling(), lambda _: None) for _ in range(3)]

    assert pair.apart.load().running == 4
    for cancel in cancels:
        cancel()
    pair.batch.may_step.release(len(LONG))
    wait_until(lambda: pair.apart.load().running == 0)


def test_a_cancelled_request_leaves_the_batch_and_gets_no_more(pair: Pair) -> None:
    got: SimpleQueue[Step] = SimpleQueue()
    cancel = pair.apart.start(LONG, Sampling(), got.put)
    pair.batch.may_step.release()
    assert got.get(timeout=20).tokens == (0,)
    pair.wait_until_in_step(2)

    cancel()
    cancel()
    pair.wait_until_sent()
    pair.batch.may_step.release()

    wait_until(lambda: pair.apart.load().running == 0)
    done: SimpleQueue[Step] = SimpleQueue()
    pair.batch.may_step.release()
    pair.apart.start((5,), Sampling(), done.put)
    assert done.get(timeout=20) == Step((5,), "stop")
    assert got.empty()


def test_a_close_ends_the_other_side_and_is_no_failure(pair: Pair) -> None:
    pair.apart.close()

    pair.computing.join(20)
    assert not pair.computing.is_alive()
    assert not pair.ended.is_set()


def test_the_end_of_the_other_side_is_noticed() -> None:
    ours, theirs = Pipe()
    ended = threading.Event()
    Apart(ours, ended.set)

    theirs.close()

    assert ended.wait(20)
    ours.close()


def test_the_end_of_the_serving_side_ends_the_other_one() -> None:
    ours, theirs = Pipe()
    computing = threading.Thread(target=compute, args=(theirs, HeldBatch()))
    computing.start()

    ours.close()
    computing.join(20)

    assert not computing.is_alive()
    theirs.close()
