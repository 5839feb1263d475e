// The socket to the server: says hello, keeps the line up, passes messages and sound. Knows nothing of what they mean.

const BACKOFF_MS = [250, 500, 1000, 2000, 4000, 5000];
const LONGEST_BACKLOG_S = 2;
const BYTES_PER_SAMPLE = 2;

// Closes after which calling again by oneself would be wrong or of no use.
export const FINAL = { badMessage: 4400, badToken: 4401, badOrigin: 4403, takenOver: 4409 };

/**
 * `hello()` makes the first message of each connection. `onMessage(message)` gets every JSON message, `onSound(buffer)` every
 * binary one, `onChange(state, code, reason)` the line's state: "connecting", "open" (after the welcome), "lost" (calling
 * again by itself) or "closed" (for good, with the socket's code).
 */
export class Line {
  constructor(url, { hello, onMessage, onSound, onChange }) {
    Object.assign(this, { url, hello, onMessage, onSound, onChange });
    this.attempts = 0;
    this.state = "connecting";
  }

  connect() {
    if (this.state === "closed") this.become("connecting");
    const socket = new WebSocket(this.url);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => socket.send(JSON.stringify(this.hello()));
    socket.onmessage = ({ data }) => (typeof data === "string" ? this.receive(JSON.parse(data)) : this.onSound(data));
    socket.onclose = ({ code, reason }) => this.lose(code, reason);
    this.socket = socket;
  }

  receive(message) {
    if (message.type === "welcome") {
      this.attempts = 0;
      this.become("open");
    }
    this.onMessage(message);
  }

  lose(code, reason) {
    if (Object.values(FINAL).includes(code)) return this.become("closed", code, reason);
    this.retry = setTimeout(() => this.connect(), BACKOFF_MS[Math.min(this.attempts, BACKOFF_MS.length - 1)]);
    this.attempts += 1;
    this.become("lost", code, reason);
  }

  become(state, code, reason) {
    this.state = state;
    this.onChange(state, code, reason);
  }

  // Welcomed, and not about to be closed (of which the browser tells a little later).
  get isUp() {
    return this.state === "open" && this.socket.readyState === WebSocket.OPEN;
  }

  /** Whether the message is on its way. */
  send(message) {
    if (!this.isUp) return false;
    this.socket.send(JSON.stringify(message));
    return true;
  }

  /** Whether the sound is on its way. Not when two seconds are waiting already: late speech would be answered too late. */
  sendSound(buffer, rateHz) {
    if (!this.isUp || this.socket.bufferedAmount > LONGEST_BACKLOG_S * rateHz * BYTES_PER_SAMPLE) return false;
    this.socket.send(buffer);
    return true;
  }

  close() {
    clearTimeout(this.retry);
    this.socket.onclose = this.socket.onmessage = null;
    this.socket.close();
  }
}
