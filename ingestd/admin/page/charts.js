// Charts of the last hour, drawn by uPlot. The x axis is the same for all, and so is the cursor.

import uPlot from "./uplot/uPlot.js";
import { h, show } from "./dom.js";
import { clock } from "./format.js";
import { t } from "./texts.js";

// Told apart by eyes that see few colours, too (Okabe and Ito), and on light and dark ground.
const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c6bb1", "#b8a300"];
const OTHERS = "#8b949e";
const SHORTEST = 180; // seconds that are shown at least
const sync = uPlot.sync("hour");
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// One chart. `series`: [{name, values, format, others}]; `stacked`: one on top of the other.
export class Chart {
  constructor(title, format, { stacked = false, stepped = false, top = null, empty = "" } = {}) {
    this.title = title;
    this.format = format;
    this.stacked = stacked;
    this.paths = stepped ? uPlot.paths.stepped({ align: -1 }) : undefined;
    this.top = top;
    this.empty = empty;
    this.plot = null;
    this.names = "";
    this.holder = h("div", { class: "plot" });
    this.element = h("figure", { class: "chart" }, h("figcaption", null, t(title)), this.holder);
    this.watch = new ResizeObserver(() => this.plot?.setSize(this.size()));
    this.watch.observe(this.holder);
  }

  size() {
    return { width: Math.max(200, this.holder.clientWidth), height: 170 };
  }

  draw(times, series) {
    if (times.length === 1) {
      // One point has no width to draw a scale for.
      times = [times[0] - SHORTEST / 2, times[0]];
      series = series.map((one) => ({ ...one, values: [null, one.values[0]] }));
    }
    this.raw = series;
    this.few = times.length < 3; // a line needs two, and is seen from three
    const names = `${this.few} ${series.map((one) => one.name).join("\n")}`;
    if (!series.length || !times.length) {
      this.plot?.destroy();
      this.plot = null;
      this.names = "";
      show(this.holder, h("p", { class: "empty" }, t(this.empty)));
      return;
    }
    const data = [times, ...(this.stacked ? stack(series) : series).map((one) => one.values)];
    if (this.plot && names === this.names) {
      this.plot.setData(data);
      return;
    }
    this.plot?.destroy();
    show(this.holder);
    this.names = names;
    this.plot = new uPlot(this.options(series), data, this.holder);
  }

  options(series) {
    const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
    return {
      ...this.size(),
      cursor: { sync: { key: sync.key }, points: { size: 6 }, drag: { x: false, y: false } },
      legend: { live: true },
      scales: { x: { time: true, range: (_, low, high) => [Math.min(low, high - SHORTEST), high] }, y: { range: (_, low, high) => [0, this.top ?? Math.max(high ?? 0, 1e-9) * 1.08] } },
      axes: [
        { ...axis, size: 30, values: (_, splits, _axis, _space, step) => splits.map((at) => clock(at).slice(0, step < 60 ? 8 : 5)) },
        { ...axis, size: 74, values: (_, splits) => splits.map((value) => this.format(value)) },
      ],
      series: [{ label: t("time"), value: (_, at) => (at === null ? "" : clock(at)) }, ...series.map((one, index) => this.line(one, index))],
    };
  }

  line(one, index) {
    const stroke = one.others ? OTHERS : COLOURS[index % COLOURS.length];
    return {
      label: one.name,
      stroke,
      width: this.stacked ? 1 : 1.5,
      fill: this.stacked ? stroke : undefined,
      paths: this.paths,
      points: { show: this.few, size: 6, fill: stroke },
      value: (_, value, number, place) => {
        const at = place ?? this.raw[index].values.length - 1;
        const own = this.raw[index].values[at];
        return own === null || own === undefined ? "–" : (this.raw[index].format ?? this.format)(own, at);
      },
    };
  }

  destroy() {
    this.watch.disconnect();
    this.plot?.destroy();
  }
}

// Each series raised by those after it; drawn in this order the lower ones cover the higher.
function stack(series) {
  const below = series.map(() => null);
  let sums = null;
  for (let index = series.length - 1; index >= 0; index--) {
    const values = series[index].values;
    sums = values.map((value, at) => (value ?? 0) + (sums ? sums[at] : 0));
    below[index] = { values: sums };
  }
  return below;
}
