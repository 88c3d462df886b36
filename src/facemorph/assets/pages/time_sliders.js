// Morphs of report.html: the frame at the slider's time.
for (const data of document.querySelectorAll("script.slider")) {
  const {frames, times} = JSON.parse(data.textContent);
  const section = data.closest("section");
  const [view, slider, shown] =
    [".view", ".time", ".shown"].map((name) => section.querySelector(name));
  const show = () => {
    view.src = frames[slider.value];
    shown.textContent = "t = " + (times[slider.value] ?? "");
  };
  slider.addEventListener("input", show);
  show();
}
