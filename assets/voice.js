// The voice widget: one conversation's microphone, loudspeaker and line, and what a person does with them.
// How it looks is in face.js, the verdicts under replies are in panels.js. It holds no dialogue logic: the server says
// whose turn it is.

import { shadowOf } from "./dom.js";
import * as face from "./face.js";
import { Follower } from "./follow.js";
import { FINAL, Line } from "./line.js";
import { Loudspeaker } from "./loudspeaker.js";
import { annotator, keepConversation, lastConversation, recall, remember } from "./memory.js";
import { Microphone, microphones } from "./microphone.js";
import { Panels } from "./panels.js";

const GESTURES = ["mousedown", "touchend", "click", "keydown"]; // after one of these a page may sound
const TEXT_FIELDS = "input:not([type=radio], [type=checkbox], [type=range]), textarea, select, [contenteditable=true]";
const CONTROLS = "button, input, a, summary, audio, [role=button], [role=tab], [tabindex]";

const FAREWELLS = {
  [FINAL.badToken]: ["This page is too old to talk to the server.", "Reload the page", () => location.reload()],
  [FINAL.badOrigin]: ["The server does not take conversations from this address.", "Reload the page", () => location.reload()],
  [FINAL.takenOver]: ["This conversation was opened in another page.", "Use it here", (voice) => voice.line.connect()],
  [FINAL.badMessage]: ["The server ended the connection.", "Connect again", (voice) => voice.line.connect()],
};

let current = null;

/**
 * Put the widget into `element` (or the .colloquy-voice inside it), in place of an earlier one. `token` opens the line;
 * `onWelcome(conversation)` is called at each welcome, and `element` gets a "colloquy:welcome" event with the same id.
 * Returns the widget: `close()` ends it. `window.colloquy` shows what it measured.
 */
export function mount(element, { token, onWelcome = () => {} }) {
  current?.close();
  current = new Voice(element, token, onWelcome);
  return current;
}

class Voice {
  constructor(element, token, onWelcome) {
    Object.assign(this, { element, token, onWelcome });
    this.conversation = lastConversation();
    this.session = null; // the server's, of which the numbers of replies are
    this.told = "ready"; // the state that the server told
    this.problem = null; // why there is no microphone
    this.opening = this.muted = this.held = false;
    this.keyboardFocus = false; // whether the focus went where it is by the Tab key
    this.asleep = false; // a reply waits for a gesture
    this.pushToTalk = recall("push-to-talk") === "yes";
    this.parts = face.build();
    this.microphone = new Microphone({
      onFrame: (frame, level) => this.hear(frame, level),
      onLost: (problem) => this.miss(problem),
    });
    this.loudspeaker = new Loudspeaker({ onPlayed: (report) => this.report(report) });
    this.line = this.lineTo(new URL("../voice", import.meta.url));
    this.panels = new Panels({ send: (message) => this.line.send(message) });
    this.follower = new Follower({ onWhole: (text) => face.sayAloud(this.parts, text) });
    this.debug = this.observe();
    shadowOf(element.querySelector(".colloquy-voice") ?? element).replaceChildren(this.parts.root);
    this.listen();
    this.show();
    this.line.connect();
  }

  lineTo(url) {
    url.protocol = url.protocol.replace("http", "ws");
    return new Line(url, {
      hello: () => this.hello(),
      onMessage: (message) => this.obey(message),
      onSound: (frame) => this.loudspeaker.play(frame),
      onChange: (state, code, reason) => this.connected(state, code, reason),
    });
  }

  /** Who calls, and what of a reply is here already: a line that was lost goes on with what is missing. */
  hello() {
    const { token, conversation, session, loudspeaker } = this;
    return { type: "hello", token, conversation, session, annotator: annotator(), ...loudspeaker.received };
  }

  /** What tests and benchmarks read. Times: milliseconds of performance.now(), and `…Clock` seconds of the audio clock. */
  observe() {
    const voice = this;
    window.colloquy = {
      played: null,
      firstSoundAt: null,
      firstSoundClock: null,
      lastStopAt: null,
      duckedAt: null,
      droppedFrames: 0,
      get state() {
        return voice.state;
      },
      get underruns() {
        return voice.loudspeaker.underruns;
      },
      get peak() {
        return voice.loudspeaker.peak;
      },
      get microphoneRateHz() {
        return voice.microphone.isOpen ? voice.microphone.rateHz : null;
      },
    };
    return window.colloquy;
  }

  // --- what the server says ---

  obey(message) {
    const { type, ...body } = message;
    const orders = {
      welcome: () => this.welcome(body),
      state: () => this.follow(body.state, body.since_ms),
      reply: () => this.expect(body.reply),
      spoken: () => this.finish(body.reply, body.samples),
      stop: () => this.fallSilent(body.reply),
      duck: () => this.duck(),
      restore: () => this.loudspeaker.restore(),
      panel: () => this.panels.update(body.turn, body.panel),
      notice: () => face.showNotice(this.parts, body.text, body.kind),
      error: () => face.showNotice(this.parts, body.text, "warning"),
    };
    orders[type]?.(); // what a newer server may say beside this is not for us
  }

