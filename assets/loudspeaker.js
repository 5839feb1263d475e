// The loudspeaker: speech in, samples played out. Knows replies by their number only.

const SPEECH_HZ = 24000;
const PREBUFFER_MS = 0; // how much to collect before a reply starts: 0 for a server nearby, 100 to 200 across a bad network
const DUCKED_GAIN = 0.2;
const METERED_SAMPLES = 512;
const HEADER_BYTES = 4;

/** `onPlayed({reply, samples, ended, at})` is called at the first sample, each 100 ms of speech, and at the end of each reply. */
export class Loudspeaker {
  constructor({ onPlayed }) {
    this.onPlayed = onPlayed;
    this.waiting = []; // what came before the browser let us make sound
    this.underruns = 0;
    this.stopped = 0; // the last reply that was stopped: what still comes of it is dropped
    this.received = { reply: 0, received: 0 }; // samples of the last reply that came
  }

  /** False where the browser offers no worklets: on pages without HTTPS. */
  static get possible() {
    return typeof AudioWorkletNode !== "undefined";
  }

  get isAwake() {
    return this.context?.state === "running";
  }

  /** The loudest of the last samples, 0 to 1, after ducking. */
  get peak() {
    if (!this.meter) return 0;
    const samples = new Float32Array(METERED_SAMPLES);
    this.meter.getFloatTimeDomainData(samples);
    return samples.reduce((peak, sample) => Math.max(peak, Math.abs(sample)), 0);
  }

  /** To be called at a gesture: browsers let a page sound only after one. */
  wake() {
    if (!Loudspeaker.possible || navigator.userActivation?.hasBeenActive === false) return;
    if (!this.context) this.open();
    this.context.resume();
  }

  async open() {
    this.context = new AudioContext({ sampleRate: SPEECH_HZ, latencyHint: "interactive" });
    await this.context.audioWorklet.addModule(new URL("playback-worklet.js", import.meta.url));
    const options = { numberOfInputs: 0, outputChannelCount: [1], processorOptions: { prebufferMs: PREBUFFER_MS } };
    this.node = new AudioWorkletNode(this.context, "playback", options);
    this.meter = new AnalyserNode(this.context, { fftSize: METERED_SAMPLES });
    this.node.port.onmessage = ({ data }) => this.hear(data);
    this.node.connect(this.meter).connect(this.context.destination);
    for (const message of this.waiting.splice(0)) this.node.port.postMessage(message);
  }

  hear(message) {
    if (message.type === "underrun") this.underruns += 1;
    else this.onPlayed(message);
  }

  /** `frame`: the number of the reply (uint32, little endian), then PCM16 at 24 kHz. */
  play(frame) {
    const reply = new DataView(frame).getUint32(0, true);
    if (reply <= this.stopped) return;
    const before = reply === this.received.reply ? this.received.received : 0;
    this.received = { reply, received: before + (frame.byteLength - HEADER_BYTES) / 2 };
    this.post({ type: "speech", reply, sound: frame }, [frame]);
  }

  /** All speech of this reply has come. */
  finish(reply) {
    if (reply <= this.stopped) return;
    if (Loudspeaker.possible) this.post({ type: "end", reply });
    else this.onPlayed({ reply, samples: 0, ended: true });
  }

  /** Silence at once; what the reply, or an earlier one, still had to say is dropped. */
  stop(reply) {
    this.stopped = Math.max(this.stopped, reply);
    if (this.node) return this.post({ type: "stop", reply });
    this.waiting = this.waiting.filter((message) => message.reply > reply);
    this.onPlayed({ reply, samples: 0, ended: true });
  }

  duck() {
    this.post({ type: "volume", gain: DUCKED_GAIN });
  }

  /** Silence at once, while the server is still to hear that it shall stop. */
  hush() {
    this.post({ type: "volume", gain: 0 });
  }

  restore() {
    this.post({ type: "volume", gain: 1 });
  }

  /** Another session, which counts its replies anew: nothing of the last one is to be heard any more. */
  recount() {
    if (this.received.reply > this.stopped) this.stop(this.received.reply);
    this.stopped = 0;
    this.received = { reply: 0, received: 0 };
    this.restore();
  }

  post(message, transfer = []) {
    if (this.node) this.node.port.postMessage(message, transfer);
    else this.waiting.push(message);
  }

  close() {
    if (this.node) this.node.port.onmessage = null;
    this.context?.close();
  }
}
