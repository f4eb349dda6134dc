// The colours of people: the same as those of `posetrack render` (posetrack_app/drawing/draw.py, colour_of).

const GOLDEN_RATIO = 0.6180339887;
const SHADES = [[0.85, 1], [0.6, 1], [0.9, 0.8]];
const known = new Map();

/** [red, green, blue], 0 to 255, of an id. */
export function colourOf(id) {
  let colour = known.get(id);
  if (!colour) {
    const [saturation, value] = SHADES[id % 3];
    const sixth = 6 * ((id * GOLDEN_RATIO) % 1);
    colour = [5, 3, 1].map((n) => {
      const k = (n + sixth) % 6;
      return Math.round(255 * value * (1 - saturation * Math.max(0, Math.min(k, 4 - k, 1))));
    });
    known.set(id, colour);
  }
  return colour;
}

export function css(colour, alpha = 1) {
  return `rgb(${colour.map(Math.round).join(" ")} / ${alpha})`;
}

/** A colour moved towards a grey (0 to 255) by a share. */
export function mix(colour, grey, share) {
  return colour.map((channel) => channel * (1 - share) + grey * share);
}

/** Black or white, whichever is easier to read on the colour. */
export function inkOn([red, green, blue]) {
  return 0.299 * red + 0.587 * green + 0.114 * blue > 140 ? "#000" : "#fff";
}
