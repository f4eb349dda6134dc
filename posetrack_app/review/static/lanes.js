// The timeline: one lane a person, with gaps, scores, cuts and possible id switches. Only lanes in view are drawn.

import { colourOf, css, inkOn } from "review/colours.js";

const RULER = 30, LANE = 20, LABEL = 52, BAR = 12;
const STEPS = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200];

export class Lanes {
  constructor(app, element, doubts) {
    this.app = app;
    this.element = element;
    this.doubts = doubts;
    this.scroller = element.appendChild(document.createElement("div"));
    this.scroller.className = "scroller";
    this.space = this.scroller.appendChild(document.createElement("div"));
    this.back = element.appendChild(document.createElement("canvas"));
    this.front = element.appendChild(document.createElement("canvas"));
    this.from = 0;
    this.to = 1;
    app.on(["film", "selection", "doubts", "theme"], () => this.draw());
    app.on(["position", "film"], () => this.follow());
    this.scroller.addEventListener("scroll", () => this.draw());
    new ResizeObserver(() => this.resize()).observe(element);
    this.scroller.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.scroller.addEventListener("pointerdown", (event) => this.press(event));
    this.scroller.addEventListener("pointermove", (event) => this.isScrubbing && this.scrub(event));
    this.scroller.addEventListener("pointerup", () => (this.isScrubbing = false));
  }

  /** Show all frames. */
  showAll() {
    [this.from, this.to] = [0, Math.max(1, this.app.film.count)];
    this.draw();
    this.drawHead();
  }

  /** Zoom by a factor around a position, by default the present one. */
  zoom(factor, around = this.app.position + 0.5) {
    const count = Math.max(1, this.app.film.count);
    const length = Math.min(count, Math.max(Math.min(20, count), (this.to - this.from) * factor));
    const share = (around - this.from) / (this.to - this.from);
    this.move(around - share * length, length);
  }

  move(from, length = this.to - this.from) {
    this.from = Math.max(0, Math.min(from, Math.max(1, this.app.film.count) - length));
    this.to = this.from + length;
    this.draw();
    this.drawHead();
  }

  /** Keep the position in view. */
  follow() {
    const { position } = this.app, length = this.to - this.from;
    if (this.to > Math.max(1, this.app.film.count) || this.to <= 1) return this.showAll();
    if (position < this.from || position >= this.to) return this.move(position - length * 0.2);
    return this.drawHead();
  }

  /** Scroll so that a person's lane is in view. */
  reveal(id) {
    const at = this.order().indexOf(this.app.film.slots.get(id));
    if (at < 0) return;
    const top = at * LANE, { scroller } = this, height = scroller.clientHeight - RULER;
    if (top < scroller.scrollTop) scroller.scrollTop = top;
    else if (top + LANE > scroller.scrollTop + height) scroller.scrollTop = top + LANE - height;
  }

  /** Slots in the order of the lanes: by first frame, then id. */
  order() {
    const { film } = this.app;
    if (this.orderOf !== film) {
      const starts = film.ids.map((_, slot) => film.spanOf(slot)[0]);
      this.slots = film.ids.map((_, slot) => slot).sort((a, b) => starts[a] - starts[b] || a - b);
      this.orderOf = film;
    }
    return this.slots;
  }

  resize() {
    const ratio = devicePixelRatio;
    for (const canvas of [this.back, this.front]) {
      canvas.width = Math.max(1, Math.round(this.scroller.clientWidth * ratio));
      canvas.height = Math.max(1, Math.round(this.scroller.clientHeight * ratio));
      canvas.style.width = `${this.scroller.clientWidth}px`;
      canvas.style.height = `${this.scroller.clientHeight}px`;
    }
    if (!this.app.film) return;
    this.draw();
    this.drawHead();
  }

  get width() {
    return this.scroller.clientWidth - LABEL;
  }

  x(position) {
    return LABEL + ((position - this.from) / (this.to - this.from)) * this.width;
  }

  positionAt(x) {
    return this.from + ((x - LABEL) / this.width) * (this.to - this.from);
  }

