// What is known of the instances, asked for again and again; the views draw from it.

import { get } from "./api.js";

const SLOTS = 720;
const FIRST_RETRY = 2;

export const state = { instances: [], chosen: "all", error: "", own: 0 };
const listeners = new Set();

export const onChange = (listener) => {
  listeners.add(listener);
  return () => listeners.delete(listener);
};

const changed = () => listeners.forEach((listener) => listener());

// The instances that answer, or the one that is chosen.
export const shown = () =>
  state.instances.filter((one) => one.now && (state.chosen === "all" || String(one.number) === state.chosen));

class Instance {
  constructor(number, address) {
    this.number = number;
    this.address = address;
    this.now = null;
    this.error = "";
    this.slots = []; // {time, series, refused, busiest}
    this.slot = 0; // the number of the next one
  }

  async ask() {
    try {
      const now = await get("now", { instance: this.number, since: this.slot });
      if (this.now?.pid !== now.pid || now.history.slot < this.slot) {
        // Another process, which counts its slots from 0: what was asked for since then is not all of them.
        if (this.slot) now.history = (await get("now", { instance: this.number, since: 0 })).history;
        this.slots = [];
      }
      this.take(now.history);
      this.slot = now.history.slot;
      this.now = now;
      this.error = "";
    } catch (error) {
      this.error = error.message;
    }
  }

  take(history) {
    history.times.forEach((time, index) => {
      const at = (rings) => Object.fromEntries(Object.entries(rings).map(([name, ring]) => [name, ring[index]]));
      this.slots.push({ time, series: at(history.series), refused: at(history.refused), busiest: history.busiest[index] });
    });
    this.slots.splice(0, this.slots.length - SLOTS);
  }
}

async function poll() {
  if (!document.hidden) {
    try {
      await discover();
      await Promise.all(state.instances.map(askIfDue));
      state.error = state.instances[state.own]?.error ?? "";
    } catch (error) {
      state.error = error.message;
    }
    changed();
  }
  const own = state.instances[state.own]?.now;
  timer = setTimeout(poll, 1000 * (state.error ? FIRST_RETRY : own?.again_seconds ?? FIRST_RETRY));
}

// Instances that do not answer (there may be none at an address) are asked less often.
async function askIfDue(instance) {
  if (performance.now() < (instance.due ?? 0)) return;
  await instance.ask();
  instance.due = instance.error && instance.number !== state.own ? performance.now() + 10000 : 0;
}

let discovered = 0;
async function discover() {
  if (state.instances.length && performance.now() < discovered + 60000) return;
  const found = await get("instances");
  discovered = performance.now();
  state.own = found.own;
  const known = new Map(state.instances.map((one) => [one.address, one]));
  state.instances = found.addresses.map((address, number) => {
    const instance = known.get(address) ?? new Instance(number, address);
    instance.number = number;
    return instance;
  });
}

let timer = 0;
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  clearTimeout(timer);
  poll();
});

export const start = () => poll();
