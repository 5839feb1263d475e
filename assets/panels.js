// The panels under replies: verdicts, reasons, comments, other candidates, times.
//
// The server puts an empty <div class="colloquy-panel turn-ID"> under each reply, and Gradio may replace it at any moment.
// So everything that a panel shows is kept here, by the turn's id; a placeholder is filled when it appears, and again when
// what it shows has changed. Knows nothing of sound, and of the line only how to send.

import { h, icon, shadowOf } from "./dom.js";

const PANEL = "colloquy-panel";

export class Panels {
  constructor({ send }) {
    this.send = send;
    this.panels = new Map(); // turn -> what the server knows
    this.views = new Map(); // turn -> what only this page knows: {open, draft, question, said}
    this.reasons = { up: [], down: [] };
    this.focused = null; // {turn, key} of the control that a person is at
    this.observer = new MutationObserver((changes) => {
      for (const { addedNodes } of changes) for (const node of addedNodes) this.greet(node);
    });
    this.observer.observe(document.body, { childList: true, subtree: true });
    this.forget = ({ target }) => (this.focused = target.closest?.(`.${PANEL}`) ? this.focused : null);
    document.addEventListener("focusin", this.forget);
    document.addEventListener("pointerdown", this.forget);
  }

  welcome(reasons, panels) {
    this.reasons = reasons;
    this.panels = new Map(Object.entries(panels));
    this.greet(document.body);
  }

  /** `panel`: null when it is gone. */
  update(turn, panel) {
    if (panel) this.panels.set(turn, panel);
    else this.panels.delete(turn);
    const view = this.view(turn);
    if (view.said === "Saving…") view.said = "Saved";
    this.redraw(turn);
  }

  close() {
    this.observer.disconnect();
    document.removeEventListener("focusin", this.forget);
    document.removeEventListener("pointerdown", this.forget);
  }

  view(turn) {
    if (!this.views.has(turn)) this.views.set(turn, { open: false, draft: null, question: null, said: "" });
    return this.views.get(turn);
  }

  // --- filling placeholders ---

  greet(node) {
    if (!(node instanceof Element)) return;
    if (node.classList.contains(PANEL)) this.fill(node);
    for (const placeholder of node.getElementsByClassName(PANEL)) this.fill(placeholder);
  }

  redraw(turn) {
    for (const placeholder of document.getElementsByClassName(`turn-${turn}`)) this.fill(placeholder);
  }

  fill(placeholder) {
    const turn = [...placeholder.classList].find((name) => name.startsWith("turn-"))?.slice("turn-".length);
    const panel = this.panels.get(turn);
    const shadow = shadowOf(placeholder);
    this.drawing = true; // a field that is taken away mid-word reports a change, which nobody made
    shadow.replaceChildren(...(panel ? [this.draw(panel)] : []));
    this.drawing = false;
    if (panel) this.refocus(shadow, panel);
  }

  // The control that a person was at is a new one now; after a step to another candidate, it is in that one's panel.
  refocus(shadow, panel) {
    const { activeElement } = document;
    const lost = activeElement === document.body || activeElement === shadow.host;
    if (!this.focused || !lost || shadow.activeElement || !panel.candidates.includes(this.focused.turn)) return;
    const { key, selection } = this.focused;
    const same = shadow.querySelector(`[data-key="${CSS.escape(key)}"]:not(:disabled)`);
    const control = same ?? shadow.querySelector(".stepper button:not(:disabled)");
    control?.focus({ preventScroll: true });
    if (selection) control?.setSelectionRange?.(...selection);
  }

  remember(turn, { target }) {
    const selection = target.matches("input") ? [target.selectionStart, target.selectionEnd] : null;
    this.focused = { turn, key: target.dataset.key, selection };
  }

  // --- drawing ---

