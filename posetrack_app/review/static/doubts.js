// The list of possible id switches, with thumbnails from before and after.

import { Placement, drawImage, drawLabel, drawPerson } from "review/draw.js";
import { clock } from "review/lanes.js";

const REASONS = {
  exchanged: "exchanged?", jump: "jumped", new: "new id, same person?", tower: "pose over two people", "re-entry": "re-entered?",
};
const THUMB = { width: 132, height: 116 };
const NEAR_SECONDS = 1;
const ID_OPERATIONS = ["swap", "merge", "split", "rename", "delete"];

export class Doubts {
  constructor(app, list, onDismiss) {
    this.app = app;
    this.list = list;
    this.onDismiss = onDismiss;
    this.present = -1;
    app.on(["film"], () => this.refresh());
    app.on(["position"], () => this.mark());
    this.watcher = new IntersectionObserver((entries) => entries.forEach((entry) => {
      if (entry.isIntersecting) this.fill(entry.target);
    }), { rootMargin: "200px" });
  }

  /** All of them in order of time, each with `state` ("open", "not a mistake", "edited") and `isOpen`. */
  all() {
    const { header } = this.app;
    if (this.of !== header) {
      this.of = header;
      this.entries = header.switches.map((entry) => {
        const state = this.stateOf(entry);
        return { ...entry, state, isOpen: state === "open" };
      }).sort((a, b) => a.frame - b.frame);
    }
    return this.entries;
  }

  /** `ids` are those of the tracks file, `now` those after the edits; a merge leaves fewer. */
  stateOf({ frame, ids, now, confirmed }) {
    if (confirmed) return "not a mistake";
    if (now.length < ids.length) return "edited";
    const { header, film } = this.app, near = NEAR_SECONDS / this.app.interval;
    const isNear = (edit) => Math.abs((edit.from ?? film.index[0]) - frame) <= near;
    const isAbout = (edit) => ID_OPERATIONS.includes(edit.op) && [...ids, ...now].some((id) => edit.ids.includes(id));
    return header.edits.some((edit) => isAbout(edit) && isNear(edit)) ? "edited" : "open";
  }

  refresh() {
    const all = this.all(), open = all.filter((entry) => entry.isOpen).length;
    document.getElementById("doubts-count").textContent = all.length ? `${open} of ${all.length} open` : "none found";
    this.watcher.disconnect();
    this.list.replaceChildren(...all.map((entry, k) => this.item(entry, k)));
    [...this.list.children].forEach((item) => this.watcher.observe(item));
    this.mark();
    this.app.changed("doubts");
  }

  item(entry, k) {
    const item = document.createElement("li");
    item.dataset.k = String(k);
    item.className = entry.isOpen ? "" : "closed";
    const button = item.appendChild(document.createElement("button"));
    button.className = "doubt";
    const text = button.appendChild(document.createElement("span"));
    const reason = REASONS[entry.reason] ?? entry.reason;
    text.textContent = `Frame ${entry.frame} · ${(entry.isOpen ? entry.now : entry.ids).join(" and ")} · ${reason}`;
    const state = button.appendChild(document.createElement("span"));
    state.className = "muted";
    state.textContent = entry.isOpen ? `score ${entry.score.toFixed(2)}` : entry.state;
    button.addEventListener("click", () => this.open(k));
    if (this.app.header.has_video) {
      for (const name of ["before", "after"]) {
        const figure = button.appendChild(document.createElement("figure"));
        const canvas = figure.appendChild(document.createElement("canvas"));
        canvas.width = THUMB.width * 2;
        canvas.height = THUMB.height * 2;
        figure.appendChild(document.createElement("figcaption")).textContent = name;
      }
    }
    if (entry.isOpen && this.app.header.can_edit) {
      const dismiss = item.appendChild(document.createElement("button"));
      dismiss.textContent = "Not a mistake";
      dismiss.className = "small";
      dismiss.addEventListener("click", () => this.onDismiss(entry));
    }
    return item;
  }

  /** Show one: its frame, with its people selected. */
  open(k) {
    const entry = this.all()[k];
    if (!entry) return;
    this.present = k;
    this.app.play(false);
    this.app.select(entry.now);
    this.app.goTo(this.app.film.positionOf(entry.frame));
    this.mark();
    this.reveal(this.list.children[k]);
  }

