// The landmark editor: keeps the points, asks the server for the newest morph, draws it and says how good it is.

import { Link, decodeLattice, mixLattices } from './link.js';
import { MorphView } from './morph.js';
import { Panel } from './panel.js';
import { Points } from './points.js';

const TIMES = 16;                  // after an edit the morph is fetched at k/16, so that the slider needs no server
const SETTLE_MILLISECONDS = 150;   // after the last key or movement of the slider
const TEXT_MILLISECONDS = 200;     // between two texts while a point moves
const LONGEST_LOG = 2000;
const element = id => document.getElementById(id);

class Editor {
  constructor(state, photographs, faces) {
    this.state = state;
    this.points = new Points(state);
    this.selected = -1; this.adding = false; this.showNumbers = false; this.errors = [];
    this.time = 0.5; this.faceOnly = false;
    this.moving = false;                               // a point or the slider is under way: coarse will do
    this.jobs = [];                                    // requests that each must be answered: carry, save
    this.asked = ''; this.measured = -1; this.refused = -1; this.ahead = new Map(); this.aheadOf = '';
    this.savedVersion = state.unsaved ? -1 : 0;
    this.eventTime = performance.now(); this.written = 0; this.log = []; this.shown = null;
    this.view = this.makeView(faces);
    element('morph').hidden = !this.view; element('picture').hidden = !!this.view;
    this.panels = photographs.map((image, side) =>
      new Panel(element(`stage${side}`), side, image, this, this.outline(side)));
    this.wire();
    this.link = new Link(new URL('live', location.href).href.replace(/^http/, 'ws'), () => this.next(),
      open => this.connection(open));
    this.refresh();
  }

  makeView(faces) {
    if (new URLSearchParams(location.search).get('mode') === 'jpeg') return null;
    try {
      const view = new MorphView(element('morph'), faces, this.state.frame);
      element('morph').addEventListener('webglcontextlost', () => this.complain('The graphics were reset: reload this page. The points are kept.'));
      return view;
    } catch {
      return null;                                     // no WebGL2: the server draws
    }
  }

  // Corners of the morph's frame in a photograph.
  outline(side) {
    const [[a, b, x], [c, d, y]] = this.state.into_frame[side], area = a * d - b * c, [width, height] = this.state.frame;
    return [[0, 0], [width, 0], [width, height], [0, height]].map(([u, v]) =>
      [(d * (u - x) - b * (v - y)) / area, (a * (v - y) - c * (u - x)) / area]);
  }

  // --------------------------------------------------------------------------------------------- edits
  changed(eventTime = performance.now(), all = true) {
    this.eventTime = eventTime;
    const stale = this.errors.length > 0;
    this.errors = [];
    this.paintSoon(all || stale);
    this.link.kick();
  }

  select(index) { this.selected = index; this.paintSoon(); }

  beginDrag() { this.points.remember(); this.moving = true; clearTimeout(this.timer); }

  drag(side, index, at, eventTime) { this.points.move(side, index, at); this.changed(eventTime, false); }

  endDrag() { this.moving = false; this.changed(); }

  nudge(side, step, repeated) {
    if (this.selected < 0) { this.say('No point is selected: press N, or click one.'); return; }
    if (!repeated) this.points.remember();
    const at = this.points.sides[side][this.selected];
    this.points.move(side, this.selected, [at[0] + step[0], at[1] + step[1]]);
    this.panels[side].reveal(this.selected);
    this.settle();
    this.changed();
  }