  draw(panel) {
    const view = this.view(panel.turn);
    const note = (event) => this.remember(panel.turn, event);
    return h(
      "div",
      { class: "panel", role: "group", "aria-label": "Your verdict on this reply", onfocusin: note, oninput: note },
      h(
        "div",
        { class: "row" },
        ...this.thumbs(panel, view),
        panel.can_try_again && this.tryAgain(panel),
        panel.candidates.length > 1 && this.stepper(panel),
      ),
      h(
        "div",
        { class: "foot" },
        panel.latency && h("span", {}, latencyLine(panel.latency)),
        h("span", { role: "status" }, view.said),
      ),
      panel.score !== null && view.open && this.details(panel, view),
      panel.comparison && this.question(panel, view),
    );
  }

  thumbs(panel, view) {
    const takenBack = { score: null, reasons: [], comment: "" };
    const thumb = (score, name) =>
      h(
        "button",
        {
          type: "button",
          class: `round ${score > 0 ? "up" : "down"}`,
          "data-key": name,
          "aria-label": name,
          title: name,
          "aria-pressed": String(panel.score === score),
          disabled: panel.busy,
          onclick: () => this.judge(panel, panel.score === score ? takenBack : { score, reasons: [] }),
        },
        icon("thumb"),
      );
    const why = h(
      "button",
      {
        type: "button",
        class: "plain",
        "data-key": "why",
        "aria-expanded": String(view.open),
        onclick: () => this.toggle(panel),
      },
      panel.reasons.length ? `Reasons (${panel.reasons.length})` : "Reasons",
    );
    return [thumb(1, "Good reply"), thumb(-1, "Bad reply"), panel.score !== null && why];
  }

  tryAgain({ turn, busy }) {
    const ask = () => this.send({ type: "try_again", turn });
    const properties = { type: "button", class: "plain", "data-key": "again", disabled: busy, onclick: ask };
    return h("button", properties, icon("again"), "Try again");
  }

  stepper({ turn, candidates }) {
    const at = candidates.indexOf(turn);
    const step = (name, picture, to) =>
      h(
        "button",
        {
          type: "button",
          class: "round",
          "data-key": name,
          "aria-label": name,
          title: name,
          disabled: !candidates[to],
          onclick: () => this.send({ type: "show", turn: candidates[to] }),
        },
        icon(picture),
      );
    const place = h("span", { class: "place" }, `${at + 1}/${candidates.length}`);
    return h("span", { class: "stepper" }, step("Previous reply", "back", at - 1), place, step("Next reply", "on", at + 1));
  }

  details(panel, view) {
    const chip = (reason) => {
      const chosen = panel.reasons.includes(reason);
      const reasons = chosen ? panel.reasons.filter((other) => other !== reason) : [...panel.reasons, reason];
      const press = () => this.judge(panel, { reasons });
      const properties = { type: "button", class: "chip", "data-key": reason, "aria-pressed": String(chosen), onclick: press };
      return h("button", properties, reason);
    };
    const reasons = this.reasons[panel.score > 0 ? "up" : "down"];
    return h(
      "div",
      { class: "details" },
      h("div", { class: "row", role: "group", "aria-label": "Reasons" }, ...reasons.map(chip)),
      this.commentField("Comment", view, "draft", panel.comment, (comment) => this.judge(panel, { comment })),
    );
  }

  // What is typed is kept as a draft until it is sent, at Enter or when the field is left.
  commentField(name, view, draft, kept, send) {
    const keep = ({ target }) => (view[draft] = target.value);
    const commit = ({ target }) => {
      if (this.drawing) return;
      if (target.value !== kept) send(target.value);
      else view[draft] = null;
    };
    const enter = (event) => event.key === "Enter" && !event.isComposing && commit(event);
    const field = h("input", { type: "text", "data-key": name, "aria-label": name, placeholder: "A comment", autocomplete: "off" });
    field.value = view[draft] ?? kept;
    for (const [type, act] of [["input", keep], ["change", commit], ["keydown", enter]]) field.addEventListener(type, act);
    return field;
  }

