"""Chromium as a person's browser: where it is, how it is started, and a microphone that says what the test wants.

`Microphone` replaces the device behind `getUserMedia`, so that a test can speak when something has happened and not after a
guessed time; everything from the stream on is the page's own. Tests that want Chromium's own fake device name a file.
"""

from __future__ import annotations

import base64
import io
import shutil
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from playwright.sync_api import Page

from tests.conftest import missing

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
]


def executable() -> str:
    """Where Chromium is; without it the test is skipped, or fails where everything is required."""
    found = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")
    if found is None:
        missing("Chromium", "install Debian's chromium, or put one named chromium on the PATH")
    assert found is not None
    return found


def hearing(sound: Path) -> list[str]:
    """The flags of a Chromium whose microphone plays this WAV file once, from when it is opened."""
    return [*FLAGS, f"--use-file-for-fake-audio-capture={sound}%noloop"]


class Microphone:
    """A microphone in a page, silent until it is told to say something."""

    SCRIPT = """
      navigator.mediaDevices.getUserMedia = async () => {
        const context = new AudioContext({ sampleRate: 48000 });
        const out = context.createMediaStreamDestination();
        const hum = new ConstantSourceNode(context, { offset: 0 });
        hum.connect(out);
        hum.start();
        window.speakInto = async (wav) => {
          const bytes = Uint8Array.from(atob(wav), (letter) => letter.charCodeAt(0));
          const source = new AudioBufferSourceNode(context, { buffer: await context.decodeAudioData(bytes.buffer) });
          source.connect(out);
          source.start();
          await new Promise((resolve) => (source.onended = resolve));
        };
        return out.stream;
      };
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        page.add_init_script(self.SCRIPT)

    def say(self, samples: NDArray[np.int16], sample_rate_hz: int = 16_000) -> None:
        """Returns when it was said."""
        file = io.BytesIO()
        soundfile.write(file, samples, sample_rate_hz, format="WAV", subtype="PCM_16")
        self._page.evaluate("(wav) => window.speakInto(wav)", base64.b64encode(file.getvalue()).decode())
