"""Speech probabilities from Silero VAD's ONNX file.

One `Silero` serves all sessions: a single thread runs the model on whatever frames wait, one or many at a time (a batch gives
the same probabilities as single runs, and costs less), so inference never holds up the event loop that carries the sockets.
Each session has a `Stream`, which carries the model's state from frame to frame. Knows nothing of turns.

The `silero-vad` package is only the carrier of the file: importing it would need torch.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from dataclasses import dataclass, field
from importlib.metadata import distribution
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16_000
FRAME_SAMPLES = 512
"""What the model takes at a time at 16 kHz: 32 ms."""

_CONTEXT_SAMPLES = 64  # the model wants the end of the frame before in front of each frame
_STATE_SHAPE = (2, 1, 128)
_MOST_AT_ONCE = 64


class Listener(Protocol):
    """Speech probabilities of one stream of sound."""

    async def probability(self, frame: NDArray[np.int16]) -> float:
        """Of int16 samples, shape (512,), at 16 kHz: the probability that this frame holds speech, 0 to 1."""
        ...

    def reset(self) -> None:
        """Forget what was heard, as at the start of a stream."""
        ...


class Vad(Protocol):
    def listen(self) -> Listener:
        """A new stream."""
        ...


@dataclass(slots=True)
class _Waiting:
    frame: NDArray[np.float32]
    stream: Stream
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[float]


class Silero:
    """The model, loaded once, in a thread of its own. A frame whose caller was cancelled is still computed, and dropped."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # two made it slower
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(_model_file()), sess_options=options, providers=["CPUExecutionProvider"]
        )
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="vad", daemon=True)
        self._thread.start()

    def listen(self) -> Stream:
        return Stream(self._waiting)

    def close(self) -> None:
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch = [first]
            while len(batch) < _MOST_AT_ONCE and not self._waiting.empty():
                item = self._waiting.get()
                if item is None:
                    return
                batch.append(item)
            self._infer(batch)

    def _infer(self, batch: list[_Waiting]) -> None:
        probabilities, state = self._session.run(
            None,
            {
                "input": np.stack([np.concatenate((item.stream.context, item.frame)) for item in batch]),
                "state": np.concatenate([item.stream.state for item in batch], axis=1),
                "sr": np.array(SAMPLE_RATE_HZ, dtype=np.int64),
            },
        )
        for index, item in enumerate(batch):
            item.stream.state = state[:, index : index + 1]
            item.stream.context = item.frame[-_CONTEXT_SAMPLES:]
            if not item.loop.is_closed():
                item.loop.call_soon_threadsafe(_resolve, item.answer, float(probabilities[index, 0]))


@dataclass(slots=True)
class Stream:
    """The state of one stream of sound. Frames are given one after the other: the next only when the last was answered."""

    _queue: queue.SimpleQueue[_Waiting | None]
    state: NDArray[np.float32] = field(default_factory=lambda: np.zeros(_STATE_SHAPE, np.float32))
    context: NDArray[np.float32] = field(default_factory=lambda: np.zeros(_CONTEXT_SAMPLES, np.float32))

    async def probability(self, frame: NDArray[np.int16]) -> float:
        if frame.shape != (FRAME_SAMPLES,):
            raise ValueError(f"a frame has {FRAME_SAMPLES} samples, not {frame.shape}")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[float] = loop.create_future()
        self._queue.put(_Waiting(frame.astype(np.float32) / np.float32(32768), self, loop, answer))
        return await answer

    def reset(self) -> None:
        self.state = np.zeros(_STATE_SHAPE, np.float32)
        self.context = np.zeros(_CONTEXT_SAMPLES, np.float32)


def _resolve(answer: asyncio.Future[float], probability: float) -> None:
    if not answer.done():
        answer.set_result(probability)


def _model_file() -> Path:
    return Path(str(distribution("silero-vad").locate_file("silero_vad/data/silero_vad.onnx")))