  question(panel, view) {
    const { comparison, candidates } = panel;
    const [left, right] = [comparison.left, comparison.right].map((turn) => `‹${candidates.indexOf(turn) + 1}›`);
    const said = comparison.qualifier === "neither" ? "" : comparison.qualifier; // an equal that is just that
    const choice = (name, score, qualifier, style) => {
      const chosen = comparison.score === score && said === qualifier;
      const press = () => this.prefer(panel, chosen ? { score: null, qualifier: "", comment: "" } : { score, qualifier });
      const pressed = String(chosen);
      const properties = { type: "button", class: style, "data-key": name, title: name, "aria-pressed": pressed, onclick: press };
      return style === "chip" ? h("button", properties, name) : h("button", { ...properties, "aria-label": name });
    };
    const words = (text) => h("span", {}, text);
    const levels = [
      ["much better", "better", "slightly better"].map((words, i) => [`${left} ${words}`, i - 3]),
      [["about equal", 0]],
      ["slightly better", "better", "much better"].map((words, i) => [`${right} ${words}`, i + 1]),
    ].flat();
    const chosen = levels.find(([, score]) => score === comparison.score && !said)?.[0] ?? said.replace("_", " ");
    const verdict = chosen ? h("strong", {}, `You said: ${chosen}.`) : "A larger circle means: more clearly so.";
    const send = (comment) => this.prefer(panel, { comment });
    return h(
      "div",
      { class: "question", role: "group", "aria-label": "Which reply is better?" },
      h("p", {}, "Which reply is better?", h("span", { class: "verdict", role: "status" }, verdict)),
      h(
        "div",
        { class: "row" },
        h(
          "div",
          { class: "scale" },
          ...levels.map(([name, score]) => choice(name, score, "", `level level${Math.abs(score)}`)),
          h("div", { class: "ends", "aria-hidden": "true" }, ...[`${left} is better`, "equal", `${right} is better`].map(words)),
        ),
        h("div", { class: "both" }, choice("both good", 0, "both_good", "chip"), choice("both bad", 0, "both_bad", "chip")),
      ),
      comparison.score !== null &&
        this.commentField("Comment on the comparison", view, "question", comparison.comment, send),
    );
  }

  // --- what a person does ---

  toggle({ turn }) {
    const view = this.view(turn);
    view.open = !view.open;
    this.redraw(turn);
  }

  judge(panel, change) {
    const { score, reasons, comment } = { ...panel, ...this.drafted(panel.turn, "draft", "comment"), ...change };
    const view = this.view(panel.turn);
    if (!this.tell(panel.turn, { type: "judge", turn: panel.turn, score, reasons, comment })) return;
    if (score !== panel.score) view.open = score !== null;
    view.draft = null;
    this.panels.set(panel.turn, { ...panel, score, reasons, comment });
    this.redraw(panel.turn);
  }

  prefer(panel, change) {
    const { id, ...verdict } = { ...panel.comparison, ...this.drafted(panel.turn, "question", "comment"), ...change };
    const { score, qualifier, comment } = verdict;
    if (!this.tell(panel.turn, { type: "prefer", comparison: id, score, qualifier, comment })) return;
    this.view(panel.turn).question = null;
    this.panels.set(panel.turn, { ...panel, comparison: { id, ...verdict } });
    this.redraw(panel.turn);
  }

  // What stands in a comment field goes along with whatever is pressed.
  drafted(turn, draft, field) {
    const text = this.view(turn)[draft];
    return text === null ? {} : { [field]: text };
  }

  // "Saved" is said only when the server answered.
  tell(turn, message) {
    const sent = this.send(message);
    this.view(turn).said = sent ? "Saving…" : "Not saved: no connection.";
    if (!sent) this.redraw(turn);
    return sent;
  }
}

/** "waited 700 ms · thought 1.2 s · …": what is not known is left out. */
function latencyLine({ silence_ms, thinking_ms, first_word_ms, first_sound_ms }) {
  const seconds = (ms) => (ms < 95 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);
  const parts = [
    ["waited", silence_ms, (ms) => `${Math.round(ms)} ms`],
    ["thought", thinking_ms, seconds],
    ["first word", first_word_ms, seconds],
    ["first sound", first_sound_ms, seconds],
  ];
  return parts
    .filter(([, ms]) => ms !== null && ms !== undefined)
    .map(([name, ms, words]) => `${name} ${words(ms)}`)
    .join(" · ");
}
