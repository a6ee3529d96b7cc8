// Waiting for a test click: choose a source, press the platform's button, see it arrive field by field.

import { follow, get } from "./api.js";
import { copyButton, h, show, write } from "./dom.js";
import { count, duration, moment } from "./format.js";
import * as merge from "./merge.js";
import { shown } from "./state.js";
import { t } from "./texts.js";

const KEPT = 10; // clicks

export function click(name) {
  const started = performance.now();
  const stop = new AbortController();
  const waiting = h("p", { class: "waiting", role: "status" });
  const hints = h("div");
  const link = h("details", { class: "card", open: true });
  const list = h("div", { "aria-live": "polite" });
  const names = h("datalist", { id: "names" });
  const box = h("input", { type: "search", list: "names", id: "source", value: name, placeholder: t("Choose a source"), "aria-label": t("Choose a source"), change: () => chosen(box.value) });
  const element = h("section", null, h("div", { class: "bar" }, h("label", { for: "source" }, t("Source"), " "), box, names), waiting, hints, link, list);
  let came = 0;
  let missed = 0;
  let before = null; // what was refused when the waiting began
  let known = false;
  let problem = "";
  let following = false;
  let watched = 0; // streams that were opened

  function chosen(value) {
    if (value && value !== name) location.hash = `click=${encodeURIComponent(value)}`;
  }

  async function fillNames() {
    if (known || !shown().length) return;
    known = true;
    const found = await get("names", { instance: shown()[0].number });
    show(names, found.names.map((one) => h("option", { value: one })));
    if (!name && found.names.length === 1) chosen(found.names[0]);
  }

  async function fillLink() {
    const facts = await get("source", { name });
    const text = h("code", { class: "link" }, facts.link);
    show(link, h("summary", null, t("Tracking link")), text, h("p", null, copyButton(() => text.textContent, t("Copy"), t("Copied"))));
  }

  // One stream an instance, as nginx may give the click to any; begun again where it ends.
  async function listen(instance) {
    while (!stop.signal.aborted) {
      try {
        problem = "";
        await follow("clicks", { name, instance: instance.number }, stop.signal, () => { waiting.dataset.watching = String((watched += 1)); }, take);
      } catch (error) {
        if (stop.signal.aborted) return;
        problem = error.message.includes("as many") ? t("As many pages as are allowed are waiting for clicks already; close one.") : error.message;
      }
      await new Promise((resume) => setTimeout(resume, 2000));
    }
  }

  function take(line) {
    if ("missed" in line) missed += line.missed;
    else {
      came += 1;
      link.open = came > 1 && link.open;
      // The newest is open, unless one is being read: clicks may come faster than that.
      const reading = list.querySelector("details[open] :hover, details[open] :focus");
      if (!reading) for (const one of list.querySelectorAll("details[open]")) one.open = false;
      list.prepend(arrived(line, !reading));
      while (list.children.length > KEPT) list.lastChild.remove();
    }
    update();
  }

  function update() {
    fillNames();
    if (!name) {
      write(waiting, t("Choose a source"));
      return;
    }
    if (shown().length && !following) {
      following = true;
      fillLink().catch((error) => { problem = error.message; });
      shown().forEach(listen);
    }
    const time = duration((performance.now() - started) / 1000);
    waiting.className = came ? "waiting came" : "waiting";
    write(waiting, came ? `${t("Clicks: {count}", { count: count(came) })} · ${t("waiting for {time}", { time })}`
      : `${t("Waiting for a click of {source} …", { source: name })} ${time}`);
    show(hints, problem ? h("p", { class: "warn" }, problem) : null,
      came ? null : h("p", null, t("Press the test button in the platform's console, or open the link. Each click appears here as it is stored.")),
      missed ? h("p", { class: "muted" }, t("{count} more clicks were not shown: more came than one reader is given.", { count: count(missed) })) : null,
      refusals());
  }

  // What went wrong meanwhile, where no click arrives: a path that is not ours, or a request that was refused.
  function refusals() {
    const totals = merge.totals(shown());
    before ??= { refused: { ...totals.refused }, rejected: { ...totals.rejected } };
    const grown = (kind) => Object.entries(totals[kind] ?? {}).map(([reason, value]) => [reason, value - (before[kind][reason] ?? 0)]).filter(([, value]) => value > 0);
    const lost = grown("refused").reduce((all, [, value]) => all + value, 0);
    const rejected = grown("rejected");
    return [
      lost ? h("p", { class: "warn" }, t("Meanwhile {count} requests came for a path that no source takes: look at the path in the link.", { count: count(lost) })) : null,
      rejected.length ? h("p", { class: "warn" }, t("Meanwhile {count} requests to this source were refused: {reasons}.", {
        count: count(rejected.reduce((all, [, value]) => all + value, 0)), reasons: rejected.map(([reason, value]) => `${reason} ${count(value)}`).join(", "),
      })) : null,
    ];
  }

  const ticking = setInterval(update, 1000);
  return { element, update, close: () => { stop.abort(); clearInterval(ticking); }, back: name ? `source=${encodeURIComponent(name)}` : "sources", focus: () => box.focus() };
}

// One click: the verdict, and its fields.
function arrived({ event, fields, lacking, good }, open) {
  return h("details", { class: good ? "click good" : "click bad", open },
    h("summary", null, good ? "✓ " : "✗ ", h("time", null, moment(event.received_at / 1000)), " ", event.route ? h("code", null, event.route) : null,
      event.flags.map((flag) => h("span", { class: "chip warn" }, flag))),
    h("p", { class: "verdict" },
      lacking.length ? t("Missing for this platform: {names}", { names: lacking.join(", ") }) : good ? t("All that this platform needs has arrived.") : null,
      event.signature === "none" ? null : ` ${t("The signature is {result}.", { result: event.signature })}`),
    fieldTable(fields));
}

export function fieldTable(fields) {
  return h("div", { class: "wide-table" }, h("table", { class: "fields" },
    h("thead", null, h("tr", null, ["field", "state", "value", "role", "macro"].map((title) => h("th", { scope: "col" }, t(title))))),
    h("tbody", null, fields.map((field) => h("tr", { class: `field ${field.state}${field.needed ? " needed" : ""}` },
      h("th", { scope: "row" }, field.name, field.needed ? h("span", { class: "chip" }, t("needed")) : null),
      h("td", null, h("span", { class: `state ${field.state}` }, t(field.state === "macro" ? "macro left in" : field.state))),
      h("td", { class: "value" }, field.value === null || field.value === undefined ? "" : typeof field.value === "string" ? field.value : JSON.stringify(field.value)),
      h("td", null, field.roles.map((role) => h("span", { class: "chip" }, t(role)))),
      h("td", null, h("code", null, field.macro)))))));
}
