"""The process in which PocketSphinx hears: `hearing.py` starts this file as a script and talks to it over pipes.

In: the number of bytes (4, little-endian), then that many bytes of PCM16 at 16 kHz. Out: one line of JSON for each clip. An
empty clip is answered at once, when the model is loaded. Ends when its input ends, which it does however its parent dies (a
clip in progress is finished first). Imports nothing of the app, so that the process holds the recogniser and little else.
"""

import json
import math
import os
import signal
import sys

from pocketsphinx import Decoder

_SMALLEST = 5e-324  # the decoder gives likelihoods, not logarithms, and those of long words underflow


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal is for the app, which then closes our input
    # Bounding the search halves the worst case (noise, music) and changed no word of the recordings of people it was tried on.
    decoder = Decoder(samprate=16_000, maxhmmpf=5_000, maxwpf=10, cmn="batch", loglevel="FATAL")
    while header := sys.stdin.buffer.read(4):
        pcm = sys.stdin.buffer.read(int.from_bytes(header, "little"))
        try:
            os.write(sys.stdout.fileno(), json.dumps(decode(decoder, pcm)).encode() + b"\n")
        except BrokenPipeError:
            return


def decode(decoder: Decoder, pcm: bytes) -> dict[str, object]:
    """`words` in lower case; `fit`: the mean over their frames of the log-likelihood of the sound, 0 at best."""
    if not pcm:
        return {"words": "", "fit": 0.0}
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()
    segments = [segment for segment in decoder.seg() or () if segment.word[0] not in "<[+"]
    frames = sum(segment.end_frame - segment.start_frame + 1 for segment in segments)
    fit = sum(math.log(max(segment.ascore, _SMALLEST)) for segment in segments) / max(frames, 1)
    return {"words": " ".join(segment.word.partition("(")[0] for segment in segments), "fit": fit}


if __name__ == "__main__":
    main()
