// Long work and what it made: progress, cancel, files, the command of each.

import { button, element, fill } from './page.js';

const SHOWN = 12;
const PICTURES = /\.(png|jpe?g|gif|webp)$/i, VIDEOS = /\.(mp4|webm)$/i;

export class Works {
  constructor(studio, root) {
    this.studio = studio; this.works = new Map(); this.names = []; this.commands = new Map(); this.items = new Map();
    this.list = element('ul', { class: 'works' });
    this.made = element('ul', { class: 'made' });
    this.preview = element('div', { class: 'preview' });
    this.details = element('details', {}, [element('summary', { text: 'Exports' }),
      element('div', { class: 'exported' }, [element('div', {}, [this.list, this.made]), this.preview])]);
    root.append(this.details);
  }

  begin(works, names) {
    this.works = new Map(works.map(work => [work.id, work]));
    this.names = names;
    this.show();
  }

  changed(work) {
    this.works.set(work.id, work);
    if (work.state === 'done') {
      this.files(work.result);
      this.studio.status(`Made: ${work.result[0] ?? work.label}`);
      if (work.result[0]) this.see(work.result[0]);
    } else if (work.state === 'failed') this.studio.say(`${work.label}: ${work.text}`);
    this.show();
  }

  files(names) {
    this.names = [...names, ...this.names.filter(name => !names.includes(name))];
    this.show();
  }

  show() {
    const running = [...this.works.values()].filter(work => ['waiting', 'running'].includes(work.state));
    this.details.firstChild.textContent = running.length ? `Exports (${running.length} under way)` : `Exports (${this.names.length})`;
    const old = this.items;
    this.items = new Map();
    fill(this.list, [...this.works.values()].reverse().slice(0, SHOWN).map(work => this.item(work, old)));
    fill(this.made, this.names.slice(0, SHOWN * 2).map(name => this.file(name, old)));
  }

  // What is shown of a piece of work, and of a file; what is there already is kept.
  item(work, old) {
    const command = this.commands.get(work.id), over = ['done', 'failed', 'cancelled'].includes(work.state);
    const key = JSON.stringify([work.id, work.state, command ?? '']), item = old.get(key) ?? this.newItem(work, command, over);
    this.items.set(key, item);
    const [, bar, note] = item.children;
    if (!over) bar.value = work.state === 'waiting' ? 0 : work.share;
    if (note.textContent !== work.text) note.textContent = work.text;
    return item;
  }

  file(name, old) {
    const item = old.get(name) ?? element('li', {}, [
      button(name, () => this.see(name), { class: 'link' }),
      element('a', { href: address(name, true), text: 'Save', download: name.split('/').pop() }),
    ]);
    this.items.set(name, item);
    return item;
  }

  newItem(work, command, over) {
    return element('li', { class: work.state }, [
      element('span', { text: work.label }),
      over ? element('span', { class: 'note', text: work.state }) : element('progress', { max: 1, value: 0, 'aria-label': work.label }),
      element('span', { class: 'note' }),
      ...(over ? [] : [button('Cancel', () => this.studio.ask('studio.cancel', { work: work.id }).catch(() => {}))]),
      ...(command ? [button('Copy command', () => this.studio.copy(command))] : []),
    ]);
  }

  see(name) {
    const source = address(name, false);
    if (PICTURES.test(name)) this.preview.replaceChildren(element('img', { src: source, alt: name }));
    else if (VIDEOS.test(name)) this.preview.replaceChildren(element('video', { src: source, controls: true, loop: true, 'aria-label': name }));
    else this.preview.replaceChildren();
    this.details.open = true;
  }
}

function address(name, save) {
  return `exports/${name.split('/').map(encodeURIComponent).join('/')}${save ? '?save' : ''}`;
}
