// Plays the speech of replies without gaps, and counts what was really played.
//
// In:  {type: "speech", reply, sound}   sound: ArrayBuffer of 4 bytes to skip, then PCM16
//      {type: "end", reply}             all speech of this reply is here
//      {type: "stop", reply}            drop it and every earlier one
//      {type: "volume", gain}
// Out: {type: "played", reply, samples, ended, at}   at: the audio clock, in seconds
//      {type: "underrun"}               a reply ran dry before its end, and goes on now

const HEADER_BYTES = 4;
const REPORT_S = 0.1;
const RAMP_S = 0.01; // from silence to full: steep enough to be at once, not so steep that it clicks
const FADE_SAMPLES = 128; // 5 ms: a cut without a click

class Playback extends AudioWorkletProcessor {
  queue = []; // in order: {reply, samples, from}, and {reply} where a reply ends
  reply = null; // the one that is played, or was played last
  over = true; // it has ended, or was stopped
  played = 0;
  reported = 0;
  waiting = true; // for the first samples of a reply, or for more after it ran dry
  dry = false;
  gain = 1;
  gainWanted = 1;

  constructor({ processorOptions }) {
    super();
    this.prebuffer = (processorOptions.prebufferMs * sampleRate) / 1000;
    this.port.onmessage = ({ data }) => this[data.type](data);
  }

  speech({ reply, sound }) {
    this.queue.push({ reply, samples: new Int16Array(sound, HEADER_BYTES), from: 0 });
  }

  end({ reply }) {
    this.queue.push({ reply });
  }

  stop({ reply }) {
    const current = this.reply === reply;
    if (current && !this.over) this.fadeOut();
    this.queue = this.queue.filter((item) => item.reply > reply);
    if (this.reply <= reply) this.over = true;
    this.gain = this.gainWanted = 1;
    this.report(reply, current ? this.played : 0, true);
  }

  // What is still heard of a reply that is cut: the next few samples, fading.
  fadeOut() {
    const [head] = this.queue;
    if (!this.played || head?.reply !== this.reply || !head.samples) return;
    const tail = head.samples.subarray(head.from, head.from + FADE_SAMPLES);
    this.fade = Float32Array.from(tail, (sample, i) => (sample / 32768) * this.gain * (1 - i / FADE_SAMPLES));
  }

  volume({ gain }) {
    this.gainWanted = gain;
  }

  process(_inputs, [[out]]) {
    if (this.fade) {
      out.set(this.fade);
      this.fade = null;
    } else this.shape(out, this.fill(out));
    return true;
  }

  fill(out) {
    let filled = 0;
    while (filled < out.length && this.ready()) {
      const head = this.queue[0];
      const count = Math.min(out.length - filled, head.samples.length - head.from);
      for (let i = 0; i < count; i++) out[filled + i] = head.samples[head.from + i] / 32768;
      head.from += count;
      filled += count;
      this.played += count;
      if (head.from === head.samples.length) this.queue.shift();
    }
    if (filled) this.tell();
    return filled;
  }

  // Whether the queue begins with samples that may be played now.
  ready() {
    while (this.queue.length && !this.queue[0].samples) this.finish(this.queue.shift().reply);
    const [head] = this.queue;
    if (!head) return this.starve();
    if (head.reply !== this.reply) this.begin(head.reply);
    if (this.waiting && !this.enough()) return false;
    this.waiting = false;
    if (this.dry) this.port.postMessage({ type: "underrun" });
    this.dry = false;
    return true;
  }

  begin(reply) {
    Object.assign(this, { reply, over: false, played: 0, reported: 0, waiting: true, dry: false });
  }

  enough() {
    let samples = 0;
    for (const item of this.queue) {
      if (item.reply !== this.reply || !item.samples) return true;
      samples += item.samples.length - item.from;
      if (samples >= this.prebuffer) return true;
    }
    return false;
  }

  starve() {
    if (!this.over && !this.waiting) this.waiting = this.dry = true;
    return false;
  }

  finish(reply) {
    if (reply !== this.reply) this.begin(reply);
    this.over = true;
    this.report(reply, this.played, true);
  }

  tell() {
    if (this.over || (this.reported && this.played - this.reported < REPORT_S * sampleRate)) return;
    this.reported = this.played;
    this.report(this.reply, this.played, false);
  }

  report(reply, samples, ended) {
    this.port.postMessage({ type: "played", reply, samples, ended, at: currentTime });
  }

  shape(out, filled) {
    const step = 1 / (RAMP_S * sampleRate);
    for (let i = 0; i < filled; i++) {
      this.gain += Math.max(-step, Math.min(step, this.gainWanted - this.gain));
      out[i] *= this.gain;
    }
    if (!filled) this.gain = this.gainWanted;
  }
}

registerProcessor("playback", Playback);