  /** Scroll the list to an item, and the page to the frame: in a small window it may be out of sight. */
  reveal(item) {
    const list = this.list.getBoundingClientRect(), box = item.getBoundingClientRect();
    if (box.top < list.top || box.height > list.height) this.list.scrollTop += box.top - list.top;
    else if (box.bottom > list.bottom) this.list.scrollTop += box.bottom - list.bottom;
    document.getElementById("stage").scrollIntoView({ block: "nearest" });
  }

  /** Go to the next open one after the present frame, or before it. */
  step(direction) {
    const { index } = this.app, all = this.all();
    const at = all[this.present]?.frame === index ? this.present : -1;
    const isNext = (entry, k) => entry.isOpen && (entry.frame === index && at >= 0
      ? (k - at) * direction > 0 : (entry.frame - index) * direction > 0);
    const k = direction > 0 ? all.findIndex(isNext) : all.findLastIndex(isNext);
    if (k >= 0) this.open(k);
    return k >= 0;
  }

  /** The open one that is shown, if the position is still at it. */
  shown() {
    const entry = this.all()[this.present];
    return entry && entry.frame === this.app.index ? entry : undefined;
  }

  mark() {
    const shown = this.shown();
    [...this.list.children].forEach((item, k) => {
      const isShown = shown !== undefined && k === this.present;
      item.classList.toggle("shown", isShown);
      item.firstChild.setAttribute("aria-current", String(isShown));
    });
  }

  /** Draw both thumbnails of an item that came into view. */
  async fill(item) {
    this.watcher.unobserve(item);
    const entry = this.all()[Number(item.dataset.k)], { film, images, header } = this.app;
    const canvases = item.querySelectorAll("canvas");
    if (!entry || !canvases.length) return;
    const at = film.positionOf(entry.frame), { now } = entry, before = this.before(entry, at);
    const place = this.placeAround(now, [before, at]);
    await Promise.all([before, at].map(async (position, k) => {
      const bitmap = await images.once(film.index[position]);
      if (!bitmap || this.app.film !== film) return;
      const context = canvases[k].getContext("2d");
      drawImage(context, bitmap, header, place);
      const [first, last] = film.rowsAt(position);
      for (let row = first; row < last; row++) {
        const isSelected = now.includes(film.idOf(row));
        drawPerson(context, film, row, place, { unit: 2, isSelected: false, isFaint: !isSelected, skeletons: false });
        if (isSelected) drawLabel(context, film, row, place, 2);
      }
      canvases[k].nextSibling.textContent = `${k ? "after" : "before"}: ${film.index[position]}, ${clock(film.seconds[position])}`;
    }));
  }

  /** The last position before a switch at which one of its people is seen; for an exchange before they met. */
  before({ now, reason }, at) {
    const { film } = this.app;
    const earliest = reason === "exchanged" ? Math.max(0, at - Math.round(1 / this.app.interval)) : at - 1;
    for (let position = Math.max(0, earliest); position >= 0 && position > at - 200; position--) {
      if (now.some((id) => film.rowOf(id, position) >= 0)) return position;
    }
    return Math.max(0, at - 1);
  }

  /** A square around the people at these positions. */
  placeAround(ids, positions) {
    const { film } = this.app, boxes = [];
    for (const position of positions) {
      for (const id of ids) {
        const row = film.rowOf(id, position);
        if (row >= 0) boxes.push(film.boxOf(row));
      }
    }
    if (!boxes.length) boxes.push([0, 0, this.app.header.width, this.app.header.height]);
    const low = [0, 1].map((k) => Math.min(...boxes.map((box) => box[k])));
    const high = [2, 3].map((k) => Math.max(...boxes.map((box) => box[k])));
    const width = 2 * THUMB.width, height = 2 * THUMB.height, aspect = this.app.header.pixel_aspect;
    const scale = 0.72 * Math.min(width / Math.max(8, (high[0] - low[0]) * aspect), height / Math.max(8, high[1] - low[1]));
    const place = new Placement(scale * aspect, scale, 0, 0);
    place.left = width / 2 - place.x((low[0] + high[0]) / 2);
    place.top = height / 2 - place.y((low[1] + high[1]) / 2);
    return place;
  }
}
