// The corrections: what each asks for, what it would do, and the edit that is sent.

import { clock } from "review/lanes.js";

const counted = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

/** Such as "frames 0 to 120 (118 of them)". */
function spanText(film, positions) {
  const first = film.index[positions[0]], last = film.index[positions.at(-1)];
  return positions.length === 1 ? `frame ${first}` : `frames ${first} to ${last} (seen in ${positions.length})`;
}

/** Positions of a span of frames of the video; null is no limit. */
function positionsIn(film, { from, to }) {
  const end = film.count - 1;
  const last = to === null ? end : film.positionOf(to);
  return [from === null ? 0 : film.positionOf(from), to !== null && film.index[last] > to ? last - 1 : last];
}

const unknown = (film, id) => !film.slots.has(id) && `There is no person ${Number.isNaN(id) ? "without a number" : id}.`;

/** Why a span is none, or undefined. */
function badSpan(film, { from, to }) {
  const first = film.index[0], last = film.index[film.count - 1];
  for (const frame of [from, to]) {
    if (Number.isNaN(frame)) return "Frames are whole numbers.";
    if (frame !== null && (frame < first || frame > last)) return `The tracks have the frames ${first} to ${last}.`;
  }
  return from !== null && to !== null && from > to ? "The first frame is after the last one." : undefined;
}

/** Frames in which both are seen, as a text, or "". */
function together(film, one, other, from, to) {
  const seen = new Set(film.positionsOf(one));
  const both = film.positionsOf(other, from, to).filter((position) => seen.has(position));
  return both.length ? spanText(film, both) : "";
}

function mergeText(film, kept, other) {
  const lines = [kept, other].map((id) => {
    const seen = film.positionsOf(id);
    return `${id}: ${spanText(film, seen)}, ${clock(film.seconds[seen[0]])} to ${clock(film.seconds[seen.at(-1)])}.`;
  });
  const [first, second] = [kept, other].map((id) => film.positionsOf(id)).sort((a, b) => a[0] - b[0]);
  if (first.at(-1) < second[0]) {
    const [end, start] = [first.at(-1), second[0]];
    const ends = [kept, other].flatMap((id) => [film.rowOf(id, end), film.rowOf(id, start)]).filter((row) => row >= 0);
    const boxes = ends.map((row) => film.boxOf(row));
    const [x, y] = [0, 1].map((k) => (boxes[0][k] + boxes[0][k + 2] - boxes[1][k] - boxes[1][k + 2]) / 2);
    const gap = film.seconds[start] - film.seconds[end];
    lines.push(`Between them: ${gap.toFixed(2)} s and ${Math.round(Math.hypot(x, y))} pixels.`);
  } else {
    lines.push("They are never seen in the same frame.");
  }
  return lines.join("\n");
}

/** title, verb of the button, fields, and check(values, film): { problem } or { text, edit }. */
export const OPERATIONS = {
  swap: {
    title: "Swap two people", verb: "Swap", people: 2, fields: ["one", "other", "from", "to"],
    check(values, film) {
      const { one, other, from, to } = values;
      const problem = unknown(film, one) || unknown(film, other) || (one === other && "Choose two different people.") || badSpan(film, values);
      if (problem) return { problem };
      const span = positionsIn(film, values), counts = [one, other].map((id) => film.positionsOf(id, ...span).length);
      if (!counts[0] && !counts[1]) return { problem: "Neither of them is seen in these frames." };
      return {
        text: [[one, other, counts[0]], [other, one, counts[1]]].filter(([, , count]) => count)
          .map(([old, id, count]) => `${old} becomes ${id} in ${counted(count, "frame")}.`).join("\n"),
        edit: { op: "swap", ids: [one, other], from, to },
      };
    },
  },
  merge: {
    title: "Merge two tracks of one person", verb: "Merge", people: 2, fields: ["kept", "other"],
    check({ kept, other }, film) {
      const problem = unknown(film, kept) || unknown(film, other) || (kept === other && "Choose two different people.");
      if (problem) return { problem };
      const both = together(film, kept, other);
      if (both) return { problem: `${kept} and ${other} are both seen in ${both}, so they are two people. Swap or delete one of them there first.` };
      return { text: mergeText(film, kept, other), edit: { op: "merge", ids: [kept, other] } };
    },
  },
  split: {
    title: "Split a track", verb: "Split", people: 1, fields: ["one", "from"],
    check(values, film) {
      const { one, from } = values;
      const problem = unknown(film, one) || (from === null && "Give the first frame of the second part.") || badSpan(film, values);
      if (problem) return { problem };
      const start = film.positionOf(from), before = film.positionsOf(one, 0, start - 1), after = film.positionsOf(one, start);
      if (!before.length) return { problem: `${one} is not seen before frame ${from}.` };
      if (!after.length) return { problem: `${one} is not seen from frame ${from} on.` };
      return {
        text: `${one} keeps ${spanText(film, before)}. A new id gets ${spanText(film, after)}.`,
        edit: { op: "split", ids: [one], from },
      };
    },
  },
  delete: {
    title: "Delete a person", verb: "Delete", people: 1, fields: ["one", "from", "to"],
    check(values, film) {
      const { one, from, to } = values, problem = unknown(film, one) || badSpan(film, values);
      if (problem) return { problem };
      const seen = film.positionsOf(one, ...positionsIn(film, values));
      if (!seen.length) return { problem: `${one} is not seen in these frames.` };
      return { text: `${one} is removed from ${counted(seen.length, "frame")}.`, edit: { op: "delete", ids: [one], from, to } };
    },
  },
  assign: {
    title: "Give a person another id", verb: "Change", people: 1, fields: ["one", "new", "from", "to"],
    check(values, film) {
      const { one, new: id, from, to } = values;
      const problem = unknown(film, one) || (Number.isNaN(id) && "Give the new id.") || (one === id && "This is their id already.") || badSpan(film, values);
      if (problem) return { problem };
      const span = positionsIn(film, values), seen = film.positionsOf(one, ...span);
      if (!seen.length) return { problem: `${one} is not seen in these frames.` };
      if (!film.slots.has(id)) {
        return { text: `${one} becomes ${id} in ${counted(seen.length, "frame")}.`, edit: { op: "rename", ids: [one, id], from, to } };
      }
      const both = together(film, id, one, ...span);
      if (both) return { problem: `${id} is also seen in ${both}. Swap the two there instead.` };
      return {
        text: `${one} becomes ${id}, who is known from other frames, in ${counted(seen.length, "frame")}.`,
        edit: { op: "merge", ids: [id, one], from, to },
      };
    },
  },
  exchange: {
    title: "Exchange left and right", verb: "Exchange", people: 1, fields: ["one", "from", "to"],
    check(values, film) {
      const { one, from, to } = values, problem = unknown(film, one) || badSpan(film, values);
      if (problem) return { problem };
      const seen = film.positionsOf(one, ...positionsIn(film, values));
      if (!seen.length) return { problem: `${one} is not seen in these frames.` };
      return {
        text: `Left and right keypoints of ${one} change places in ${counted(seen.length, "frame")}.`,
        edit: { op: "exchange_sides", ids: [one], from, to },
      };
    },
  },
};