  welcome({ conversation, session, notice, reasons, panels }) {
    if (session !== this.session) this.loudspeaker.recount();
    Object.assign(this, { conversation, session });
    keepConversation(conversation);
    this.panels.welcome(reasons, panels);
    face.showNotice(this.parts, notice, "warning");
    if (this.microphone.isOpen) this.announce();
    this.onWelcome(conversation);
    this.element.dispatchEvent(new CustomEvent("colloquy:welcome", { detail: { conversation }, bubbles: true }));
  }

  follow(state, sinceMs) {
    this.told = state;
    clearInterval(this.clock);
    face.showSeconds(this.parts, null);
    if (state === "thinking") this.count(performance.now() - (sinceMs ?? 0));
    this.show();
  }

  count(startedAt) {
    const tick = () => face.showSeconds(this.parts, Math.floor((performance.now() - startedAt) / 1000));
    tick();
    this.clock = setInterval(tick, 250);
  }

  expect(reply) {
    this.follower.quieten();
    this.debug.firstSoundAt = this.debug.firstSoundClock = null;
    this.loudspeaker.restore();
    if (!Loudspeaker.possible) {
      this.line.send({ type: "unplayable", reply });
      this.warn("The reply is shown as text: browsers let a page speak only if it comes by HTTPS.");
    } else if (!this.loudspeaker.isAwake) this.tellAsleep();
  }

  finish(reply, samples) {
    this.loudspeaker.finish(reply);
    if (!samples) this.follower.readNewest();
  }

  tellAsleep() {
    this.loudspeaker.wake();
    this.asleep = navigator.userActivation?.hasBeenActive === false;
    if (this.asleep) face.showNotice(this.parts, "Click anywhere, or press a key: the browser waits for that before it speaks.");
  }

  fallSilent(reply) {
    this.debug.lastStopAt = performance.now();
    this.loudspeaker.stop(reply);
  }

  duck() {
    this.debug.duckedAt = performance.now();
    this.loudspeaker.duck();
  }

  connected(state, code, reason) {
    if (state === "closed") this.sayFarewell(code, reason);
    this.show();
  }

  sayFarewell(code, reason) {
    const [sentence, name, act] = FAREWELLS[code];
    this.loudspeaker.hush();
    this.closeMicrophone();
    const action = { name, act: () => act(this) };
    const why = code === FINAL.badMessage && reason ? ` It says: ${reason}` : "";
    face.showNotice(this.parts, sentence + why, "warning", action);
  }

  report({ reply, samples, ended, at }) {
    if (samples && this.debug.firstSoundAt === null) {
      this.debug.firstSoundAt = performance.now();
      this.debug.firstSoundClock = at;
    }
    this.debug.played = { reply, samples, ended };
    this.line.send({ type: "played", reply, samples, ended });
  }

  // --- the microphone ---

  get sending() {
    return this.microphone.isOpen && !this.muted && (!this.pushToTalk || this.held);
  }

  hear(frame, level) {
    if (!this.muted) face.showLevel(this.parts, level);
    if (!this.sending || !this.line.isUp) return;
    if (this.line.sendSound(frame, this.microphone.rateHz)) return;
    if (!this.debug.droppedFrames) this.warn("The connection is too slow for your voice: some of what you say is lost.");
    this.debug.droppedFrames += 1;
  }

  async openMicrophone() {
    this.problem = null;
    this.muted = false;
    this.opening = true;
    this.show();
    try {
      if (await this.microphone.open(recall("microphone"))) this.announce();
    } catch (problem) {
      this.problem = problem;
    }
    this.opening = false;
    this.listDevices();
    this.show();
  }

  closeMicrophone() {
    this.opening = false;
    this.change("stop", () => this.microphone.close());
  }

  miss(problem) {
    this.line.send({ type: "pause", why: "stop" });
    this.problem = problem;
    this.listDevices();
    this.show();
  }

  announce() {
    this.line.send({ type: "microphone", sample_rate_hz: this.microphone.rateHz, push_to_talk: this.pushToTalk });
  }

  /** Do something to the microphone, and tell the server when no more sound comes because of it. */
  change(why, act) {
    const before = this.sending;
    act();
    if (before && !this.sending) this.line.send({ type: "pause", why });
    this.show();
  }

  hold() {
    if (this.held) return;
    this.change("release", () => (this.held = true));
    if (!this.microphone.isOpen && !this.opening) this.openMicrophone();
  }

  release() {
    if (this.held) this.change("release", () => (this.held = false));
  }

  setMode(pushToTalk) {
    remember("push-to-talk", pushToTalk ? "yes" : "no");
    this.change("release", () => Object.assign(this, { pushToTalk, held: false }));
    if (this.microphone.isOpen) this.announce();
  }

  async listDevices() {
    const chosen = this.microphone.isOpen ? this.microphone.device : recall("microphone");
    face.showDevices(this.parts, await microphones(), chosen);
  }

  choose(device) {
    remember("microphone", device);
    if (this.microphone.isOpen) this.openMicrophone();
  }

  // --- what a person does ---

