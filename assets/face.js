// What the voice widget looks like, and nothing of what it does: builds the elements, and shows what it is told.

import { h, icon } from "./dom.js";

// For each state its name and a word of help. What depends on more than the state is given to `show`.
const SAYINGS = {
  connecting: ["Connecting", ""],
  ready: ["Ready", "Start talking, or type a message."],
  listening: ["Listening", "Speak whenever you like."],
  hearing: ["Hearing you", "Take your time: a pause ends your turn."],
  thinking: ["Thinking", ""],
  speaking: ["Speaking", "Talk, or press Escape, to interrupt."],
  interrupted: ["Interrupted", "Go on whenever you like."],
  reconnecting: ["Reconnecting", "The connection was lost; trying again."],
  disconnected: ["Disconnected", ""],
  "no-microphone": ["No microphone", ""],
};

const button = (name, picture, properties = {}) =>
  h("button", { type: "button", "aria-label": name, title: name, ...properties }, icon(picture));

const pill = (name, picture, properties = {}) =>
  h("button", { type: "button", class: "pill", title: name, ...properties }, icon(picture), h("span", { class: "word" }, name));

const choice = (name, value) =>
  h("label", { class: "choice" }, h("input", { type: "radio", name: "mode", value }), h("span", {}, name));

/** The widget's elements by name; `root` holds them all. */
export function build() {
  const parts = {
    talk: button("Start talking", "microphone", { class: "talk" }),
    title: h("span", { class: "title" }),
    seconds: h("span", { class: "seconds", "aria-hidden": "true" }),
    help: h("span", { class: "help" }),
    meter: h("div", { class: "meter", role: "meter", "aria-label": "Microphone level", "aria-valuemin": 0, "aria-valuemax": 100 }),
    mute: pill("Mute", "mute", { "aria-pressed": "false", disabled: true }),
    stop: pill("Stop speaking", "silence", { class: "pill stop" }),
    hold: pill("Hold to talk", "microphone", { class: "hold", "aria-pressed": "false", hidden: true }),
    notice: h("div", { class: "notices" }),
    text: h("input", { type: "text", class: "text", "aria-label": "Message", placeholder: "Type a message", autocomplete: "off" }),
    send: button("Send", "send", { type: "submit", class: "send" }),
    handsFree: choice("Hands-free", "hands-free"),
    pushToTalk: choice("Push to talk", "push-to-talk"),
    device: h("select", { "aria-label": "Microphone", title: "Microphone" }, h("option", { value: "" }, "Default microphone")),
    aloud: h("div", { class: "unseen", role: "status" }),
    fresh: h("button", { type: "button", class: "plain" }, "New conversation"),
    remove: h("button", { type: "button", class: "plain" }, "Delete conversation"),
    keep: h("button", { type: "button", class: "pill" }, "Keep it"),
    reallyRemove: h("button", { type: "button", class: "pill danger" }, "Delete it for good"),
  };
  parts.form = h("form", { class: "say" }, parts.text, parts.send);
  parts.dialog = h(
    "dialog",
    { "aria-labelledby": "question" },
    h("p", { id: "question" }, "Delete this conversation?"),
    h("p", { class: "help" }, "Its turns, its recordings and the verdicts on it are removed. This cannot be undone."),
    h("div", { class: "row end" }, parts.keep, parts.reallyRemove),
  );
  parts.root = h(
    "section",
    { class: "voice", "aria-label": "Voice", "data-state": "connecting" },
    h(
      "div",
      { class: "stage" },
      parts.talk,
      h(
        "div",
        { class: "telling" },
        h("div", { class: "state" }, h("span", { role: "status", "aria-live": "polite" }, parts.title, parts.help), parts.seconds),
        parts.meter,
      ),
      h("div", { class: "row tools" }, parts.mute, parts.stop),
    ),
    parts.hold,
    parts.notice,
    parts.form,
    h(
      "div",
      { class: "row settings" },
      h("div", { class: "choices", role: "radiogroup", "aria-label": "How to talk" }, parts.handsFree, parts.pushToTalk),
      parts.device,
      h("div", { class: "row end" }, parts.fresh, parts.remove),
    ),
    parts.aloud,
    parts.dialog,
  );
  return parts;
}

/** `sentence` takes the place of the state's own word of help. */
export function showState(parts, state, sentence) {
  const [title, help] = SAYINGS[state];
  parts.root.dataset.state = state;
  // Only what changed is written: a screen reader speaks whatever is.
  if (parts.title.textContent !== title) parts.title.textContent = title;
  if (parts.help.textContent !== (sentence ?? help)) parts.help.textContent = sentence ?? help;
}

export function showSeconds(parts, seconds) {
  parts.seconds.textContent = seconds === null ? "" : `${seconds} s`;
}

/** `open`: the microphone is open; `muted`, `held` and `pushToTalk` as the person set them. */
export function showMicrophone(parts, { open, muted, held, pushToTalk }) {
  const name = open ? "Stop talking" : "Start talking";
  if (parts.talk.getAttribute("aria-label") !== name) {
    parts.talk.setAttribute("aria-label", name);
    parts.talk.title = name;
    parts.talk.replaceChildren(icon(open ? "stop" : "microphone"));
  }
  parts.root.classList.toggle("open", open && !muted);
  parts.mute.disabled = !open;
  parts.mute.setAttribute("aria-pressed", muted);
  parts.hold.hidden = !pushToTalk;
  parts.hold.setAttribute("aria-pressed", held);
  (pushToTalk ? parts.pushToTalk : parts.handsFree).firstChild.checked = true;
  if (!open || muted) showLevel(parts, 0);
}

/** `level`: 0 to 1. */
export function showLevel(parts, level) {
  parts.root.style.setProperty("--level", level.toFixed(2));
  parts.meter.setAttribute("aria-valuenow", Math.round(level * 100));
}

export function showDevices(parts, devices, chosen) {
  const options = devices.map(({ deviceId, label }, i) => h("option", { value: deviceId }, label || `Microphone ${i + 1}`));
  const listed = (id) => devices.some(({ deviceId }) => deviceId === id);
  if (!listed("default")) options.unshift(h("option", { value: "" }, "Default microphone"));
  parts.device.replaceChildren(...options);
  parts.device.value = listed(chosen) ? chosen : options[0].value;
}

/** For a screen reader alone. */
export function sayAloud(parts, text) {
  parts.aloud.textContent = text;
}

/** A sentence until the next one; `action` is {name, act} of a button beside it. An empty sentence clears. */
export function showNotice(parts, sentence, kind = "info", action = null) {
  if (!sentence) return parts.notice.replaceChildren();
  const notice = h(
    "div",
    { class: `notice ${kind}`, role: kind === "warning" ? "alert" : "status" },
    h("span", {}, sentence),
    action && h("button", { type: "button", class: "pill", onclick: action.act }, action.name),
    button("Dismiss", "close", { class: "dismiss", onclick: () => parts.notice.replaceChildren() }),
  );
  return parts.notice.replaceChildren(notice);
}
