// The review page: puts its parts together, and connects buttons and keys to what they do.

import { App } from "review/app.js";
import { colourOf, css, inkOn } from "review/colours.js";
import { Doubts } from "review/doubts.js";
import { Keyboard } from "review/keyboard.js";
import { Lanes, clock } from "review/lanes.js";
import { OperationDialog, OPERATIONS } from "review/operations.js";
import { Stage } from "review/stage.js";

const $ = (id) => document.getElementById(id);
const app = new App();
const doubts = new Doubts(app, $("doubt-list"), (entry) => dismiss(entry));
const stage = new Stage(app, $("stage"), (id, k, to) => moveKeypoint(id, k, to));
const lanes = new Lanes(app, $("lanes"), doubts);
const dialog = new OperationDialog(app, (edit) => send("add", edit));

// ---- edits

/** Send a change; on success the page shows it. Gives the error or "". */
async function send(what, edit) {
  if (!app.header.can_edit) return say("This page only shows the tracks."), "";
  app.play(false);
  const before = app.header.edits;
  const error = await app.change(what, edit);
  if (error) {
    say(error, true);
    return error;
  }
  const changed = what === "undo" ? before.at(-1) : app.header.edits.at(-1);
  say(`${{ add: "Done", undo: "Undone", redo: "Done again" }[what]}: ${wordsOf(changed)}`);
  const now = new Date().toLocaleTimeString();
  $("saved").textContent = `saved in ${app.header.edits_file}, ${now}`;
  return "";
}

/** Such as "exchange sides 5 from 20". */
function wordsOf(edit) {
  return edit.op === "confirm" ? `not a mistake: ${edit.ids.join(" and ")} in frame ${edit.from}` : edit.text.replaceAll("_", " ");
}

function dismiss(entry = doubts.shown()) {
  if (!entry) return say("Go to a possible id switch first: ] is the next one.");
  return send("add", { op: "confirm", ids: entry.now, from: entry.frame, to: entry.frame });
}

function ask(name, given) {
  if (!app.header.can_edit) return say("This page only shows the tracks.");
  app.play(false);
  const { people } = OPERATIONS[name];
  if (people === 1 && app.selected.length !== 1) return say("Select one person first: click on them, or press ↓.");
  return dialog.open(name, given);
}

function moveKeypoint(id, k, [x, y]) {
  const keypoint = app.header.keypoint_names[k], round = (value) => Math.round(value * 100) / 100;
  return send("add", { op: "move_keypoint", ids: [id], from: app.index, to: app.index, keypoint, x: round(x), y: round(y) });
}

/** The selected person's keypoint being edited: its position, or undefined. */
function chosenKeypoint() {
  const row = app.selected.length === 1 ? app.film.rowOf(app.selected[0], app.position) : -1;
  const pose = row < 0 || app.keypoint === undefined ? null : app.film.keypointsOf(row);
  return pose ? [pose.xy[2 * app.keypoint], pose.xy[2 * app.keypoint + 1]] : undefined;
}

function nudge(dx, dy) {
  const at = chosenKeypoint();
  if (!at) return say("Press k to choose a keypoint of the selected person.");
  if (Number.isNaN(at[0])) {
    const box = app.film.boxOf(app.film.rowOf(app.selected[0], app.position));
    at[0] = (box[0] + box[2]) / 2;
    at[1] = (box[1] + box[3]) / 2;
  }
  return moveKeypoint(app.selected[0], app.keypoint, [at[0] + dx, at[1] + dy]);
}

function nextKeypoint(step) {
  if (app.selected.length !== 1) return say("Select one person first: click on them, or press ↓.");
  const count = app.header.keypoint_names.length;
  app.keypoint = app.keypoint === undefined ? (step > 0 ? 0 : count - 1) : (app.keypoint + step + count) % count;
  app.changed("selection");
  return say(`${app.header.keypoint_names[app.keypoint]} of ${app.selected[0]}: drag it, or alt + arrows; h hides it, esc ends`);
}

function hideKeypoint() {
  if (!chosenKeypoint()) return say("Press k to choose a keypoint of the selected person.");
  const keypoint = app.header.keypoint_names[app.keypoint];
  return send("add", { op: "hide_keypoint", ids: [app.selected[0]], from: app.index, to: app.index, keypoint });
}

