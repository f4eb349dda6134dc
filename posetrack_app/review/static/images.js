// Frames as bitmaps: the one that is shown, those ahead of it, and the newest ones that were shown.

const IN_FLIGHT = 4;
const CACHE_BYTES = 300e6;

export class Images {
  constructor(source, header, onLoad) {
    this.source = source;
    this.onLoad = onLoad;
    this.has = header.has_video;
    const bytes = Math.max(4 * header.width * header.height, 1);
    this.limit = Math.min(400, Math.max(24, Math.floor(CACHE_BYTES / bytes)));
    this.cache = new Map();
    this.loading = new Map();
    this.failed = new Set();
    this.wanted = [];
    this.extra = [];
  }

  /** The bitmap of a frame of the video, or undefined. */
  get(index) {
    const bitmap = this.cache.get(index);
    if (bitmap) {
      this.cache.delete(index);
      this.cache.set(index, bitmap);
    }
    return bitmap;
  }

  /** Whether a frame is there, or will never be. */
  isReady(index) {
    return !this.has || this.cache.has(index) || this.failed.has(index);
  }

  /** Load these frames, the most important first; loading others stops. */
  want(indices) {
    if (!this.has) return;
    this.wanted = indices.slice(0, Math.floor(this.limit / 2));
    const keep = new Set(this.wanted);
    for (const [index, { abort, isExtra }] of this.loading) {
      if (!keep.has(index) && !isExtra) abort.abort();
    }
    this.pump();
  }

  /** A frame for a thumbnail, as soon as nothing more important is loading. */
  once(index) {
    if (!this.has) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      this.extra.push({ index, resolve });
      this.pump();
    });
  }

  pump() {
    for (const index of this.wanted) {
      if (this.loading.size >= IN_FLIGHT) return;
      if (!this.isReady(index) && !this.loading.has(index)) this.load(index, false);
    }
    while (this.extra.length && this.loading.size < 2) {
      const { index, resolve } = this.extra.shift();
      if (this.isReady(index)) resolve(this.get(index));
      else this.load(index, true).then(resolve);
    }
  }

  async load(index, isExtra) {
    const abort = new AbortController();
    this.loading.set(index, { abort, isExtra });
    let bitmap;
    try {
      bitmap = await createImageBitmap(await this.source.frame(index, abort.signal));
      this.cache.set(index, bitmap);
      this.trim();
    } catch (error) {
      if (error.name !== "AbortError") this.failed.add(index);
    }
    this.loading.delete(index);
    this.onLoad(index);
    this.pump();
    return bitmap;
  }

  trim() {
    const keep = new Set(this.wanted);
    for (const [index, bitmap] of this.cache) {
      if (this.cache.size <= this.limit) return;
      if (keep.has(index)) continue;
      this.cache.delete(index);
      // A thumbnail may be about to be cut from it.
      setTimeout(() => bitmap.close(), 1000);
    }
  }
}
