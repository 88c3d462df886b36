// The gallery: morphs of a data set, sorted and filtered.
const {items, metrics} = JSON.parse(document.getElementById("data").textContent);
const by = (id) => document.getElementById(id);
const key = by("key"), down = by("down"), filter = by("filter"), grid = by("grid");
for (const name of ["name", ...metrics]) {
  const option = document.createElement("option");
  option.value = option.textContent = name;
  key.append(option);
}

function figure(item) {
  const [frame, link, picture, caption, value] =
    ["figure", "a", "img", "figcaption", "div"].map((name) => document.createElement(name));
  link.href = picture.src = item.src;
  picture.loading = "lazy";
  picture.alt = item.name;
  link.append(picture);
  caption.textContent = item.name;
  value.className = "value";
  value.textContent = metrics
    .map((name) => item[name] === null ? null : name + " " + Number(item[name].toPrecision(4)))
    .filter(Boolean).join(", ");
  caption.append(value);
  frame.append(link, caption);
  return frame;
}

function show() {
  const word = filter.value.toLowerCase(), sign = down.checked ? -1 : 1, name = key.value;
  const chosen = items.filter((item) => item.name.toLowerCase().includes(word));
  chosen.sort((one, other) => {
    const x = one[name], y = other[name];
    if (x === null || y === null) return (x === null) - (y === null);
    return sign * (x < y ? -1 : x > y ? 1 : 0);
  });
  grid.replaceChildren(...chosen.map(figure));
  by("count").textContent = chosen.length + " of " + items.length;
}

for (const one of [key, down]) one.addEventListener("change", show);
filter.addEventListener("input", show);
show();