// ---- looking around

function selectNext(step, adds = false) {
  const ids = app.film.idsAt(app.position);
  if (!ids.length) return say("No people in this frame.");
  const last = app.selected.at(-1), at = ids.indexOf(last);
  let k = at < 0 ? (step > 0 ? 0 : ids.length - 1) : (at + step + ids.length) % ids.length;
  if (adds && app.selected.includes(ids[k])) k = (k + step + ids.length) % ids.length;
  app.select(adds ? [...app.selected.filter((id) => id !== ids[k]), ids[k]] : [ids[k]]);
  lanes.reveal(ids[k]);
  return undefined;
}

/** Go to where the selected person is seen next, or last. */
function toEdgeOfTrack(isEnd) {
  const slot = app.film.slots.get(app.selected.at(-1));
  if (slot === undefined) return say("Select one person first: click on them, or press ↓.");
  return app.goTo(app.film.spanOf(slot)[isEnd ? 1 : 0]);
}

function step(frames) {
  app.play(false);
  app.goTo(app.position + frames);
}

function changeSpeed(by) {
  const options = [...$("speed").options], at = options.findIndex((option) => Number(option.value) === app.speed);
  const next = options[Math.max(0, Math.min(options.length - 1, at + by))];
  $("speed").value = next.value;
  app.speed = Number(next.value);
  say(`Speed ${next.textContent}`);
}

function stepDoubt(direction) {
  if (!doubts.step(direction)) say(direction > 0 ? "No open possible id switch after this frame." : "None before this frame.");
  else doubts.shown()?.now.slice(0, 1).forEach((id) => lanes.reveal(id));
}

let hideTimer;

/** Show a line for some seconds; screen readers read it. */
function say(text, isError = false) {
  const toast = $("toast");
  toast.textContent = text;
  toast.hidden = false;
  toast.classList.toggle("problem", isError);
  clearTimeout(hideTimer);
  hideTimer = setTimeout(() => (toast.hidden = true), isError ? 8000 : 3500);
}

function clearSelection() {
  if (document.activeElement?.matches("input, select")) return document.activeElement.blur();
  if (app.keypoint !== undefined) {
    app.keypoint = undefined;
    return app.changed("selection");
  }
  return app.select([]);
}

function option(name) {
  $(name).checked = app.options[name] = !app.options[name];
  app.changed("options");
}

function switchTheme() {
  const root = document.documentElement;
  const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = isDark ? "light" : "dark";
  app.changed("theme");
}

// ---- keys

const keyboard = new Keyboard([
  ["Move", [
    [[" "], "play, pause", () => app.play()],
    [["ArrowLeft", "ArrowRight"], "one frame back, on", (event) => step(event.key === "ArrowLeft" ? -1 : 1)],
    [["Shift+ArrowLeft", "Shift+ArrowRight"], "ten frames back, on", (event) => step(event.key === "ArrowLeft" ? -10 : 10), "shift + ← →"],
    [["Home", "End"], "first, last frame", (event) => step(event.key === "Home" ? -Infinity : Infinity)],
    [["Shift+Home", "Shift+End"], "first, last frame of the selected person", (event) => toEdgeOfTrack(event.key === "End"), "shift + Home End"],
    [[",", "."], "slower, faster", (event) => changeSpeed(event.key === "," ? -1 : 1)],
    [["g"], "go to a frame", () => $("frame").select()],
  ]],
  ["Possible id switches", [
    [["[", "]"], "previous, next", (event) => stepDoubt(event.key === "[" ? -1 : 1)],
    [["n"], "not a mistake", () => dismiss()],
  ]],
  ["Select", [
    [["ArrowUp", "ArrowDown"], "previous, next person", (event) => selectNext(event.key === "ArrowUp" ? -1 : 1)],
    [["Shift+ArrowUp", "Shift+ArrowDown"], "select one more", (event) => selectNext(event.key === "ArrowUp" ? -1 : 1, true), "shift + ↑ ↓"],
    [["Escape"], "nobody", clearSelection],
  ]],
  ["Correct", [
    [["s"], "swap two people from here on", () => ask("swap")],
    [["m"], "merge two tracks of one person", () => ask("merge")],
    [["x"], "split the track here", () => ask("split")],
    [["d", "Delete"], "delete a person", () => ask("delete")],
    [["0-9"], "give the selected person another id", (event) => ask("assign", { new: event.key })],
    [["e"], "exchange left and right", () => ask("exchange")],
    [["k", "K"], "next, previous keypoint", (event) => nextKeypoint(event.key === "k" ? 1 : -1)],
    [["Alt+ArrowLeft", "Alt+ArrowRight", "Alt+ArrowUp", "Alt+ArrowDown"], "move the keypoint by a pixel", (event) => nudgeBy(event, 1), "alt + arrows"],
    [["Alt+Shift+ArrowLeft", "Alt+Shift+ArrowRight", "Alt+Shift+ArrowUp", "Alt+Shift+ArrowDown"], "by ten pixels", (event) => nudgeBy(event, 10), "alt + shift + arrows"],
    [["h"], "hide the keypoint", hideKeypoint],
    [["z", "Z"], "undo, redo", (event) => undoOrRedo(event.key === "z" && !event.shiftKey && event.key !== "y" ? "undo" : "redo")],
    [["Control+s"], "edits are saved at once; says so", () => say($("saved").textContent || "There is nothing to save.")],
  ]],
  ["View", [
    [["+", "="], "zoom into the timeline", () => lanes.zoom(0.5)],
    [["-"], "zoom out of the timeline", () => lanes.zoom(2)],
    [["A"], "the whole timeline", () => lanes.showAll()],
    [["f"], "zoom to the selected people, and back", () => stage.zoomToSelected()],
    [["t"], "trails", () => option("trails")],
    [["b"], "skeletons", () => option("skeletons")],
    [["?"], "this help", () => $("keys").showModal()],
  ]],
]);

