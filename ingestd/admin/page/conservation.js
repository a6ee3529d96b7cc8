// Conservation: every click that was received is somewhere. Drawn from the counters as they are now.

import { get } from "./api.js";
import { h, show, svg, write } from "./dom.js";
import { bytes, count, moment } from "./format.js";
import * as merge from "./merge.js";
import { shown } from "./state.js";
import { t } from "./texts.js";

const AGAIN = 15000;
const [WIDTH, HEIGHT, BAR] = [900, 250, 150];

export function conservation() {
  let due = 0;
  const picture = h("div", { class: "flow" });
  const sums = h("div", { class: "sums" });
  const reasons = h("div", { class: "card" });
  const manifests = h("div", { class: "card wide" });
  const audit = h("div", { class: "card" });
  const element = h("section", null,
    h("h2", null, t("Every click is somewhere"), " ", h("small", { class: "muted" }, t("of all instances since their start"))),
    picture, sums, h("div", { class: "cards" }, reasons, audit, manifests));

  function update() {
    const instances = shown();
    if (!instances.length) return;
    const totals = merge.totals(instances);
    const rejected = merge.sum(totals.rejected);
    const dead = merge.sum(totals.dead_lettered);
    const kafka = instances.some(({ now }) => "kafka" in now.sinks);
    const places = [
      ...Object.entries(totals.delivered).map(([sink, value]) => ({ label: t("delivered to {sink}", { sink }), value, kind: "stored" })),
      ...(kafka ? [{ label: t("in the spool"), value: totals.spooled, kind: "unstored" }] : []),
      ...(dead ? [{ label: t("dead letters"), value: dead, kind: "rejected" }] : []),
    ];
    show(picture, flow(totals.received, [
      { label: t("stored"), value: totals.stored, kind: "stored" },
      { label: t("unstored"), value: totals.unstored, kind: "unstored" },
      { label: t("rejected"), value: rejected, kind: "rejected" },
    ], places));
    const equations = [equation("received = rejected + unstored + stored", totals.received, [rejected, totals.unstored, totals.stored])];
    if (kafka && !("file" in instances[0].now.sinks)) {
      const delivered = merge.sum(totals.delivered);
      equations.push(equation("stored + recovered = delivered + spooled + dead letters", totals.stored + totals.recovered, [delivered, totals.spooled, dead]));
    }
    show(sums, equations);
    show(reasons, h("h3", null, t("Refused for")), listed(totals.rejected, ""), listed(totals.refused, t("belonged to no source")));
    if (performance.now() >= due) askEvidence(instances);
  }

  async function askEvidence(instances) {
    due = performance.now() + AGAIN;
    try {
      // Instances share their directory: what one sees of it is all of it.
      const [found] = await Promise.all([get("evidence", { instance: instances[0].number })]);
      show(manifests, ...drawManifests(found));
      show(audit, h("h3", null, t("Last audit")), drawAudit(found?.audit));
    } catch (error) {
      show(manifests, h("p", { class: "warn" }, error.message));
    }
  }

  return { element, update, again: () => { due = 0; }, close() {} };
}

function equation(text, left, right) {
  const off = left - right.reduce((total, value) => total + value, 0);
  return h("p", { class: "equation" }, h("span", null, t(text)), h("code", null, `${count(left)} = ${right.map(count).join(" + ")}`),
    off ? h("strong", { class: "warn" }, "✗ ", t("off by {count}", { count: count(off) })) : h("strong", { class: "good" }, "✓ ", t("it adds up")));
}

