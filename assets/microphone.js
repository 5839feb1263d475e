// The microphone: permission, devices, and frames of 16 ms. Knows nothing of the socket or of who may be heard when.

const PREFERRED_HZ = 16000;
const ACCEPTED_HZ = [16000, 24000, 44100, 48000]; // what the server resamples
const QUIETEST_DB = -60;

// Echo is cancelled so that the partner does not hear itself. The other two alter the voice, and the model listens to the voice.
const CONSTRAINTS = { echoCancellation: true, noiseSuppression: false, autoGainControl: false, channelCount: 1 };

const PROBLEMS = {
  NotAllowedError: ["permission", "This page has no permission: allow the microphone in the browser's address bar, then start again."],
  NotFoundError: ["device", "No device was found: connect a microphone, then start again."],
  NotReadableError: ["in-use", "Another program may be using it, or the system does not let the browser have it."],
};

/** Why there is no microphone: `why` is a word for programs, the message a sentence for people. */
export class NoMicrophone extends Error {
  constructor(why, sentence) {
    super(sentence);
    this.why = why;
  }

  static from(error) {
    const [why, sentence] = PROBLEMS[error.name] ?? ["failure", `The browser says: ${error.message || error.name}.`];
    return new NoMicrophone(why, sentence);
  }
}

/** `onFrame(buffer, level)` gets PCM16 and its loudness (0 to 1, over 60 dB); `onLost(NoMicrophone)` says that it went away. */
export class Microphone {
  constructor({ onFrame, onLost }) {
    Object.assign(this, { onFrame, onLost });
    this.openings = 0;
  }

  get isOpen() {
    return Boolean(this.context);
  }

  get rateHz() {
    return this.context.sampleRate;
  }

  /** The device in use, as the browser names it. */
  get device() {
    return this.stream.getAudioTracks()[0].getSettings().deviceId ?? "";
  }

  /** Whether it is open now (not, when `close` or another `open` came in between). Throws NoMicrophone. */
  async open(device) {
    const opening = this.close();
    if (!window.isSecureContext || !navigator.mediaDevices)
      throw new NoMicrophone("https", "Browsers lend it only to pages that come by HTTPS, or from this computer.");
    const wanted = { ...CONSTRAINTS, ...(device && { deviceId: { ideal: device } }) };
    const stream = await navigator.mediaDevices.getUserMedia({ audio: wanted }).catch((error) => {
      throw NoMicrophone.from(error);
    });
    const context = await contextFor(stream);
    if (opening !== this.openings) {
      dismiss(stream, context);
      return false;
    }
    this.stream = stream;
    this.context = context;
    this.listen();
    return true;
  }

  listen() {
    const node = new AudioWorkletNode(this.context, "capture", { channelCount: 1, channelCountMode: "explicit" });
    node.port.onmessage = ({ data }) => this.onFrame(data, loudness(data));
    // The node says nothing; it is connected because some browsers run only what leads to a loudspeaker.
    this.context.createMediaStreamSource(this.stream).connect(node).connect(this.context.destination);
    this.node = node;
    this.stream.getAudioTracks()[0].onended = () => {
      this.close();
      this.onLost(new NoMicrophone("unplugged", "The microphone was disconnected, or taken away by the browser."));
    };
  }

  /** To be called at a gesture: browsers let a page listen and sound only after one. */
  wake() {
    this.context?.resume();
  }

  /** Calls off an opening under way, too. */
  close() {
    if (this.node) this.node.port.onmessage = null;
    if (this.context) dismiss(this.stream, this.context);
    this.node = this.stream = this.context = null;
    return ++this.openings;
  }
}

/** The microphones that the browser lists; their names are empty until it gave permission once. */
export async function microphones() {
  const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  return devices.filter(({ kind, deviceId }) => kind === "audioinput" && deviceId);
}

async function contextFor(stream) {
  let context = new AudioContext({ sampleRate: PREFERRED_HZ, latencyHint: "interactive" });
  try {
    context.createMediaStreamSource(stream).disconnect();
  } catch {
    // Firefox reads a stream only at the rate of its device. The server resamples.
    context.close();
    context = new AudioContext({ latencyHint: "interactive" });
  }
  try {
    if (!ACCEPTED_HZ.includes(context.sampleRate))
      throw new NoMicrophone("rate", `It runs at ${context.sampleRate} Hz, which is not supported: choose 48000 Hz in the system.`);
    await context.audioWorklet.addModule(new URL("capture-worklet.js", import.meta.url));
    context.resume();
  } catch (error) {
    dismiss(stream, context);
    throw error instanceof NoMicrophone ? error : NoMicrophone.from(error);
  }
  return context;
}

function dismiss(stream, context) {
  for (const track of stream.getTracks()) {
    track.onended = null;
    track.stop();
  }
  context.close();
}

function loudness(buffer) {
  const samples = new Int16Array(buffer);
  const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length / 32768 ** 2;
  return Math.max(0, 1 - (10 * Math.log10(power + 1e-12)) / QUIETEST_DB);
}
