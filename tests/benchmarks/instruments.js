// A mouth for the page's microphone and an ear at its loudspeaker, each with the time of what passes, in milliseconds of the
// wall clock. Runs before the page's own scripts, and touches nothing of them: it stands in for the device behind
// getUserMedia, and listens beside the destination of the page's 24 kHz audio context.

const WORKLETS = `
  const BLOCK = 128;

  // Speaks what it is handed; between, a quiet room. Tells when the first sample after the lead-in and the last sample were
  // "recorded": a device hands over a buffer once its last sample is in, so of all blocks of the last second the one that came
  // soonest after its end sets the clock, and what a buffer waits counts as delay.
  class Mouth extends AudioWorkletProcessor {
    offsets = [];
    constructor() {
      super();
      this.port.onmessage = ({ data }) => Object.assign(this, data, { at: 0 });
    }
    process(_, [[out]]) {
      this.offsets.push(Date.now() - 1000 * (currentTime + BLOCK / sampleRate));
      if (this.offsets.length > sampleRate / BLOCK) this.offsets.shift();
      for (let i = 0; i < out.length; i++) out[i] = (Math.random() - 0.5) / 1000 + this.next(i);
      return true;
    }
    next(i) {
      if (!this.sound) return 0;
      if (this.at === this.lead) this.start = this.clock(i);
      const sample = this.sound[this.at++];
      if (this.at === this.sound.length) {
        this.port.postMessage({ start: this.start, end: this.clock(i + 1) });
        this.sound = null;
      }
      return sample;
    }
    clock(i) {
      return Math.min(...this.offsets) + 1000 * (currentTime + i / sampleRate);
    }
  }

  // Tells each change of the level of what is played: loud, low (ducked), silent. What lies between is on its way.
  class Ear extends AudioWorkletProcessor {
    level = "silent";
    process([[samples = []]]) {
      const peak = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
      const level = peak < FULL / 100 ? "silent" : peak > FULL * 0.8 ? "loud" : peak < FULL * 0.25 ? "low" : this.level;
      if (level !== this.level) this.port.postMessage({ level, at: currentTime, rendered: Date.now() });
      this.level = level;
      return true;
    }
  }
  registerProcessor("mouth", Mouth);
  registerProcessor("ear", Ear);
`;

const heard = []; // {level, rendered, audible}
let loudspeaker = null; // the page's context
let mouth = null;
let news = () => {};

const load = (context) =>
  context.audioWorklet.addModule(URL.createObjectURL(new Blob([WORKLETS.replaceAll("FULL", FULL)], { type: "text/javascript" })));
const connect = AudioNode.prototype.connect;

AudioNode.prototype.connect = function (to, ...more) {
  if (to === this.context.destination && this.context.sampleRate === 24000) listen(this);
  return connect.call(this, to, ...more);
};

async function listen(node) {
  const { context } = node;
  loudspeaker = context;
  await load(context);
  const ear = new AudioWorkletNode(context, "ear");
  ear.port.onmessage = ({ data: { level, at, rendered } }) => {
    const { contextTime, performanceTime } = context.getOutputTimestamp();
    heard.push({ level, rendered, audible: performance.timeOrigin + performanceTime + 1000 * (at - contextTime) });
    news();
  };
  connect.call(node, ear);
  connect.call(ear, context.destination);
}

navigator.mediaDevices.getUserMedia = async () => {
  const context = new AudioContext({ sampleRate: 48000 });
  await load(context);
  const out = context.createMediaStreamDestination();
  mouth = new AudioWorkletNode(context, "mouth", { numberOfInputs: 0, outputChannelCount: [1] });
  connect.call(mouth, out);
  return out.stream;
};

window.bench = {
  clips: [],
  /** Keep a clip (PCM16, 48 kHz, base64), of which the first `lead` samples are not yet speech; `say` knows it by its number. */
  keep(pcm, lead) {
    const bytes = Uint8Array.from(atob(pcm), (letter) => letter.charCodeAt(0));
    const sound = Float32Array.from(new Int16Array(bytes.buffer), (sample) => sample / 32768);
    return this.clips.push({ sound, lead }) - 1;
  },
  /** Say a clip: {start, end}, once it was said. */
  say(clip) {
    return new Promise((resolve) => {
      mouth.port.onmessage = ({ data }) => resolve(data);
      mouth.port.postMessage(this.clips[clip]);
    });
  },
  /** The first change to one of these levels since then; null when none comes in ten seconds. */
  async until(levels, since) {
    const giveUp = performance.now() + 10000;
    while (performance.now() < giveUp) {
      const found = heard.find(({ level, rendered }) => rendered >= since && levels.includes(level));
      if (found) return found;
      await new Promise((resolve) => {
        news = resolve;
        setTimeout(resolve, 500);
      });
    }
    return null;
  },
  /** Of the audio device: its buffer and what it takes beyond it, in milliseconds. */
  latencies: () => [1000 * loudspeaker.baseLatency, 1000 * loudspeaker.outputLatency],
};
