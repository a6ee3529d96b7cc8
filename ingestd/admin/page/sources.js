// The table of all sources, of one instance or of all together.

import { get } from "./api.js";
import { h, show, write } from "./dom.js";
import { ago, count, duration, percent, rate } from "./format.js";
import { shown } from "./state.js";
import { Table } from "./table.js";
import { t } from "./texts.js";

const AGAIN = 5000;
const MARKS = ["macros", "bad_signatures", "duplicates", "rejected"];
const names = new Map(); // by instance: what only a reload changes

async function named(instance, revision) {
  if (names.get(instance.address)?.revision !== revision) {
    names.set(instance.address, await get("names", { instance: instance.number }));
  }
  return names.get(instance.address);
}

// By name: {name, path, platform, rate, seen, received, macros, essential, bad_signatures, duplicates, rejected}.
export async function rows(instances) {
  const found = new Map();
  let seconds = 0;
  await Promise.all(instances.map(async (instance) => {
    const table = await get("table", { instance: instance.number });
    const known = await named(instance, table.revision);
    seconds = Math.max(seconds, table.hour_seconds);
    known.names.forEach((name, index) => {
      let row = found.get(name);
      if (!row) {
        const profile = known.profiles[index];
        row = { name, path: known.paths[index], profile, platform: known.titles[profile] || profile, rate: 0, seen: 0, received: 0, essential: 0 };
        for (const mark of MARKS) row[mark] = 0;
        found.set(name, row);
      }
      row.rate += (table.came[index] ?? 0) / table.slot_seconds;
      row.seen = Math.max(row.seen, table.seen[index] ?? 0);
      for (const column of ["received", "essential", ...MARKS]) row[column] += table.hour[column][index] ?? 0;
    });
  }));
  return { rows: [...found.values()], seconds, now: Date.now() / 1000 };
}

let search = "";

export function sources() {
  let all = [];
  let at = 0;
  let due = 0;
  const found = h("span", { class: "muted", role: "status" });
  const box = h("input", {
    type: "search", value: search, placeholder: t("Search name, path or platform"), "aria-label": t("Search name, path or platform"), id: "search",
    input: () => { search = box.value; filter(); },
    keydown: (event) => { if (event.key === "ArrowDown") { table.table.focus(); table.key(event); } },
  });
  const marked = (key, title) => ({
    key, title, numeric: true, class: "number narrow2",
    figure: (row) => row[key],
    text: (row) => (row[key] ? h("span", { class: warns(row, key) ? "warn" : "" }, count(row[key]), " ", h("small", null, each(row, key))) : h("span", { class: "muted" }, "0")),
  });
  const table = new Table([
    { key: "name", title: "Source", class: "name", figure: (row) => row.name, text: (row) => [row.name, row.path ? null : h("small", { class: "muted" }, " ", t("removed from the configuration"))] },
    { key: "rate", title: "Clicks/s", numeric: true, class: "number", figure: (row) => row.rate, text: (row) => rate(row.rate) },
    { key: "seen", title: "Last click", numeric: true, class: "number", figure: (row) => row.seen, text: (row) => (row.seen ? ago(at - row.seen) : h("span", { class: "muted" }, t("never"))) },
    { key: "received", title: "Last hour", numeric: true, class: "number", figure: (row) => row.received, text: (row) => count(row.received) },
    marked("macros", "Macros left in"), marked("bad_signatures", "Bad signatures"),
    marked("duplicates", "Repeats"), marked("rejected", "Refused"),
    { key: "platform", title: "Platform", class: "narrow3", figure: (row) => row.platform, text: (row) => row.platform },
    { key: "path", title: "Path", class: "narrow3 path", figure: (row) => row.path, text: (row) => row.path },
  ], (row) => { location.hash = `source=${encodeURIComponent(row.name)}`; });
  const note = h("p", { class: "muted" });
  const element = h("section", null, h("div", { class: "bar" }, box, found), table.element, note);

  function filter() {
    const wanted = search.trim().toLowerCase();
    const rows = wanted ? all.filter((row) => `${row.name}\n${row.path}\n${row.platform}\n${row.profile}`.toLowerCase().includes(wanted)) : [...all];
    table.set(rows);
    show(found, rows.length || !all.length ? t("{shown} of {all} sources", { shown: count(rows.length), all: count(all.length) }) : t("No source matches."));
  }

  async function update() {
    if (performance.now() < due || !shown().length) return;
    due = performance.now() + AGAIN;
    try {
      const answer = await rows(shown());
      [all, at] = [answer.rows, answer.now];
      write(note, t("figures of the last {time}", { time: duration(answer.seconds) }));
      filter();
    } catch (error) {
      write(note, error.message);
    }
  }

  return { element, update, again: () => { due = 0; }, close: () => table.close(), focus: () => box.focus() };
}

// A click may have several macros left in: their number a click; of all else the share.
const each = (row, key) => {
  const value = row[key] / Math.max(1, row.received);
  return key === "macros" ? t("{count} a click", { count: rate(value) }) : percent(value);
};

// Worth a look: needed fields left as macros, or a share that is not usual.
const warns = (row, key) =>
  key === "macros" ? row.essential > 0.2 * row.received
    : key === "bad_signatures" ? row.bad_signatures > 0.05 * row.received
      : key === "duplicates" ? row.duplicates > 0.3 * row.received
        : row.rejected > 0.01 * row.received;
