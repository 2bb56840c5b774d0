// What is shown, and what changes it.

const state = {
  x: 0, y: 0, logX: false, logY: false, box: null, all: false, sort: { key: "", direction: 1 },
  machine: data.best, workload: data.largest, layer: 0, shares: false, resource: "gates",
};

/** Take changes over and draw what depends on them. */
function change(changes) {
  const old = { ...state };
  Object.assign(state, changes);
  const differs = (...names) => names.some((name) => name in changes && changes[name] !== old[name]);
  if (differs("x", "y") && !("box" in changes)) state.box = null;
  if (differs("x", "y", "logX", "logY", "box")) drawScatter();
  else if (differs("machine")) markScatter();
  if (differs("x", "y", "box", "all", "sort", "machine")) drawTable();
  if (differs("machine", "workload")) {
    if (!("layer" in changes)) state.layer = 0;
    fillPickers();
  }
  if (differs("machine", "workload", "shares", "resource")) drawMachine();
  if (differs("machine", "workload", "layer")) drawArray();
}

function fillPickers() {
  const text = (index) => [index, titleOf(data.machines[index])];
  const detailed = Object.keys(data.details).map(Number);
  const others = data.machines.map((_, index) => index).filter((index) => data.machines[index].front && !detailed.includes(index));
  const rest = [...detailed, ...others].includes(state.machine) || !data.machines.length ? [] : [state.machine];
  options(byId("pick-machine"), [...detailed, ...others, ...rest].map(text), state.machine);
  options(byId("pick-workload"), data.workloads.map((workload, index) => [index, workload.name]), state.workload);
}

function fillAxes() {
  const entries = data.objectives.map((_, index) => [index, titled(index)]);
  const positive = (key) => data.machines.every((machine) => figure(machine, key) > 0);
  for (const [axis, log] of [["x", "logX"], ["y", "logY"]]) {
    const box = byId(`log-${axis}`);
    options(byId(axis), entries, state[axis]);
    box.addEventListener("change", () => change({ [log]: box.checked, box: null }));
    const allow = () => {
      box.disabled = !positive(state[axis]);
      if (box.disabled) { box.checked = false; state[log] = false; }
    };
    byId(axis).addEventListener("change", (event) => { state[axis] = Number(event.target.value); allow(); redraw(); });
    allow();
  }
}

function redraw() {
  state.box = null;
  drawScatter();
  drawTable();
}

function drawAll() {
  drawScatter();
  drawMachine();
  drawArray();
}

function start() {
  const first = data.front[0], last = data.front[data.front.length - 1];
  [state.x, state.y] = [last === first ? data.objectives.findIndex((o) => o.key !== objective(first).key) : last, first];
  state.sort.key = `figure ${objective(data.front[0]).key}`;
  fillAxes();
  if (data.machines.length) fillPickers();
  const swatch = (content) => s("svg", { viewBox: "0 0 22 18", "aria-hidden": "true" }, content);
  const dot = (kind, r) => s("circle", { class: kind, cx: 11, cy: 9, r });
  const verified = data.machines.some((machine) => machine.verified);
  byId("scatter-legend").append(...[
    [[dot("dot on-front", 5.5)], `on the front of ${data.front.map((key) => objective(key).label).join(", ")}`],
    [[dot("dot", 3.6)], "other machines"],
    [[s("path", { class: "steps", d: "M2 4H11V14H20" })], "front of the two axes alone"],
    verified && [[dot("dot on-front", 4), dot("ring", 7.5)], "equal on RTL"],
    data.machines.some((machine) => machine.differs) && [[dot("dot", 4), dot("ring wrong", 7.5)], "differs on RTL"],
  ].filter(Boolean).map(([content, text]) => h("li", {}, swatch(content), text)));
  byId("clear").addEventListener("click", () => change({ box: null }));
  for (const name of ["front", "all"]) byId(`rows-${name}`).addEventListener("change", () => change({ all: name === "all" }));
  byId("pick-machine").addEventListener("change", (event) => change({ machine: Number(event.target.value) }));
  byId("pick-workload").addEventListener("change", (event) => change({ workload: Number(event.target.value) }));
  byId("pick-layer").addEventListener("change", (event) => change({ layer: Number(event.target.value) }));
  byId("shares").addEventListener("change", (event) => change({ shares: event.target.checked }));
  watchKeys();
  drawTable();
  drawAll();
  let width = document.body.clientWidth;
  addEventListener("resize", () => {
    if (document.body.clientWidth === width) return;
    width = document.body.clientWidth;
    drawAll();
  });
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach((node) => { node.open = true; });
  });
  addEventListener("afterprint", () => closed.forEach((node) => { node.open = false; }));
}

start();
