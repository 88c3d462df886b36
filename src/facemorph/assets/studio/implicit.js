// The view Implicit: faces of ImFace in 3-D, along components, and fitted to scans.

import { Latest } from './link.js';
import { LIGHT_NAMES, LOOKS, MeshViewer } from './mesh.js';
import { button, check, choice, element, menu, range, whole } from './page.js';
import { SliderPanel } from './sliders.js';

const FORMATS = [['Mesh (GLB)', '.glb'], ['Mesh (OBJ)', '.obj'], ['Mesh (PLY)', '.ply'], ['Picture (PNG)', '.png'],
  ['Video, from the mean face (MP4)', '.mp4'], ['The same (GIF)', '.gif'], ['Codes (NPZ)', '.npz']];
const EXPRESSIONS_OWN = -1, MEAN = -1, MOST = 2 ** 31 - 1, DISTANCE = 480, AGAIN = 90;
const START = { folder: '', seed: MEAN, spread: 1, edits: {}, expression: EXPRESSIONS_OWN, giver: MEAN, share: 1, look: 'plain', light: 'front', errors: true };

export class View {
  constructor(studio, root) {
    this.studio = studio; this.shown = null; this.version = 0; this.opened = false;
    this.now = structuredClone(START);
    this.help = [['N', 'a new person'], ['M', 'the mean face'], ['E', 'error map of a fitted scan'], ['R', 'all sliders back'],
      ['Drop a scan anywhere', 'it is fitted (.obj .ply .stl .glb)']];
    this.canvas = element('canvas', { class: 'mesh', role: 'img', 'aria-label': 'The face in 3-D', tabindex: 0 });
    this.caption = element('figcaption', { text: 'Face' });
    this.figures = element('div', { class: 'note', role: 'status' });
    this.sliders = new SliderPanel((values, resting) => this.moved(values, resting));
    this.looks = choice('Look', LOOKS.filter(([name]) => name !== 'texture'), this.now.look, look => { this.now.look = look; this.dress(); this.done(); });
    this.lights = choice('Lamp', LIGHT_NAMES, this.now.light, light => { this.now.light = light; this.viewer?.light(light); this.done(); });
    root.append(
      element('div', { class: 'row toolbar' }, [
        menu('Export', FORMATS.map(([text, format]) => [text, () => this.export(format)])),
        button('Copy command', () => this.copy().catch(() => {})), this.looks, this.lights, button('Face me', () => this.viewer?.reset()),
      ]),
      element('div', { class: 'stages one' }, [element('figure', {}, [this.canvas, this.caption, this.figures])]),
      element('div', { class: 'panel' }, [this.personBox(), this.expressionBox(), this.scanBox(), this.sliders.element]),
    );
    this.drawing = new Latest(state => this.drawNow(state), error => studio.failed(error));
    this.fine = new Latest(state => this.refine(state), error => studio.failed(error));
  }

  personBox() {
    this.seed = whole('Seed', 0, MOST, 0, seed => this.become({ seed, folder: '' }));
    this.spread = range('Spread', 0, 2, 0.05, this.now.spread, (spread, resting) => {
      Object.assign(this.now, { spread, folder: '', seed: Math.max(this.now.seed, 0) });
      this.redraw(resting);
    });
    return element('fieldset', { class: 'box' }, [element('legend', { text: 'Person' }),
      element('div', { class: 'row' }, [this.seed, button('New person', () => this.fresh(), { class: 'primary', title: 'N' }),
        button('Mean face', () => this.become({ seed: MEAN, folder: '' }), { title: 'M' })]),
      this.spread]);
  }

  expressionBox() {
    this.expressions = choice('Expression', [['-1', 'Its own']], '-1', value => this.become({ expression: Number(value) }));
    this.giver = whole('Of training person (0: the mean)', 0, 0, 0, giver => this.become({ giver: giver - 1 }));
    this.share = range('Strength', 0, 1.5, 0.05, this.now.share, (share, resting) => { this.now.share = share; this.redraw(resting); });
    return element('fieldset', { class: 'box' }, [element('legend', { text: 'Expression of another face' }), this.expressions, this.giver, this.share]);
  }

