// The view Morph: two faces on their way to each other, averages and caricatures of several.

import { Latest } from './link.js';
import { button, check, choice, draw, element, menu } from './page.js';
import { SliderPanel } from './sliders.js';

const MODES = [['morph', 'Morph A to B'], ['average', 'Average of all'], ['caricature', 'Caricature of A']];
const FORMATS = {
  morph: [['Picture (PNG)', '.png'], ['Picture (JPEG)', '.jpg'], ['Video from A to B (MP4)', '.mp4'], ['The same (GIF)', '.gif']],
  average: [['Picture (PNG)', '.png'], ['Picture (JPEG)', '.jpg']],
  caricature: [['Picture (PNG)', '.png'], ['Picture (JPEG)', '.jpg']],
};
const LANDMARKS = [['Landmarks (JSON)', '.json'], ['Landmarks (TEM)', '.tem'], ['Landmarks (PTS)', '.pts']];
const SWEEP_MILLISECONDS = 4000;

export class View {
  constructor(studio, root) {
    this.studio = studio; this.opened = ''; this.version = 0; this.shown = null;
    this.mode = 'morph'; this.values = {}; this.apart = false;
    this.blend = 'multiband'; this.mask = 'face'; this.outside = 'source';
    this.help = [['Left, right arrow on the time slider', 'a step in time'], ['P', 'play from A to B and back'], ['E', 'edit the landmarks'], ['X', 'swap A and B']];
    this.picture = element('canvas', { class: 'picture', role: 'img', 'aria-label': 'The morph' });
    this.ends = element('div', { class: 'ends' });
    this.modes = choice('Make', MODES, this.mode, mode => { this.mode = mode; this.arrange(); this.redraw(true); this.done(); });
    this.exports = element('span');
    this.sliders = new SliderPanel((values, resting) => { this.values = values; this.redraw(resting); if (resting) this.done(); });
    this.sliders.both.hidden = true; this.sliders.symmetric = false;
    this.separate = check('Shape and colours apart', false, on => { this.apart = on; this.arrange(); this.redraw(true); this.done(); });
    this.options = element('div', { class: 'row' });
    this.figures = element('dl', { class: 'figures' });
    this.warnings = element('ul', { class: 'warnings' });
    this.play = button('Play', () => this.playing ? this.stop() : this.start(), { 'aria-pressed': 'false', title: 'P' });
    this.frame = element('div', { class: 'editing', hidden: true });
    root.append(
      element('div', { class: 'row toolbar' }, [this.exports, button('Copy command', () => this.copy().catch(() => {})), this.modes,
        button('Swap', () => this.swap(), { title: 'X' }), button('Edit landmarks', () => this.edit().catch(() => {}), { title: 'E' }), this.play]),
      element('div', { class: 'stages one' }, [
        element('figure', {}, [this.picture, element('figcaption', { text: 'Result' })]), this.ends]),
      element('div', { class: 'panel' }, [this.sliders.element, this.separate, this.options, this.figures, this.warnings]),
      this.frame,
    );
    this.drawing = new Latest(state => this.drawNow(state), error => studio.failed(error));
    this.arrange();
  }

  state() {
    return { mode: this.mode, values: this.values, apart: this.apart, blend: this.blend, mask: this.mask, outside: this.outside };
  }

  restore(state) {
    Object.assign(this, { mode: 'morph', values: {}, apart: false, blend: 'multiband', mask: 'face', outside: 'source', ...state });
    this.modes.select.value = this.mode;
    this.separate.box.checked = this.apart;
    this.arrange();
    this.redraw(true);
  }

  get photographs() { return this.studio.selection.filter(name => this.studio.isReady(name)); }

  get signature() { return JSON.stringify(this.photographs.map(name => [name, this.studio.photograph(name).version])); }

  async selected() {
    const { signature, photographs } = this;
    if (signature === this.opened) return;
    this.opened = signature;
    this.arrange();
    if (photographs.length < 2) {
      this.studio.status('Choose two photographs or more: click one, then Ctrl-click the others.');
      return;
    }
    try {
      const { header } = await this.studio.ask('morph.open', { photographs });
      if (this.opened !== signature) return;
      this.lists = header;
      this.warnings.replaceChildren(...header.warnings.map(text => element('li', { text })));
      this.arrange();
      this.redraw(true);
      this.measure(photographs);
      this.studio.status(`${photographs.length} photographs, ${header.scheme}`);
    } catch { this.opened = ''; this.figures.replaceChildren(); this.warnings.replaceChildren(); }
  }

  // The controls of a mode.
  arrange() {
    const names = this.photographs, time = this.values.time ?? 0.5;
    const groups = {};
    if (this.mode === 'morph') {
      groups.Morph = [{ name: 'time', label: 'Time', low: 0, high: 1, value: 0.5 }];
      if (this.apart) groups.Morph.push({ name: 'shape', label: 'Shape', low: 0, high: 1, value: time }, { name: 'texture', label: 'Colours', low: 0, high: 1, value: time });
    } else if (this.mode === 'average') {
      groups.Weights = names.map(name => ({ name: `weight ${name}`, label: name, low: 0, high: 1, value: 1 }));
    } else {
      groups.Caricature = [['shape', 'Shape', 0.5], ['color', 'Colours', 0], ['detailed', 'Fine detail', 0]].map(([name, label, value]) =>
        ({ name: `caricature ${name}`, label, low: -2, high: 2, value }));
    }
    this.sliders.set(groups, this.values);
    this.separate.hidden = this.mode !== 'morph';
    this.play.disabled = this.mode !== 'morph';
    this.options.hidden = this.mode !== 'morph';
    this.exports.replaceChildren(menu('Export', [...FORMATS[this.mode], ...LANDMARKS].map(([text, format]) => [text, () => this.export(format)])));
    if (this.lists) {
      const pick = (label, key, options) => choice(label, options, this[key], value => { this[key] = value; this.redraw(true); this.done(); });
      this.options.replaceChildren(pick('Blend', 'blend', this.lists.blends), pick('Mask', 'mask', this.lists.masks),
        pick('Outside', 'outside', [['source', 'of A'], ['target', 'of B'], ['mix', 'of both']]));
    }
    this.ends.replaceChildren(...names.slice(0, 6).map((name, place) => element('figure', {}, [
      element('img', { class: 'picture', src: `thumbnail/${encodeURIComponent(name)}?v=${this.studio.photograph(name).version}`, alt: '' }),
      element('figcaption', { text: `${String.fromCharCode(65 + place)}: ${name}` })])));
  }

