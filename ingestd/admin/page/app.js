// The frame: the verdict, the instances, the pages, the keys.

import { click } from "./click.js";
import { conservation } from "./conservation.js";
import { h, show, write } from "./dom.js";
import { explain } from "./explain.js";
import { clock, duration, rate } from "./format.js";
import * as merge from "./merge.js";
import { overview } from "./overview.js";
import { source } from "./source.js";
import { sources } from "./sources.js";
import { onChange, shown, start, state } from "./state.js";
import { choose, language, t } from "./texts.js";

const PAGES = [["overview", "Overview"], ["sources", "Sources"], ["click", "Test click"], ["explain", "Explain"], ["conservation", "Conservation"]];
const VIEWS = { overview, sources, source, click, explain, conservation };
const BELONGS = { source: "sources" };

let view = null;
let frame = null;

function build() {
  frame = {
    dot: h("span", { class: "dot" }),
    where: h("span", { class: "where" }),
    choice: h("select", { "aria-label": t("Instance"), change: (event) => { state.chosen = event.target.value; view?.again?.(); draw(); } }),
    verdict: h("div", { class: "verdict-bar", role: "status", id: "verdict" }),
    lost: h("p", { class: "lost", role: "alert", hidden: true }),
    nav: h("nav", { "aria-label": t("Pages") }),
    main: h("main", { id: "main" }),
    foot: h("footer", { class: "muted" }),
  };
  const other = language() === "zh" ? "en" : "zh";
  const button = h("button", { type: "button", class: "small", id: "language", "aria-label": t("Language"), click: () => { choose(other); build(); route(); } }, other === "zh" ? "中文" : "English");
  const header = h("header", null, h("h1", null, frame.dot, "ingestd"), frame.where, frame.choice, h("span", { class: "spring" }), button);
  show(document.getElementById("app"), header, frame.verdict, frame.lost, frame.nav, frame.main, frame.foot);
}

function route() {
  const [page, ...rest] = location.hash.slice(1).split("=");
  const key = Object.hasOwn(VIEWS, page) ? page : "overview";
  view?.close();
  view = VIEWS[key](decoded(rest.join("=")));
  show(frame.main, view.element);
  const current = BELONGS[key] ?? key;
  show(frame.nav, PAGES.map(([id, title], index) => h("a", { href: `#${id}`, "aria-current": id === current ? "page" : null, title: String(index + 1) }, t(title))));
  draw();
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // typed by hand
  }
}

function draw() {
  const instances = shown();
  frame.lost.hidden = !state.error;
  if (state.error) {
    const last = state.instances[state.own]?.now?.now;
    show(frame.lost, t("The daemon does not answer: {reason}", { reason: state.error }), last ? ` ${t("What is shown is from {time}; trying again.", { time: clock(last) })}` : "");
  }
  drawInstances();
  if (!instances.length) {
    if (!state.error) show(frame.verdict, h("p", { class: "muted" }, t("Asking the daemon …")));
    return;
  }
  drawVerdict(instances);
  const [{ now }] = instances;
  write(frame.where, instances.length === 1 ? `${now.node} · ${t(`${now.ack} mode`)}` : "");
  write(frame.foot, `ingestd · ${t("version {version}, up {time}", { version: now.version, time: duration(now.now - now.started_at) })} · ${t("keys.help")}`);
  view?.update();
}

function drawInstances() {
  const there = state.instances.filter((one) => one.now);
  frame.choice.hidden = there.length < 2;
  const key = `${language()} ${there.map((one) => `${one.address} ${one.now.node} ${one.error}`).join("\n")}`;
  if (frame.choice.dataset.key === key) return;
  frame.choice.dataset.key = key;
  show(frame.choice, h("option", { value: "all" }, `${t("All instances")} (${there.length})`),
    there.map((one) => h("option", { value: String(one.number) }, `${one.now.node}${one.error ? ` – ${t("no answer")}` : ""}`)));
  frame.choice.value = state.chosen;
}

function drawVerdict(instances) {
  const { level, findings } = merge.health(instances);
  const silent = state.instances.filter((one) => one.now && one.error);
  const worst = silent.length && level === "ok" ? "warn" : level;
  frame.dot.className = `dot ${worst}`;
  document.title = `${{ bad: "✗", warn: "!", ok: "✓" }[worst]} ingestd`;
  const fine = level === "ok" && instances.length > 1;
  const told = fine ? findings.filter((one) => one.level === "note") : findings;
  const items = told.map((one, index) => finding(one, index === 0 && !fine));
  const total = fine ? h("p", { class: "says" }, summed(instances)) : null;
  const gone = silent.map((one) => h("p", { class: "says" }, `${one.now.node}: ${t("no answer")} – ${one.error}`));
  frame.verdict.className = `verdict-bar ${worst}`;
  const opened = frame.verdict.querySelector("details")?.open;
  show(frame.verdict, gone, total, items.slice(0, 1), items.length > 1
    ? h("details", { open: opened ?? worst !== "ok" }, h("summary", null, t("{count} more findings", { count: items.length - 1 })), items.slice(1)) : null);
}

const summed = (instances) => {
  const total = rate(instances.reduce((sum, { now }) => sum + now.rate, 0));
  return language() === "zh" ? `${instances.length} 个实例一切正常：每秒 ${total} 次点击。` : `All is well on ${instances.length} instances: ${total} clicks/s.`;
};

function finding(one, first) {
  const lang = language();
  const does = one.do[lang] && one.level !== "ok" ? h("p", { class: "do" }, h("b", null, t("What to do"), ": "), one.do[lang]) : null;
  return h("div", { class: `finding ${one.level}`, "data-code": one.code },
    h("p", { class: first ? "says first" : "says" }, one.node ? h("b", null, one.node, ": ") : null, one.says[lang],
      one.source ? [" ", h("a", { href: `#source=${encodeURIComponent(one.source)}` }, "→")] : null),
    one.means[lang] && one.level !== "ok" ? h("p", { class: "means" }, one.means[lang]) : null, does,
    one.code === "waiting" ? h("p", { class: "do" }, one.do[lang]) : null,
    one.detail ? h("p", { class: "detail" }, h("code", null, one.detail)) : null);
}

addEventListener("keydown", (event) => {
  const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
  if (event.key === "Escape") {
    if (typing) event.target.blur();
    else if (view?.back) location.hash = view.back;
    return;
  }
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const page = PAGES[Number(event.key) - 1];
  if (page) location.hash = page[0];
  else if (event.key === "/") {
    event.preventDefault();
    if (view?.focus) view.focus();
    else location.hash = "sources";
  } else if (event.key === "?") frame.foot.scrollIntoView();
});
addEventListener("hashchange", route);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", route);
onChange(draw);
build();
route();
start();