  listen() {
    const { parts } = this;
    this.listening = new AbortController();
    const { signal } = this.listening;
    const on = (target, type, act, options) => target.addEventListener(type, act, { signal, ...options });
    on(parts.talk, "click", () => (this.microphone.isOpen || this.opening ? this.closeMicrophone() : this.openMicrophone()));
    on(parts.mute, "click", () => this.change("mute", () => (this.muted = !this.muted)));
    on(parts.stop, "click", () => this.interrupt());
    on(parts.form, "submit", (event) => this.say(event));
    on(parts.handsFree, "change", () => this.setMode(false));
    on(parts.pushToTalk, "change", () => this.setMode(true));
    on(parts.device, "change", () => this.choose(parts.device.value));
    on(parts.fresh, "click", () => this.leave("new"));
    on(parts.remove, "click", () => parts.dialog.showModal());
    on(parts.keep, "click", () => parts.dialog.close());
    on(parts.reallyRemove, "click", () => this.leave("delete"));
    this.listenForHolding(on);
    for (const gesture of GESTURES) on(document, gesture, () => this.wake(), { capture: true });
    if (navigator.mediaDevices) on(navigator.mediaDevices, "devicechange", () => this.listDevices());
    on(document, "keydown", (event) => this.key(event), { capture: true });
  }

  listenForHolding(on) {
    const { hold } = this.parts;
    on(hold, "pointerdown", ({ button }) => button === 0 && this.hold());
    on(hold, "keydown", (event) => event.key === "Enter" && event.repeat && event.preventDefault());
    on(hold, "contextmenu", (event) => event.preventDefault()); // a long touch
    // A click without a pointer is Enter's, or a screen reader's, which cannot hold: it begins, and the next one ends.
    on(hold, "click", ({ detail }) => detail === 0 && (this.held ? this.release() : this.hold()));
    for (const end of ["pointerup", "pointercancel", "blur"]) on(window, end, () => this.release());
    on(document, "visibilitychange", () => document.hidden && this.release());
    on(document, "keyup", (event) => this.keyUp(event), { capture: true });
    on(document, "pointerdown", () => (this.keyboardFocus = false), { capture: true });
  }

  wake() {
    this.loudspeaker.wake();
    this.microphone.wake();
    if (this.asleep) face.showNotice(this.parts, "");
    this.asleep = false;
  }

  key(event) {
    if (event.key === "Tab") this.keyboardFocus = true;
    if (event.key === "Escape" && !event.isComposing && !this.parts.dialog.open) this.interrupt();
    if (event.key !== " " || !this.mayTalkBySpace(event)) return;
    event.preventDefault(); // neither scroll nor press the button that was clicked last
    if (!event.repeat) this.hold();
  }

  keyUp(event) {
    if (event.key !== " " || !this.held) return;
    event.preventDefault();
    this.release();
  }

  // Not while typing; and who goes from control to control by keyboard presses them by the space bar.
  mayTalkBySpace(event) {
    const [target] = event.composedPath();
    if (!this.pushToTalk || this.parts.dialog.open || event.ctrlKey || event.altKey || event.metaKey) return false;
    if (!(target instanceof Element) || target === this.parts.hold) return true;
    return !target.matches(TEXT_FIELDS) && !(this.keyboardFocus && target.matches(CONTROLS));
  }

  interrupt() {
    this.loudspeaker.hush();
    this.line.send({ type: "interrupt" });
  }

  say(event) {
    event.preventDefault();
    const text = this.parts.text.value.trim();
    if (!text) return;
    if (!this.line.send({ type: "say", text })) {
      this.warn("Not connected: your message is kept here until the line is up again.");
      return;
    }
    this.parts.text.value = "";
    this.follower.toEnd();
  }

  leave(type) {
    this.parts.dialog.close();
    this.loudspeaker.hush();
    if (!this.line.send({ type })) this.warn("Not connected: nothing was changed.");
  }

  warn(sentence) {
    face.showNotice(this.parts, sentence, "warning");
  }

  // --- what it shows ---

  get state() {
    const lines = { connecting: "connecting", lost: "reconnecting", closed: "disconnected" };
    if (this.line.state !== "open") return lines[this.line.state];
    if (this.told !== "ready") return this.told;
    if (this.problem) return "no-microphone";
    return this.sending ? "listening" : "ready";
  }

  get sentence() {
    const { state } = this;
    if (state === "no-microphone") return this.problem.message;
    if (state !== "ready") return undefined;
    if (this.opening) return "Opening the microphone: allow it if the browser asks.";
    if (this.muted) return "The microphone is muted.";
    return this.pushToTalk ? "Hold the button, or the space bar, to talk." : undefined;
  }

  show() {
    const { muted, held, pushToTalk } = this;
    face.showMicrophone(this.parts, { open: this.microphone.isOpen, muted, held, pushToTalk });
    face.showState(this.parts, this.state, this.sentence);
    this.parts.root.dataset.problem = this.problem?.why ?? "";
  }

  close() {
    this.listening.abort();
    clearInterval(this.clock);
    this.follower.close();
    this.line.close();
    this.microphone.close();
    this.loudspeaker.close();
    this.panels.close();
    if (current === this) current = null;
  }
}
