"""Hearing: the talk with the worker process (a scripted one stands in), and the real recogniser."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import pytest_asyncio
import soundfile
from numpy.typing import NDArray

from backend.models.hearing import Heard, Hearing, HearingFailure

SCRIPTED = """
import json, os, sys
gate, count = sys.argv[1], 0
while header := sys.stdin.buffer.read(4):
    samples = len(sys.stdin.buffer.read(int.from_bytes(header, "little"))) // 2
    count += 1
    if samples == 13:
        sys.exit(1)
    if samples == 7:
        open(gate).read()
    print(json.dumps({"words": f"{samples} samples, clip {count}", "fit": -2.0}), flush=True)
"""
"""A worker that tells how many samples it got and how many clips. It waits at the gate with 7 samples and dies of 13."""


def clip(samples: int) -> NDArray[np.int16]:
    return np.ones(samples, dtype=np.int16)


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    path = tmp_path / "gate"
    os.mkfifo(path)
    return path


@pytest_asyncio.fixture
async def scripted(gate: Path) -> AsyncIterator[Hearing]:
    hearing = Hearing([sys.executable, "-c", SCRIPTED, str(gate)])
    yield hearing
    await hearing.aclose()


@pytest_asyncio.fixture
async def real() -> AsyncIterator[Hearing]:
    hearing = Hearing()
    yield hearing
    await hearing.aclose()


def worker() -> psutil.Process:
    (process,) = psutil.Process().children()
    return process


async def test_a_clip_is_heard_once(scripted: Hearing) -> None:
    assert await scripted.hear("a", clip(3)) == Heard("3 samples, clip 1", -2.0)
    assert (await scripted.hear("b", clip(4))).words == "4 samples, clip 2"
    assert (await scripted.hear("a", clip(3))).words == "3 samples, clip 1"
    assert scripted.recall("b") == Heard("4 samples, clip 2", -2.0)
    assert scripted.recall("c") is None


async def test_callers_wait_for_each_other(scripted: Hearing) -> None:
    heard = await asyncio.gather(*(scripted.hear(str(n), clip(n)) for n in (3, 4, 5)), scripted.hear("3", clip(3)))
    assert [one.words for one in heard] == ["3 samples, clip 1", "4 samples, clip 2", "5 samples, clip 3", "3 samples, clip 1"]


async def test_a_cancelled_clip_is_finished_and_remembered(scripted: Hearing, gate: Path) -> None:
    cancelled = asyncio.create_task(scripted.hear("slow", clip(7)))
    opened = await asyncio.to_thread(gate.open, "w")  # opens when the worker waits there
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    following = asyncio.create_task(scripted.hear("next", clip(3)))
    opened.close()
    assert (await following).words == "3 samples, clip 2"
    assert scripted.recall("slow") == Heard("7 samples, clip 1", -2.0)


async def test_a_clip_cancelled_while_it_waits_is_never_heard(scripted: Hearing, gate: Path) -> None:
    slow = asyncio.create_task(scripted.hear("slow", clip(7)))
    opened = await asyncio.to_thread(gate.open, "w")
    waiting = asyncio.create_task(scripted.hear("waiting", clip(3)))
    await asyncio.wait({waiting}, timeout=0)  # it has begun to wait
    waiting.cancel()
    opened.close()
    await slow
    assert (await scripted.hear("last", clip(4))).words == "4 samples, clip 2"
    assert scripted.recall("waiting") is None


async def test_a_worker_that_dies_fails_one_clip(scripted: Hearing) -> None:
    with pytest.raises(HearingFailure):
        await scripted.hear("bad", clip(13))
    assert (await scripted.hear("good", clip(3))).words == "3 samples, clip 1"


async def test_a_clip_larger_than_the_pipe_arrives_whole(scripted: Hearing) -> None:
    assert (await scripted.hear("long", clip(960_000))).words == "960000 samples, clip 1"


async def test_closing_ends_the_worker_in_mid_clip(scripted: Hearing, gate: Path) -> None:
    slow = asyncio.create_task(scripted.hear("slow", clip(7)))
    (await asyncio.to_thread(gate.open, "w")).flush()
    process = worker()
    await scripted.aclose()
    assert not process.is_running()
    with pytest.raises(HearingFailure):
        await slow


async def test_the_recogniser_outlives_an_interrupt_meant_for_the_app(real: Hearing) -> None:
    await real.warm()
    worker().send_signal(signal.SIGINT)
    assert not (await real.hear("silence", np.zeros(8_000, dtype=np.int16))).understood


def test_the_recogniser_dies_with_a_killed_parent() -> None:
    program = """
import asyncio, os, psutil, signal
from backend.models.hearing import Hearing
async def main():
    await Hearing().warm()
    print(psutil.Process().children()[0].pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    root = Path(__file__).parents[1]
    told = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=60, check=False)
    try:
        psutil.Process(int(told.stdout)).wait(timeout=30)
    except psutil.NoSuchProcess:
        return


async def test_noise_is_not_understood(real: Hearing) -> None:
    noise = np.random.default_rng(0).normal(0, 3000, 24_000).astype(np.int16)
    assert not (await real.hear("noise", noise)).understood


async def test_a_person_is_understood(real: Hearing, speech_dir: Path) -> None:
    samples, _ = soundfile.read(speech_dir / "pennies.wav", dtype="int16")
    heard = await real.hear("pennies", samples)
    assert heard.understood
    assert {"kate", "pennies", "john", "twenty", "three", "how", "many", "more"} <= set(heard.words.split())
