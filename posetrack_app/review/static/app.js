// What the page shows at the moment, and who wants to know when it changes.

import { Film, unpack } from "review/columns.js";
import { Images } from "review/images.js";
import { source } from "review/source.js";

const AHEAD = 24, BEHIND = 4;
const FASTEST = 32; // frames a second that are drawn; faster playing leaves frames out

export class App {
  constructor() {
    this.position = 0;
    this.selected = [];
    this.keypoint = undefined;
    this.speed = 1;
    this.isPlaying = false;
    this.options = { trails: true, skeletons: true };
    this.listeners = [];
    this.direction = 1;
    this.due = new Set();
  }

  /** Call `listener` once in the next animation frame after one of these changed: film, position, selection, image. */
  on(names, listener) {
    this.listeners.push({ names, listener });
  }

  changed(...names) {
    if (!this.due.size) requestAnimationFrame(() => this.tell());
    names.forEach((name) => this.due.add(name));
  }

  tell() {
    const due = this.due;
    this.due = new Set();
    for (const { names, listener } of this.listeners) {
      if (names.some((name) => due.has(name))) listener();
    }
  }

  async load() {
    const message = unpack(await source.tracks());
    this.film = new Film(message);
    this.header = message.header;
    this.images ??= new Images(source, this.header, (index) => {
      if (index === this.film.index[this.position]) this.changed("image");
    });
    this.selected = this.selected.filter((id) => this.film.slots.has(id));
    this.position = Math.max(0, Math.min(this.position, this.film.count - 1));
    this.need();
    this.changed("film", "position", "selection");
  }

  /** The frame of the video that is shown. */
  get index() {
    return this.film.index[this.position];
  }

  goTo(position) {
    const next = Math.max(0, Math.min(this.film.count - 1, Math.round(position)));
    if (next === this.position) return;
    this.direction = next > this.position ? 1 : -1;
    this.position = next;
    this.need();
    this.changed("position");
  }

  /** Ask for the images and keypoints around the position. */
  need() {
    if (!this.film.count) return;
    this.film.needKeypoints(source, this.position, () => this.changed("image"));
    const step = this.isPlaying ? this.step() : 1, wanted = [];
    for (let k = 0; k <= AHEAD; k++) wanted.push(this.position + k * step * this.direction);
    for (let k = 1; k <= BEHIND; k++) wanted.push(this.position - k * this.direction);
    const isInside = (position) => position >= 0 && position < this.film.count;
    this.images.want(wanted.filter(isInside).map((position) => this.film.index[position]));
  }

  select(ids) {
    this.selected = ids;
    if (ids.length !== 1) this.keypoint = undefined;
    this.changed("selection");
  }

  /** Add a person to the selection, or take them out of it. */
  toggle(id) {
    this.select(this.selected.includes(id) ? this.selected.filter((each) => each !== id) : [...this.selected, id]);
  }

  /** Seconds between frames, on average. */
  get interval() {
    const { seconds, count } = this.film;
    return count > 1 ? (seconds[count - 1] - seconds[0]) / (count - 1) : 0.04;
  }

  /** Frames from one drawn frame to the next while playing. */
  step() {
    return Math.max(1, Math.round(this.speed / this.interval / FASTEST));
  }

  play(isPlaying = !this.isPlaying) {
    if (isPlaying === this.isPlaying || !this.film.count) return;
    this.isPlaying = isPlaying;
    if (isPlaying) {
      if (this.position === this.film.count - 1) this.goTo(0);
      this.direction = 1;
      this.clock = this.film.seconds[this.position];
      this.before = performance.now();
      requestAnimationFrame((now) => this.tick(now));
    }
    this.need();
    this.changed("playing");
  }

  /** Go on as time passes; wait for frames that are not there yet, so that none is left out unseen. */
  tick(now) {
    if (!this.isPlaying) return;
    const { film } = this, last = film.count - 1;
    const next = Math.min(last, this.position + this.step());
    const elapsed = Math.min(0.25, (now - this.before) / 1000) * this.speed;
    this.before = now;
    if (this.images.isReady(film.index[next])) {
      this.clock += elapsed;
      if (this.clock >= film.seconds[next]) {
        if (this.clock > film.seconds[Math.min(last, next + this.step())]) this.clock = film.seconds[next];
        this.goTo(next);
      }
    }
    if (this.position === last) this.play(false);
    else requestAnimationFrame((time) => this.tick(time));
  }

  /** Send a change to the server, and show the tracks as they are then. Gives the error or "". */
  async change(what, edit) {
    const answer = await source.change(what, this.header.revision, edit);
    if (!answer.error || answer.status === 409) await this.load();
    return answer.error ?? "";
  }
}
