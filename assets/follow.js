// Keeps the newest words in view, and tells a screen reader of them. Whoever has scrolled up is left alone.

const AT_END_PX = 96; // this near to the end counts as being there
const OPENING_MS = 500; // a panel that a person opens grows for so long, and stays where it was clicked
const SETTLED_MS = 800; // a reply that was shown only is read aloud when it has not grown for so long

export class Follower {
  /** `onWhole(text)`: a reply stands there as a whole. */
  constructor({ onWhole }) {
    this.onWhole = onWhole;
    this.page = document.scrollingElement;
    this.atEnd = true;
    this.scrolledTo = 0; // where the page was scrolled to, pixels from its top
    this.openedAt = -OPENING_MS;
    this.observer = new ResizeObserver(() => this.grow());
    this.observer.observe(document.body);
    this.listening = new AbortController();
    const { signal } = this.listening;
    document.addEventListener("scroll", () => this.scroll(), { signal, passive: true });
    const opening = ({ target }) => target.closest?.(".thought-group") && this.open();
    document.addEventListener("click", opening, { signal, capture: true }); // Gradio keeps these clicks to itself
  }

  isAtEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.page;
    return scrollHeight - scrollTop - clientHeight < AT_END_PX;
  }

  // Only the way up leaves the end: a page that has grown meanwhile is far from its end too.
  scroll() {
    const { scrollTop } = this.page;
    this.atEnd = this.isAtEnd() || (this.atEnd && scrollTop >= this.scrolledTo);
    this.scrolledTo = scrollTop;
  }

  open() {
    this.openedAt = performance.now();
  }

  grow() {
    if (this.atEnd && performance.now() - this.openedAt > OPENING_MS) this.toEnd();
  }

  toEnd() {
    this.atEnd = true;
    this.page.scrollTop = this.page.scrollHeight;
  }

  /** Gradio has every word spoken as it comes; a reply is heard, or read aloud once, when it is whole. */
  quieten() {
    for (const log of document.querySelectorAll(".colloquy-chat [role=log]")) log.setAttribute("aria-live", "off");
  }

  readNewest() {
    clearTimeout(this.settling);
    const shown = newestReply();
    this.settling = setTimeout(() => (newestReply() === shown ? this.onWhole(shown) : this.readNewest()), SETTLED_MS);
  }

  close() {
    clearTimeout(this.settling);
    this.observer.disconnect();
    this.listening.abort();
  }
}

function newestReply() {
  const parts = [...document.querySelectorAll("#live .bot.message .md")].filter((part) => !part.closest(".thought-group"));
  return parts.map((part) => part.innerText.trim()).join("\n").trim();
}