  request() {
    const { values, mode, blend, mask, outside, photographs } = this, time = values.time ?? 0.5;
    const content = { photographs, mode, blend, mask, outside };
    if (mode === 'morph') Object.assign(content, { time, shape: this.apart ? values.shape ?? time : time, texture: this.apart ? values.texture ?? time : time });
    else if (mode === 'average') content.weights = photographs.map(name => values[`weight ${name}`] ?? 1);
    else Object.assign(content, { shape: values['caricature shape'] ?? 0.5, color: values['caricature color'] ?? 0, detailed: values['caricature detailed'] ?? 0 });
    return content;
  }

  redraw(resting) {
    if (this.photographs.length < 2 || !this.lists) return;
    const state = { content: this.request(), asked: performance.now(), version: ++this.version };
    this.drawing.push({ ...state, detail: 'draft' });
    clearTimeout(this.timer);
    if (resting) this.timer = setTimeout(() => { if (state.version === this.version) this.drawing.push({ ...state, detail: 'still' }); }, 60);
  }

  async drawNow({ content, detail, asked, version }) {
    const { header, data } = await this.studio.link.ask('morph.draw', { ...content, detail });
    await draw(this.picture, data);
    this.shown = { version, detail, content, milliseconds: header.milliseconds };
    this.studio.say('');
    this.studio.log.push(['morph', performance.now() - asked, detail]);
  }

  async measure(photographs) {
    try {
      const { header } = await this.studio.ask('morph.measure', { photographs });
      const { figures } = header, shown = [['Landmark error', `${figures.landmark_error_px?.toFixed(2)} px`], ['Fold-over', `${figures.fold_over_percent.toFixed(2)} %`],
        ['Smallest area', figures.min_determinant.toFixed(2)], ['Smoothing', figures.smoothing?.toPrecision(2)]];
      this.figures.replaceChildren(...shown.filter(([, value]) => value !== undefined).map(([name, value]) =>
        element('div', {}, [element('dt', { text: name }), element('dd', { text: value })])));
    } catch { /* it is said already */ }
  }

  done() { this.studio.changed('morph'); }

  swap() {
    const [a, b, ...others] = this.studio.selection;
    if (b) this.studio.select([b, a, ...others]);
  }

  // From A to B and back, until it is stopped.
  start() {
    this.playing = true;
    this.play.setAttribute('aria-pressed', 'true'); this.play.textContent = 'Stop';
    const begun = performance.now(), from = Math.acos(1 - 2 * (this.values.time ?? 0.5));
    const step = now => {
      if (!this.playing) return;
      if (this.drawing.idle) {
        const time = (1 - Math.cos(from + (now - begun) / SWEEP_MILLISECONDS * Math.PI)) / 2;
        this.values = { ...this.values, time: Math.round(time * 1000) / 1000 };
        this.sliders.show(this.values);
        this.redraw(false);
      }
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  stop() {
    if (!this.playing) return;
    this.playing = false;
    this.play.setAttribute('aria-pressed', 'false'); this.play.textContent = 'Play';
    this.redraw(true);
    this.done();
  }

  hidden() { this.stop(); this.closeEditor(); }

  // ---------------------------------------------------------------- landmarks
  async edit() {
    if (this.photographs.length < 2 || !this.frame.hidden) return;
    const { header } = await this.studio.ask('morph.edit', { photographs: this.photographs.slice(0, 2) });
    this.editing = header.path;
    this.frame.replaceChildren(
      element('div', { class: 'row' }, [button('Use these landmarks', () => this.closeEditor(), { class: 'primary' })]),
      element('iframe', { src: `edit/${header.path}/`, title: 'Landmark editor' }));
    this.frame.hidden = false;
    this.frame.querySelector('iframe').focus();
  }

  async closeEditor() {
    const path = this.editing;
    if (!path) return;
    this.editing = null;
    this.frame.hidden = true;
    this.frame.replaceChildren();
    try {
      const { header } = await this.studio.ask('morph.edited', { path });
      this.studio.status(header.changed.length ? `New landmarks of ${header.changed.join(' and ')}` : 'The landmarks are as they were.');
    } catch { /* it is said already */ }
  }

  // ---------------------------------------------------------------- exports
  export(format) {
    if (this.photographs.length > 1) this.studio.exported('morph.export', { ...this.request(), format }).catch(() => {});
  }

  async copy() {
    if (this.photographs.length < 2) return;
    const { header } = await this.studio.ask('morph.command', this.request());
    this.studio.copy(header.command);
  }

  key(event) {
    if (event.key === 'p') this.play.click();
    else if (event.key === 'e') this.edit().catch(() => {});
    else if (event.key === 'x') this.swap();
  }
}
