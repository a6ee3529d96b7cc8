// A table of many rows of which only those in sight are elements. Sorted and searched here, in the browser.

import { h, show } from "./dom.js";
import { t } from "./texts.js";

const ROW = 34; // pixels, as in style.css
const BEYOND = 12; // rows above and below that are made beforehand

// `columns`: [{key, title, figure, text, class}]; `figure(row)` sorts, `text(row)` is shown.
export class Table {
  constructor(columns, open) {
    this.columns = columns;
    this.open = open;
    this.rows = [];
    this.sorted = { column: columns[1], down: true };
    this.selected = null;
    this.body = h("tbody");
    this.above = h("tr", { class: "space", "aria-hidden": "true" });
    this.below = h("tr", { class: "space", "aria-hidden": "true" });
    this.head = h("tr", { role: "row" });
    this.table = h("table", { role: "grid", tabindex: "0", keydown: (event) => this.key(event) }, h("thead", null, this.head), this.body);
    this.element = h("div", { class: "scroll", scroll: () => this.draw() }, this.table);
    this.watch = new ResizeObserver(() => this.draw());
    this.watch.observe(this.element);
  }

  set(rows) {
    this.rows = rows;
    this.order();
  }

  sort(column) {
    const again = this.sorted.column === column;
    this.sorted = { column, down: again ? !this.sorted.down : column.numeric ?? false };
    this.order();
  }

  order() {
    const { column, down } = this.sorted;
    const sign = down ? -1 : 1;
    this.rows.sort((one, other) => {
      const [a, b] = [column.figure(one), column.figure(other)];
      return a < b ? -sign : a > b ? sign : one.name < other.name ? -1 : 1;
    });
    this.drawHead();
    this.draw();
  }

  drawHead() {
    const { column: sorted, down } = this.sorted;
    show(this.head, this.columns.map((column) =>
      h("th", {
        scope: "col", class: column.class, "aria-sort": column === sorted ? (down ? "descending" : "ascending") : "none",
      }, h("button", { type: "button", tabindex: "-1", click: () => this.sort(column) }, t(column.title),
        column === sorted ? (down ? " ▾" : " ▴") : ""))));
    this.table.setAttribute("aria-rowcount", String(this.rows.length + 1));
  }

  draw() {
    const first = Math.max(0, Math.floor(this.element.scrollTop / ROW) - BEYOND);
    const last = Math.min(this.rows.length, Math.ceil((this.element.scrollTop + this.element.clientHeight) / ROW) + BEYOND);
    this.above.style.height = `${first * ROW}px`;
    this.below.style.height = `${(this.rows.length - last) * ROW}px`;
    show(this.body, this.above, this.rows.slice(first, last).map((row, index) => this.line(row, first + index)), this.below);
  }

  line(row, index) {
    return h("tr", {
      role: "row", class: row.name === this.selected ? "row selected" : "row", "aria-rowindex": index + 2,
      "aria-selected": row.name === this.selected ? "true" : "false", "data-name": row.name,
      click: () => this.open(row),
    }, this.columns.map((column) => h("td", { role: "gridcell", class: column.class }, column.text(row))));
  }

  key(event) {
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 15, PageUp: -15, Home: -Infinity, End: Infinity };
    const at = this.rows.findIndex((row) => row.name === this.selected);
    if (event.key === "Enter" && at >= 0) this.open(this.rows[at]);
    else if (event.key in steps && this.rows.length) {
      const next = Math.min(this.rows.length - 1, Math.max(0, at + steps[event.key]));
      this.selected = this.rows[next].name;
      const [top, height] = [next * ROW, this.element.clientHeight - 2 * ROW];
      if (top < this.element.scrollTop) this.element.scrollTop = top;
      if (top > this.element.scrollTop + height) this.element.scrollTop = top - height;
      this.draw();
    } else return;
    event.preventDefault();
  }

  close() {
    this.watch.disconnect();
  }
}
