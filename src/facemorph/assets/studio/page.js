// Small helpers for elements.

// element('button', {id, text, on: {click}, ...attributes}, children)
export function element(tag, { text, on = {}, ...attributes } = {}, children = []) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, '');
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  if (text !== undefined) made.textContent = text;
  for (const [name, act] of Object.entries(on)) made.addEventListener(name, act);
  made.append(...children);
  return made;
}

// Children of an element; those that are there already stay in their place: one that is put in anew
// loses its focus, and the click that has begun on it.
export function fill(parent, children) {
  const wanted = new Set(children);
  for (const one of [...parent.children]) if (!wanted.has(one)) one.remove();
  for (const [index, one] of children.entries()) if (parent.children[index] !== one) parent.insertBefore(one, parent.children[index] ?? null);
}

// A labelled <select>; options are texts or [value, text].
export function choice(label, options, value, change) {
  const select = element('select', { 'aria-label': label, on: { change: () => change(select.value) } }, options.map(one => {
    const [key, text] = Array.isArray(one) ? one : [one, one];
    return element('option', { value: key, text, selected: key === value });
  }));
  const whole = element('label', { class: 'field', text: label }, [select]);
  whole.select = select;
  return whole;
}

export function check(label, value, change) {
  const box = element('input', { type: 'checkbox', on: { change: () => change(box.checked) } });
  box.checked = value;
  const whole = element('label', { class: 'check' }, [box, label]);
  whole.box = box;
  return whole;
}

// A labelled slider; move(value, resting) is told of every move, and of its end.
export function range(label, low, high, step, value, move) {
  const input = element('input', { type: 'range', min: low, max: high, step, value, 'aria-label': label, on: {
    input: () => { shown.textContent = input.value; move(input.valueAsNumber, false); },
    change: () => move(input.valueAsNumber, true),
  } });
  const shown = element('output', { text: String(value) });
  const whole = element('label', { class: 'field range', text: label }, [input, shown]);
  whole.show = given => { input.value = given; shown.textContent = input.value; };
  return whole;
}

// A labelled whole number; change(value) is told of what can be one.
export function whole(label, low, high, value, change) {
  const input = element('input', { type: 'number', min: low, max: high, step: 1, value, on: { change: () => {
    const given = Number.isInteger(input.valueAsNumber) ? input.valueAsNumber : low;
    input.value = Math.min(high, Math.max(low, given));
    change(input.valueAsNumber);
  } } });
  const field = element('label', { class: 'field number', text: label }, [input]);
  field.show = given => { input.value = given; };
  return field;
}

export function button(text, click, attributes = {}) {
  return element('button', { type: 'button', text, on: { click }, ...attributes });
}

// A menu that opens below a button: entries are [text, act].
export function menu(label, entries) {
  const list = element('div', { class: 'menu' }, entries.map(([text, act]) =>
    button(text, () => { details.open = false; act(); })));
  const details = element('details', { class: 'dropdown' }, [element('summary', { text: label }), list]);
  details.addEventListener('focusout', event => {
    if (!details.contains(event.relatedTarget)) details.open = false;
  });
  return details;
}

// Draw JPEG or PNG bytes into a canvas, which takes their size.
export async function draw(canvas, bytes, type = 'image/jpeg') {
  const bitmap = await createImageBitmap(new Blob([bytes], { type }));
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
    canvas.width = bitmap.width; canvas.height = bitmap.height;
  }
  canvas.getContext('2d').drawImage(bitmap, 0, 0);
  bitmap.close();
}
