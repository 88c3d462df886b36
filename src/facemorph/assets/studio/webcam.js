// The webcam of this browser: its frames go to the server, and the photograph follows.

import { button, element } from './page.js';

const WIDTH = 320, QUALITY = 0.8;

export class Webcam {
  constructor(view) {
    this.view = view; this.running = false; this.lags = [];
    this.video = element('video', { muted: true, playsinline: true, hidden: true, class: 'webcam', 'aria-label': 'The webcam' });
    this.start = button('Webcam', () => (this.running ? this.stop() : this.begin()), { 'aria-pressed': 'false', title: 'Your face moves the photograph' });
    this.keep = button('Record', () => this.record(), { 'aria-pressed': 'false', disabled: true, title: 'What you do becomes a sharp video' });
    this.controls = [this.start, this.keep];
    this.canvas = document.createElement('canvas');
  }

  async begin() {
    const { studio, opened } = this.view;
    if (!opened || this.starting) return;
    this.starting = true;
    await this.view.preparing;
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 }, facingMode: 'user' }, audio: false });
      this.video.srcObject = this.stream;
      this.video.hidden = false;
      await this.video.play();
    } catch (error) {
      this.release();
      studio.say(`The webcam cannot be used: ${error.message}. Allow it in the browser, or check that no other program has it.`);
      return;
    } finally { this.starting = false; }
    if (studio.view !== this.view || !this.view.opened) { this.release(); return; }  // left meanwhile
    this.canvas.width = WIDTH;
    this.canvas.height = Math.round(WIDTH * this.video.videoHeight / this.video.videoWidth);
    this.running = true; this.lags = []; this.begun = performance.now(); this.seen = 0;
    this.start.setAttribute('aria-pressed', 'true');
    this.keep.disabled = false;
    this.loop(true);
  }

  // While the server works on a frame, the next one is taken.
  async loop(first) {
    const { view } = this;
    let frame = await this.take();
    while (this.running && view.opened) {
      const asked = view.studio.link.ask('head.drive',
        { photograph: view.opened.name, first, mesh: Boolean(view.viewer?.isDue(frame.taken)), detail: 'draft' }, frame.content);
      first = false;
      const next = this.take();
      try {
        const { header, data } = await asked;
        if (!this.running) return;
        if (header.found) { await view.take(header, data); this.seen++; }
        this.lags.push(performance.now() - frame.taken);
        const rate = this.seen / (performance.now() - this.begun) * 1000;
        view.studio.status(header.found
          ? `Webcam: ${rate.toFixed(1)} frames a second${header.recorded ? `, ${header.recorded} recorded` : ''}. Look straight and calm at first; "Webcam" twice begins anew.`
          : 'Webcam: no face is seen.');
      } catch (error) { view.studio.failed(error); this.stop(); return; }
      frame = await next;
    }
  }

  async take() {
    const taken = performance.now();
    this.canvas.getContext('2d').drawImage(this.video, 0, 0, this.canvas.width, this.canvas.height);
    const blob = await new Promise(resolve => this.canvas.toBlob(resolve, 'image/jpeg', QUALITY));
    return { taken, content: await blob.arrayBuffer() };
  }

  async record() {
    const { view } = this, recording = this.keep.getAttribute('aria-pressed') === 'true';
    this.keep.setAttribute('aria-pressed', String(!recording));
    this.keep.textContent = recording ? 'Record' : 'Stop recording';
    try {
      await view.studio.exported('head.record', { photograph: view.opened.name, begin: !recording });
    } catch { this.keep.setAttribute('aria-pressed', 'false'); this.keep.textContent = 'Record'; }
  }

  // A slider was moved: the photograph follows it instead.
  pause() { if (this.running) this.stop(); }

  stop() {
    if (!this.running) return;
    if (this.keep.getAttribute('aria-pressed') === 'true') this.record();
    this.running = false;
    this.release();
    this.start.setAttribute('aria-pressed', 'false');
    this.keep.disabled = true;
  }
  release() {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.video.srcObject = null;
    this.video.hidden = true;
  }
}
