// The view Generate: people who do not exist, with the sliders of a head.

import { Latest } from './link.js';
import { button, choice, draw, element, menu, range, whole } from './page.js';
import { SliderPanel } from './sliders.js';

const MODELS = [['gif', 'GIF'], ['varitex', 'VariTex']];
const LAMPS = [['own', 'As it is'], ['front', 'Front'], ['left', 'Left'], ['right', 'Right'], ['top', 'Top'], ['below', 'Below']];
const FORMATS = [['Picture (PNG)', '.png'], ['Picture (JPEG)', '.jpg'], ['Sheet of poses (PNG)', 'sheet'], ['Video, turning (MP4)', '.mp4'],
  ['The same (GIF)', '.gif'], ['Head (GLB)', '.glb'], ['Head (OBJ)', '.obj'], ['Head (PLY)', '.ply'], ['Code and parameters (NPZ)', '.npz']];
const MOST = 2 ** 31 - 1, REST = 250;
const START = { model: 'gif', folder: '', seed: 1, spread: 1, edits: {}, lamp: 'own', draw: 1, strength: 0.4, finding: null };

export class View {
  constructor(studio, root) {
    this.studio = studio; this.shown = null; this.version = 0; this.opened = null;
    this.now = structuredClone(START);
    this.help = [['N', 'a new person'], ['V', 'other variations'], ['F', 'find the chosen photograph'],
      ['S', 'both sides together'], ['R', 'all sliders back'], ['Click a variation', 'it becomes the person']];
    this.picture = element('canvas', { class: 'picture', role: 'img', 'aria-label': 'The person' });
    this.caption = element('figcaption', { text: 'Person' });
    this.grid = element('div', { class: 'grid', role: 'group', 'aria-label': 'Variations' });
    this.sliders = new SliderPanel((values, resting) => this.moved(values, resting));
    this.presets = element('div', { class: 'row presets', role: 'group', 'aria-label': 'Presets' });
    this.models = choice('Model', MODELS, this.now.model, model => this.become({ model, folder: '' }));
    this.lamps = choice('Lamp', LAMPS, this.now.lamp, lamp => { this.now.lamp = lamp; this.redraw(true); });
    root.append(
      element('div', { class: 'row toolbar' }, [
        menu('Export', FORMATS.map(([text, format]) => [text, () => this.export(format)])),
        button('Copy command', () => this.act(this.copy())), this.models, this.lamps,
      ]),
      element('div', { class: 'stages' }, [
        element('figure', {}, [this.picture, this.caption]),
        element('figure', {}, [this.grid, element('figcaption', { text: 'Variations: click one to take it' })]),
      ]),
      element('div', { class: 'panel' }, [this.personBox(), this.variationBox(), this.skinBox(), this.presets, this.sliders.element]),
    );
    this.drawing = new Latest(state => this.drawNow(state), error => studio.failed(error));
    this.varying = new Latest(version => this.vary(version), error => studio.failed(error));
  }

  personBox() {
    this.seed = whole('Seed', 0, MOST, this.now.seed, seed => this.become({ seed, folder: '' }));
    this.spread = range('Spread', 0, 2, 0.05, this.now.spread, (spread, resting) => {
      if (resting) { this.become({ spread, folder: '' }); return; }
      Object.assign(this.now, { spread, folder: '' });
      this.redraw(false);
    });
    this.spread.title = 'How far people are from the mean one (truncation)';
    this.photographed = [
      button('Find this photograph', () => this.act(this.find()), { title: 'Look for the chosen photograph’s person (F)' }),
      button('Its expression', () => this.act(this.like('expression')), { title: 'Expression of the chosen photograph' }),
      button('Its pose', () => this.act(this.like('pose')), { title: 'Pose of the chosen photograph' }),
    ];
    return element('fieldset', { class: 'box' }, [element('legend', { text: 'Person' }),
      element('div', { class: 'row' }, [this.seed, button('New person', () => this.fresh(), { class: 'primary', title: 'N' })]),
      this.spread, element('div', { class: 'row' }, this.photographed)]);
  }

