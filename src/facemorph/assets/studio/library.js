// The photographs: dropped, opened, chosen.

import { button, element, fill } from './page.js';

const SCANS = /\.(obj|ply|stl|glb)$/i;

export class Library {
  constructor(studio, root) {
    this.studio = studio;
    this.list = element('ul', { class: 'photographs', 'aria-label': 'Photographs' });
    this.progress = element('progress', { hidden: true, 'aria-label': 'Photographs looked at' });
    const file = element('input', { type: 'file', multiple: true, class: 'hidden', id: 'files', tabindex: -1, 'aria-label': 'Pictures, landmarks, videos and scans',
      on: { change: () => { this.send([...file.files]); file.value = ''; } } });
    this.path = element('input', { type: 'text', placeholder: '/folder of this machine', 'aria-label': 'Folder of this machine' });
    const form = element('form', { class: 'row', on: { submit: event => { event.preventDefault(); this.openFolder(); } } },
      [this.path, element('button', { text: 'Open' })]);
    root.append(element('h2', { text: 'Library' }),
      button('Add pictures', () => file.click()), file, form, this.progress, this.list);
  }

  show() {
    const { photographs, selection } = this.studio;
    const done = photographs.filter(one => one.state !== 'waiting').length;
    this.progress.hidden = done === photographs.length;
    this.progress.max = photographs.length; this.progress.value = done;
    const old = new Map([...this.list.children].map(item => [item.dataset.key, item]));
    fill(this.list, photographs.map(one => {
      const place = selection.indexOf(one.id);
      const key = JSON.stringify([one.id, one.version, one.state, place]);
      return old.get(key) ?? this.item(one, place, key);
    }));
  }

  item(one, place, key) {
    const said = one.state === 'failed' ? one.text : one.warnings.join('\n');
    const picture = one.size[0]
      ? element('img', { src: `thumbnail/${encodeURIComponent(one.id)}?v=${one.version}`, alt: '' })
      : element('span', { class: 'blank', text: one.state === 'waiting' ? '…' : '!' });
    const choose = element('button', { type: 'button', class: 'thumb', 'aria-pressed': String(place >= 0), title: said || one.file,
      on: { click: event => this.choose(one.id, event.ctrlKey || event.metaKey || event.shiftKey) } }, [
      picture, element('span', { class: 'name', text: one.id }),
      ...(place >= 0 ? [element('span', { class: 'place', text: String.fromCharCode(65 + place) })] : []),
      ...(one.state === 'waiting' ? [element('span', { class: 'note', text: 'finding the face …' })] : []),
      ...(one.state === 'failed' ? [element('span', { class: 'note bad', text: one.text })] : []),
      ...(one.state === 'ready' && said ? [element('span', { class: 'note', text: said })] : []),
    ]);
    const remove = button('×', () => this.studio.ask('studio.remove', { photograph: one.id }).catch(() => {}),
      { class: 'remove', 'aria-label': `Remove ${one.id}`, title: 'Take it out of the project; the file stays' });
    return element('li', { 'data-key': key, 'data-photograph': one.id }, [choose, remove]);
  }

  choose(name, more) {
    const { selection } = this.studio;
    if (!more) this.studio.select([name, ...selection.filter(one => one !== name).slice(0, 0)]);
    else if (selection.includes(name)) this.studio.select(selection.filter(one => one !== name));
    else this.studio.select([...selection, name]);
  }

  async openFolder() {
    const path = this.path.value.trim();
    if (!path) return;
    try { await this.studio.ask('studio.open', { path }); this.path.value = ''; } catch { /* it is said already */ }
  }

  async dropped(transfer) {
    const entries = [...transfer.items].map(item => item.webkitGetAsEntry?.()).filter(Boolean);
    const files = entries.length ? (await Promise.all(entries.map(filesOf))).flat() : [...transfer.files];
    await this.send(files);
  }

  // One after the other; those that are refused are named together. Scans go to the view Implicit.
  async send(files) {
    const refused = [], scans = [];
    for (const [index, file] of files.entries()) {
      this.studio.status(`Reading ${file.name} (${index + 1} of ${files.length})`);
      try {
        const kind = SCANS.test(file.name) ? 'kind=scan&' : '';
        const reply = await fetch(`upload?${kind}name=${encodeURIComponent(file.name)}`, { method: 'POST', body: file });
        const said = await reply.json();
        if (!reply.ok) refused.push(said.message);
        else if (said.scan) scans.push(said.scan);
      } catch (error) { refused.push(`${file.name}: ${error.message}`); }
    }
    if (scans.length) { await this.studio.open('implicit'); await this.studio.views.get('implicit')?.scanned(scans); }
    this.studio.status(`${files.length - refused.length} of ${files.length} files read`);
    this.studio.say(refused.slice(0, 4).join(' · ') + (refused.length > 4 ? ` · and ${refused.length - 4} more` : ''));
  }
}

// Files of a dropped folder, without hidden ones.
async function filesOf(entry) {
  if (entry.name.startsWith('.')) return [];
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const reader = entry.createReader(), found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) break;
    found.push(...some);
  }
  found.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
  return (await Promise.all(found.map(filesOf))).flat();
}
