// The scatter of machines: axes, step line, rings, pointing, selecting, the rectangle.

const REACH = { mouse: 18, pen: 22, touch: 30 }; // pixels from a machine within which it is pointed at
let seen = {}; // where the pointer was
const plotted = { places: [], dots: [], order: [], pointed: -1 };

const figure = (machine, key) => machine.figures[key];
const objective = (key) => data.objectives[key];
const titled = (key) => (objective(key).unit === objective(key).label ? objective(key).label : `${objective(key).label} (${objective(key).unit})`);
const valued = (machine, key) => `${full(figure(machine, key))} ${objective(key).unit}`;

/** The machines that no other beats in both figures, from left to right. */
function lowerLeft(x, y) {
  const sorted = [...data.machines].sort((a, b) => figure(a, x) - figure(b, x) || figure(a, y) - figure(b, y));
  const line = [];
  for (const machine of sorted) {
    if (!line.length || figure(machine, y) < figure(line[line.length - 1], y)) line.push(machine);
  }
  return line;
}

function inRectangle(machine) {
  const box = state.box;
  if (!box) return true;
  const x = figure(machine, state.x), y = figure(machine, state.y);
  return x >= box.x[0] && x <= box.x[1] && y >= box.y[0] && y <= box.y[1];
}

function describe(machine) {
  const keys = [...new Set([state.x, state.y, ...data.front, data.objectives.findIndex((o) => o.key === "pes")])];
  const lines = keys.map((key) => `${objective(key).label}: ${valued(machine, key)}`);
  data.workloads.forEach((workload, index) => lines.push(`utilisation, ${workload.name}: ${percent(utilisation(machine, index))}`));
  if (machine.front) lines.push("on the front");
  if (machine.verified) lines.push(`on RTL: ${machine.verified}`);
  return lines;
}
const utilisation = (machine, workload) => machine.costs[workload][0] / (machine.pes * machine.costs[workload][1]);
const fieldsOf = (machine) => data.fields.map((field, index) => `${field} ${machine.values[index]}`).join(", ") || machine.name;
const titleOf = (machine) => `#${machine.id}: ${fieldsOf(machine)}`;

function drawScatter() {
  const host = byId("scatter"), machines = data.machines;
  if (!machines.length) return;
  const width = Math.max(260, host.clientWidth), height = Math.round(Math.min(500, Math.max(320, width * 0.55)));
  const area = { left: 56, right: width - 12, top: 28, bottom: height - 44 };
  const values = (key) => machines.map((machine) => figure(machine, key));
  const x = scale(values(state.x), state.logX, area.left, area.right), y = scale(values(state.y), state.logY, area.bottom, area.top);
  [x.title, y.title] = [titled(state.x), titled(state.y)];
  plotted.places = machines.map((machine) => ({ x: x.at(figure(machine, state.x)), y: y.at(figure(machine, state.y)) }));
  const places = plotted.places;
  plotted.order = machines.map((_, index) => index).sort((a, b) => places[a].x - places[b].x || places[b].y - places[a].y);
  plotted.dots = machines.map((machine, index) => s("circle", {
    class: `dot${machine.front ? " on-front" : ""}`, cx: places[index].x, cy: places[index].y, r: machine.front ? 5.5 : 3.6,
    role: "button", tabindex: -1, "data-machine": index, "aria-label": `${titleOf(machine)}. ${describe(machine).join(". ")}`,
  }));
  plotted.dots[plotted.order[0]].setAttribute("tabindex", 0);
  const line = lowerLeft(state.x, state.y).map((machine) => [x.at(figure(machine, state.x)), y.at(figure(machine, state.y))]);
  const steps = line.map(([px, py], index) => (index ? `H${px}V${py}` : `M${px} ${py}`)).join("") + `H${area.right}`;
  const rings = machines.map((machine, index) => machine.verified && s("circle", {
    class: `ring${machine.differs ? " wrong" : ""}`, cx: places[index].x, cy: places[index].y, r: 9.5,
  })).filter(Boolean);
  const upwards = [...machines.keys()].sort((a, b) => machines[a].front - machines[b].front); // the front on top
  const image = s("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": `${y.title} against ${x.title}` },
    axes(x, y, area), s("path", { class: "steps", d: steps }), upwards.map((index) => plotted.dots[index]), rings,
    s("rect", { class: "box", id: "box", visibility: "hidden" }));
  host.replaceChildren(image);
  watch(image, x, y, area);
  markScatter();
  if (state.box) showBox(x.at(state.box.x[0]), y.at(state.box.y[0]), x.at(state.box.x[1]), y.at(state.box.y[1]));
}

/** Show what is selected and what the rectangle leaves out. */
function markScatter() {
  plotted.dots.forEach((dot, index) => {
    const chosen = index === state.machine;
    dot.classList.toggle("chosen", chosen);
    dot.classList.toggle("outside", !inRectangle(data.machines[index]));
    dot.setAttribute("aria-pressed", chosen);
  });
}