  // Coarse morphs until nothing has moved for a moment.
  settle() {
    this.moving = true;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => { this.moving = false; this.link.kick(); }, SETTLE_MILLISECONDS);
  }

  walk(step) {
    if (!this.points.count) return;
    const from = this.selected < 0 && step < 0 ? 0 : this.selected;
    this.select((from + step + this.points.count) % this.points.count);
    this.panels.forEach(panel => panel.reveal(this.selected));
  }

  // The server carries the place to the other photograph, so that a new pair changes nothing by itself.
  add(side, place) {
    const at = this.points.inside(side, place);
    this.setAdding(false);
    const put = other => {
      this.selected = this.points.add(side === 0 ? [at, other] : [other, at]);
      this.changed();
      this.say(`Pair ${this.points.ids[this.selected]} added.`);
    };
    this.jobs.push({
      make: () => ({ kind: 'carry', side, at }),
      done: header => put(header.at),
      failed: () => put(this.samePlace(side, at)),
    });
    this.link.kick();
  }

  // Where both frames have a point, as long as no warp tells it better.
  samePlace(side, [x, y]) {
    const [[a, b, c], [d, e, f]] = this.state.into_frame[side], inFrame = [a * x + b * y + c, d * x + e * y + f];
    const [origin, right, , down] = this.outline(1 - side), [width, height] = this.state.frame;
    return [0, 1].map(axis => origin[axis] + (right[axis] - origin[axis]) * inFrame[0] / width
      + (down[axis] - origin[axis]) * inFrame[1] / height);
  }

  remove() {
    if (this.selected < 0) return;
    if (this.points.count === 1) { this.complain('The last pair cannot be deleted.'); return; }
    const id = this.points.ids[this.selected];
    this.points.remove(this.selected);
    this.selected = -1;
    this.changed();
    this.say(id < this.points.named ? `Pair ${id} deleted. It belongs to ${this.state.base}: without it no portrait can be cut, `
      + 'see “facemorph morph --align none”.' : `Pair ${id} deleted.`);
  }

  undo() { if (this.points.undo()) this.restored('Undone.'); }

  redo() { if (this.points.redo()) this.restored('Redone.'); }

  restored(text) {
    if (this.selected >= this.points.count) this.selected = -1;
    this.changed();
    this.say(text);
  }

  save() {
    const { version } = this.points;
    this.jobs.push({
      make: () => ({ kind: 'save' }),
      done: header => { this.savedVersion = version; this.say(`Saved: ${header.files.join(', ')}`); this.refresh(); },
      failed: header => this.complain(`Not saved. ${header.message}`),
    });
    this.link.kick();
  }

  get unsaved() { return this.points.version !== this.savedVersion; }

  // -------------------------------------------------------------------------------------------- server
  // The next request: what must be answered, else the newest morph, its figures, and other times.
  next() {
    const { version } = this.points, { stamp } = this, state = this.points.message();
    const request = (message, handlers) => ({ message: { ...message, ...state }, ...handlers });
    const job = this.jobs.shift();
    if (job) return request(job.make(), job);
    const detail = this.moving ? 'drag' : 'still', key = `${version} ${detail} ${this.time} ${this.faceOnly}`;
    const morph = (time, handlers) => request({ kind: 'morph', time, detail, mask: this.faceOnly, picture: !this.view }, handlers);
    const before = this.asked;
    this.asked = key;
    if (key !== before && !this.drawAhead()) {
      const { time, eventTime } = this, sent = performance.now();
      return morph(time, {
        done: async (header, data) => {
          const got = performance.now(), lattice = await this.draw(header, data, time, detail === 'drag');
          this.shown = { stamp, version, detail, time };
          this.record([eventTime, sent, got, performance.now(), header.milliseconds]);
          if (detail === 'still' && lattice) this.keep(stamp, time, lattice);
          if (this.refused >= 0) { this.refused = -1; this.complain(''); }
        },
        failed: header => { this.refused = version; this.shown = null; this.complain(header.message); },
      });
    }
    if (this.moving || this.refused === version) return null;
    if (this.measured !== version) {
      this.measured = version;
      return request({ kind: 'measure' }, { done: header => this.figures(header), failed: header => this.complain(header.message) });
    }
    const time = this.view ? this.missingTime() : null;
    return time === null ? null : morph(time, {
      done: (header, data) => this.keep(stamp, time, decodeLattice(header, data)),
      failed: () => this.keep(stamp, time, null),
    });
  }

  async draw(header, data, time, moving) {
    if (header.format === 'jpeg') {
      const picture = element('picture'), old = picture.src;
      picture.src = URL.createObjectURL(new Blob([data], { type: 'image/jpeg' }));
      if (old) URL.revokeObjectURL(old);
      await picture.decode();
      return null;
    }
    const lattice = decodeLattice(header, data);
    this.view.draw(lattice, time, this.faceOnly, moving);
    return lattice;
  }

  record(row) {
    this.log.push(row);
    if (this.log.length > LONGEST_LOG) this.log.shift();
    this.milliseconds = row[4];
  }

  // ------------------------------------------------------------------------------- times fetched ahead
  // What all lattices that are kept have in common.
  get stamp() { return `${this.points.version} ${this.faceOnly}`; }

  keep(stamp, time, lattice) {
    if (stamp !== this.stamp) return;                  // of points that are no more
    if (stamp !== this.aheadOf) { this.ahead.clear(); this.aheadOf = stamp; }
    if (Number.isInteger(time * TIMES)) this.ahead.set(time * TIMES, lattice);
  }

  missingTime() {
    const kept = this.stamp === this.aheadOf ? this.ahead : new Map();
    const missing = [...Array(TIMES + 1).keys()].filter(step => !kept.has(step));
    const nearest = (a, b) => Math.abs(a / TIMES - this.time) - Math.abs(b / TIMES - this.time);
    return missing.length ? missing.sort(nearest)[0] / TIMES : null;
  }

  // Draw the present time from the times fetched ahead; false where they are not there.
  drawAhead() {
    if (this.aheadOf !== this.stamp || this.refused === this.points.version) return false;
    if (this.shown?.stamp !== this.stamp || this.shown.detail !== 'still') return false;
    if (this.shown.time === this.time) return true;
    const place = this.time * TIMES, low = Math.min(Math.floor(place), TIMES - 1);
    const [before, after] = [this.ahead.get(low), this.ahead.get(low + 1)];
    if (!before || !after) return false;
    this.view.draw(mixLattices(before, after, place - low), this.time, this.faceOnly);
    this.shown = { ...this.shown, time: this.time };
    return true;
  }

  // -------------------------------------------------------------------------------------------- page
  figures(header) {
    const { points } = this;
    if (header.errors.length !== points.count || this.measured !== points.version) return;
    this.errors = header.errors;
    const put = (id, text, bad) => { element(id).textContent = text; element(id).classList.toggle('bad', bad); };
    put('error', `${header.landmark_error_px.toFixed(2)} px`, header.landmark_error_px > 1);
    put('folds', `${header.fold_over_percent.toFixed(2)} %`, header.fold_over_percent > 0);
    put('area', header.min_determinant.toFixed(2), header.min_determinant < 0.1);
    put('smoothing', header.smoothing ? header.smoothing.toExponential(0) : 'none', header.smoothing > 1e-2);
    this.paintSoon();
  }

  connection(open) {
    if (open) { this.asked = ''; this.measured = this.refused = -1; }
    if (open === this.connected) return;
    this.connected = open;
    this.complain(open ? '' : 'The server does not answer. The points stay in this page; it connects again by itself.');
    if (open) this.say('Ready.');
  }

  say(text) { this.note = text; this.paintSoon(); }

  complain(text) { element('message').textContent = text; }

  // Paint in the next frame; not `all` where only the selected point has moved.
  paintSoon(all = true) {
    this.stale ||= all;
    if (this.painting) return;
    this.painting = true;
    requestAnimationFrame(() => {
      this.painting = false;
      for (const panel of this.panels) if (this.stale) panel.paintPoints(); else panel.placeMarker();
      this.stale = false;
      const now = performance.now();                   // text is slow without a GPU
      if (this.moving && now - this.written < TEXT_MILLISECONDS) return;
      this.written = now;
      this.refresh();
    });
  }

  refresh() {
    const { points } = this;
    if (this.selected >= points.count) this.selected = -1;
    this.panels.forEach((panel, side) => {
      panel.canvas.classList.toggle('adding', this.adding);
      panel.canvas.setAttribute('aria-label', `Photograph ${'AB'[side]}, ${points.count} points`);
    });
    const write = (id, text) => { if (element(id).textContent !== text) element(id).textContent = text; };
    write('pairs', `${points.count}`);
    write('save', this.unsaved ? 'Save •' : 'Save');
    write('timevalue', this.time.toFixed(2));
    write('speed', this.milliseconds ? `${this.milliseconds.toFixed(0)} ms` : '–');
    write('status', this.selected < 0 ? this.note ?? '' : this.describeSelected());
    element('delete').disabled = this.selected < 0;
    element('undo').disabled = !points.past.length;
    element('redo').disabled = !points.future.length;
    document.title = `${this.unsaved ? '• ' : ''}${this.state.stem} · facemorph`;
  }

  describeSelected() {
    const { points, selected } = this, [a, b] = points.sides.map(side => side[selected].map(v => v.toFixed(1)).join(', '));
    const missed = this.errors[selected] === undefined ? '' : `, missed by ${this.errors[selected].toFixed(2)} px`;
    return `Pair ${points.ids[selected]}: A (${a}), B (${b})${missed}`;
  }

  setAdding(adding) {
    this.adding = adding;
    element('add').setAttribute('aria-pressed', adding);
    if (adding) this.say('Click where the new pair shall be, in A or B.');
    this.paintSoon();
  }

  toggleNumbers() {
    this.showNumbers = !this.showNumbers;
    element('labels').setAttribute('aria-pressed', this.showNumbers);
    this.paintSoon();
  }

  wire() {
    const click = (id, action) => element(id).addEventListener('click', action);
    click('add', () => this.setAdding(!this.adding));
    click('delete', () => this.remove());
    click('undo', () => this.undo());
    click('redo', () => this.redo());
    click('labels', () => this.toggleNumbers());
    click('save', () => this.save());
    element('time').addEventListener('input', event => {
      this.time = event.target.valueAsNumber;
      this.eventTime = event.timeStamp;
      if (this.missingTime() !== null || !this.view) this.settle();
      this.paintSoon();
      this.link.kick();
    });
    element('face').addEventListener('change', event => { this.faceOnly = event.target.checked; this.changed(); });
    addEventListener('keydown', event => {
      if (!event.ctrlKey && !event.metaKey) return;
      const key = event.key.toLowerCase(), actions = { z: () => event.shiftKey ? this.redo() : this.undo(), y: () => this.redo(), s: () => this.save() };
      if (actions[key]) { event.preventDefault(); actions[key](); }
    });
    addEventListener('beforeunload', event => { if (this.unsaved) event.preventDefault(); });
  }
}

const bitmap = async name => createImageBitmap(await (await fetch(name)).blob(), { colorSpaceConversion: 'none', premultiplyAlpha: 'none' });
const [state, ...pictures] = await Promise.all([fetch('state').then(reply => reply.json()),
  ...['photograph0', 'photograph1', 'face0', 'face1'].map(bitmap)]);
state.names.forEach((name, side) => { element(`title${side}`).textContent = `${'AB'[side]} · ${name}`; });
window.editor = new Editor(state, pictures.slice(0, 2), pictures.slice(2));
