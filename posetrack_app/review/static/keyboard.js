// Every key of the page: the same table handles the keys and writes the help.

export class Keyboard {
  /**
   * `groups`: [title, [[keys, text, action, shown], ...]]; keys are the names of `KeyboardEvent.key`, "Shift+" in front if
   * held. The help shows `shown` in place of the keys if it is given.
   */
  constructor(groups) {
    this.groups = groups;
    this.actions = new Map();
    for (const [, rows] of groups) for (const [keys, , action] of rows) keys.forEach((key) => this.actions.set(key, action));
    document.addEventListener("keydown", (event) => this.press(event));
  }

  press(event) {
    if (document.querySelector("dialog[open]")) return;
    const { target } = event, isField = target.matches?.("input:not([type=checkbox]), select, textarea");
    if (isField && event.key !== "Escape") return;
    const isControl = target.matches?.("button, input");
    if (isControl && (event.key === " " || event.key === "Enter")) return; // presses the button
    let name = event.key;
    if (event.ctrlKey || event.metaKey) {
      if (!["z", "Z", "y", "s"].includes(name)) return;
      name = { y: "Z", s: "Control+s" }[name] ?? name;
    } else if (event.altKey) {
      name = `Alt+${event.shiftKey ? "Shift+" : ""}${name}`;
    } else if (event.shiftKey && (name.length > 1 || name === " ")) {
      name = `Shift+${name}`;
    }
    const action = this.actions.get(name) ?? (/^[0-9]$/.test(name) ? this.actions.get("0-9") : undefined);
    if (!action) return;
    event.preventDefault();
    action(event);
  }

  /** The help: one table a group. */
  help() {
    return this.groups.map(([title, rows]) => {
      const table = document.createElement("table");
      table.createCaption().textContent = title;
      for (const [keys, text, , instead] of rows) {
        const row = table.insertRow(), names = row.insertCell();
        (instead ? [instead] : keys).forEach((key, k) => {
          if (k) names.append(" ");
          names.appendChild(document.createElement("kbd")).textContent = instead ?? shown(key);
        });
        row.insertCell().textContent = text;
      }
      return table;
    });
  }
}

const SHOWN = {
  " ": "space", ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", "Control+s": "ctrl + s", Escape: "esc", "0-9": "0 … 9",
};

function shown(key) {
  if (SHOWN[key]) return SHOWN[key];
  const parts = key.split("+").filter(Boolean), last = parts.pop() ?? key;
  return [...parts.map((part) => part.toLowerCase()), SHOWN[last] ?? last].join(" + ");
}
