// One photograph with its points: drawing, zoom, pan, and what pointers and keys do to them.

const REACH = { mouse: 10, pen: 12, touch: 22 };       // how near to a point a pointer takes it, in CSS pixels
const STEPS = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };
const COLOURS = { point: '#4de3a2', added: '#59c8ff', wrong: '#ff7b72' };
const ERROR_PIXELS = 2;                                // from here on a point is shown as not met
const ZOOMS = [0.02, 60];

export class Panel {
  // `editor` has points, selected, adding, showNumbers, errors; select, beginDrag, drag, endDrag, add, nudge.
  constructor(stage, side, image, editor, outline) {
    this.side = side; this.image = image; this.editor = editor; this.outline = outline;
    this.stage = stage; this.pointers = new Map(); this.gesture = null; this.dots = new Map();
    this.size = editor.points.sizes[side];
    this.picture = document.createElement('canvas');
    this.canvas = document.createElement('canvas');
    Object.assign(this.canvas, { id: `points${side}`, className: 'points', tabIndex: 0 });
    this.canvas.setAttribute('role', 'application');
    this.canvas.setAttribute('aria-describedby', 'help status');
    this.marker = document.createElement('div');
    Object.assign(this.marker, { className: 'marker', hidden: true });
    stage.append(this.picture, this.canvas, this.marker);
    for (const kind of ['down', 'move', 'up', 'cancel']) this.canvas.addEventListener(`pointer${kind}`, event => this[kind](event));
    this.canvas.addEventListener('wheel', event => this.wheel(event), { passive: false });
    this.canvas.addEventListener('keydown', event => this.key(event));
    this.canvas.addEventListener('contextmenu', event => event.preventDefault());
    new ResizeObserver(() => this.resize()).observe(stage);
    this.resize();
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.stage;
    if (!width || !height) return;
    this.ratio = Math.min(devicePixelRatio || 1, 2);
    for (const canvas of [this.picture, this.canvas]) {
      canvas.width = Math.round(width * this.ratio);
      canvas.height = Math.round(height * this.ratio);
    }
    if (!this.view || this.fitted) this.fit(); else this.paint();
  }

  // Show the part that is morphed.
  fit() {
    const xs = this.outline.map(at => at[0]), ys = this.outline.map(at => at[1]);
    const [left, top] = [Math.min(...xs), Math.min(...ys)], [right, bottom] = [Math.max(...xs), Math.max(...ys)];
    const { clientWidth: width, clientHeight: height } = this.stage;
    const scale = Math.min(width / (right - left), height / (bottom - top));
    this.view = { scale, x: width / 2 - scale * (left + right) / 2, y: height / 2 - scale * (top + bottom) / 2 };
    this.fitted = true;
    this.paint();
  }

  zoom(factor, x = this.stage.clientWidth / 2, y = this.stage.clientHeight / 2) {
    const view = this.view, scale = Math.min(Math.max(view.scale * factor, ZOOMS[0]), ZOOMS[1]), real = scale / view.scale;
    this.view = { scale, x: x - (x - view.x) * real, y: y - (y - view.y) * real };
    this.fitted = false;
    this.paint();
  }

  pan(x, y) {
    this.view.x += x; this.view.y += y;
    this.fitted = false;
    this.paint();
  }

  toPhotograph(x, y) { return [(x - this.view.x) / this.view.scale, (y - this.view.y) / this.view.scale]; }

  toScreen([x, y]) { return [x * this.view.scale + this.view.x, y * this.view.scale + this.view.y]; }

  get centre() { return this.toPhotograph(this.stage.clientWidth / 2, this.stage.clientHeight / 2); }

  // ------------------------------------------------------------------------------------------- drawing
  paint() {
    const g = this.picture.getContext('2d', { willReadFrequently: true }), scale = this.view.scale * this.ratio;
    g.setTransform(1, 0, 0, 1, 0, 0);
    g.fillStyle = '#0c0d0f';
    g.fillRect(0, 0, this.picture.width, this.picture.height);
    g.imageSmoothingEnabled = this.view.scale < 4;
    g.imageSmoothingQuality = 'high';
    g.drawImage(this.image, this.view.x * this.ratio, this.view.y * this.ratio, this.size[0] * scale, this.size[1] * scale);
    g.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    g.strokeStyle = '#ffffff66';
    g.setLineDash([5, 5]);
    g.beginPath();
    this.outline.forEach(at => g.lineTo(...this.toScreen(at)));
    g.closePath();
    g.stroke();
    this.paintPoints();
  }

  paintPoints() {
    if (!this.view) return;                            // not laid out yet
    const { points, selected, errors, showNumbers } = this.editor;
    const g = this.canvas.getContext('2d', { willReadFrequently: true });
    g.setTransform(1, 0, 0, 1, 0, 0);
    g.clearRect(0, 0, this.canvas.width, this.canvas.height);
    g.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    g.font = '11px system-ui, sans-serif';
    const radius = Math.round(Math.min(Math.max(this.view.scale * 4, 4.4), 8)) / 2;
    points.sides[this.side].forEach((at, index) => {
      if (index === selected) return;
      const [x, y] = this.toScreen(at), added = points.named && points.ids[index] >= points.named;
      const dot = this.dot(errors[index] > ERROR_PIXELS ? 'wrong' : added ? 'added' : 'point', radius);
      g.drawImage(dot, x - radius - 1, y - radius - 1, 2 * radius + 2, 2 * radius + 2);
      if (showNumbers) this.number(g, points.ids[index], x, y);
    });
    this.placeMarker();
  }

