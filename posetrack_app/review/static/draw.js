// People on a canvas, as `posetrack render` draws them; used by the frame view and by the thumbnails.

import { colourOf, css, inkOn, mix } from "review/colours.js";

const INVISIBLE = 0.1 * 255, OPAQUE = 0.6 * 255;
const TRAIL_SECONDS = 2;

/** Pixels of the video to pixels of the canvas. */
export class Placement {
  constructor(scaleX, scaleY, left, top) {
    Object.assign(this, { scaleX, scaleY, left, top });
  }

  x(x) {
    return this.left + x * this.scaleX;
  }

  y(y) {
    return this.top + y * this.scaleY;
  }

  /** The point of the video under a pixel of the canvas. */
  inverse(x, y) {
    return [(x - this.left) / this.scaleX, (y - this.top) / this.scaleY];
  }
}

export function drawImage(context, bitmap, header, place) {
  context.imageSmoothingEnabled = place.scaleX < 4;
  const width = header.width * place.scaleX, height = header.height * place.scaleY;
  context.drawImage(bitmap, place.left, place.top, width, height);
}

/** Box, skeleton and label of one person. `unit` is the width of a line in pixels of the canvas. */
export function drawPerson(context, film, row, place, { unit, isSelected, isFaint, skeletons, keypoint }) {
  const id = film.idOf(row), colour = colourOf(id), box = film.boxOf(row);
  const left = place.x(box[0]), top = place.y(box[1]);
  const width = place.x(box[2]) - left, height = place.y(box[3]) - top;
  context.globalAlpha = isFaint ? 0.45 : 1;
  if (isSelected) {
    context.lineWidth = 5 * unit;
    context.strokeStyle = "#fff";
    context.strokeRect(left, top, width, height);
  }
  context.lineWidth = (isSelected ? 2.5 : 1.5) * unit;
  context.strokeStyle = css(colour);
  context.strokeRect(left, top, width, height);
  if (skeletons) drawSkeleton(context, film, row, place, colour, unit, keypoint);
  context.globalAlpha = 1;
}

function drawSkeleton(context, film, row, place, colour, unit, keypoint) {
  const pose = film.keypointsOf(row);
  if (!pose) return;
  const names = film.header.keypoint_names, alpha = context.globalAlpha;
  const box = film.boxOf(row);
  const size = Math.max((box[2] - box[0]) * place.scaleX, (box[3] - box[1]) * place.scaleY);
  const limb = Math.max(unit, Math.min(size / 60, 4 * unit));
  const shades = names.map((name) =>
    name.startsWith("left_") ? mix(colour, 255, 0.45) : name.startsWith("right_") ? mix(colour, 0, 0.4) : colour);
  const opacity = Array.from(pose.scores, (score) => Math.min(1, Math.max(0, (score - INVISIBLE) / (OPAQUE - INVISIBLE))));
  const xs = names.map((_, k) => place.x(pose.xy[2 * k])), ys = names.map((_, k) => place.y(pose.xy[2 * k + 1]));
  context.lineCap = "round";
  for (const [a, b] of film.header.limbs) {
    const visible = Math.min(opacity[a], opacity[b]);
    if (visible <= 0 || Number.isNaN(xs[a] + xs[b])) continue;
    const side = shades[a] === shades[b] || names[a].split("_")[0] === names[b].split("_")[0] ? shades[a] : colour;
    context.globalAlpha = alpha * visible;
    for (const [style, extra] of [[css(mix(side, 0, 0.75)), 2 * unit], [css(side), 0]]) {
      context.beginPath();
      context.moveTo(xs[a], ys[a]);
      context.lineTo(xs[b], ys[b]);
      context.lineWidth = limb + extra;
      context.strokeStyle = style;
      context.stroke();
    }
  }
  for (let k = 0; k < names.length; k++) {
    const isChosen = keypoint === k;
    if (Number.isNaN(xs[k]) || (opacity[k] <= 0 && keypoint === undefined)) continue;
    context.globalAlpha = keypoint === undefined ? alpha * opacity[k] : 1;
    context.beginPath();
    context.arc(xs[k], ys[k], keypoint === undefined ? limb * 0.8 : (isChosen ? 6 : 3.5) * unit, 0, 7);
    context.fillStyle = css(shades[k]);
    context.fill();
    if (keypoint !== undefined) {
      context.lineWidth = isChosen ? 2 * unit : unit;
      context.strokeStyle = "#fff";
      context.stroke();
    }
  }
}

/** The id in a tag of the person's colour above the box, moved inside the canvas; none if the box is outside. */
export function drawLabel(context, film, row, place, unit, isSelected = false) {
  const id = film.idOf(row), colour = colourOf(id), box = film.boxOf(row), { canvas } = context;
  if (place.x(box[2]) < 0 || place.x(box[0]) > canvas.width || place.y(box[3]) < 0 || place.y(box[1]) > canvas.height) return;
  const size = 13 * unit, pad = 3 * unit;
  context.font = `${isSelected ? "bold " : ""}${size}px system-ui, sans-serif`;
  const width = context.measureText(String(id)).width + 2 * pad, height = size + 2 * pad;
  const x = Math.min(Math.max(0, place.x(box[0])), canvas.width - width);
  const y = Math.min(Math.max(0, place.y(box[1]) - height), canvas.height - height);
  context.fillStyle = css(colour);
  context.fillRect(x, y, width, height);
  if (isSelected) {
    context.strokeStyle = "#fff";
    context.lineWidth = 2 * unit;
    context.strokeRect(x, y, width, height);
  }
  context.fillStyle = inkOn(colour);
  context.textBaseline = "middle";
  context.fillText(String(id), x + pad, y + height / 2 + unit);
}

/** Where the feet of a person were in the last 2 seconds, fading with age; nothing from before a cut. */
export function drawTrail(context, film, row, position, place, unit) {
  const slot = film.tracks[row], now = film.seconds[position], colour = colourOf(film.idOf(row));
  context.lineWidth = 2.5 * unit;
  context.lineCap = "round";
  for (let k = film.placeOf(slot, position); k > film.firstOf[slot]; k--) {
    const end = film.rowsOf[k], start = film.rowsOf[k - 1], at = film.frameOf[start];
    const age = (now - film.seconds[at]) / TRAIL_SECONDS;
    if (age >= 1 || film.cuts[film.frameOf[end]]) return;
    const one = film.boxOf(start), other = film.boxOf(end);
    context.globalAlpha = 1 - age;
    context.strokeStyle = css(colour);
    context.beginPath();
    context.moveTo(place.x((one[0] + one[2]) / 2), place.y(one[3]));
    context.lineTo(place.x((other[0] + other[2]) / 2), place.y(other[3]));
    context.stroke();
  }
  context.globalAlpha = 1;
}
