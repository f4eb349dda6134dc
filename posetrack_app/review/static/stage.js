// The frame with its people: draws, zooms, and selects people or moves keypoints with the mouse.

import { Placement, drawImage, drawLabel, drawPerson, drawTrail } from "review/draw.js";

const NEAR = 12; // pixels from a keypoint within which the mouse takes it

export class Stage {
  constructor(app, canvas, onMove) {
    this.app = app;
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.onMove = onMove;
    this.fit();
    app.on(["film", "position", "selection", "image", "options"], () => this.draw());
    new ResizeObserver(() => this.resize()).observe(canvas);
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.release(event));
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("dblclick", () => this.fit());
  }

  fit() {
    this.zoom = 1;
    this.centre = undefined;
    if (this.app.film) this.draw();
  }

  resize() {
    const ratio = devicePixelRatio;
    this.canvas.width = Math.max(1, Math.round(this.canvas.clientWidth * ratio));
    this.canvas.height = Math.max(1, Math.round(this.canvas.clientHeight * ratio));
    if (this.app.film) this.draw();
  }

  /** Zoom to the selected people, or back to the whole frame. */
  zoomToSelected() {
    if (this.zoom !== 1) return this.fit();
    const { app } = this;
    const rows = app.selected.map((id) => app.film.rowOf(id, app.position)).filter((row) => row >= 0);
    if (!rows.length) return undefined;
    const boxes = rows.map((row) => app.film.boxOf(row));
    const low = [0, 1].map((k) => Math.min(...boxes.map((box) => box[k])));
    const high = [2, 3].map((k) => Math.max(...boxes.map((box) => box[k])));
    const whole = this.place(1);
    const size = Math.max(0.02, Math.max(
      ((high[0] - low[0]) * whole.scaleX) / this.canvas.width, ((high[1] - low[1]) * whole.scaleY) / this.canvas.height));
    this.centre = [(low[0] + high[0]) / 2, (low[1] + high[1]) / 2];
    this.zoom = Math.min(12, Math.max(1.01, 0.7 / size));
    return this.draw();
  }

  place(zoom = this.zoom) {
    const { header } = this.app, { canvas } = this;
    const [width, height] = this.size();
    const aspect = header.pixel_aspect;
    const scale = zoom * Math.min(canvas.width / (width * aspect), canvas.height / height);
    const [x, y] = this.centre ?? [width / 2, height / 2];
    const place = new Placement(scale * aspect, scale, 0, 0);
    place.left = canvas.width / 2 - place.x(x);
    place.top = canvas.height / 2 - place.y(y);
    return place;
  }

  /** The size of the video in pixels; without one, what the boxes cover. */
  size() {
    const { header, film } = this.app;
    if (header.width > 0 && header.height > 0) return [header.width, header.height];
    this.covered ??= film.boxes.reduce(
      ([x, y], value, k) => (k % 4 === 2 ? [Math.max(x, value), y] : k % 4 === 3 ? [x, Math.max(y, value)] : [x, y]), [1, 1]);
    return this.covered;
  }

  draw() {
    const { app, context, canvas } = this, { film } = app;
    const place = this.place(), unit = devicePixelRatio;
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.fillStyle = "#26282c";
    const [width, height] = this.size();
    context.fillRect(place.left, place.top, width * place.scaleX, height * place.scaleY);
    if (!film.count) return;
    const bitmap = app.images.get(app.index);
    if (bitmap) drawImage(context, bitmap, app.header, place);
    this.shown = bitmap || !app.images.has ? app.index : undefined;
    const [first, last] = film.rowsAt(app.position);
    const rows = Array.from({ length: last - first }, (_, k) => first + k);
    rows.sort((a, b) => film.boxOf(a)[3] - film.boxOf(b)[3]); // the closest person on top
    if (app.options.trails) for (const row of rows) drawTrail(context, film, row, app.position, place, unit);
    const any = app.selected.length > 0;
    for (const row of rows) {
      const isSelected = app.selected.includes(film.idOf(row));
      const keypoint = isSelected ? app.keypoint : undefined;
      drawPerson(context, film, row, place,
        { unit, isSelected, isFaint: any && !isSelected, skeletons: app.options.skeletons || keypoint !== undefined, keypoint });
    }
    for (const row of rows) drawLabel(context, film, row, place, unit, app.selected.includes(film.idOf(row)));
    if (this.drag?.keypoint) this.drawDragged(place, unit);
    canvas.dataset.frame = String(this.shown ?? "");
    const ids = film.idsAt(app.position);
    canvas.setAttribute("aria-label", `Frame ${app.index}, ${ids.length ? `people ${ids.join(", ")}` : "no people"}`);
  }

  drawDragged(place, unit) {
    const { context, drag } = this;
    context.beginPath();
    context.arc(place.x(drag.to[0]), place.y(drag.to[1]), 7 * unit, 0, 7);
    context.lineWidth = 2 * unit;
    context.strokeStyle = "#fff";
    context.stroke();
  }

  point(event) {
    const ratio = this.canvas.width / this.canvas.clientWidth;
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
  }

  press(event) {
    if (event.button !== 0) return;
    const [x, y] = this.point(event);
    this.drag = { x, y, centre: this.centre, moved: false, keypoint: this.keypointAt(x, y), to: [] };
    if (this.drag.keypoint) {
      this.app.keypoint = this.drag.keypoint.k;
      this.drag.to = this.place().inverse(x, y);
      this.app.changed("selection");
    }
    this.canvas.setPointerCapture(event.pointerId);
  }

  move(event) {
    if (!this.drag) return;
    const { drag } = this, [x, y] = this.point(event);
    if (!drag.moved && Math.hypot(x - drag.x, y - drag.y) < 4 * devicePixelRatio) return;
    drag.moved = true;
    const place = this.place();
    if (drag.keypoint) {
      drag.to = place.inverse(x, y);
    } else if (this.zoom > 1) {
      const [width, height] = this.size(), [cx, cy] = drag.centre ?? [width / 2, height / 2];
      this.centre = [cx - (x - drag.x) / place.scaleX, cy - (y - drag.y) / place.scaleY];
    }
    this.draw();
  }

  release(event) {
    const { drag } = this;
    this.drag = undefined;
    if (!drag) return;
    if (drag.keypoint) {
      if (drag.moved) this.onMove(drag.keypoint.id, drag.keypoint.k, drag.to);
      else this.draw();
    } else if (!drag.moved) {
      const id = this.personAt(...this.place().inverse(drag.x, drag.y));
      if (event.shiftKey || event.ctrlKey || event.metaKey) {
        if (id !== undefined) this.app.toggle(id);
      } else {
        this.app.select(id === undefined ? [] : [id]);
      }
    }
  }

  wheel(event) {
    event.preventDefault();
    const [x, y] = this.point(event), [px, py] = this.place().inverse(x, y);
    this.zoom = Math.min(20, Math.max(1, this.zoom * Math.exp(-event.deltaY / 300)));
    if (this.zoom === 1) {
      this.centre = undefined;
    } else {
      const { scaleX, scaleY } = this.place(), { canvas } = this;
      this.centre = [px - (x - canvas.width / 2) / scaleX, py - (y - canvas.height / 2) / scaleY];
    }
    this.draw();
  }

  /** The person with the smallest box around a point of the video. */
  personAt(x, y) {
    const { film, position } = this.app, [first, last] = film.rowsAt(position);
    let found, smallest = Infinity;
    for (let row = first; row < last; row++) {
      const [x1, y1, x2, y2] = film.boxOf(row), area = (x2 - x1) * (y2 - y1);
      if (x >= x1 && x <= x2 && y >= y1 && y <= y2 && area < smallest) [found, smallest] = [film.idOf(row), area];
    }
    return found;
  }

  /** While keypoints are edited: the selected person's keypoint near a pixel of the canvas. */
  keypointAt(x, y) {
    const { app } = this;
    if (app.keypoint === undefined) return undefined;
    const id = app.selected[0], row = app.film.rowOf(id, app.position);
    const pose = row < 0 ? null : app.film.keypointsOf(row);
    if (!pose) return undefined;
    const place = this.place();
    let found, smallest = NEAR * devicePixelRatio;
    for (let k = 0; k < pose.scores.length; k++) {
      const distance = Math.hypot(place.x(pose.xy[2 * k]) - x, place.y(pose.xy[2 * k + 1]) - y);
      if (distance < smallest) [found, smallest] = [{ id, k }, distance];
    }
    return found;
  }
}