  draw() {
    const { app, back } = this, { film } = app, slots = this.order();
    this.space.style.height = `${RULER + slots.length * LANE}px`;
    const context = back.getContext("2d"), ratio = devicePixelRatio;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const width = this.scroller.clientWidth, height = this.scroller.clientHeight;
    const style = getComputedStyle(document.documentElement);
    const colours = new Map();
    const colour = (name) => {
      if (!colours.has(name)) colours.set(name, style.getPropertyValue(`--${name}`));
      return colours.get(name);
    };
    context.clearRect(0, 0, width, height);
    this.drawCuts(context, colour("cut"), height);
    const top = this.scroller.scrollTop, firstLane = Math.floor(top / LANE);
    const lastLane = Math.min(slots.length, Math.ceil((top + height - RULER) / LANE));
    context.save();
    context.beginPath();
    context.rect(0, RULER, width, height);
    context.clip();
    for (let lane = firstLane; lane < lastLane; lane++) {
      this.drawLane(context, slots[lane], RULER + lane * LANE - top, colour);
    }
    context.restore();
    this.drawRuler(context, colour);
    const span = document.getElementById("span");
    if (span && film.count) {
      const shown = [Math.floor(this.from), Math.min(film.count, Math.ceil(this.to)) - 1].map((p) => film.index[p]);
      span.textContent = `frames ${shown[0]} to ${shown[1]}, ${film.ids.length} people`;
    }
  }

  drawLane(context, slot, y, colour) {
    const { app } = this, { film } = app, id = film.ids[slot], own = colourOf(id);
    const isSelected = app.selected.includes(id);
    if (isSelected) {
      context.fillStyle = colour("chosen");
      context.fillRect(0, y, this.scroller.clientWidth, LANE);
    }
    context.fillStyle = css(own);
    context.fillRect(6, y + 3, LABEL - 14, LANE - 6);
    context.fillStyle = inkOn(own);
    context.font = `${isSelected ? "bold " : ""}11px system-ui, sans-serif`;
    context.textBaseline = "middle";
    context.textAlign = "center";
    context.fillText(String(id), 6 + (LABEL - 14) / 2, y + LANE / 2 + 0.5);
    this.drawRuns(context, slot, y + (LANE - BAR) / 2, own, colour);
  }

  /** Bars of about a pixel and more: full height at score 1, so that low scores are dips. */
  drawRuns(context, slot, y, own, colour) {
    // Up to some thousand rows a lane: everything that does not change is read once.
    const { film } = this.app, { rowsOf, frameOf, scores } = film, { from, to } = this;
    const end = film.firstOf[slot + 1], [first, last] = film.spanOf(slot), ratio = devicePixelRatio;
    const scale = this.width / (to - from);
    const snap = (position) => Math.max(LABEL, Math.round((LABEL + (position - from) * scale) * ratio) / ratio);
    context.fillStyle = colour("line");
    context.fillRect(snap(first), y + BAR / 2, snap(last + 1) - snap(first), 1);
    context.fillStyle = css(own);
    let left = -1, right = -1, height = 0;
    for (let k = film.placeOf(slot, Math.floor(from)); k < end; k++) {
      const row = rowsOf[k], position = frameOf[row];
      if (position > to) break;
      const start = snap(position), level = Math.max(2, Math.round((BAR * scores[row]) / 255));
      if (start <= right && (level === height || right - left < 1)) {
        if (level < height) height = level;
      } else {
        if (right > left) context.fillRect(left, y + BAR - height, right - left, height);
        left = start;
        height = level;
      }
      right = Math.max(snap(position + 1), left + 1);
    }
    if (right > left) context.fillRect(left, y + BAR - height, right - left, height);
  }

  drawCuts(context, colour, height) {
    const { film } = this.app;
    context.fillStyle = colour;
    const end = Math.min(film.count, Math.ceil(this.to));
    for (let p = film.cuts.indexOf(1, Math.max(1, Math.floor(this.from))); p >= 0 && p < end; p = film.cuts.indexOf(1, p + 1)) {
      context.fillRect(this.x(p), 0, 2, height);
    }
  }

