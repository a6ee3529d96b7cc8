// Explain: what becomes of a request that is pasted, with macros and mistakes marked in its URL.

import { get, post } from "./api.js";
import { copyButton, h, show } from "./dom.js";
import { state } from "./state.js";
import { language, t } from "./texts.js";

let text = "";
let bodyFor = "";

export function explain() {
  const area = h("textarea", {
    id: "pasted", rows: 5, value: text, spellcheck: "false", placeholder: "https://click.example.com/c/ocean/app42?ts=1718000000123&imei=__IMEI__&…",
    input: () => { text = area.value; },
    keydown: (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) ask(); },
  });
  const what = h("select", { id: "what", change: () => { bodyFor = what.value; } }, h("option", { value: "" }, t("a URL or a whole request")));
  const result = h("div", { class: "result", "aria-live": "polite" });
  const element = h("section", null,
    h("label", { for: "pasted" }, t("Paste a URL, a line of a log, a whole request, or a body")), area,
    h("div", { class: "bar" }, h("label", { for: "what" }, t("What it is"), " "), what,
      h("button", { type: "button", class: "primary", id: "explain", click: ask }, t("Explain")),
      h("span", { class: "muted" }, t("Nothing is stored or counted."))),
    result);

  async function fillSources() {
    const found = await get("names", { instance: state.own });
    for (const name of found.names.slice(0, 2000)) what.append(h("option", { value: name }, t("a body for {source}", { source: name })));
    what.value = bodyFor;
  }

  async function ask() {
    try {
      show(result, ...drawn(await post("explain", bodyFor ? { source: bodyFor } : {}, area.value)));
    } catch (error) {
      show(result, h("p", { class: "warn", role: "alert" }, error.message));
    }
  }

  fillSources().catch(() => {});
  return { element, update() {}, close() {}, focus: () => area.focus() };
}

function drawn({ method, pieces, mistakes, corrected, link, found }) {
  return [
    h("h3", null, t("What was pasted")),
    h("p", { class: "url", id: "url" }, h("span", { class: "method" }, method, " "), pieces.map((piece) => pieceOf(piece, mistakes))),
    legend(pieces),
    link ? h("p", { class: "warn" }, t("This is a tracking link, not a click: it is judged as one.")) : null,
    h("h3", null, t("Mistakes")),
    mistakeList(mistakes),
    corrected ? [h("h4", null, t("Corrected")), h("code", { class: "link", id: "corrected" }, corrected), h("p", null, copyButton(() => corrected, t("Copy"), t("Copied")))] : null,
    h("h3", null, t("What becomes of it")),
    "refused" in found ? refusal(found) : outcome(found),
    (found.events ?? []).map((event, index, all) => eventParts(event, all.length > 1 ? index + 1 : 0)),
  ];
}

// A piece with the numbers of its mistakes, as in the list, which is what a pointer on it shows.
function pieceOf([text, kind, numbers], mistakes) {
  const wrong = numbers.filter((number) => mistakes[number].grave || kind !== "macro");
  return h("span", { class: `piece ${kind}${wrong.length ? " wrong" : ""}`, title: numbers.map((number) => mistake(mistakes[number])).join("\n") || null }, text,
    wrong.length ? h("sup", { "aria-hidden": "true" }, wrong.map((number) => number + 1).join(",")) : null);
}

const KINDS = { macro: "macro left in", secret: "masked", empty: "says nothing", rest: "not shown" };

const legend = (pieces) => h("p", { class: "legend" }, Object.entries(KINDS)
  .filter(([kind]) => pieces.some((piece) => piece[1] === kind))
  .map(([kind, label]) => h("span", { class: `piece ${kind}` }, t(label))));

function mistakeList(mistakes) {
  if (!mistakes.length) return h("p", { class: "good" }, "✓ ", t("No mistake was found in the URL."));
  return h("ol", { class: "problems", id: "mistakes" }, mistakes.map((one) => h("li", { class: one.grave ? "warn" : null }, mistake(one))));
}

// In English as it was found, in Chinese by its code.
function mistake({ code, what, param, write, append }) {
  const ends = { write: write ? t("m.write", { write }) : "", append: append ? t("m.append", { append }) : "" };
  return language() === "zh" ? t(`m.${code}`, { param, ...ends }) : `${what}${ends.write}${ends.append}`;
}

const row = (label, ...value) => [h("dt", null, t(label)), h("dd", null, value)];

function refusal(found) {
  return h("dl", { id: "outcome" },
    "source" in found ? row("source", found.source) : null,
    row("reply", h("strong", { class: "warn" }, t("refused, {status} ({reason})", { status: found.status, reason: found.refused })), ` ${found.why}`),
    "signature" in found ? signature(found.signature) : null);
}

function outcome(found) {
  const { reply } = found;
  return h("dl", { id: "outcome" },
    row("source", h("a", { href: `#source=${encodeURIComponent(found.source)}` }, found.source), ` ${found.path} (${found.profile})`),
    row("route", found.route || "–"),
    signature(found.signature),
    row("reply", `${reply.status} `, h("code", null, reply.location || reply.body), ` ${reply.content_type}`));
}

const signature = (one) => [
  row("signature", h("strong", { class: ["ok", "none"].includes(one.result) ? "" : "warn" }, one.result), one.kind === "none" ? "" : ` ${one.kind}`,
    one.key ? ` · ${t("key")} ${one.key}` : "", one.why ? ` · ${one.why}` : ""),
  one.over ? row("compared over", h("code", null, one.over)) : null,
];

function eventParts(event, number) {
  return [
    number ? h("h3", null, t("event {number}", { number })) : null,
    h("dl", null,
      row("flags", event.flags.length ? event.flags.map((flag) => h("span", { class: "chip warn" }, flag)) : t("no flags")),
      row("event time", event.event_at ?? "–"),
      row("repeats are known by", h("code", null, event.dup_key.value), ` ${t("from")} ${event.dup_key.from}`),
      row("Kafka key", event.kafka_key.value === null ? "" : h("code", null, event.kafka_key.value), ` ${t("from")} ${event.kafka_key.from}`)),
    h("details", { open: true }, h("summary", null, t("Parameters")), h("div", { class: "wide-table" }, h("table", { class: "fields" },
      h("thead", null, h("tr", null, ["field", "value", "note"].map((title) => h("th", { scope: "col" }, t(title))))),
      h("tbody", null,
        Object.entries(event.parameters).map(([name, one]) => h("tr", { class: one.notes.includes("macro left in") ? "field macro" : "field" },
          h("th", { scope: "row" }, name), h("td", { class: "value" }, typeof one.value === "string" ? one.value : JSON.stringify(one.value)),
          h("td", null, one.notes.map((note) => h("span", { class: note === "macro left in" ? "chip warn" : "chip" }, t(note)))))),
        event.dropped.map((name) => h("tr", { class: "field" }, h("th", { scope: "row" }, name), h("td"), h("td", null, h("span", { class: "chip" }, t("dropped"))))))))),
    h("details", null, h("summary", null, t("The event")), h("pre", null, JSON.stringify(event.event, null, 2))),
  ];
}
