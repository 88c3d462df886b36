"""What ``facemorph bench monkey`` asks the page, in JavaScript."""

from __future__ import annotations

# What a hand can reach, as [index, kind, label, whether it lies in a menu]; the index is that of
# the selector's list.
REACHABLE = "button, summary, select, input:not(.hidden), a, canvas, iframe"
CONTROLS = """selector => [...document.querySelectorAll(selector)].map((one, index) =>
  [one.checkVisibility() && !one.disabled ? index : -1, one.tagName + ':' + (one.type ?? ''),
   one.getAttribute('aria-label') ?? '', Boolean(one.closest('.menu'))])
  .filter(one => one[0] >= 0)"""
PLACE = """([selector, index]) => {
  const one = document.querySelectorAll(selector)[index];
  if (!one) return null;
  one.scrollIntoView({block: 'nearest'});
  const {x, y, width, height} = one.getBoundingClientRect();
  return [x, y, width, height];
}"""
CHOOSE = """([selector, index, share]) => {
  const one = document.querySelectorAll(selector)[index];
  if (!one || !one.options?.length) return;
  one.selectedIndex = Math.floor(share * one.options.length);
  one.dispatchEvent(new Event('change', {bubbles: true}));
}"""
DROP = """files => {
  const transfer = new DataTransfer();
  for (const [name, text] of files) {
    const bytes = Uint8Array.from(atob(text), one => one.charCodeAt(0));
    transfer.items.add(new File([bytes], name));
  }
  window.dispatchEvent(new DragEvent('drop', {dataTransfer: transfer, bubbles: true}));
}"""
STATE = """seconds => Promise.race([
  window.studio.link.ask('studio.state').then(one => one.header).catch(() => null),
  new Promise(resolve => setTimeout(() => resolve(null), seconds * 1000))])"""
OPEN = "() => !!(window.studio && window.studio.ready && window.studio.link.open)"
KEPT = "() => { const s = window.studio; return s.link.open && !s.unsaved && !s.keeping; }"
# What the server has when nothing is unsaved; then the page is loaded anew at once, before an
# upload that ends can change it.
KEPT_AND_RELOADED = f"""async seconds => {{
  const state = await ({STATE})(seconds);
  if (!state || !({KEPT})()) return null;
  setTimeout(() => location.reload());
  return state;
}}"""
