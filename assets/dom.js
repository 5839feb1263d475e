// The few lines that the widget and the panels share for building what they show. Knows nothing of voices or verdicts.

// Gradio styles whatever lies inside its blocks, and patches or replaces it whenever a component changes. What we build
// therefore lives in shadow trees: out of reach of both, with this one style sheet. (What the server puts into messages does
// not; its looks are in page.css.)
const sheet = new CSSStyleSheet();
fetch(new URL("colloquy.css", import.meta.url))
  .then((answer) => answer.text())
  .then((text) => sheet.replace(text));

/** The shadow tree of `host`, made at the first call, in our style. */
export function shadowOf(host) {
  const root = host.shadowRoot ?? host.attachShadow({ mode: "open" });
  root.adoptedStyleSheets = [sheet];
  return root;
}

/** An element. Properties that begin with "on" are listeners, the others attributes; null and false leave them out. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const DRAWINGS = {
  microphone: '<rect x="9" y="3" width="6" height="11" rx="3"/><path d="M5.5 11a6.5 6.5 0 0 0 13 0M12 17.5V21M9 21h6"/>',
  stop: '<rect x="5.5" y="5.5" width="13" height="13" rx="3"/>',
  mute: '<path d="M9 9.5V6a3 3 0 0 1 6 0v5M15 14a3 3 0 0 1-5.6-1.5M5.5 11a6.5 6.5 0 0 0 10.6 5M18.2 13a6.5 6.5 0 0 0 .3-2M12 17.5V21M4 4l16 16"/>',
  silence: '<path d="M4 9.5v5h3.5L12 18.5v-13L7.5 9.5zM16 9.5l5 5M21 9.5l-5 5"/>',
  send: '<path d="M12 19.5V5M6 10.5L12 4.5l6 6"/>',
  thumb: '<path d="M3.5 11h3.2v8.5H3.5zM6.7 11.6L10.6 4c1.5 0 2.6 1.1 2.6 2.6 0 1-.2 2-.6 3h5.6c1.4 0 2.4 1.2 2.1 2.6l-1.1 5.4a2.4 2.4 0 0 1-2.3 1.9H6.7"/>',
  again: '<path d="M19.5 12a7.5 7.5 0 1 1-2.3-5.4M19.7 3.5v4h-4"/>',
  back: '<path d="M14.5 6l-6 6 6 6"/>',
  on: '<path d="M9.5 6l6 6-6 6"/>',
  close: '<path d="M6.5 6.5l11 11M17.5 6.5l-11 11"/>',
  check: '<path d="M5 12.5l4.5 4.5L19 7.5"/>',
};

/** A line drawing of 24 × 24 units that takes the colour of the text; never read aloud. */
export function icon(name) {
  const holder = document.createElement("template");
  holder.innerHTML = `<svg class="icon icon-${name}" viewBox="0 0 24 24" aria-hidden="true">${DRAWINGS[name]}</svg>`;
  return holder.content.firstChild;
}
