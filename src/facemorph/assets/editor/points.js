// The pairs of points and their history. points[side][i] = [x, y] in pixels of that photograph.

const LONGEST_HISTORY = 300;

export class Points {
  constructor(state) {
    this.sizes = state.sizes; this.named = state.named;
    this.sides = state.points; this.ids = state.ids;
    this.past = []; this.future = [];
    this.version = 0;                                  // grows with every change
  }

  get count() { return this.ids.length; }

  // What every request carries.
  message() { return { points: this.sides, ids: this.ids }; }

  copy() { return { sides: this.sides.map(side => side.map(at => [...at])), ids: [...this.ids] }; }

  // Call before a change that one undo shall take back.
  remember() {
    this.past.push(this.copy());
    if (this.past.length > LONGEST_HISTORY) this.past.shift();
    this.future = [];
  }

  undo() { return this.exchange(this.past, this.future); }

  redo() { return this.exchange(this.future, this.past); }

  exchange(from, to) {
    if (!from.length) return false;
    to.push(this.copy());
    ({ sides: this.sides, ids: this.ids } = from.pop());
    this.version++;
    return true;
  }

  inside(side, at) { return at.map((v, axis) => Math.min(Math.max(v, 0), this.sizes[side][axis])); }

  move(side, index, at) {
    this.sides[side][index] = this.inside(side, at);
    this.version++;
  }

  // A pair at two places; returns its index.
  add(places) {
    this.remember();
    this.sides.forEach((points, side) => points.push(this.inside(side, places[side])));
    this.ids.push(Math.max(this.named - 1, ...this.ids) + 1);
    this.version++;
    return this.count - 1;
  }

  remove(index) {
    this.remember();
    this.sides.forEach(points => points.splice(index, 1));
    this.ids.splice(index, 1);
    this.version++;
  }

  // The nearest point within `reach` pixels of the photograph, or -1.
  nearest(side, at, reach) {
    let best = -1, least = reach * reach;
    this.sides[side].forEach(([x, y], index) => {
      const squared = (x - at[0]) ** 2 + (y - at[1]) ** 2;
      if (squared <= least) { least = squared; best = index; }
    });
    return best;
  }
}