function point(index) {
  if (plotted.pointed >= 0 && plotted.dots[plotted.pointed]) plotted.dots[plotted.pointed].classList.remove("pointed");
  plotted.pointed = index;
  if (index < 0) return hideTip();
  plotted.dots[index].classList.add("pointed");
  const { left, top, width } = plotted.dots[index].ownerSVGElement.getBoundingClientRect();
  const zoom = width / plotted.dots[index].ownerSVGElement.viewBox.baseVal.width, place = plotted.places[index];
  const same = plotted.places.filter((other) => Math.hypot(other.x - place.x, other.y - place.y) < 0.5).length - 1;
  const others = same ? [`and ${same} other ${same > 1 ? "machines" : "machine"} at the same place`] : [];
  const machine = data.machines[index];
  return showTip({ x: left + place.x * zoom, y: top + place.y * zoom }, titleOf(machine), [...describe(machine), ...others]);
}

/** The machine nearest to a place, within reach; where several are, one of the front. */
function nearest(place, reach) {
  let best = -1, least = reach;
  plotted.places.forEach((other, index) => {
    const distance = Math.hypot(other.x - place.x, other.y - place.y) - (data.machines[index].front ? 0.5 : 0);
    if (distance < least) [best, least] = [index, distance];
  });
  return best;
}

function showBox(x0, y0, x1, y1) {
  const sizes = { x: Math.min(x0, x1), y: Math.min(y0, y1), width: Math.abs(x1 - x0), height: Math.abs(y1 - y0), visibility: "visible" };
  for (const [name, value] of Object.entries(sizes)) byId("box").setAttribute(name, value);
}

/** Answer the pointer. */
function watch(image, x, y, area) {
  let start = null;
  const place = (event) => {
    const frame = image.getBoundingClientRect(), zoom = image.viewBox.baseVal.width / frame.width;
    return { x: (event.clientX - frame.left) * zoom, y: (event.clientY - frame.top) * zoom };
  };
  const reach = (event) => REACH[event.pointerType] || REACH.mouse;
  const inside = (at) => ({ x: Math.min(Math.max(at.x, area.left), area.right), y: Math.min(Math.max(at.y, area.top), area.bottom) });
  const dragged = (at) => start && Math.hypot(at.x - start.x, at.y - start.y) > 6;
  image.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    start = place(event);
    image.setPointerCapture(event.pointerId);
  });
  image.addEventListener("pointermove", (event) => {
    const at = place(event);
    if (event.clientX === seen.x && event.clientY === seen.y) return undefined; // the page has moved, not the pointer
    seen = { x: event.clientX, y: event.clientY };
    if (!start) return point(nearest(at, reach(event)));
    if (!dragged(at)) return undefined;
    const from = inside(start), to = inside(at);
    hideTip();
    return showBox(from.x, from.y, to.x, to.y);
  });
  image.addEventListener("pointerup", (event) => {
    const at = place(event);
    if (dragged(at)) {
      const from = inside(start), to = inside(at), ordered = (a, b) => (a < b ? [a, b] : [b, a]);
      start = null;
      change({ box: { x: ordered(x.back(from.x), x.back(to.x)), y: ordered(y.back(from.y), y.back(to.y)) } });
      return;
    }
    start = null;
    const index = nearest(at, reach(event));
    point(index);
    if (index >= 0) change({ machine: index });
  });
  image.addEventListener("pointercancel", () => {
    start = null;
    if (!state.box) byId("box").setAttribute("visibility", "hidden");
  });
  image.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch" && !focused()) point(-1); });
}

/** The machine that the keyboard is at. */
const focused = () => byId("scatter").querySelector(".dot:focus-visible");

/** Answer the keyboard; the listeners are the plot's, as they would make its image focusable. */
function watchKeys() {
  const host = byId("scatter");
  let shown = false; // by the keyboard: what a pointer shows is not hidden when the focus leaves
  host.addEventListener("focusin", () => {
    shown = Boolean(focused());
    if (shown) point(Number(focused().dataset.machine));
  });
  host.addEventListener("focusout", () => {
    if (shown) point(-1);
    shown = false;
  });
  host.addEventListener("keydown", keys);
}

function keys(event) {
  const current = plotted.order.indexOf(Number(event.target.dataset.machine));
  const last = plotted.order.length - 1;
  const moves = { ArrowRight: current + 1, ArrowDown: current + 1, ArrowLeft: current - 1, ArrowUp: current - 1, Home: 0, End: last };
  if (event.key in moves) {
    const next = plotted.order[Math.min(Math.max(moves[event.key], 0), last)];
    event.target.setAttribute("tabindex", -1);
    plotted.dots[next].setAttribute("tabindex", 0);
    plotted.dots[next].focus();
  } else if (event.key === "Enter" || event.key === " ") {
    change({ machine: plotted.order[current] });
  } else if (event.key === "Escape") {
    change({ box: null });
  } else return;
  event.preventDefault();
}
