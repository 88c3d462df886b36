// The page: its views, what all of them share, undo and redo, and what is kept.

import { Library } from './library.js';
import { Link } from './link.js';
import { Works } from './works.js';
import { element } from './page.js';

// name, title, module with a class View, what the help says
const VIEWS = [
  ['morph', 'Morph', './morph.js'],
  ['head', 'Head', './head.js'],
  ['generate', 'Generate', './generate.js'],
  ['implicit', 'Implicit', './implicit.js'],
];
const KEEP_MILLISECONDS = 600;

class Studio {
  constructor() {
    this.log = [];                       // [kind, milliseconds from pointer to drawn, detail], for the benchmark
    this.photographs = []; this.selection = []; this.drivers = [];
    this.views = new Map(); this.kept = null; this.last = {};  // kept: what the server has of each view; null before it is known
    this.past = []; this.future = [];
    this.ready = false; this.current = null;
    this.library = new Library(this, document.getElementById('library'));
    this.works = new Works(this, document.getElementById('works'));
    this.tabs = new Map();
    this.bind();
    this.link = new Link(new URL('live', location.href.replace(/^http/, 'ws')), {
      changed: open => this.connected(open),
      event: content => this.event(content),
    });
  }

  // ---------------------------------------------------------------- connection
  async connected(open) {
    document.body.classList.toggle('lost', !open);
    if (!open) { this.status('The server is not there; waiting for it.'); return; }
    let header;
    try { ({ header } = await this.link.ask('studio.state')); } catch { return; }  // lost again: the next connection asks anew
    this.photographs = header.photographs;
    this.folder = header.folder;
    this.driven(header.drivers);
    this.works.begin(header.works, header.exports);
    if (!this.ready) {
      this.kept = header.views;
      const shell = this.kept.shell ?? {};
      this.theme(shell.theme ?? (matchMedia('(prefers-color-scheme: light)').matches ? 'light' : 'dark'));
      this.selection = (shell.selection ?? []).filter(name => this.photograph(name));
      if (!this.selection.length) this.selection = this.photographs.slice(0, 2).map(one => one.id);
      this.library.show();
      await this.open(VIEWS.some(([name]) => name === shell.view) ? shell.view : VIEWS[0][0]);
      this.ready = true;
    } else {
      this.selection = this.selection.filter(name => this.photograph(name));
      this.library.show();
      this.view?.selected();
      this.view?.redraw?.(true);  // what was asked for before the connection was lost
    }
    this.status(`Project: ${this.folder}`);
  }

  event(content) {
    if (content.event === 'work') { this.works.changed(content.work); for (const view of this.views.values()) view.worked?.(content.work); return; }
    if (content.event === 'drivers') { this.driven(content.drivers); return; }
    if (content.event === 'library') {
      this.photographs = content.photographs;
      this.selection = this.selection.filter(name => this.photograph(name));
    } else if (content.event === 'photograph') {
      const index = this.photographs.findIndex(one => one.id === content.photograph.id);
      if (index < 0) return;
      this.photographs[index] = content.photograph;
    }
    this.library.show();
    if (content.event === 'library' || this.selection.includes(content.photograph.id)) this.view?.selected();
  }

  // Videos and recordings that a photograph can follow.
  driven(names) {
    this.drivers = names;
    for (const view of this.views.values()) view.driven?.();
  }

  // Ask the server; what goes wrong is said and thrown on.
  async ask(kind, content, data) {
    try {
      const answer = await this.link.ask(kind, content, data);
      this.say('');
      return answer;
    } catch (error) { this.failed(error); throw error; }
  }

  failed(error) { this.say(error.message); }
  say(text) { document.getElementById('message').textContent = text; }
  status(text) { document.getElementById('status').textContent = text; }

  // ---------------------------------------------------------------- photographs
  photograph(name) { return this.photographs.find(one => one.id === name); }
  isReady(name) { return this.photograph(name)?.state === 'ready'; }

  select(names) {
    this.selection = names;
    this.library.show();
    this.view?.selected();
    this.keepShell();
  }

  // ---------------------------------------------------------------- views
  get view() { return this.views.get(this.current); }

  async open(name) {
    if (!this.kept) return;
    const [, , path] = VIEWS.find(one => one[0] === name);
    if (this.current !== name) this.view?.hidden?.();
    this.current = name;
    for (const [key, tab] of this.tabs) {
      tab.setAttribute('aria-selected', String(key === name));
      tab.tabIndex = key === name ? 0 : -1;
    }
    if (!this.views.has(name)) {
      let View;
      try { ({ View } = await import(path)); } catch (error) { this.failed(error); return; }
      if (!this.views.has(name)) this.begin(name, View);  // opened twice while it was loaded
    }
    for (const panel of document.getElementById('views').children) panel.hidden = panel.id !== `view-${this.current}`;
    this.view?.selected();
    this.keepShell();
  }

  begin(name, View) {
    const panel = element('section', { id: `view-${name}`, class: `view ${name}`, role: 'tabpanel', 'aria-labelledby': `tab-${name}` });
    document.getElementById('views').append(panel);
    const view = new View(this, panel);
    this.views.set(name, view);
    if (this.kept[name]) view.restore(this.kept[name]);
    this.last[name] = structuredClone(view.state());
  }

  // ---------------------------------------------------------------- undo, redo, keeping
  // A view tells that a change is done: it can be taken back, and is kept.
  changed(name) {
    const after = structuredClone(this.views.get(name).state()), before = this.last[name];
    if (JSON.stringify(after) === JSON.stringify(before)) return;
    this.past.push({ name, before, after });
    if (this.past.length > 200) this.past.shift();
    this.future = [];
    this.last[name] = after;
    this.keep({ [name]: after });
    this.buttons();
  }

