// Several instances as one: rates and sizes add up, times are those of the slowest.

const SLOT = 5;
const LARGEST = ["p50", "p99", "kafka_delay"];

const add = (sums, more) => {
  for (const [name, value] of Object.entries(more ?? {})) sums[name] = (sums[name] ?? 0) + value;
};

// The slots of all instances by time: [{time, series, refused, busiest}], the oldest first.
export function slots(instances) {
  if (instances.length === 1) return instances[0].slots.map((slot) => ({ ...slot, busiest: Object.fromEntries(slot.busiest) }));
  const merged = new Map();
  for (const instance of instances) {
    for (const slot of instance.slots) {
      const time = SLOT * Math.round(slot.time / SLOT);
      const into = merged.get(time) ?? { time, series: {}, refused: {}, busiest: {} };
      for (const [name, value] of Object.entries(slot.series)) {
        if (value === null) continue;
        const before = into.series[name] ?? null;
        into.series[name] = before === null ? value : LARGEST.includes(name) ? Math.max(before, value) : before + value;
      }
      add(into.refused, slot.refused);
      add(into.busiest, Object.fromEntries(slot.busiest));
      merged.set(time, into);
    }
  }
  return [...merged.values()].sort((one, other) => one.time - other.time);
}

// All instances' totals in one.
export function totals(instances) {
  const sum = {};
  for (const { now } of instances) {
    for (const [name, value] of Object.entries(now.totals)) {
      if (typeof value === "number") sum[name] = (sum[name] ?? 0) + value;
      else add((sum[name] ??= {}), value);
    }
  }
  return sum;
}

const RANK = ["bad", "warn", "ok"];

// The verdict on all: the worst level, and every finding with the instance it is about.
export function health(instances) {
  const findings = instances.flatMap(({ now }) =>
    now.health.findings.map((finding) => ({ ...finding, node: instances.length > 1 ? now.node : "" })));
  const order = ["bad", "warn", "ok", "note"];
  findings.sort((one, other) => order.indexOf(one.level) - order.indexOf(other.level));
  const level = RANK.find((rank) => instances.some(({ now }) => now.health.level === rank)) ?? "ok";
  return { level, findings };
}

export const sum = (values) => Object.values(values ?? {}).reduce((total, value) => total + value, 0);