const LABELS = {
  one: "Person", other: "Other person", kept: "Id to keep", new: "New id", from: "From frame", to: "To frame",
};

/** The dialog that asks for an operation's values and shows what it would do before it is done. */
export class OperationDialog {
  constructor(app, onDone) {
    this.app = app;
    this.onDone = onDone;
    this.dialog = document.getElementById("operation");
    this.fields = document.getElementById("operation-fields");
    this.summary = document.getElementById("operation-summary");
    this.button = document.getElementById("operation-do");
    document.getElementById("operation-cancel").addEventListener("click", () => this.dialog.close());
    this.dialog.querySelector("form").addEventListener("submit", (event) => this.submit(event));
    this.fields.addEventListener("input", () => this.check());
  }

  /** Ask for the values of an operation; `given` are values that are known already. */
  open(name, given = {}) {
    this.operation = OPERATIONS[name];
    const { title, verb, fields } = this.operation, { selected, index } = this.app;
    const known = {
      one: selected[0], kept: selected[0], other: selected[1], from: name === "exchange" ? index : fields.includes("from") ? index : null, ...given,
    };
    if (name === "delete") known.from = given.from ?? null;
    if (name === "exchange") known.to = given.to ?? null;
    if (name === "merge" && selected.length === 2) [known.kept, known.other] = this.byStart(selected);
    document.getElementById("operation-title").textContent = title;
    this.button.textContent = verb;
    this.fields.replaceChildren(...fields.map((field) => this.field(field, known[field])), this.reason());
    this.dialog.showModal();
    const inputs = [...this.fields.querySelectorAll("input")];
    const empty = inputs.find((input) => !input.value && input.required);
    (empty ?? (given.new === undefined ? this.button : inputs[1])).focus();
    this.check();
    if (this.button.disabled && document.activeElement !== inputs[1]) (empty ?? inputs[0]).focus();
  }

  /** Two ids, the one who is seen first in front. */
  byStart(ids) {
    const { film } = this.app;
    return [...ids].sort((a, b) => film.spanOf(film.slots.get(a))[0] - film.spanOf(film.slots.get(b))[0]);
  }

  field(name, value) {
    const label = document.createElement("label");
    const input = document.createElement("input");
    Object.assign(input, { type: "number", name, min: 0, step: 1, value: value ?? "", required: name !== "from" && name !== "to" });
    input.placeholder = { from: "start", to: "end" }[name] ?? "";
    label.append(LABELS[name], input);
    return label;
  }

  reason() {
    const label = document.createElement("label");
    const input = document.createElement("input");
    Object.assign(input, { type: "text", name: "reason", maxLength: 200, placeholder: "optional" });
    label.append("Reason", input);
    return label;
  }

  values() {
    const values = {};
    for (const input of this.fields.querySelectorAll("input")) {
      const text = input.value.trim(), isFrame = input.name === "from" || input.name === "to";
      if (input.type === "text") values[input.name] = text;
      else values[input.name] = text === "" && input.validity.valid && isFrame ? null : text === "" ? NaN : Number(text);
    }
    return values;
  }

  check() {
    const { problem, text, edit } = this.operation.check(this.values(), this.app.film);
    this.button.disabled = Boolean(problem);
    this.summary.textContent = problem || text;
    this.summary.classList.toggle("problem", Boolean(problem));
    return problem ? undefined : edit;
  }

  async submit(event) {
    event.preventDefault();
    const edit = this.check();
    if (!edit) return;
    const reason = this.values().reason;
    const error = await this.onDone(reason ? { ...edit, reason } : edit);
    if (error) {
      this.summary.textContent = error;
      this.summary.classList.add("problem");
    } else {
      this.dialog.close();
    }
  }
}