function nudgeBy(event, size) {
  const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  return nudge(dx * size, dy * size);
}

function undoOrRedo(what) {
  if (what === "undo" && !app.header.edits.length) return say("There is no edit to undo.");
  if (what === "redo" && !app.header.can_redo) return say("There is no edit to redo.");
  return send(what);
}

// ---- what the page shows

function showFilm() {
  const { header, film } = app;
  document.title = `${header.file} – posetrack review`;
  $("file").textContent = header.file;
  if (!header.can_edit) $("saved").textContent = "view only";
  else if (!$("saved").textContent && header.edits.length) $("saved").textContent = `edits in ${header.edits_file}`;
  $("note").hidden = header.has_video && film.count > 0;
  $("note").textContent = film.count ? "The video was not found; --video FILE shows it." : "These tracks have no frames.";
  $("frame").min = film.count ? film.index[0] : 0;
  $("frame").max = film.count ? film.index[film.count - 1] : 0;
  $("undo").disabled = !header.can_edit || !header.edits.length;
  $("redo").disabled = !header.can_edit || !header.can_redo;
  $("edits-count").textContent = header.edits.length || "none yet";
  $("edit-list").replaceChildren(...header.edits.map(editItem).reverse());
  $("apply").hidden = !header.can_edit || !header.edits.length;
  $("apply").textContent = `posetrack edit apply ${header.file} --out FILE writes the corrected tracks.`;
  showPosition();
}

function editItem(edit) {
  const item = document.createElement("li"), button = item.appendChild(document.createElement("button"));
  button.textContent = wordsOf(edit);
  if (edit.reason) button.appendChild(document.createElement("span")).textContent = edit.reason;
  button.title = edit.time;
  button.addEventListener("click", () => {
    app.play(false);
    if (edit.from !== null) app.goTo(app.film.positionOf(edit.from));
    app.select(edit.ids.filter((id) => app.film.slots.has(id)));
  });
  return item;
}

let chipsFor = "";

function showPosition() {
  const { film, position } = app;
  if (!film.count) return;
  if (document.activeElement !== $("frame")) $("frame").value = String(app.index);
  $("clock").textContent = `${clock(film.seconds[position])} / ${clock(film.seconds[film.count - 1])}`;
  const ids = film.idsAt(position), key = `${ids.join()}|${app.selected.join()}`;
  if (key === chipsFor) return;
  chipsFor = key;
  const focused = document.activeElement?.dataset?.person;
  const absent = app.selected.filter((id) => !ids.includes(id));
  $("chips").replaceChildren(...[...ids, ...absent].map((id) => chip(id, !ids.includes(id))));
  if (focused) $("chips").querySelector(`[data-person="${focused}"]`)?.focus();
}

