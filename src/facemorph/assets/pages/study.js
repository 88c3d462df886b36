// A perceptual study: one question at a time, answers kept in this browser, and handed on as CSV.
const study = JSON.parse(document.getElementById("data").textContent);
const by = (id) => document.getElementById(id);
const kept = "facemorph-study-" + study.study;
const state = load() || {participant: "", at: -1, answers: {}, seconds: {}};
let begun = performance.now();

function load() {
  try { return JSON.parse(localStorage.getItem(kept)); } catch { return null; }
}
function save() {
  try { localStorage.setItem(kept, JSON.stringify(state)); } catch { /* kept in memory alone */ }
}
function made(kind, text, attributes = {}) {
  const element = document.createElement(kind);
  element.textContent = text;
  return Object.assign(element, attributes);
}

function start() {
  by("question").hidden = true;
  const name = made("input", "", {id: "participant", value: state.participant, maxLength: 64});
  const label = made("label", "Your name or number (optional) ");
  label.append(name);
  const go = made("button", "Start", {id: "start", onclick: () => {
    const random = crypto.getRandomValues(new Uint32Array(2));
    state.participant = name.value.trim() || "p" + random[0].toString(36) + random[1].toString(36);
    state.at = 0;
    show();
  }});
  name.addEventListener("keydown", (event) => { if (event.key === "Enter") go.click(); });
  by("shown").replaceChildren(label);
  by("answers").replaceChildren(go);
  by("hint").textContent = study.items.length + " questions.";
  name.focus();
}

function choices() {
  if (study.kind === "ab") return [["left", "\u2190 left"], ["right", "right \u2192"]];
  return [...Array(study.scale).keys()].map((index) => {
    const end = index === 0 ? study.ends[0] : index === study.scale - 1 ? study.ends[1] : "";
    return [String(index + 1), end ? index + 1 + " (" + end + ")" : String(index + 1)];
  });
}

function show() {
  save();
  if (state.at < 0) return start();
  if (state.at >= study.items.length) return finish();
  const item = study.items[state.at];
  by("question").hidden = false;
  by("shown").replaceChildren(...Object.keys(item).filter((key) => key !== "id").map((place) => {
    const picture = made("img", "", {src: item[place], alt: place, className: place});
    if (study.kind === "ab" && place !== "reference") picture.onclick = () => answer(place);
    return picture;
  }));
  by("answers").replaceChildren(...choices().map(([value, text]) => made("button", text, {
    value, onclick: () => answer(value), className: state.answers[item.id] === value ? "chosen" : "",
  })));
  by("hint").textContent = (study.kind === "ab" ? "Keys: \u2190 and \u2192" : "Keys: 1 to " + study.scale)
    + "; Backspace goes back.";
  by("progress").textContent = state.at + 1 + " of " + study.items.length;
  begun = performance.now();
}

function answer(value) {
  const {id} = study.items[state.at];
  state.answers[id] = value;
  state.seconds[id] = ((performance.now() - begun) / 1000).toFixed(2);
  state.at += 1;
  show();
}

function table() {
  const quoted = (text) => '"' + String(text).replaceAll('"', '""') + '"';
  const rows = study.items.map(({id}) =>
    [study.study, state.participant, id, state.answers[id], state.seconds[id]].map(quoted).join(","));
  return ["study,participant,question,answer,seconds", ...rows].join("\n") + "\n";
}

function finish() {
  by("question").hidden = true;
  const link = made("a", "Download answers (CSV)", {
    id: "download", download: "answers_" + state.participant.replace(/[^\w-]/g, "_") + ".csv",
    href: URL.createObjectURL(new Blob([table()], {type: "text/csv"})),
  });
  by("shown").replaceChildren(made("p", "Thank you. Please download the answers and send the file back."), link);
  by("answers").replaceChildren(made("button", "Answer anew", {id: "anew", onclick: () => {
    Object.assign(state, {participant: "", at: -1, answers: {}, seconds: {}});
    show();
  }}));
  by("hint").textContent = by("progress").textContent = "";
}

document.addEventListener("keydown", (event) => {
  if (state.at < 0 || state.at >= study.items.length || event.repeat) return;
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const sides = {ArrowLeft: "left", ArrowRight: "right"};
  if (event.key === "Backspace") {
    event.preventDefault();
    state.at = Math.max(0, state.at - 1);
    show();
  } else if (study.kind === "ab" && sides[event.key]) {
    event.preventDefault();
    answer(sides[event.key]);
  } else if (study.kind === "likert" && event.key >= "1" && event.key <= String(study.scale)) {
    answer(event.key);
  }
});
show();
