// The WebSocket of this window: questions with answers, and events that come by themselves.

const RETRY_MILLISECONDS = 1000;

export class Link {
  // changed(open) tells of the connection, event(content) of what comes by itself.
  constructor(url, { changed, event }) {
    this.url = url; this.changed = changed; this.event = event;
    this.waiting = new Map(); this.count = 0;
    this.connect();
  }

  get open() { return this.socket.readyState === WebSocket.OPEN; }

  connect() {
    const socket = this.socket = new WebSocket(this.url);
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => this.changed(true);
    socket.onclose = () => {
      const lost = [...this.waiting.values()];
      this.waiting.clear();
      for (const one of lost) one.reject(new Error('The connection was lost.'));
      this.changed(false);
      setTimeout(() => this.connect(), RETRY_MILLISECONDS);
    };
    socket.onmessage = message => this.receive(message.data);
  }

  // The answer {header, data} to a request; data are bytes that go with it.
  ask(kind, content = {}, data = null) {
    if (!this.open) return Promise.reject(new Error('The server is not there.'));
    const id = ++this.count, text = JSON.stringify({ ...content, kind, id });
    const answer = new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject }));
    this.socket.send(data ? packed(text, data) : text);
    return answer;
  }

  receive(reply) {
    let header, data = null;
    if (typeof reply === 'string') header = JSON.parse(reply);
    else {
      const length = new DataView(reply).getUint32(0, true);
      header = JSON.parse(new TextDecoder().decode(new Uint8Array(reply, 4, length)));
      data = reply.slice(4 + length);
    }
    if (header.kind === 'event') { this.event(header); return; }
    const one = this.waiting.get(header.id);
    this.waiting.delete(header.id);
    if (!one) return;
    if (header.kind === 'error') one.reject(new Error(header.message));
    else one.resolve({ header, data });
  }
}

function packed(text, data) {
  const head = new TextEncoder().encode(text), length = head.length + (-head.length & 3);
  const all = new Uint8Array(4 + length + data.byteLength);
  new DataView(all.buffer).setUint32(0, length, true);
  all.fill(32, 4, 4 + length);
  all.set(head, 4);
  all.set(new Uint8Array(data), 4 + length);
  return all;
}

// Work whose newest state wins: one is under way, and what comes meanwhile replaces what waits.
export class Latest {
  // run(state) -> promise; failed(error) tells of what went wrong.
  constructor(run, failed) { this.run = run; this.failed = failed; this.next = null; this.busy = false; }

  push(state) {
    this.next = { state };
    if (!this.busy) this.turn();
  }

  get idle() { return !this.busy && !this.next; }

  async turn() {
    this.busy = true;
    while (this.next) {
      const { state } = this.next;
      this.next = null;
      try { await this.run(state); } catch (error) { this.failed(error); }
    }
    this.busy = false;
  }
}