function chip(id, isAbsent) {
  const button = document.createElement("button"), colour = colourOf(id);
  button.textContent = String(id);
  button.dataset.person = String(id);
  button.className = `chip${isAbsent ? " absent" : ""}`;
  button.setAttribute("aria-pressed", String(app.selected.includes(id)));
  if (isAbsent) button.setAttribute("aria-label", `${id}, not in this frame`);
  button.style.setProperty("--own", css(colour));
  button.style.setProperty("--ink", inkOn(colour));
  button.addEventListener("click", (event) => {
    if (event.shiftKey || event.ctrlKey || event.metaKey || event.detail === 0) app.toggle(id);
    else app.select(app.selected.length === 1 && app.selected[0] === id ? [] : [id]);
  });
  return button;
}

const BUTTONS = [["swap", "Swap", "s"], ["merge", "Merge", "m"], ["split", "Split", "x"], ["delete", "Delete", "d"],
  ["assign", "New id", "0"], ["exchange", "Left ↔ right", "e"]];

function showOperations() {
  if (!$("operations").childElementCount) {
    $("operations").replaceChildren(...BUTTONS.map(([name, text, key]) => {
      const button = document.createElement("button");
      button.append(`${text} `, Object.assign(document.createElement("kbd"), { textContent: name === "assign" ? "0…9" : key }));
      button.dataset.operation = name;
      button.setAttribute("aria-keyshortcuts", key);
      button.addEventListener("click", () => ask(name));
      return button;
    }));
  }
  $("operations").hidden = !app.header.can_edit;
  for (const button of $("operations").children) {
    const { people } = OPERATIONS[button.dataset.operation];
    button.disabled = people === 1 ? app.selected.length !== 1 : app.film.ids.length < 2;
  }
}

let speakTimer;

/** Tell screen readers where the page is, once it stays there. */
function speak() {
  clearTimeout(speakTimer);
  if (app.isPlaying) return;
  speakTimer = setTimeout(() => {
    const people = app.selected.length ? `, selected ${app.selected.join(" and ")}` : "";
    $("spoken").textContent = `Frame ${app.index}${people}`;
  }, 400);
}

app.on(["film"], showFilm);
app.on(["film", "selection"], showOperations);
app.on(["position", "selection"], () => (showPosition(), speak()));
app.on(["playing"], () => {
  $("play").textContent = app.isPlaying ? "Pause" : "Play";
  $("play").setAttribute("aria-label", $("play").textContent);
});

$("play").addEventListener("click", () => app.play());
$("back").addEventListener("click", () => step(-1));
$("forward").addEventListener("click", () => step(1));
$("speed").addEventListener("change", () => (app.speed = Number($("speed").value)));
$("frame").addEventListener("change", () => (app.play(false), app.goTo(app.film.positionOf(Number($("frame").value)))));
$("frame").addEventListener("keydown", (event) => event.key === "Enter" && $("frame").blur());
for (const name of ["trails", "skeletons"]) {
  $(name).addEventListener("change", () => {
    app.options[name] = $(name).checked;
    app.changed("options");
  });
}
$("zoom-in").addEventListener("click", () => lanes.zoom(0.5));
$("zoom-out").addEventListener("click", () => lanes.zoom(2));
$("zoom-all").addEventListener("click", () => lanes.showAll());
$("previous-doubt").addEventListener("click", () => stepDoubt(-1));
$("next-doubt").addEventListener("click", () => stepDoubt(1));
$("undo").addEventListener("click", () => undoOrRedo("undo"));
$("redo").addEventListener("click", () => undoOrRedo("redo"));
$("theme").addEventListener("click", switchTheme);
$("help").addEventListener("click", () => $("keys").showModal());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => app.changed("theme"));
// After a click the keys belong to the page again; after Tab and Enter the focus stays.
document.addEventListener("click", (event) => event.detail > 0 && event.target.closest("button")?.blur());

$("keys-list").replaceChildren(...keyboard.help());
app.load().then(() => {
  document.body.dataset.ready = "true";
}, (error) => say(`The tracks cannot be loaded: ${error.message}`, true));
globalThis.review = app; // for tests and for the curious