  // A point, drawn once: hundreds of small arcs in every frame are slow without a GPU.
  dot(kind, radius) {
    const key = `${kind} ${radius} ${this.ratio}`;
    if (!this.dots.has(key)) {
      const canvas = document.createElement('canvas'), middle = radius + 1;
      canvas.width = canvas.height = Math.ceil(2 * middle * this.ratio);
      const g = canvas.getContext('2d', { willReadFrequently: true });
      g.scale(this.ratio, this.ratio);
      g.fillStyle = COLOURS[kind];
      g.strokeStyle = '#000000b0';
      if (kind === 'wrong') g.rect(1, 1, 2 * radius, 2 * radius); else g.arc(middle, middle, radius, 0, 7);
      g.fill();
      g.stroke();
      this.dots.set(key, canvas);
    }
    return this.dots.get(key);
  }

  // The selected point is an element of its own: moving it repaints nothing.
  placeMarker() {
    const { points, selected } = this.editor;
    this.marker.hidden = selected < 0 || !this.view;
    if (this.marker.hidden) return;
    const [x, y] = this.toScreen(points.sides[this.side][selected]);
    this.marker.style.transform = `translate(${x}px, ${y}px)`;
    if (this.marker.textContent !== `${points.ids[selected]}`) this.marker.textContent = points.ids[selected];
  }

  number(g, id, x, y) {
    g.lineWidth = 3; g.strokeStyle = '#000000c0'; g.lineJoin = 'round';
    g.strokeText(id, x + 5, y - 4);
    g.fillStyle = '#ffffffd0';
    g.fillText(id, x + 5, y - 4);
  }

  // ------------------------------------------------------------------------------------------ pointers
  down(event) {
    if (event.button > 1) return;
    this.canvas.focus();
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
    if (this.pointers.size === 2) { this.stop(); this.gesture = { kind: 'pinch' }; return; }
    if (this.pointers.size > 2) return;
    const at = this.toPhotograph(event.offsetX, event.offsetY), { editor } = this;
    if (event.button === 0 && (editor.adding || event.altKey)) { editor.add(this.side, at); return; }
    const reach = (REACH[event.pointerType] ?? REACH.mouse) / this.view.scale;
    const index = event.button === 0 ? editor.points.nearest(this.side, at, reach) : -1;
    if (index >= 0) {
      const place = editor.points.sides[this.side][index];
      this.gesture = { kind: 'drag', index, offset: [place[0] - at[0], place[1] - at[1]], moved: false };
      editor.select(index);
    } else {
      this.gesture = { kind: 'pan', moved: false };
      this.canvas.classList.add('panning');
    }
  }

  move(event) {
    const before = this.pointers.get(event.pointerId), now = [event.offsetX, event.offsetY], { gesture } = this;
    if (!before || !gesture) return;
    if (gesture.kind === 'pinch') this.pinch(event.pointerId, now);
    this.pointers.set(event.pointerId, now);
    const [dx, dy] = [now[0] - before[0], now[1] - before[1]];
    if (!dx && !dy) return;
    if (gesture.kind === 'pan') { gesture.moved ||= Math.hypot(dx, dy) > 1; this.pan(dx, dy); }
    if (gesture.kind === 'drag') {
      if (!gesture.moved) { gesture.moved = true; this.editor.beginDrag(); }
      const at = this.toPhotograph(...now);
      this.editor.drag(this.side, gesture.index, [at[0] + gesture.offset[0], at[1] + gesture.offset[1]], event.timeStamp);
    }
  }

  pinch(id, now) {
    const other = [...this.pointers].find(([key]) => key !== id)[1], before = this.pointers.get(id);
    const middle = point => [(point[0] + other[0]) / 2, (point[1] + other[1]) / 2];
    const apart = point => Math.max(Math.hypot(point[0] - other[0], point[1] - other[1]), 1);
    const [was, is] = [middle(before), middle(now)];
    this.pan(is[0] - was[0], is[1] - was[1]);
    this.zoom(apart(now) / apart(before), ...is);
  }

  up(event) {
    this.pointers.delete(event.pointerId);
    if (this.gesture?.kind === 'pan' && !this.gesture.moved) this.editor.select(-1);
    this.stop();
  }

  cancel(event) { this.pointers.delete(event.pointerId); this.stop(); }

  stop() {
    if (this.gesture?.kind === 'drag' && this.gesture.moved) this.editor.endDrag();
    this.gesture = null;
    this.canvas.classList.remove('panning');
  }

  wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    this.zoom(Math.exp(-event.deltaY * lines / 400), event.offsetX, event.offsetY);
  }

  // ---------------------------------------------------------------------------------------------- keys
  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { editor } = this, step = STEPS[event.key], count = event.shiftKey ? 10 : 1;
    const actions = {
      '+': () => this.zoom(1.25), '=': () => this.zoom(1.25), '-': () => this.zoom(0.8), '0': () => this.fit(),
      n: () => editor.walk(1), p: () => editor.walk(-1), PageDown: () => editor.walk(1), PageUp: () => editor.walk(-1),
      a: () => editor.add(this.side, this.centre), Delete: () => editor.remove(), Backspace: () => editor.remove(),
      l: () => editor.toggleNumbers(), Escape: () => editor.select(-1),
    };
    const action = step ? () => editor.nudge(this.side, [step[0] * count, step[1] * count], event.repeat)
      : actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  // Bring a point into view.
  reveal(index) {
    const [x, y] = this.toScreen(this.editor.points.sides[this.side][index]), edge = 24;
    const { clientWidth: width, clientHeight: height } = this.stage;
    if (x < edge || y < edge || x > width - edge || y > height - edge) this.pan(width / 2 - x, height / 2 - y);
  }
}
