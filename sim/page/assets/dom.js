"use strict";
// Elements, numbers, scales and the tooltip. Texts become text nodes, never markup.

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}
const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const s = (tag, attributes, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

function picture(width, height, label, ...children) {
  return s("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label }, ...children);
}

const grouped = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });

/** A number in full. */
function full(value) {
  if (Math.abs(value) >= 1e15) return value.toExponential(5).replace("e+", "e");
  return Number.isInteger(value) || Math.abs(value) >= 1e5 ? grouped.format(value) : String(Number(value.toPrecision(5)));
}

/** A number with a prefix of three digits. */
function short(value) {
  if (value === 0) return "0";
  const power = Math.floor(Math.log10(Math.abs(value)) / 3 + 1e-9);
  if (power < 0) return String(Number(value.toPrecision(2)));
  if (power > 5) return value.toExponential(1).replace("e+", "e");
  return `${Number((value / 1000 ** power).toPrecision(3))}${power ? "\u202f" : ""}${["", "k", "M", "G", "T", "P"][power]}`;
}
const PLACE = { role: "region", tabindex: 0, class: "scroll" };
const percent = (share) => `${(100 * share).toFixed(1)}\u202f%`;
const roundPercent = (share) => `${Math.round(100 * share)}\u202f%`;
const sum = (values) => values.reduce((total, value) => total + value, 0);

/** Places for values: linear or logarithmic, with ticks. */
function scale(values, log, from, to) {
  let low = Math.min(...values), high = Math.max(...values);
  if (log) [low, high] = [Math.log10(low), Math.log10(high)];
  const room = (high - low) * 0.06 || (log ? 0.3 : Math.abs(high) * 0.1 || 1);
  const floor = !log && low >= 0 ? 0 : -Infinity;
  [low, high] = [Math.max(low - room, floor), high + room];
  const at = (value) => from + ((to - from) * ((log ? Math.log10(value) : value) - low)) / (high - low);
  const back = (place) => {
    const value = low + ((high - low) * (place - from)) / (to - from);
    return log ? 10 ** value : value;
  };
  const ticks = log ? logTicks(low, high) : linearTicks(low, high, Math.abs(to - from) / 75);
  return { at, back, ticks, low: log ? 10 ** low : low, high: log ? 10 ** high : high };
}

function linearTicks(low, high, most) {
  const raw = (high - low) / Math.max(2, most);
  const size = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * size).find((candidate) => candidate >= raw * 0.999);
  const ticks = [];
  for (let index = Math.ceil(low / step - 1e-9); index * step <= high + step * 1e-9; index += 1) ticks.push(index * step);
  return ticks;
}

function logTicks(low, high) {
  const factors = high - low > 2.5 ? [1] : high - low > 0.9 ? [1, 2, 5] : [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9];
  const ticks = [];
  for (let power = Math.floor(low); power <= high; power += 1) {
    for (const factor of factors) {
      const place = power + Math.log10(factor);
      if (place >= low && place <= high) ticks.push(factor * 10 ** power);
    }
  }
  return ticks;
}

/** Axes with grid and labels around an area; `x` and `y` are scales with `title`. */
function axes(x, y, area) {
  const { left, right, top, bottom } = area;
  let last = -Infinity;
  const across = x.ticks.filter((tick) => {
    const free = x.at(tick) - last > 44;
    if (free) last = x.at(tick);
    return free;
  });
  return [
    across.map((tick) => [
      s("line", { class: "grid", x1: x.at(tick), x2: x.at(tick), y1: top, y2: bottom }),
      s("text", { class: "muted", x: x.at(tick), y: bottom + 16, "text-anchor": "middle" }, short(tick)),
    ]),
    y.ticks.map((tick) => [
      s("line", { class: "grid", x1: left, x2: right, y1: y.at(tick), y2: y.at(tick) }),
      s("text", { class: "muted", x: left - 6, y: y.at(tick) + 4, "text-anchor": "end" }, short(tick)),
    ]),
    s("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom }),
    s("line", { class: "axis", x1: left, x2: left, y1: top, y2: bottom }),
    s("text", { x: right, y: bottom + 34, "text-anchor": "end" }, `${x.title} \u2192`),
    s("text", { x: 2, y: top - 10 }, `\u2191 ${y.title}`),
  ];
}

/** Show the tooltip near a place of the window: a title and lines. */
function showTip(place, title, lines) {
  const tip = byId("tip");
  tip.replaceChildren(h("strong", {}, title), ...lines.map((line) => h("span", {}, line)));
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const right = place.x + 14 + width < innerWidth ? place.x + 14 : place.x - 14 - width;
  const below = place.y + 14 + height < innerHeight ? place.y + 14 : place.y - 14 - height;
  tip.style.left = `${Math.max(8, Math.min(right, innerWidth - width - 8))}px`;
  tip.style.top = `${Math.max(8, below)}px`;
}
const hideTip = () => { byId("tip").hidden = true; };

/** Make a mark show a tooltip when it is pointed at or tapped. */
function tipped(node, title, lines) {
  const show = (event) => showTip({ x: event.clientX, y: event.clientY }, title, lines);
  node.addEventListener("pointermove", show);
  node.addEventListener("pointerdown", show);
  node.addEventListener("pointerleave", leaveTip);
  return node;
}
// A finger leaves as soon as it lifts: what it tapped stays until the next tap or until the page scrolls.
const leaveTip = (event) => { if (event.pointerType !== "touch") hideTip(); };
let touched = false;
document.addEventListener("pointerdown", (event) => {
  touched = event.pointerType === "touch";
  hideTip();
}, true);
document.addEventListener("keydown", () => { touched = false; }, true);
document.addEventListener("scroll", () => {
  if (touched) hideTip();
  else if (plotted.pointed >= 0) point(plotted.pointed);
}, true);

/** A legend: [class, text] of each entry. */
function legend(entries) {
  const swatch = (kind) => s("svg", { viewBox: "0 0 22 18", "aria-hidden": "true" },
    s("rect", { class: `mark ${kind}`, x: 4, y: 3, width: 13, height: 12 }));
  return h("ul", { class: "legend" }, entries.map(([kind, text]) => h("li", {}, swatch(kind), text)));
}

function options(select, entries, chosen) {
  select.replaceChildren(...entries.map(([value, text]) => h("option", { value, selected: String(value) === String(chosen) }, text)));
}