  scanBox() {
    const file = element('input', { type: 'file', accept: '.obj,.ply,.stl,.glb', multiple: true, class: 'hidden', tabindex: -1, 'aria-label': 'Scan files',
      on: { change: () => { this.studio.library.send([...file.files]); file.value = ''; } } });
    this.scans = choice('Scan', [['', 'none yet']], '', () => {});
    this.units = choice('Unit', [['guess', 'by its size'], ['mm', 'mm'], ['cm', 'cm'], ['m', 'm']], 'guess', () => {});
    this.errors = check('Error map', this.now.errors, on => { this.now.errors = on; this.redraw(true); });
    return element('fieldset', { class: 'box' }, [element('legend', { text: 'Scan' }),
      element('div', { class: 'row' }, [this.scans, this.units, button('Fit', () => this.fit(this.scans.select.value))]),
      element('div', { class: 'row' }, [button('Add a scan', () => file.click()), file, this.errors])]);
  }

  // ---------------------------------------------------------------- state
  state() { return structuredClone(this.now); }

  restore(state) {
    this.now = { ...structuredClone(START), ...state };
    const { seed, spread, share, giver, expression, look, light, errors } = this.now;
    this.seed.show(Math.max(seed, 0)); this.spread.show(spread); this.share.show(share); this.giver.show(giver + 1);
    this.expressions.select.value = String(expression);
    this.looks.select.value = look; this.lights.select.value = light; this.errors.box.checked = errors;
    this.viewer?.light(light);
    if (this.opened) { this.sliders.show(this.now.edits); this.redraw(true); }
  }

  become(changes) { this.restore({ ...this.now, ...changes }); }
  fresh() { this.become({ seed: Math.floor(Math.random() * 1e6), folder: '' }); }

  get request() {
    const { folder, seed, spread, edits, expression, giver, share } = this.now;
    return { folder, seed, spread, edits, expression, giver, share };
  }

  async selected() {
    if (this.opening) return;
    this.opening = true;
    this.studio.status('Loading the model …');
    try {
      const { header } = await this.studio.ask('implicit.open');
      this.sliders.set(header.groups, this.now.edits);
      this.expressions.select.replaceChildren(element('option', { value: '-1', text: 'Its own' }),
        ...Array.from({ length: header.expressions }, (_, number) =>
          element('option', { value: number, text: number ? `Expression ${number}` : 'Neutral' })));
      this.giver.querySelector('input').max = header.people;
      this.listed(header.scans);
      try { this.viewer = new MeshViewer(this.canvas, DISTANCE); } catch {
        this.studio.say('This browser draws no 3-D (WebGL 2).');
        return;
      }
      this.opened = true;
      this.restore(this.now);
      this.studio.status(`ImFace: ${header.people} people in ${header.expressions} expressions`);
    } catch { this.opening = false; }
  }

  listed(names, chosen = names.at(-1)) {
    this.scans.select.replaceChildren(...(names.length ? names : ['']).map(name => element('option', { value: name, text: name || 'none yet', selected: name === chosen })));
  }

  moved(edits, resting) {
    this.now.edits = edits;
    this.redraw(resting);
  }

  // ---------------------------------------------------------------- meshes
  redraw(resting) {
    if (!this.opened) return;
    const state = { request: this.request, asked: performance.now(), version: ++this.version };
    if (resting) { state.errors = this.hasErrors; this.done(); }
    this.drawing.push({ ...state, resting });
  }

  // What was fitted is shown as it was fitted, in colours.
  get hasErrors() {
    const { folder, errors, edits, expression } = this.now;
    return Boolean(folder && errors && expression === EXPRESSIONS_OWN && !Object.keys(edits).length);
  }

