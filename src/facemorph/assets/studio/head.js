// The view Head: a photograph that moves, its head in 3-D beside it, sliders by name.

import { Latest } from './link.js';
import { LIGHT_NAMES, LOOKS, MeshViewer } from './mesh.js';
import { button, check, choice, draw, element, menu } from './page.js';
import { SliderPanel } from './sliders.js';
import { Webcam } from './webcam.js';

const REST = 20;  // milliseconds without a movement before the careful picture is asked for
const FORMATS = [['Picture (PNG)', '.png'], ['Picture (JPEG)', '.jpg'], ['Video, there and back (MP4)', '.mp4'], ['The same (GIF)', '.gif'],
  ['Mesh (GLB)', '.glb'], ['Mesh (OBJ)', '.obj'], ['Mesh (PLY)', '.ply'], ['Parameters (NPZ)', '.npz'],
  ['Landmarks (JSON)', '.json'], ['Landmarks (TEM)', '.tem'], ['Landmarks (PTS)', '.pts']];

export class View {
  constructor(studio, root) {
    this.studio = studio; this.opened = null; this.look = 'texture'; this.light = 'front'; this.sharp = true;
    this.shown = null; this.version = 0; this.edits = {};
    this.help = [['S', 'both sides together'], ['R', 'all sliders back'], ['O', 'the photograph as it was, while held']];
    this.picture = element('canvas', { class: 'picture', role: 'img', 'aria-label': 'The photograph as it moves' });
    this.mesh = element('canvas', { class: 'mesh', role: 'img', 'aria-label': 'The head in 3-D', tabindex: 0 });
    this.sliders = new SliderPanel((values, resting) => this.moved(values, resting));
    this.webcam = new Webcam(this);
    this.presets = element('div', { class: 'row presets', role: 'group', 'aria-label': 'Presets' });
    this.looks = choice('Look', LOOKS, this.look, value => { this.look = value; this.viewer?.look(value); this.done(); });
    this.lights = choice('Lamp', LIGHT_NAMES, this.light, value => { this.light = value; this.viewer?.light(value); this.done(); });
    this.drivers = choice('Drive by', [], null, () => {});
    this.follow = element('div', { class: 'row', hidden: true }, [this.drivers, button('Make the video', () => this.makeVideo())]);
    this.refine = check('Sharp when it rests', this.sharp, on => { this.sharp = on; this.moved(this.edits, true); });
    root.append(
      element('div', { class: 'row toolbar' }, [
        menu('Export', FORMATS.map(([text, format]) => [text, () => this.export(format)])),
        button('Copy command', () => this.copy().catch(() => {})), this.refine, ...this.webcam.controls, this.looks, this.lights,
        button('Face me', () => this.viewer?.reset()),
      ]),
      element('div', { class: 'stages' }, [
        element('figure', {}, [this.picture, this.webcam.video, element('figcaption', { text: 'Photograph' })]),
        element('figure', {}, [this.mesh, element('figcaption', { text: 'Head' })]),
      ]),
      element('div', { class: 'panel' }, [this.follow, this.presets, this.sliders.element]),
    );
    this.driven();
    this.drawing = new Latest(state => this.drawNow(state), error => studio.failed(error));
  }

  state() { return { edits: this.edits, look: this.look, light: this.light, sharp: this.sharp, photograph: this.opened?.name ?? null }; }

  restore(state) {
    this.edits = state.edits ?? {};
    this.look = state.look ?? 'texture'; this.light = state.light ?? 'front'; this.sharp = state.sharp ?? true;
    this.looks.select.value = this.look; this.lights.select.value = this.light; this.refine.box.checked = this.sharp;
    this.viewer?.look(this.look); this.viewer?.light(this.light);
    this.wanted = state.photograph ?? null;
    if (this.opened && (!this.wanted || this.wanted === this.opened.name)) {
      this.sliders.show(this.edits);
      this.redraw(true);
    }
  }

  get photograph() { return this.studio.selection.find(name => this.studio.isReady(name)) ?? null; }

  // Another photograph is chosen, or this one is ready now.
  async selected() {
    const name = this.photograph, version = name && this.studio.photograph(name).version;
    if (!name || (this.opened?.name === name && this.opened.version === version)) return;
    this.opened = { name, version };
    this.webcam.stop();
    this.preparing = this.prepare(name, version);
    await this.preparing;
  }

