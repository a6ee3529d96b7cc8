// Conservation: every click that was received is somewhere. Drawn from the counters as they are now.

import { get } from "./api.js";
import { h, show, svg, write } from "./dom.js";
import { bytes, count, moment } from "./format.js";
import * as merge from "./merge.js";
import { shown } from "./state.js";
import { t } from "./texts.js";

const AGAIN = 5000;
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
    show(picture, flow(totals.received, [
      { label: t("stored"), value: totals.stored, kind: "stored" },
      { label: t("unstored"), value: totals.unstored, kind: "unstored" },
      { label: t("rejected"), value: rejected, kind: "rejected" },
    ], groups(instances, totals)));
    const equations = [equation("received = rejected + unstored + stored", totals.received, [rejected, totals.unstored, totals.stored])];
    if (instances.some(({ now }) => "kafka" in now.sinks)) {
      const missed = instances.reduce((sum, { now }) => sum + (now.numbers.kafka_missed_events ?? 0), 0);
      equations.push(equation("stored + recovered = delivered + spooled + dead letters + missed", totals.stored + totals.recovered,
        [totals.delivered.kafka ?? 0, totals.spooled, merge.sum(totals.dead_lettered), missed], true));
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

// Where the stored ones are: with files and Kafka each is in both.
function groups(instances, totals) {
  const found = [];
  if (instances.some(({ now }) => "file" in now.sinks)) found.push([{ label: t("in the files"), value: totals.delivered.file ?? 0, kind: "stored" }]);
  if (instances.some(({ now }) => "kafka" in now.sinks)) {
    found.push([
      { label: t("delivered to Kafka"), value: totals.delivered.kafka ?? 0, kind: "stored" },
      { label: t("in the spool"), value: totals.spooled, kind: "unstored" },
      { label: t("dead letters"), value: merge.sum(totals.dead_lettered), kind: "rejected" },
    ]);
  }
  return found;
}

// `settles`: what is missing on the right may be under way between two of its places.
function equation(text, left, right, settles = false) {
  const off = left - right.reduce((total, value) => total + value, 0);
  const verdict = !off ? h("strong", { class: "good" }, "✓ ", t("it adds up"))
    : settles && off > 0 ? h("span", { class: "muted" }, t("{count} under way", { count: count(off) }))
      : h("strong", { class: "warn" }, "✗ ", t("off by {count}", { count: count(off) }));
  return h("p", { class: "equation" }, h("span", null, t(text)), h("code", null, `${count(left)} = ${right.map(count).join(" + ")}`), verdict);
}

// received -> its parts -> where the stored ones are. Heights are shares; what is there at all is seen.
function flow(received, parts, groups) {
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${t("received")} ${count(received)}: ${parts.map((one) => `${one.label} ${count(one.value)}`).join(", ")}` });
  if (!received) {
    drawing.append(svg("text", { x: 20, y: 40, class: "label" }, t("nothing yet")));
    return drawing;
  }
  const middle = stacked(parts, received, 20, HEIGHT - 40);
  box(drawing, 0, { y: 20, height: HEIGHT - 40, label: t("received"), value: received, kind: "received" });
  let from = 20;
  for (const part of middle) {
    const share = Math.max(2, (HEIGHT - 40) * part.value / received);
    ribbon(drawing, BAR, from, share, 370, part.y, part.height, part.kind);
    from += share;
    box(drawing, 370, part);
  }
  const stored = middle.find((part) => part.kind === "stored");
  if (!stored) return drawing;
  const room = (stored.height - GAP * (groups.length - 1)) / Math.max(1, groups.length);
  groups.forEach((group, index) => {
    const whole = Math.max(1, group.reduce((total, one) => total + one.value, 0));
    const places = stacked(group, whole, stored.y + index * (room + GAP), room);
    let inside = stored.y;
    for (const place of places) {
      const share = Math.max(2, stored.height * place.value / whole);
      ribbon(drawing, 370 + BAR, inside, share, 740, place.y, place.height, place.kind);
      inside += share;
      box(drawing, 740, place);
    }
  });
  return drawing;
}

const LEAST = 34; // a label has room
const GAP = 6;

function stacked(parts, whole, top, height) {
  const there = parts.filter((one) => one.value > 0);
  const spare = Math.max(0, height - LEAST * there.length - GAP * (there.length - 1));
  let y = top;
  return there.map((one) => {
    const part = { ...one, y, height: LEAST + spare * (one.value / whole) };
    y += part.height + GAP;
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
    h("p", null, t("Finished files: {files}, {size}. Manifests: {manifests}.", { files: count(found.files), size: bytes(found.bytes), manifests: count(found.manifests) }),
      found.without_manifest ? ` ${t("Files without a manifest yet: {count}.", { count: count(found.without_manifest) })}` : "",
      " ", h("code", null, found.directory)),
    found.defects.length ? h("ul", { class: "problems warn" }, found.defects.map((one) => h("li", null, one)))
      : found.checked ? (found.manifests ? h("p", { class: "good" }, "✓ ", t("The chains are whole.")) : null)
        : h("p", { class: "muted" }, t("The chains are too long to be checked here; ingestd audit does.")),
    found.newest.length ? h("div", { class: "wide-table" }, h("table", null,
      h("thead", null, h("tr", null, ["file", "number", "events", "size", "made"].map((title, index) => h("th", { scope: "col", class: index ? "number" : null }, t(title))))),
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