  variationBox() {
    this.strength = range('Strength', 0.05, 1, 0.05, this.now.strength, (strength, resting) => {
      this.now.strength = strength;
      if (resting) { this.varySoon(); this.done(); }
    });
    return element('fieldset', { class: 'box' }, [element('legend', { text: 'Variations' }), this.strength,
      element('div', { class: 'row' }, [button('Others', () => this.others(), { title: 'Other variations (V)' })])]);
  }

  skinBox() {
    const file = element('input', { type: 'file', accept: 'image/png,image/jpeg', class: 'hidden', tabindex: -1, 'aria-label': 'Painted texture',
      on: { change: () => { if (file.files[0]) this.act(this.paint(file.files[0])); file.value = ''; } } });
    this.regions = choice('Region', ['lips'], 'lips', () => {});
    this.skin = element('fieldset', { class: 'box', hidden: true }, [element('legend', { text: 'Skin' }),
      element('div', { class: 'row' }, [button('Make texture to paint', () => this.export('texture')), button('Put on painted texture', () => file.click()), file]),
      element('div', { class: 'row' }, [this.regions, button('From somebody else', () => this.act(this.exchange()))])]);
    return this.skin;
  }

  // ---------------------------------------------------------------- state
  state() { return structuredClone(this.now); }

  restore(state) {
    this.now = { ...structuredClone(START), ...state };
    this.models.select.value = this.now.model; this.lamps.select.value = this.now.lamp;
    this.seed.show(this.now.seed); this.spread.show(this.now.spread); this.strength.show(this.now.strength);
    if (this.opened) this.open();
  }

  selected() {
    const ready = Boolean(this.photograph);
    for (const one of this.photographed) one.disabled = !ready;
    if (this.opened) return;
    for (const work of this.studio.works.works.values()) this.worked(work);  // done while the page was away
    this.open();
  }

  get photograph() { return this.studio.selection.find(name => this.studio.isReady(name)) ?? null; }

  get request() {
    const { model, folder, seed, spread, edits, lamp } = this.now;
    return { model, folder, seed, spread, edits, lamp };
  }

  // Another person: sliders stay as they are unless they are given.
  become(changes) {
    this.restore({ ...this.now, ...changes });
    return this.opening;
  }

  fresh() { return this.become({ seed: Math.floor(Math.random() * 1e6), folder: '' }); }

  open() {
    const key = JSON.stringify({ ...this.request, edits: null, lamp: null });
    this.opening = this.opened === key ? Promise.resolve(this.sliders.show(this.now.edits)).then(() => this.redraw(true)) : this.openNow(key);
    return this.opening;
  }

  async openNow(key) {
    this.opened = key;
    if (!this.shown) this.studio.status('Loading the generator …');
    try {
      const { header } = await this.studio.ask('generate.open', this.request);
      if (this.opened !== key) return;
      this.sliders.set(header.groups, this.now.edits);
      this.presets.replaceChildren(...Object.entries(header.presets).map(([label, values]) =>
        button(label, () => this.preset(header.presets, values))));
      this.skin.hidden = !header.textures;
      this.regions.select.replaceChildren(...header.regions.map(one => element('option', { value: one, text: one.replace('_', ' '), selected: one === 'lips' })));
      this.cells(header.variations);
      this.caption.textContent = this.named();
      this.studio.status(`${this.models.select.selectedOptions[0].text}: ${header.side} pixels`);
      this.redraw(true);
    } catch {
      if (this.opened !== key) return;
      this.opened = null;
      // Its folder may have been deleted: somebody is shown in any case.
      if (this.now.folder) { this.now.folder = ''; this.opened = 'again'; this.open(); }
    }
  }

  named() {
    const { folder, seed } = this.now, [place, name] = folder.split('/');
    return place === 'exports' ? name.replace(/_found(-\d+)?$/, ', found') : folder ? 'A person that was changed' : `Person ${seed}`;
  }

  cells(count) {
    if (this.grid.children.length === count) return;
    this.grid.replaceChildren(...Array.from({ length: count }, (_, number) =>
      element('button', { type: 'button', 'aria-label': `Variation ${number + 1}`, on: { click: () => this.act(this.take(number)) } },
        [element('canvas', { width: 64, height: 64 })])));
  }

