// People on a canvas, as `posetrack render` draws them; used by the frame view and by the thumbnails.

import { colourOf, css, inkOn, mix } from "review/colours.js";

const INVISIBLE = 0.1 * 255, OPAQUE = 0.6 * 255;
const TRAIL_SECONDS = 2;
const LEVELS = 4; // steps of opacity

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
  const shades = { left: mix(colour, 255, 0.45), right: mix(colour, 0, 0.4), "": colour };
  const sides = names.map((name) => (name.startsWith("left_") ? "left" : name.startsWith("right_") ? "right" : ""));
  const opacity = Array.from(pose.scores, (score) => Math.min(1, Math.max(0, (score - INVISIBLE) / (OPAQUE - INVISIBLE))));
  const xs = names.map((_, k) => place.x(pose.xy[2 * k])), ys = names.map((_, k) => place.y(pose.xy[2 * k + 1]));
  const faded = opacity.map((each) => Math.ceil(each * LEVELS) / LEVELS);
  const limbs = new Groups();
  for (const [a, b] of film.header.limbs) {
    const visible = Math.min(faded[a], faded[b]);
    if (visible <= 0 || Number.isNaN(xs[a] + xs[b])) continue;
    limbs.add(visible, sides[a] === sides[b] ? sides[a] : "", [xs[a], ys[a], xs[b], ys[b]]);
  }
  context.lineCap = "round";
  // A dark rim keeps bright limbs visible on a bright background.
  for (const [darkness, width] of [[0.75, limb + 2 * unit], [0, limb]]) {
    for (const { visible, side, items } of limbs.all()) {
      context.globalAlpha = alpha * visible;
      context.lineWidth = width;
      context.strokeStyle = css(mix(shades[side], 0, darkness));
      context.beginPath();
      for (const [x1, y1, x2, y2] of items) {
        context.moveTo(x1, y1);
        context.lineTo(x2, y2);
      }
      context.stroke();
    }
  }
  if (keypoint !== undefined || limb > 1.5 * unit) drawDots(context, { xs, ys, faded, sides, shades, alpha, limb, unit, keypoint });
}

/** Dots on the keypoints; while they are edited, all of them, and the chosen one is larger. */
function drawDots(context, { xs, ys, faded, sides, shades, alpha, limb, unit, keypoint }) {
  const isEdited = keypoint !== undefined, dots = new Groups();
  for (let k = 0; k < xs.length; k++) {
    const visible = isEdited ? 1 : faded[k];
    if (visible <= 0 || Number.isNaN(xs[k])) continue;
    dots.add(visible, sides[k], [xs[k], ys[k], isEdited ? (keypoint === k ? 6 : 3.5) * unit : limb * 0.8]);
  }
  for (const { visible, side, items } of dots.all()) {
    context.globalAlpha = isEdited ? 1 : alpha * visible;
    context.fillStyle = css(shades[side]);
    context.beginPath();
    for (const [x, y, radius] of items) {
      context.moveTo(x + radius, y);
      context.arc(x, y, radius, 0, 7);
    }
    context.fill();
    if (!isEdited) continue;
    context.lineWidth = 1.5 * unit;
    context.strokeStyle = "#fff";
    context.stroke();
  }
}

/** Shapes of one opacity and side of the body are drawn in one step, the faintest first. */
class Groups {
  constructor() {
    this.groups = new Map();
  }

  add(visible, side, item) {
    const key = `${visible} ${side}`;
    if (!this.groups.has(key)) this.groups.set(key, { visible, side, items: [] });
    this.groups.get(key).items.push(item);
  }

  all() {
    return [...this.groups.values()].sort((a, b) => a.visible - b.visible);
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
  const slot = film.tracks[row], now = film.seconds[position];
  const feet = (at) => {
    const box = 4 * at;
    return [place.x((film.boxes[box] + film.boxes[box + 2]) / 2), place.y(film.boxes[box + 3])];
  };
  context.lineWidth = 2.5 * unit;
  context.lineCap = "butt";
  context.lineJoin = "round";
  context.strokeStyle = css(colourOf(film.idOf(row)));
  let level = 0;
  for (let k = film.placeOf(slot, position); k > film.firstOf[slot]; k--) {
    const end = film.rowsOf[k], start = film.rowsOf[k - 1];
    const age = (now - film.seconds[film.frameOf[start]]) / TRAIL_SECONDS;
    if (age >= 1 || film.cuts[film.frameOf[end]]) break;
    const next = Math.ceil((1 - age) * LEVELS);
    if (next !== level) {
      if (level) context.stroke();
      level = next;
      context.globalAlpha = level / LEVELS;
      context.beginPath();
      context.moveTo(...feet(end));
    }
    context.lineTo(...feet(start));
  }
  if (level) context.stroke();
  context.globalAlpha = 1;
}
