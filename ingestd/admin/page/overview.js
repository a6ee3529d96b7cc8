// The charts of the last hour.

import { Chart } from "./charts.js";
import { h, write } from "./dom.js";
import { bytes, duration, milliseconds, percent, rate } from "./format.js";
import * as merge from "./merge.js";
import { shown } from "./state.js";
import { t } from "./texts.js";

const NAMED = 7;

export function overview() {
  const charts = {
    events: new Chart("Clicks arriving a second, by source", rate, { stacked: true, empty: "No click in the last hour." }),
    refused: new Chart("Refused a second, by reason", rate, { stacked: true, empty: "Nothing was refused in the last hour." }),
    reply: new Chart("Time to reply", milliseconds, {
      empty: "No click in the last hour.",
    }),
    caps: new Chart("Buffer and spool against their caps", percent, { top: 1, empty: "No click in the last hour." }),
    kafka: new Chart("Kafka behind", (value) => (value < 1 ? `${value.toFixed(2)} ${t("s")}` : duration(value))),
  };
  const note = h("p", { class: "muted" });
  const grid = h("div", { class: "charts" }, Object.values(charts).map((chart) => chart.element));
  const element = h("section", null, grid, note);

  function update() {
    const instances = shown();
    if (!instances.length) return;
    const slots = merge.slots(instances);
    const times = slots.map((slot) => slot.time);
    const of = (name) => slots.map((slot) => slot.series[name] ?? null);
    charts.events.draw(times, bySource(slots));
    charts.refused.draw(times, byReason(slots));
    charts.reply.empty = instances[0].now.ack === "stored" ? "No click in the last hour."
      : "In queued mode replies do not wait for the disk; there is nothing to measure.";
    charts.reply.draw(times, of("p99").some((value) => value !== null)
      ? [{ name: t("99 of 100 within"), values: of("p99") }, { name: t("half within"), values: of("p50") }] : []);
    charts.caps.draw(times, againstCaps(of));
    const hasKafka = instances.some(({ now }) => "kafka_connected" in now.numbers);
    charts.kafka.element.hidden = !hasKafka;
    if (hasKafka) charts.kafka.draw(times, [{ name: t("oldest not delivered"), values: of("kafka_delay") }]);
    const size = instances.reduce((total, { now }) => total + now.history_bytes, 0);
    write(note, t("The last hour, in the daemon's memory ({size}); it ends with the process.", { size: bytes(size) }));
  }

  return { element, update, close: () => Object.values(charts).forEach((chart) => chart.destroy()) };
}

// The sources with most clicks in the hour by name, and the others as one.
function bySource(slots) {
  const sums = {};
  for (const slot of slots) for (const [name, value] of Object.entries(slot.busiest)) sums[name] = (sums[name] ?? 0) + value;
  const names = Object.keys(sums).sort((one, other) => sums[other] - sums[one]).slice(0, NAMED);
  const series = names.map((name) => ({ name, values: slots.map((slot) => slot.busiest[name] ?? 0) }));
  const rest = slots.map((slot) =>
    Math.max(0, (slot.series.events ?? 0) - names.reduce((total, name) => total + (slot.busiest[name] ?? 0), 0)));
  if (rest.some((value) => value > 0.05)) series.push({ name: t("others"), values: rest, others: true });
  return series;
}

function byReason(slots) {
  const reasons = [...new Set(slots.flatMap((slot) => Object.keys(slot.refused)))];
  return reasons
    .map((name) => ({ name, values: slots.map((slot) => slot.refused[name] ?? 0) }))
    .filter((one) => one.values.some((value) => value > 0));
}

function againstCaps(of) {
  const series = [];
  for (const [name, used, cap] of [["buffer", "buffer_bytes", "buffer_max_bytes"], ["spool", "spool_disk_bytes", "spool_max_bytes"]]) {
    const [held, caps] = [of(used), of(cap)];
    if (!caps.some((value) => value)) continue;
    const values = held.map((value, at) => (value === null || !caps[at] ? null : value / caps[at]));
    const format = (value, at) => `${percent(value)}, ${t("{used} of {cap}", { used: bytes(held[at]), cap: bytes(caps[at]) })}`;
    series.push({ name: t(name), values, format });
  }
  return series;
}
