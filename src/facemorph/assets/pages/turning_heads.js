// Heads of fit.html: pictures from many sides, shown as the pointer drags.
for (const figure of document.querySelectorAll("figure.table")) {
  const frames = JSON.parse(figure.querySelector("script").textContent);
  const view = figure.querySelector("img");
  const last = [frames.length - 1, frames[0].length - 1], place = [last[0] / 2, last[1] / 2];
  let from = null;
  const show = () => {
    const at = place.map((value, axis) => Math.min(last[axis], Math.max(0, Math.round(value))));
    view.src = frames[at[0]][at[1]];
    figure.dataset.row = at[0];
    figure.dataset.column = at[1];
  };
  const move = (rows, columns) => {
    place[0] = Math.min(last[0], Math.max(0, place[0] + rows));
    place[1] = Math.min(last[1], Math.max(0, place[1] + columns));
    show();
  };
  figure.addEventListener("pointerdown", (event) => {
    from = [event.clientX, event.clientY];
    figure.setPointerCapture(event.pointerId);
  });
  figure.addEventListener("pointermove", (event) => {
    if (!from) return;
    const width = view.clientWidth || 320;
    const down = (event.clientY - from[1]) / width, right = (event.clientX - from[0]) / width;
    move(down * last[0] * 1.5, right * last[1] * 1.2);
    from = [event.clientX, event.clientY];
  });
  for (const name of ["pointerup", "pointercancel"]) {
    figure.addEventListener(name, () => { from = null; });
  }
  figure.addEventListener("keydown", (event) => {
    const step = {
      ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1],
    }[event.key];
    if (!step) return;
    event.preventDefault();
    move(...step);
  });
  show();
}
