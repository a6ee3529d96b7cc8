// Figures as people read them, in the language of the page.

import { language, t } from "./texts.js";

const locale = () => (language() === "zh" ? "zh-CN" : "en-GB");

export const count = (value) => Math.round(value).toLocaleString("en-US");

export const rate = (value) =>
  value > 0 && value < 9.95 && value !== Math.round(value) ? value.toFixed(1) : count(value);

export function bytes(value) {
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (value < 1024) return `${unit === "B" ? value : value.toFixed(1)} ${unit}`;
    value /= 1024;
  }
  return `${value.toFixed(1)} TiB`;
}

export const percent = (value) =>
  value > 0 && value < 0.095 ? `${(100 * value).toFixed(1)} %` : `${(100 * value).toFixed(0)} %`;

export function duration(seconds) {
  if (seconds < 10) return `${Math.max(seconds, 0).toFixed(1)} ${t("s")}`;
  if (seconds < 90) return `${Math.round(seconds)} ${t("s")}`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} ${t("min")}`;
  if (seconds < 172800) return `${(seconds / 3600).toFixed(1)} ${t("h")}`;
  return `${Math.round(seconds / 86400)} ${t("days")}`;
}

export const milliseconds = (seconds) => {
  const value = 1000 * seconds;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
};

export const ago = (seconds) => (seconds < 6 ? t("just now") : t("{time} ago", { time: duration(seconds) }));

export const clock = (seconds) =>
  new Date(1000 * seconds).toLocaleTimeString(locale(), { hour12: false });

export const moment = (seconds) =>
  new Date(1000 * seconds).toLocaleString(locale(), { hour12: false, dateStyle: "short", timeStyle: "medium" });
