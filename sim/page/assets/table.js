// The table of machines: columns, sorting, what the rectangle leaves.

function columns() {
  const fields = data.fields.map((name, index) => ({ key: `field ${name}`, title: name, of: (machine) => machine.values[index] }));
  const figures = [...new Set([...data.front, state.x, state.y])].map((key) => ({
    key: `figure ${objective(key).key}`, title: objective(key).label, unit: objective(key).unit === objective(key).label ? "" : objective(key).unit, of: (machine) => figure(machine, key),
  }));
  const shares = data.workloads.map((workload, index) => ({
    key: `utilisation ${index}`, title: `utilisation, ${workload.name}`, unit: "%", of: (machine) => utilisation(machine, index), show: percent,
  }));
  return [
    { key: "id", title: "machine", of: (machine) => machine.id },
    ...fields, ...figures,
    { key: "verified", title: "on RTL", of: (machine) => machine.verified, text: true },
    ...shares,
    ...(state.all ? [{ key: "front", title: "front", of: (machine) => Number(machine.front), show: (value) => (value ? "yes" : "") }] : []),
  ].filter((column) => column.key !== "verified" || data.machines.some((machine) => machine.verified));
}

/** Break long names at underscores. */
const breakable = (name) => name.split("_").flatMap((part, index) => (index ? [h("wbr"), `_${part}`] : [part]));

function shownMachines(shown) {
  const column = shown.find((candidate) => candidate.key === state.sort.key) || shown[0];
  const compare = (a, b) => {
    const [first, second] = [column.of(a), column.of(b)];
    return (first < second ? -1 : first > second ? 1 : a.id - b.id) * state.sort.direction;
  };
  return data.machines.filter((machine) => (state.all || machine.front) && inRectangle(machine)).sort(compare);
}

function head(column) {
  const sorted = column.key === state.sort.key;
  const arrow = sorted ? (state.sort.direction > 0 ? " \u25b2" : " \u25bc") : "";
  const sort = () => {
    const direction = sorted ? -state.sort.direction : 1;
    change({ sort: { key: column.key, direction } });
    const again = [...byId("machines").querySelectorAll("th")].find((cell) => cell.dataset.key === column.key);
    if (again) again.querySelector("button").focus();
  };
  return h("th", {
    scope: "col", class: column.text && "text", "data-key": column.key, "aria-sort": sorted && (state.sort.direction > 0 ? "ascending" : "descending"),
  }, h("button", { type: "button", click: sort }, breakable(column.title), arrow), column.unit && h("small", {}, column.unit));
}

function cell(machine, column) {
  const value = column.of(machine);
  if (column.key === "id") {
    const select = () => change({ machine: data.machines.indexOf(machine) });
    return h("td", {}, h("button", { type: "button", click: select, title: machine.name }, `#${machine.id}`));
  }
  const text = column.show ? column.show(value) : typeof value === "number" ? full(value) : String(value);
  return h("td", { class: column.text ? "text wide" : null }, text);
}

function drawTable() {
  const shown = columns(), machines = shownMachines(shown);
  const rows = machines.map((machine) =>
    h("tr", { "aria-current": machine === data.machines[state.machine] && "true" }, shown.map((column) => cell(machine, column))));
  const scrolled = byId("machines").scrollTop;
  byId("machines").replaceChildren(h("table", {},
    h("caption", { class: "plain" }, state.all ? "All machines" : "Machines of the front"),
    h("thead", {}, h("tr", {}, shown.map(head))), h("tbody", {}, rows)));
  byId("machines").scrollTop = scrolled;
  const what = state.all ? "machines" : "machines of the front";
  byId("status").textContent = `${machines.length} ${what}${state.box ? " in the rectangle" : ""}:`;
  byId("clear").disabled = !state.box;
}