  // Sliders that no preset sets stay as they are.
  preset(presets, values) {
    const set = new Set(Object.values(presets).flatMap(one => Object.keys(one)));
    const rest = Object.fromEntries(Object.entries(this.now.edits).filter(([name]) => !set.has(name)));
    this.sliders.take({ ...rest, ...values });
  }

  moved(edits, resting) {
    this.now.edits = edits;
    this.redraw(resting);
  }

  // ---------------------------------------------------------------- pictures
  redraw(resting) {
    if (!this.opened) return;
    this.drawing.push({ request: this.request, asked: performance.now(), version: ++this.version });
    if (resting) { this.varySoon(); this.done(); }
  }

  async drawNow({ request, asked, version }) {
    const { header, data } = await this.studio.link.ask('generate.draw', request);
    await draw(this.picture, data);
    this.shown = { version, ...request, milliseconds: header.milliseconds };
    this.studio.say('');
    this.studio.log.push(['generate', performance.now() - asked, request.model]);
  }

  varySoon() {
    clearTimeout(this.timer);
    const version = this.version;
    this.timer = setTimeout(() => this.varying.push(version), REST);
  }

  // One after the other, so that a slider never waits for all of them.
  async vary(version) {
    const wanted = { ...this.request, draw: this.now.draw, strength: this.now.strength }, key = JSON.stringify(wanted);
    if (this.varied === key) return;
    this.varied = null;
    for (const [number, cell] of [...this.grid.children].entries()) {
      if (version !== this.version) return;
      const { data } = await this.studio.link.ask('generate.variation', { ...wanted, number });
      await draw(cell.firstChild, data);
    }
    this.varied = key;
  }

  others() {
    this.now.draw = Math.floor(Math.random() * 1e6);
    this.varySoon();
    this.done();
  }

  async take(number) {
    const { header } = await this.studio.ask('generate.take', { ...this.request, draw: this.now.draw, strength: this.now.strength, number });
    await this.become({ folder: header.folder });
  }

  // ---------------------------------------------------------------- photographs
  async find() {
    if (!this.photograph) return;
    const photograph = this.photograph;
    const header = await this.studio.exported('generate.find', { model: this.now.model, photograph });
    this.now.finding = { folder: header.folder, model: this.now.model };
    this.studio.keepAsItIs('generate');
    this.studio.status(`Looking for ${photograph} …`);
  }

  // The person of the photograph that was asked for last is there.
  worked(work) {
    const { folder, model } = this.now.finding ?? {};
    if (work.state !== 'done' || !folder || !work.result.some(name => `exports/${name}`.startsWith(`${folder}/`))) return;
    this.now.finding = null;
    this.studio.keepAsItIs('generate');
    this.become({ model, folder, edits: {}, lamp: 'own' });
  }

  async like(part) {
    if (!this.photograph) return;
    const { header } = await this.studio.ask('generate.like', { model: this.now.model, photograph: this.photograph, part });
    const first = part === 'pose' ? 'global_pose ' : 'exp ';
    const rest = Object.fromEntries(Object.entries(this.now.edits).filter(([name]) => !name.startsWith(first)));
    this.sliders.take({ ...rest, ...header.edits });
  }

  // ---------------------------------------------------------------- skin
  async paint(file) {
    const { header } = await this.studio.ask('generate.paint', this.request, await file.arrayBuffer());
    await this.become({ folder: header.folder });
  }

  async exchange() {
    const other = Math.floor(Math.random() * 1e6);
    const { header } = await this.studio.ask('generate.regions', { ...this.request, region: this.regions.select.value, other });
    await this.become({ folder: header.folder });
  }

  // ---------------------------------------------------------------- out
  // What goes wrong is said already.
  act(done) { done.catch(() => {}); }

  done() { this.studio.changed('generate'); }

  export(format) { this.studio.exported('generate.export', { ...this.request, format }).catch(() => {}); }

  async copy() {
    const { header } = await this.studio.ask('generate.command', this.request);
    this.studio.copy(header.command);
  }

  key(event) {
    const act = { n: () => this.fresh(), v: () => this.others(), f: () => this.act(this.find()), r: () => this.sliders.reset(), s: () => this.sliders.both.box.click() }[event.key];
    act?.();
  }
}