  // Keep a change that cannot be taken back.
  keepAsItIs(name) {
    this.last[name] = structuredClone(this.views.get(name).state());
    this.keep({ [name]: this.last[name] });
  }

  async travel(from, to, side) {
    if (this.view?.[side === 'before' ? 'undo' : 'redo']?.()) return;
    const step = from.pop();
    if (!step) return;
    to.push(step);
    if (this.current !== step.name) await this.open(step.name);
    if (!this.views.has(step.name)) return;
    this.last[step.name] = step[side];
    this.views.get(step.name).restore(structuredClone(step[side]));
    this.keep({ [step.name]: step[side] });
    this.buttons();
  }

  undo() { return this.travel(this.past, this.future, 'before'); }
  redo() { return this.travel(this.future, this.past, 'after'); }

  buttons() {
    document.getElementById('undo').disabled = !this.past.length;
    document.getElementById('redo').disabled = !this.future.length;
  }

  keep(views) {
    this.unsaved = { ...this.unsaved, ...views };
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.keepNow(), KEEP_MILLISECONDS);
  }

  async keepNow() {
    const views = this.unsaved;
    if (!views) return;
    this.unsaved = null;
    this.keeping = true;
    try { await this.link.ask('studio.keep', { views }); } catch (error) {
      this.unsaved = { ...views, ...this.unsaved };
      setTimeout(() => this.keepNow(), 2000);
    }
    this.keeping = false;
  }

  keepShell() {
    if (!this.ready) return;
    this.keep({ shell: { view: this.current, selection: this.selection, theme: document.documentElement.dataset.theme } });
  }

  // ---------------------------------------------------------------- exports
  // Ask for an export and tell of it; the file comes later.
  async exported(kind, content) {
    const { header } = await this.ask(kind, content);
    if (header.files) this.works.files(header.files);
    if (header.command) this.works.commands.set(header.work, header.command);
    this.works.show();
    return header;
  }

  async copy(text) {
    try { await navigator.clipboard.writeText(text); this.status(`Copied: ${text}`); }
    catch { this.status(text); }
  }

  // ---------------------------------------------------------------- the frame around the views
  bind() {
    const tabs = document.getElementById('tabs');
    for (const [name, title] of VIEWS) {
      const tab = element('button', { id: `tab-${name}`, role: 'tab', type: 'button', text: title, 'aria-selected': 'false',
        'aria-controls': `view-${name}`, on: { click: () => this.open(name) } });
      this.tabs.set(name, tab);
      tabs.append(tab);
    }
    tabs.addEventListener('keydown', event => {
      const names = [...this.tabs.keys()], at = names.indexOf(this.current);
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const next = names[(at + step + names.length) % names.length];
      this.open(next);
      this.tabs.get(next).focus();
    });
    document.getElementById('undo').onclick = () => this.undo();
    document.getElementById('redo').onclick = () => this.redo();
    document.getElementById('theme').onclick = () => {
      this.theme(document.documentElement.dataset.theme === 'light' ? 'dark' : 'light');
      this.keepShell();
    };
    document.getElementById('help').onclick = () => this.help();
    addEventListener('keydown', event => this.key(event));
    addEventListener('dragover', event => event.preventDefault());
    addEventListener('drop', event => { event.preventDefault(); this.library.dropped(event.dataTransfer).catch(error => this.failed(error)); });
    addEventListener('pagehide', () => this.keepNow());
  }

  theme(name) {
    document.documentElement.dataset.theme = name;
    const control = document.getElementById('theme');
    control.textContent = name === 'light' ? 'Dark' : 'Light';
    control.setAttribute('aria-pressed', String(name === 'light'));
  }

  key(event) {
    const typing = event.target.closest('input[type=text], input[type=search], input[type=number], textarea, select');
    const held = event.ctrlKey || event.metaKey;
    if (held && !typing && event.key.toLowerCase() === 'z') { event.preventDefault(); event.shiftKey ? this.redo() : this.undo(); }
    else if (held && !typing && event.key.toLowerCase() === 'y') { event.preventDefault(); this.redo(); }
    else if (event.key === 'F1' || (event.key === '?' && !typing)) { event.preventDefault(); this.help(); }
    else if (!held && !event.altKey && !typing && /^[1-9]$/.test(event.key)) {
      const name = [...this.tabs.keys()][Number(event.key) - 1];
      if (name) this.open(name);
    } else if (!held && !typing) this.view?.key?.(event);
  }

  help() {
    const lines = [
      ['Drop pictures anywhere', 'they join the library'],
      ['Drop a landmark file with the name of a photograph', 'its points become those of the photograph'],
      ['Drop a video, or a recording of ARKit or Live Link Face', 'the view Head follows it'],
      ['Click, Ctrl-click', 'choose one photograph, or several in order'],
      ['1 to 9', 'the views'], ['Ctrl+Z, Ctrl+Y', 'undo, redo'], ['F1, ?', 'this help'],
      ['Double-click a slider', 'back to where it was'], ...(this.view?.help ?? []),
    ];
    const box = document.getElementById('helptext');
    box.replaceChildren(element('dl', { class: 'keys' }, lines.map(([what, text]) =>
      element('div', {}, [element('dt', { text: what }), element('dd', { text })]))));
    document.getElementById('helpbox').showModal();
  }
}

window.studio = new Studio();
