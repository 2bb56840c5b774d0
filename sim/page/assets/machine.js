// One machine: its figures, and where energy, cycles and area go.

/** The rows of a machine's plots: layers of the chosen network where they are known, else its networks. */
function entries() {
  const machine = data.machines[state.machine], details = data.details[state.machine];
  const make = (name, cost) => ({ name, macs: cost[0], cycles: cost[1], dram: cost[2], energy: cost[3], reasons: cost[4] });
  const whole = data.workloads.map((workload, index) => make(workload.name, machine.costs[index]));
  const layers = details && details.layers[state.workload].map((layer) => make(layer.name, layer.cost));
  return { machine, details, whole: whole[state.workload], rows: layers || whole, layers: Boolean(layers) };
}

function drawMachine() {
  if (!data.machines.length) return;
  const { machine, details, whole, rows, layers } = entries();
  byId("machine-title").textContent = `One machine: #${machine.id}${machine.front ? ", on the front" : ""}`;
  byId("figures").replaceChildren(figuresOf(machine, layers));
  const each = layers ? `, ${data.workloads[state.workload].name} by layer` : ", by network";
  energyBars(rows, each);
  utilisationBars(machine, layers ? [...rows, { ...whole, name: "total" }] : rows, each);
  cycleBars(rows, each);
  rooflineOf(machine, rows, whole, layers);
  areaBars(machine, details);
  byId("layers").replaceChildren(...costTables(machine, layers ? [...rows, { ...whole, name: "from start to interrupt" }] : rows));
}

function figuresOf(machine, layers) {
  const pairs = data.objectives.filter((o) => !o.key.includes(".")).map((o) => {
    const key = data.objectives.indexOf(o);
    return [o.label, valued(machine, key)];
  });
  if (machine.verified) pairs.push(["on RTL", machine.verified]);
  const note = layers ? null : h("p", { class: "note" }, "Layer by layer figures are kept for some machines of the front only.");
  const added = data.workloads.length > 1 ? h("p", { class: "plain" }, "Cycles, DRAM traffic and energy of all networks together:") : null;
  return h("div", {}, h("p", {}, machine.name), note, added,
    h("dl", { class: "inline" }, pairs.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))));
}

/** Rows of stacked bars, as they are or as shares. */
function stacked(rows, part, unit) {
  return rows.map((row) => {
    const values = part(row), total = sum(values);
    const show = (value) => `${full(state.shares ? value * total : value)} ${unit}`;
    return { name: row.name, parts: state.shares && total ? values.map((value) => value / total) : values, show, label: short(total),
      total: state.shares ? 1 : total };
  });
}
const shareAxis = () => (state.shares ? { most: 1, tick: roundPercent } : {});

function energyBars(rows, each) {
  bars(byId("energy"), {
    title: `Energy (${data.energy.unit})${each}`, rows: stacked(rows, (row) => row.energy, data.energy.unit), unit: data.energy.unit,
    kinds: data.levels.map((label, index) => ({ label, kind: `c${[2, 1, 3, 0, 4][index]}` })), ...shareAxis(),
  });
}

function utilisationBars(machine, rows, each) {
  bars(byId("utilisation"), {
    title: `Utilisation (MACs / (PEs × cycles))${each}`, unit: "", most: 1, tick: roundPercent, kinds: [{ label: "utilisation", kind: "c0" }],
    rows: rows.map((row) => {
      const share = row.macs / (machine.pes * row.cycles);
      return { name: row.name, parts: [share], label: percent(share), show: percent, total: 0 };
    }),
    note: rows.some((row) => !row.macs) ? "Pools have no multiply-accumulates, so their utilisation is 0." : null,
  });
}

function cycleBars(rows, each) {
  bars(byId("cycles"), {
    title: `Where the array's cycles went${each}`, unit: "cycles", rows: stacked(rows, (row) => row.reasons, "cycles"), ...shareAxis(),
    kinds: data.reasons.map(({ label }, index) => ({ label, kind: `c${[2, 5, 6, 3, 7, 1, 4, 0][index]}` })),
    note: "Cycles of the array between its own marks; the next layer begins while the last ofmaps of the one before are written.",
  });
}

const OVERLAP = "A layer's first loads run during the layer before, so a layer may lie above a roof, the whole never. What has no MACs is left out.";

function rooflineOf(machine, rows, whole, layers) {
  const point = (row, total) => ({ name: row.name, intensity: row.macs / row.dram, speed: row.macs / row.cycles, total });
  const points = rows.filter((row) => row.macs && row.dram).map((row) => point(row, !layers));
  if (layers && whole.macs) points.push({ ...point(whole, true), name: `${whole.name}, whole` });
  roofline(byId("roofline"), { points, pes: machine.pes, bus: machine.bus, note: layers ? OVERLAP : "" });
}

function areaBars(machine, details) {
  const host = byId("area"), area = details && details.area;
  if (!area) {
    const why = details ? "The area of the machine is not available." : "Area by component is kept for some machines of the front only.";
    return host.replaceChildren(h("figcaption", {}, "Area by component"), h("p", { class: "plain" }, why));
  }
  const resource = data.resources.find(({ key }) => key === state.resource) || data.resources[0];
  const rows = Object.entries(area).map(([name, counts]) => ({ name, value: counts[data.resources.indexOf(resource)] }));
  const total = sum(rows.map((row) => row.value));
  const drawn = rows.filter((row) => row.value).sort((a, b) => b.value - a.value);
  bars(host, {
    title: `Area by component: ${full(total)} ${resource.unit}`, unit: resource.unit, kinds: [{ label: resource.label, kind: "c0" }],
    rows: drawn.map(({ name, value }) => ({ name, parts: [value], label: short(value), total })), note: `No component has ${resource.label}.`,
  });
  if (drawn.length) host.querySelectorAll("p").forEach((node) => node.remove());
  const select = h("select", { id: "pick-resource", change: (event) => change({ resource: event.target.value }) });
  options(select, data.resources.map(({ key, label }) => [key, label]), resource.key);
  host.querySelector("figcaption").after(h("div", { class: "controls" }, h("label", {}, "counted in ", select)));
  return undefined;
}

/** Two tables of the plots' figures, for each row: what it costs, and where the array's cycles went. */
function costTables(machine, rows) {
  const unit = data.energy.unit;
  return [
    costTable("Costs", rows, [
      ["MACs", (row) => row.macs], ["cycles", (row) => row.cycles], ["utilisation", (row) => row.macs / (machine.pes * row.cycles), percent],
      ["DRAM traffic (B)", (row) => row.dram], ["MACs per DRAM byte", (row) => (row.dram ? row.macs / row.dram : 0)],
      ...data.levels.map((level, index) => [`energy, ${level} (${unit})`, (row) => row.energy[index]]),
    ]),
    costTable("Cycles of the array", rows, data.reasons.map(({ label }, index) => [label, (row) => row.reasons[index]])),
  ];
}

function costTable(caption, rows, columns) {
  const head = h("tr", {}, h("th", { scope: "col", class: "text" }, "layer or network"), columns.map(([title]) => h("th", { scope: "col" }, title)));
  const body = rows.map((row) => h("tr", {}, h("th", { scope: "row", class: "text" }, row.name),
    columns.map(([, value, show = full]) => h("td", {}, show(value(row))))));
  return h("div", { ...PLACE, "aria-label": `Table: ${caption}` },
    h("table", {}, h("caption", { class: "plain" }, caption), h("thead", {}, head), h("tbody", {}, body)));
}
