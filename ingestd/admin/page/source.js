// One source: its link, what check says of it, its flags over the hour, its last clicks.

import { get } from "./api.js";
import { Chart } from "./charts.js";
import { copyButton, h, show } from "./dom.js";
import { count, moment } from "./format.js";
import { sum } from "./merge.js";
import { shown } from "./state.js";
import { t } from "./texts.js";

const AGAIN = 10000;
const FLAGS = [["macros", "Macros left in"], ["bad_signatures", "Bad signatures"], ["duplicates", "Repeats"], ["rejected", "Refused"]];

export function source(name) {
  let due = 0;
  let facts = null;
  const chart = new Chart("Flags over the last hour", count, { stepped: true, empty: "No click in the last hour." });
  const link = h("div", { class: "card" });
  const check = h("div", { class: "card" });
  const totals = h("div", { class: "card" });
  const events = h("div", { class: "card wide" });
  const title = h("h2", null, name);
  const route = h("input", { type: "text", id: "route", size: 24, input: () => { clearTimeout(typing); typing = setTimeout(askLink, 300); } });
  let typing = 0;
  const element = h("section", null,
    h("p", null, h("a", { href: "#sources" }, "← ", t("back to the sources"))),
    h("div", { class: "bar" }, title, h("a", { class: "button", href: `#click=${encodeURIComponent(name)}` }, t("Wait for a test click"))),
    h("div", { class: "cards" }, link, check, totals, h("div", { class: "card" }, chart.element), events));

  async function askLink() {
    facts = await get("source", { name, route: route.value });
    drawLink();
  }

  function drawLink() {
    const text = h("code", { class: "link", id: "link" }, facts.link);
    show(link, h("h3", null, t("Tracking link")), text,
      h("p", null, copyButton(() => text.textContent, t("Copy"), t("Copied"))),
      facts.base_known ? null : h("p", { class: "warn" }, t("Scheme and host are not configured (ingest.public_base): put yours in place of <your-domain>.")),
      h("p", null, h("label", { for: "route" }, t("Route (app or campaign) put into the link"), " "), route),
      facts.notes.length ? [h("h4", null, t("Notes on the link")), h("ul", null, facts.notes.map((note) => h("li", null, note)))] : null);
  }

  function drawCheck() {
    const problems = facts.check;
    show(check, h("h3", null, t("What check says")),
      problems.length
        ? h("ul", { class: "problems" }, problems.map((one) => h("li", null, one.what, one.hint ? h("div", { class: "muted" }, one.hint) : null)))
        : h("p", { class: "good" }, "✓ ", t("Nothing to say against this source.")),
      facts.unconfirmed.length ? [h("h4", null, t("Not confirmed by the platform's documents")), h("ul", { class: "muted" }, facts.unconfirmed.map((one) => h("li", null, one)))] : null);
  }

  function drawTotals(all) {
    const counters = all.map((one) => one.counters);
    const total = (key) => counters.reduce((into, one) => into + (typeof one[key] === "number" ? one[key] : sum(one[key])), 0);
    const signature = facts.signature === "none" ? t("none") : `${facts.signature}, ${t(facts.verifies ? "verified" : "not verified")}`;
    show(totals, h("h3", null, t("Since the start")), h("dl", null,
      ["received", "stored", "unstored", "rejected"].map((key) => [h("dt", null, t(key)), h("dd", null, count(total(key)))]),
      [["Macros left in", "macros"], ["Bad signatures", "signatures"], ["Repeats", "duplicates"]].map(([label, key]) => [
        h("dt", null, t(label)), h("dd", null, detail(counters, key))]),
      h("dt", null, t("Platform")), h("dd", null, facts.title || facts.profile),
      h("dt", null, t("Path")), h("dd", null, h("code", null, facts.path), ` ${facts.methods.join(", ")}`),
      h("dt", null, t("signature")), h("dd", null, signature),
      h("dt", null, t("reply")), h("dd", null, `${facts.reply[0]} `, h("code", null, facts.reply[1]))));
  }

  // A counter by its names: the parameters with most macros, the results of signatures.
  function detail(counters, key) {
    if (key === "duplicates") return count(counters.reduce((into, one) => into + one.duplicates, 0));
    const by = {};
    for (const one of counters) for (const [name, value] of Object.entries(one[key])) if (key !== "signatures" || name !== "ok") by[name] = (by[name] ?? 0) + value;
    const parts = Object.entries(by).sort((one, other) => other[1] - one[1]).slice(0, 8);
    return parts.length ? parts.map(([name, value]) => h("span", { class: "chip" }, `${name} ${count(value)}`)) : "0";
  }

  function drawFlags(all) {
    const [{ columns }] = all;
    const now = Date.now() / 1000;
    const byTime = new Map();
    for (const { over_time } of all) {
      const [[oldest, length]] = over_time;
      byTime.set(30 * Math.round((now - oldest - length) / 30), columns.map(() => 0));
      for (const [age, , figures] of over_time) {
        const time = 30 * Math.round((now - age) / 30);
        const into = byTime.get(time) ?? figures.map(() => 0);
        byTime.set(time, into.map((value, index) => value + figures[index]));
      }
    }
    const times = [...byTime.keys()].sort((one, other) => one - other);
    const values = (key) => times.map((time) => byTime.get(time)[columns.indexOf(key)]);
    chart.draw(times, [
      { name: t("received in this stretch"), values: values("received"), others: true },
      ...FLAGS.map(([key, label]) => ({ name: t(label), values: values(key) })),
    ]);
  }

  function drawEvents(all) {
    const list = all.flatMap((one) => one.events).sort((one, other) => other.received_at - one.received_at).slice(0, 20);
    const file = all.map((one) => one.file).filter(Boolean).join(", ");
    const opened = new Set([...events.querySelectorAll("details[open]")].map((one) => one.dataset.id));
    show(events, h("h3", null, t("Last clicks"), " ", h("small", { class: "muted" }, t("credentials are masked"))),
      list.length ? list.map((event) => eventLine(event, opened.has(event.id)))
        : h("p", { class: "muted" }, file ? t("No click of this source in the newest 8 MiB of {file}.", { file })
          : t("There is no file to read them from; new clicks are shown under Test click.")));
  }

  async function update() {
    if (performance.now() < due || !shown().length) return;
    due = performance.now() + AGAIN;
    try {
      const ask = (what, more) => Promise.all(shown().map((one) => get(what, { name, instance: one.number, ...more })));
      const all = await ask("source", { route: route.value });
      [facts] = all;
      if (!link.contains(document.activeElement)) drawLink();
      drawCheck();
      drawTotals(all);
      drawFlags(all);
      drawEvents(await ask("events"));
    } catch (error) {
      show(check, h("p", { class: "warn" }, error.message));
    }
  }

  return { element, update, again: () => { due = 0; }, close: () => chart.destroy(), back: "sources" };
}

// One event: a line, and behind it all of it.
export function eventLine(event, open) {
  return h("details", { class: "event", "data-id": event.id, open },
    h("summary", null, h("time", null, moment(event.received_at / 1000)), " ", event.route ? h("code", null, event.route) : null, " ",
      event.flags.length ? event.flags.map((flag) => h("span", { class: "chip warn" }, flag)) : h("span", { class: "muted" }, t("no flags")),
      " ", h("span", { class: "muted" }, event.client_ip)),
    h("pre", null, JSON.stringify(event, null, 2)));
}