  async drawNow({ request, asked, version, resting, errors }) {
    if (errors) {
      const { header, data } = await this.studio.ask('implicit.errors', { folder: request.folder });
      this.take(header, data);
      this.said(header);
      this.shown = { version, detail: 'errors', ...request };
      return;
    }
    const { header, data } = await this.studio.link.ask('implicit.draw', { ...request, moving: !resting });
    this.take(header, data);
    this.figures.replaceChildren();
    this.shown = { version, detail: 'coarse', ...request, milliseconds: header.milliseconds };
    this.studio.say('');
    this.studio.log.push(['implicit', performance.now() - asked, 'coarse']);
    if (resting) this.fine.push({ request, asked, version });
  }

  // Finer and finer, until something moves.
  async refine({ request, asked, version }) {
    for (let step = 0, steps = 1; step < steps;) {
      if (version !== this.version) return;
      const { header, data } = await this.studio.link.ask('implicit.refine', { ...request, step });
      if (version !== this.version) return;
      steps = header.steps;
      if (!header.ready) { await new Promise(resolve => setTimeout(resolve, AGAIN)); continue; }
      this.take(header, data);
      this.shown = { version, detail: step + 1 === steps ? 'fine' : 'finer', ...request };
      this.studio.log.push(['implicit', performance.now() - asked, this.shown.detail]);
      step++;
    }
  }

  take(header, data) {
    const triangles = header.faces * 12, corners = header.vertices * 24;
    this.viewer.topology(new Uint32Array(data, 0, header.faces * 3));
    this.viewer.move(new Float32Array(data, triangles, header.vertices * 6));
    if (header.colours) this.viewer.colours(new Uint8Array(data, triangles + corners, header.vertices * 3));
    this.coloured = header.colours;
    this.dress();
    this.caption.textContent = `${this.named()}: ${header.vertices} vertices`;
  }

  named() {
    const { folder, seed } = this.now;
    return folder ? folder.split('/')[1] : seed === MEAN ? 'The mean face' : `Person ${seed}`;
  }

  dress() { this.viewer?.look(this.coloured ? 'colours' : this.now.look); }

  said({ figures, chamfer }) {
    const far = name => `${(figures[name] ?? 0).toFixed(2)} mm`;
    this.figures.replaceChildren(
      element('p', { text: `From the scan: mean ${far('mean_mm')}, 95 % within ${far('within_95_mm')}, at most ${far('largest_mm')}; chamfer ${chamfer.toFixed(2)} mm` }),
      element('div', { class: 'legend' }, [element('span', { class: 'before', text: 'before it' }), element('span', { class: 'on', text: 'on it' }),
        element('span', { class: 'behind', text: 'behind it' }), document.createTextNode('full colour at 2 mm')]));
  }

  // ---------------------------------------------------------------- scans
  // Scans came in: the first is fitted.
  async scanned(names) {
    try {
      const { header } = await this.studio.ask('implicit.scans');
      this.listed(header.scans, names[0]);
      await this.fit(names[0]);
    } catch { /* it is said already */ }
  }

  async fit(scan) {
    if (!scan) { this.studio.say('There is no scan yet: drop one into the page.'); return; }
    try {
      const header = await this.studio.exported('implicit.fit', { scan, unit: this.units.select.value });
      this.fitting = { work: header.work, folder: header.folder };
    } catch { /* it is said already */ }
  }

  worked(work) {
    if (work.id !== this.fitting?.work || work.state === 'waiting' || work.state === 'running') return;
    const { folder } = this.fitting;
    this.fitting = null;
    if (work.state === 'done') this.become({ folder, edits: {}, expression: EXPRESSIONS_OWN, errors: true });
  }

  // ---------------------------------------------------------------- out
  done() { this.studio.changed('implicit'); }

  export(format) { this.studio.exported('implicit.export', { ...this.request, format }).catch(() => {}); }

  async copy() {
    const { header } = await this.studio.ask('implicit.command', this.request);
    this.studio.copy(header.command);
  }

  key(event) {
    const act = { n: () => this.fresh(), m: () => this.become({ seed: MEAN, folder: '' }), e: () => this.errors.box.click(), r: () => this.sliders.reset() }[event.key];
    act?.();
  }
}