  async prepare(name, version) {
    this.studio.status(`Preparing ${name} …`);
    try {
      const { header } = await this.studio.ask('head.open', { photograph: name });
      if (this.opened?.name !== name || this.opened.version !== version) return;
      if (this.wanted && this.wanted !== name) this.edits = {};
      this.wanted = null;
      this.sliders.set(header.groups, this.edits);
      this.presets.replaceChildren(...Object.entries(header.presets).map(([label, values]) =>
        button(label, () => this.sliders.take({ ...this.others(header.presets), ...values }))));
      await this.openMesh(name);
      this.redraw(true);
      this.studio.status(`${name}: the head fits its landmarks to ${(100 * header.error).toFixed(1)} % of the distance of the pupils`);
    } catch { if (this.opened?.name === name && this.opened.version === version) this.opened = null; }
  }

  // Sliders that no preset sets stay as they are.
  others(presets) {
    const set = new Set(Object.values(presets).flatMap(values => Object.keys(values)));
    return Object.fromEntries(Object.entries(this.edits).filter(([name]) => !set.has(name)));
  }

  async openMesh(name) {
    if (!this.viewer) {
      try { this.viewer = new MeshViewer(this.mesh); } catch (error) {
        this.studio.say('This browser draws no 3-D (WebGL 2); everything else works.');
        return;
      }
      const { header, data } = await this.studio.ask('head.mesh');
      const faces = new Uint32Array(data, 0, header.faces * 3);
      this.viewer.topology(faces, new Float32Array(data, header.faces * 12, header.vertices * 2));
      this.viewer.look(this.look); this.viewer.light(this.light);
    }
    const { data } = await this.studio.ask('head.texture', { photograph: name });
    await this.viewer.texture(data);
  }

  moved(edits, resting) {
    this.edits = edits;
    this.redraw(resting);
    if (resting) this.done();
  }

  redraw(resting) {
    if (!this.opened) return;
    this.webcam.pause();
    const state = { name: this.opened.name, edits: this.edits, asked: performance.now(), version: ++this.version };
    this.drawing.push({ ...state, detail: 'draft' });
    if (resting) this.refineSoon(state);
  }

  // When nothing has moved meanwhile, the same with care.
  refineSoon(state) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      if (state.version === this.version) this.drawing.push({ ...state, detail: this.sharp ? 'sharp' : 'still' });
    }, REST);
  }

  async drawNow({ name, edits, detail, asked, version }) {
    const mesh = Boolean(this.viewer) && (detail !== 'draft' || this.viewer.isDue(asked));
    const { header, data } = await this.studio.link.ask('head.draw', { photograph: name, edits, detail, mesh });
    if (this.opened?.name !== name) return;
    await this.painting;  // one after the other; the server draws the next meanwhile
    this.painting = this.paint(header, data, { version, detail, edits, asked });
    if (detail !== 'draft') await this.painting;
  }

  async paint(header, data, { version, detail, edits, asked }) {
    await this.take(header, data);
    this.shown = { version, detail, edits, milliseconds: header.milliseconds };
    this.studio.say('');
    this.studio.log.push(['head', performance.now() - asked, detail]);
  }

  // A picture, and behind it the mesh.
  async take(header, data) {
    if (header.picture) await draw(this.picture, data.slice(0, header.picture));
    if (header.mesh) this.viewer?.move(new Float32Array(data.slice(header.mesh)));
  }

  done() { this.studio.changed('head'); }

  export(format) {
    if (this.opened) this.studio.exported('head.export', { photograph: this.opened.name, edits: this.edits, format }).catch(() => {});
  }

  // The videos and recordings have changed.
  driven() {
    const { drivers } = this.studio, { select } = this.drivers, chosen = select.value;
    this.follow.hidden = !drivers.length;
    select.replaceChildren(...drivers.map(name => element('option', { value: name, text: name, selected: name === chosen })));
  }

  makeVideo() {
    if (this.opened) this.studio.exported('head.follow', { photograph: this.opened.name, driver: this.drivers.select.value }).catch(() => {});
  }

  async copy() {
    if (!this.opened) return;
    const { header } = await this.studio.ask('head.command', { photograph: this.opened.name, edits: this.edits });
    this.studio.copy(header.command);
  }

  hidden() { this.webcam.stop(); }

  key(event) {
    if (event.key === 's') { this.sliders.both.box.click(); }
    else if (event.key === 'r') this.sliders.reset();
    else if (event.key === 'o' && !event.repeat && this.opened) {
      const kept = this.edits;
      this.redrawAs({});
      addEventListener('keyup', () => this.redrawAs(kept), { once: true });
    }
  }

  redrawAs(edits) {
    const own = this.edits;
    this.edits = edits;
    this.redraw(true);
    this.edits = own;
  }
}