// received -> its parts -> where the stored ones are. Heights are shares; what is there at all is seen.
function flow(received, parts, places) {
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${t("received")} ${count(received)}: ${parts.map((one) => `${one.label} ${count(one.value)}`).join(", ")}` });
  if (!received) {
    drawing.append(svg("text", { x: 20, y: 40, class: "label" }, t("nothing yet")));
    return drawing;
  }
  const middle = stacked(parts, received, 20, HEIGHT - 40);
  const right = stacked(places.filter((one) => one.value), Math.max(1, places.reduce((total, one) => total + one.value, 0)), 20, middle[0]?.height ?? 0);
  box(drawing, 0, { y: 20, height: HEIGHT - 40, label: t("received"), value: received, kind: "received" });
  let from = 20;
  for (const part of middle) {
    ribbon(drawing, BAR, from, part.height, 370, part.y, part.height, part.kind);
    from += part.height;
    box(drawing, 370, part);
  }
  let inside = middle[0]?.y ?? 20;
  for (const place of right) {
    ribbon(drawing, 370 + BAR, inside, place.height, 740, place.y, place.height, place.kind);
    inside += place.height;
    box(drawing, 740, place);
  }
  return drawing;
}

const LEAST = 34; // a label has room

function stacked(parts, whole, top, height) {
  const there = parts.filter((one) => one.value > 0);
  const spare = Math.max(0, height - LEAST * there.length - 6 * (there.length - 1));
  let y = top;
  return there.map((one) => {
    const part = { ...one, y, height: LEAST + spare * (one.value / whole) };
    y += part.height + 6;
    return part;
  });
}

function box(drawing, x, { y, height, label, value, kind }) {
  drawing.append(
    svg("rect", { x, y, width: BAR, height, rx: 4, class: `box ${kind}` }),
    svg("text", { x: x + 10, y: y + Math.min(height / 2, 60) - 2, class: "label" }, label),
    svg("text", { x: x + 10, y: y + Math.min(height / 2, 60) + 13, class: "figure" }, count(value)));
}

function ribbon(drawing, x1, y1, h1, x2, y2, h2, kind) {
  const bend = (x1 + x2) / 2;
  drawing.append(svg("path", {
    class: `ribbon ${kind}`,
    d: `M${x1} ${y1} C${bend} ${y1} ${bend} ${y2} ${x2} ${y2} L${x2} ${y2 + h2} C${bend} ${y2 + h2} ${bend} ${y1 + h1} ${x1} ${y1 + h1} Z`,
  }));
}

function listed(counts, note) {
  const entries = Object.entries(counts ?? {}).sort((one, other) => other[1] - one[1]);
  if (!entries.length) return note ? null : h("p", { class: "muted" }, t("nothing yet"));
  return [note ? h("h4", null, note) : null, h("dl", null, entries.map(([reason, value]) => [h("dt", null, reason), h("dd", { class: "number" }, count(value))]))];
}

function drawManifests(found) {
  const head = h("h3", null, t("Manifests"));
  if (!found) return [head, h("p", { class: "muted" }, t("There is no file sink; manifests of topics are audited with: ingestd audit --topic"))];
  return [head,
    h("p", null, t("{files} finished files, {size}; {manifests} manifests", { files: count(found.files), size: bytes(found.bytes), manifests: count(found.manifests) }),
      found.without_manifest ? ` ${t("{count} finished files have no manifest yet.", { count: count(found.without_manifest) })}` : "",
      " ", h("code", null, found.directory)),
    found.defects.length ? h("ul", { class: "problems warn" }, found.defects.map((one) => h("li", null, one)))
      : found.checked ? (found.manifests ? h("p", { class: "good" }, "✓ ", t("The chains are whole.")) : null)
        : h("p", { class: "muted" }, t("The chains are too long to be checked here; ingestd audit does.")),
    found.newest.length ? h("div", { class: "wide-table" }, h("table", null,
      h("thead", null, h("tr", null, ["file", "number", "events", "size", "made"].map((title) => h("th", { scope: "col" }, t(title))))),
      h("tbody", null, found.newest.map((one) => h("tr", null,
        h("td", null, h("code", null, one.file), one.removed ? ` ${t("removed by retention")}` : ""),
        one.error ? h("td", { colspan: 4, class: "warn" }, one.error)
          : [one.number, count(one.events), bytes(one.bytes), moment(one.made_at)].map((value) => h("td", { class: "number" }, value))))))) : null];
}

const VERDICTS = { 0: "all there", 1: "NOT all as it was", 3: "all there, some repeated" };

function drawAudit(note) {
  if (!note) return h("p", { class: "muted" }, t("No audit has been noted here. Run: ingestd audit"));
  return [
    h("p", { class: note.status === 1 ? "warn" : "good" }, note.status === 1 ? "✗ " : "✓ ", t(VERDICTS[note.status] ?? "NOT all as it was")),
    h("p", null, moment(note.at), " · ", t("{places} files, {events} events", { places: count(note.files), events: count(note.events) }), note.hours ? ` · ${note.hours}` : ""),
    note.findings?.length ? h("ul", { class: "problems" }, note.findings.map((one) => h("li", null, one))) : null,
  ];
}
