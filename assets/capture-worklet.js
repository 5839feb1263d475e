// The microphone's samples in frames of 20 ms of PCM16, as the server takes them.

const FRAMES_PER_SECOND = 50;

class Capture extends AudioWorkletProcessor {
  frame = new Int16Array(sampleRate / FRAMES_PER_SECOND);
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
