// The microphone's samples in frames of 16 ms of PCM16. At 16 kHz two of them are what the server's speech detector takes at a
// time, and each is two blocks of the audio clock, so that no sample waits for the rest of a frame that it does not need.

const FRAME_S = 0.016;

class Capture extends AudioWorkletProcessor {
  frame = new Int16Array(Math.round(sampleRate * FRAME_S));
  filled = 0;

  process([[samples = []]]) {
    for (const sample of samples) {
      this.frame[this.filled++] = Math.round(Math.max(-1, Math.min(1, sample)) * 32767);
      if (this.filled === this.frame.length) this.hand();
    }
    return true;
  }

  hand() {
    const full = this.frame;
    this.frame = new Int16Array(full.length);
    this.filled = 0;
    this.port.postMessage(full.buffer, [full.buffer]);
  }
}

registerProcessor("capture", Capture);
