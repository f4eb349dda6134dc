// The tracks as typed arrays, straight from the binary message of the server (posetrack_app/review/columns.py).

const TYPES = {
  int32: Int32Array, float32: Float32Array, float64: Float64Array, uint8: Uint8Array, int8: Int8Array,
};

/** The header and the arrays of a binary message. */
export function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const arrays = {};
  for (const [name, { type, offset, values }] of Object.entries(header.arrays)) {
    arrays[name] = new TYPES[type](buffer, 4 + length + offset, values);
  }
  return { header, ...arrays };
}

/**
 * All people of a video. A "position" counts the frames of the tracks from 0, `index[position]` is the frame of the video.
 * A row is one person in one frame, a slot one track.
 */
export class Film {
  constructor(message) {
    Object.assign(this, message);
    this.count = this.index.length;
    this.ids = this.header.track_ids;
    this.slots = new Map(this.ids.map((id, slot) => [id, slot]));
    this.blocks = new Map();
    this.sortByTrack();
  }

  /** Rows of each track in order of time: those of a slot are rowsOf[firstOf[slot] .. firstOf[slot + 1]]. */
  sortByTrack() {
    const rows = this.tracks.length;
    this.frameOf = new Int32Array(rows);
    for (let p = 0; p < this.count; p++) this.frameOf.fill(p, this.starts[p], this.starts[p + 1]);
    this.firstOf = new Int32Array(this.ids.length + 1);
    for (let row = 0; row < rows; row++) this.firstOf[this.tracks[row] + 1]++;
    for (let slot = 0; slot < this.ids.length; slot++) this.firstOf[slot + 1] += this.firstOf[slot];
    const next = this.firstOf.slice();
    this.rowsOf = new Int32Array(rows);
    for (let row = 0; row < rows; row++) this.rowsOf[next[this.tracks[row]]++] = row;
  }

  /** The rows [first, last) of a frame. */
  rowsAt(position) {
    return [this.starts[position], this.starts[position + 1]];
  }

  idOf(row) {
    return this.ids[this.tracks[row]];
  }

  idsAt(position) {
    const [first, last] = this.rowsAt(position);
    const ids = [];
    for (let row = first; row < last; row++) ids.push(this.idOf(row));
    return ids.sort((a, b) => a - b);
  }

  /** The row of a person in a frame, or -1. */
  rowOf(id, position) {
    const slot = this.slots.get(id);
    if (slot === undefined) return -1;
    const k = this.placeOf(slot, position);
    return k < this.firstOf[slot + 1] && this.frameOf[this.rowsOf[k]] === position ? this.rowsOf[k] : -1;
  }

  /** The place in rowsOf of a track's first row at or after a position. */
  placeOf(slot, position) {
    let low = this.firstOf[slot], high = this.firstOf[slot + 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.frameOf[this.rowsOf[middle]] < position) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Positions of a track's first and last frame. */
  spanOf(slot) {
    const rows = this.rowsOf;
    return [this.frameOf[rows[this.firstOf[slot]]], this.frameOf[rows[this.firstOf[slot + 1] - 1]]];
  }

  /** Positions in which a person is seen, from one position to another (both included). */
  positionsOf(id, from = 0, to = this.count - 1) {
    const slot = this.slots.get(id);
    if (slot === undefined) return [];
    const found = [];
    for (let k = this.placeOf(slot, from); k < this.firstOf[slot + 1]; k++) {
      const position = this.frameOf[this.rowsOf[k]];
      if (position > to) break;
      found.push(position);
    }
    return found;
  }

  /** The position of a frame of the video, or of the next one that the tracks have. */
  positionOf(index) {
    let low = 0, high = this.count - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.index[middle] < index) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  boxOf(row) {
    return this.boxes.subarray(4 * row, 4 * row + 4);
  }

  /** The keypoints (x, y, ...) and scores of a row if their block is loaded. */
  keypointsOf(row) {
    const block = this.blocks.get(Math.floor(this.frameOf[row] / this.header.block_frames));
    if (!block?.keypoints) return null;
    const count = this.header.keypoint_names.length, k = row - block.header.first_row;
    return {
      xy: block.keypoints.subarray(2 * count * k, 2 * count * (k + 1)),
      scores: block.scores.subarray(count * k, count * (k + 1)),
    };
  }

  /** Load the keypoints around a position; `onLoad` is called after each block that arrives. */
  needKeypoints(source, position, onLoad) {
    const size = this.header.block_frames, block = Math.floor(position / size);
    const near = position % size > size / 2 ? block + 1 : block - 1;
    for (const wanted of [block, near]) {
      if (this.blocks.has(wanted) || wanted < 0 || wanted * size >= this.count) continue;
      this.blocks.set(wanted, {});
      source.keypoints(wanted).then((buffer) => {
        this.blocks.set(wanted, unpack(buffer));
        onLoad();
      }, () => this.blocks.delete(wanted));
    }
  }
}
