// The WebSocket: one request in flight; whoever owns the link says what comes next when it is free.

const RETRY_MILLISECONDS = 1000;

export class Link {
  // next() -> null or {message, done(header, data), failed(header)}; changed(open) tells of the connection.
  constructor(url, next, changed) {
    this.url = url; this.next = next; this.changed = changed;
    this.flying = null; this.count = 0; this.most = 0;
    this.connect();
  }

  connect() {
    const socket = this.socket = new WebSocket(this.url);
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => { this.changed(true); this.kick(); };
    socket.onclose = () => {
      const lost = this.flying;
      this.flying = null;
      if (lost) lost.failed?.({ message: 'The connection was lost.' });
      this.changed(false);
      setTimeout(() => this.connect(), RETRY_MILLISECONDS);
    };
    socket.onmessage = event => this.receive(event.data);
  }

  // Send the next request, unless one is under way.
  kick() {
    if (this.flying || this.socket.readyState !== WebSocket.OPEN) return;
    const job = this.next();
    if (!job) return;
    job.id = ++this.count;
    this.flying = job;
    this.socket.send(JSON.stringify({ ...job.message, id: job.id }));
  }

  receive(reply) {
    const job = this.flying;
    let header, data = null;
    if (typeof reply === 'string') header = JSON.parse(reply);
    else {
      const length = new DataView(reply).getUint32(0, true);
      header = JSON.parse(new TextDecoder().decode(new Uint8Array(reply, 4, length)));
      data = reply.slice(4 + length);
    }
    this.flying = null;
    if (job && (header.id === job.id || header.kind === 'error')) {
      if (header.kind === 'error') job.failed?.(header);
      else job.done(header, data);
    }
    this.kick();
  }
}

// A lattice reply as {rows, columns, first, spacing, coefficients, mask}.
export function decodeLattice(header, data) {
  const count = header.rows * header.columns * 4;
  const mask = header.mask && { size: header.mask, values: new Uint8Array(data, count * 4) };
  return { ...header, coefficients: new Float32Array(data, 0, count), mask };
}

// A lattice between two others: maps change so little over a sixteenth of the time that a line will do.
export function mixLattices(low, high, share) {
  const coefficients = new Float32Array(low.coefficients.length);
  for (let i = 0; i < coefficients.length; i++) {
    coefficients[i] = low.coefficients[i] + share * (high.coefficients[i] - low.coefficients[i]);
  }
  return { ...low, coefficients, mask: share < 0.5 ? low.mask : high.mask };
}
