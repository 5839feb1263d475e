// What the browser remembers for us. A browser that refuses to (private windows, blocked site data) is not an error: the page
// then begins anew each time.

function attempt(act) {
  try {
    return act();
  } catch (refusal) {
    if (refusal instanceof DOMException) return null;
    throw refusal;
  }
}

export const recall = (name) => attempt(() => localStorage.getItem(`colloquy.${name}`));
export const remember = (name, value) => attempt(() => localStorage.setItem(`colloquy.${name}`, value));

/** Who gives the verdicts: a random id that stays with this browser. */
export function annotator() {
  let id = recall("annotator");
  if (!id) {
    // crypto.randomUUID would want HTTPS; typing and judging work without.
    id = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
    remember("annotator", id);
  }
  return id;
}

/** The conversation of this tab: the one that the address asks for (once), else the one from before a reload, else null. */
export function lastConversation() {
  const address = new URL(location.href);
  const asked = address.searchParams.get("conversation");
  if (!asked) return attempt(() => sessionStorage.getItem("colloquy.conversation"));
  address.searchParams.delete("conversation");
  history.replaceState(history.state, "", address);
  keepConversation(asked);
  return asked;
}

export const keepConversation = (id) => attempt(() => sessionStorage.setItem("colloquy.conversation", id));
