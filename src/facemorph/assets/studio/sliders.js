// A panel of named sliders in groups: search, reset, both sides together.

import { button, check, element } from './page.js';

const OTHER_SIDE = [[/Left$/, 'Right'], [/Right$/, 'Left'], [/_L$/, '_R'], [/_R$/, '_L']];

export class SliderPanel {
  // changed(values, resting): values are those that differ from where the photograph has them.
  constructor(changed) {
    this.changed = changed; this.rows = new Map(); this.values = {}; this.symmetric = true;
    this.search = element('input', { type: 'search', placeholder: 'Search sliders', 'aria-label': 'Search sliders',
      on: { input: () => this.filter() } });
    this.both = check('Both sides', true, on => { this.symmetric = on; });
    this.both.title = 'Left and right move together (S)';
    this.groups = element('div', { class: 'groups' });
    this.element = element('div', { class: 'sliders' }, [
      element('div', { class: 'row' }, [this.search, this.both, button('Reset', () => this.reset(), { title: 'All sliders back' })]),
      this.groups,
    ]);
  }

  // groups: {name: [{name, label, low, high, value}]}
  set(groups, values = {}) {
    const open = new Set([...this.groups.children].filter(one => one.open).map(one => one.dataset.group));
    this.rows.clear();
    this.groups.replaceChildren(...Object.entries(groups).map(([group, sliders], index) => {
      const rows = sliders.map(slider => this.row(slider));
      const details = element('details', { class: 'group', 'data-group': group }, [
        element('summary', { text: `${group} (${sliders.length})` }), ...rows]);
      details.open = open.size ? open.has(group) : index === 0 || group === 'Expression';
      return details;
    }));
    this.search.hidden = this.rows.size < 8;
    if (this.search.hidden) this.search.value = '';
    this.show(values);
    this.filter();
  }

  row(slider) {
    const step = (slider.high - slider.low) / 200;
    const range = element('input', { type: 'range', min: slider.low, max: slider.high, step, 'aria-label': slider.label,
      on: {
        input: () => this.move(slider, range.valueAsNumber, false),
        change: () => this.move(slider, range.valueAsNumber, true),
        // A hand that comes back to where it began makes no change.
        pointerup: () => setTimeout(() => { if (this.moving) this.move(slider, range.valueAsNumber, true); }),
        dblclick: () => this.reset([slider.name]),
      } });
    const number = element('input', { type: 'number', min: slider.low, max: slider.high, step: 'any',
      'aria-label': `${slider.label}, number`,
      on: { change: () => {
        const value = Math.min(slider.high, Math.max(slider.low, number.valueAsNumber));
        if (Number.isFinite(value)) this.move(slider, value, true);
        number.value = Math.round(this.rows.get(slider.name).value * 1000) / 1000;
      } } });
    const row = element('div', { class: 'slider', 'data-slider': slider.name }, [
      element('span', { class: 'label', text: slider.label, title: slider.label }), range, number]);
    this.rows.set(slider.name, { slider, range, number, row });
    return row;
  }

  move(slider, value, resting) {
    this.moving = !resting;
    const values = { ...this.values, [slider.name]: value };
    const other = this.symmetric && this.otherSide(slider.name);
    if (other) values[other] = value;
    this.show(values);
    this.changed(this.values, resting);
  }

  otherSide(name) {
    for (const [ending, other] of OTHER_SIDE) {
      const found = name.replace(ending, other);
      // Eyes that look left turn in on one side and out on the other: these stay apart.
      if (found !== name && this.rows.has(found) && !/Look(In|Out)|^exp (jaw|mouth)(Left|Right)$/.test(name)) return found;
    }
    return null;
  }

  reset(names = [...this.rows.keys()]) {
    const values = { ...this.values };
    for (const name of names) delete values[name];
    this.show(values);
    this.changed(this.values, true);
  }

  // Set many at once, as a preset does.
  take(values) { this.show(values); this.changed(this.values, true); }

  // Only what has changed is touched: there are some two hundred sliders, and a hand moves one.
  show(values) {
    this.values = values;
    for (const [name, one] of this.rows) {
      const value = values[name] ?? one.slider.value, moved = name in values;
      if (one.value === value && one.moved === moved) continue;
      one.value = value; one.moved = moved;
      if (one.range.valueAsNumber !== value) one.range.value = value;
      one.number.value = Math.round(value * 1000) / 1000;
      one.row.classList.toggle('moved', moved);
    }
  }

  filter() {
    const words = this.search.value.trim().toLowerCase();
    for (const group of this.groups.children) {
      let some = false;
      for (const row of group.querySelectorAll('.slider')) {
        const fits = !words || `${row.dataset.slider} ${row.textContent}`.toLowerCase().includes(words);
        row.hidden = !fits;
        some ||= fits;
      }
      group.hidden = !some;
      if (words && some) group.open = true;
    }
  }
}