  drawRuler(context, colour) {
    const { film } = this.app;
    context.fillStyle = colour("panel");
    context.fillRect(0, 0, this.scroller.clientWidth, RULER);
    this.drawCuts(context, colour("cut"), RULER);
    if (!film.count) return;
    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "top";
    context.textAlign = "left";
    const seconds = (this.to - this.from) * this.app.interval;
    const step = STEPS.find((each) => (each / seconds) * this.width > 70) ?? STEPS.at(-1);
    const start = film.seconds[0];
    for (let time = Math.ceil((this.from * this.app.interval) / step) * step; ; time += step) {
      const x = this.x(time / this.app.interval);
      if (x > this.scroller.clientWidth) break;
      context.fillStyle = colour("line");
      context.fillRect(x, 0, 1, RULER);
      context.fillStyle = colour("muted");
      context.fillText(clock(start + time, false), x + 4, 2);
    }
    for (const doubt of this.doubts.all()) {
      const x = this.x(film.positionOf(doubt.frame) + 0.5);
      if (x < LABEL || x > this.scroller.clientWidth) continue;
      context.fillStyle = colour(doubt.isOpen ? "doubt" : "line");
      context.beginPath();
      context.moveTo(x - 5, RULER - 9);
      context.lineTo(x + 5, RULER - 9);
      context.lineTo(x, RULER - 1);
      context.fill();
    }
    context.fillStyle = colour("line");
    context.fillRect(0, RULER - 1, this.scroller.clientWidth, 1);
  }

  /** The line at the present position, on its own canvas: the lanes need not be drawn again. */
  drawHead() {
    const { app, front, element } = this, { film } = app;
    const context = front.getContext("2d"), ratio = devicePixelRatio;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.scroller.clientWidth, this.scroller.clientHeight);
    const x = this.x(app.position + 0.5);
    if (x >= LABEL) {
      context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--head");
      context.fillRect(x - 1, 0, 2, this.scroller.clientHeight);
    }
    if (!film.count) return;
    element.setAttribute("aria-valuemin", film.index[0]);
    element.setAttribute("aria-valuemax", film.index[film.count - 1]);
    element.setAttribute("aria-valuenow", app.index);
    element.setAttribute("aria-valuetext", `frame ${app.index}, ${clock(film.seconds[app.position])}`);
  }

  wheel(event) {
    const sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
    if (event.ctrlKey || event.metaKey) {
      this.zoom(Math.exp(event.deltaY / 300), this.positionAt(this.local(event)[0]));
    } else if (Math.abs(sideways) > 0 && (event.shiftKey || Math.abs(sideways) > Math.abs(event.deltaY))) {
      this.move(this.from + (sideways / this.width) * (this.to - this.from));
    } else {
      return; // the lanes scroll
    }
    event.preventDefault();
  }

  local(event) {
    const box = this.scroller.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  press(event) {
    const [x, y] = this.local(event);
    if (x > this.scroller.clientWidth) return; // the scroll bar
    if (y > RULER) {
      const slot = this.order()[Math.floor((y - RULER + this.scroller.scrollTop) / LANE)];
      if (slot !== undefined) {
        const id = this.app.film.ids[slot];
        if (event.shiftKey || event.ctrlKey || event.metaKey) this.app.toggle(id);
        else this.app.select([id]);
      }
    }
    if (x < LABEL) return;
    this.isScrubbing = true;
    this.scroller.setPointerCapture(event.pointerId);
    this.scrub(event);
  }

  scrub(event) {
    this.app.play(false);
    this.app.goTo(Math.floor(this.positionAt(Math.max(LABEL, this.local(event)[0]))));
  }
}

/** Seconds as 1:02.50, or 1:02 without `isExact`. */
export function clock(seconds, isExact = true) {
  const sign = seconds < 0 ? "−" : "", rest = Math.abs(seconds);
  const total = isExact ? Math.round(rest * 100) / 100 : Math.round(rest);
  const minutes = Math.floor(total / 60), left = total - 60 * minutes;
  return `${sign}${minutes}:${isExact ? left.toFixed(2).padStart(5, "0") : String(left).padStart(2, "0")}`;
}
