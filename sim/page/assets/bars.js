// Bars, one row each, drawn to the width there is, and the roofline.

const ROW = 20; // pixels from bar to bar

function clip(text, pixels) {
  const most = Math.max(4, Math.floor(pixels / 6.6));
  return text.length <= most ? text : `${text.slice(0, Math.ceil(most / 2) - 1)}\u2026${text.slice(text.length - Math.floor(most / 2))}`;
}

/**
 * Horizontal stacked bars.
 * rows: [{ name, parts: [number], total, label }], kinds: [{ label, kind (class) }], unit, most: end of the axis (or nothing).
 */
function bars(host, { title, rows, kinds, unit, most, tick = short, note }) {
  host.replaceChildren(h("figcaption", {}, title));
  if (!rows.length) return host.append(h("p", { class: "plain" }, note || "Nothing to draw."));
  const width = Math.max(240, host.clientWidth), height = 24 + rows.length * ROW + 6;
  const longest = Math.max(...rows.map((row) => row.name.length)) * 7.2, left = Math.min(longest, width * 0.34) + 8;
  const right = width - Math.max(...rows.map((row) => row.label.length)) * 7 - 8;
  const end = most || Math.max(...rows.map((row) => sum(row.parts))) || 1;
  const x = (value) => left + ((right - left) * value) / end;
  const ticks = linearTicks(0, end, (right - left) / 62).filter((value) => value <= end * 1.0001);
  const marks = rows.map((row, index) => {
    let start = 0;
    const top = 22 + index * ROW;
    const parts = row.parts.map((value, kind) => {
      const from = x(start), to = x(start + value);
      start += value;
      const share = row.total ? ` (${percent(value / row.total)})` : "";
      const lines = [`${kinds[kind].label}: ${row.show ? row.show(value) : `${full(value)} ${unit}`}${share}`];
      const mark = s("rect", { class: `mark ${kinds[kind].kind}`, x: from, y: top + 2, width: Math.max(0, to - from), height: ROW - 5 });
      return value > 0 ? tipped(mark, row.name, lines) : null;
    });
    return [
      s("text", { x: left - 6, y: top + 14, "text-anchor": "end" }, clip(row.name, left - 8)), parts,
      s("text", { class: "muted", x: x(start) + 5, y: top + 14 }, row.label),
    ];
  });
  const grid = ticks.map((value) => [
    s("line", { class: "grid", x1: x(value), x2: x(value), y1: 18, y2: height - 4 }),
    s("text", { class: "muted", x: x(value), y: 12, "text-anchor": "middle" }, tick(value)),
  ]);
  if (kinds.length > 1) host.append(legend(kinds.map(({ kind, label }) => [kind, label])));
  host.append(picture(width, height, `${title}; the figures are in the table below the plots`, grid, marks));
  if (note) host.append(h("p", { class: "plain" }, note));
  return undefined;
}

/** The roofline: points [{ name, intensity, speed, total }], the machine's PEs and bytes of a bus word. */
function roofline(host, { points, pes, bus, note }) {
  host.replaceChildren(h("figcaption", {}, "Roofline"));
  if (!points.length) return host.append(h("p", { class: "plain" }, note));
  const width = Math.max(240, host.clientWidth), height = 330;
  const area = { left: 52, right: width - 12, top: 30, bottom: height - 44 };
  const ridge = pes / bus;
  const x = scale([ridge / 3, ridge * 3, ...points.map((p) => p.intensity)], true, area.left, area.right);
  const y = scale([pes / 8, pes * 1.2, ...points.map((p) => p.speed)], true, area.bottom, area.top);
  [x.title, y.title] = ["MACs per DRAM byte", "MACs per cycle"];
  const first = Math.max(x.low, y.low / bus);
  const roof = `M${x.at(first)} ${y.at(first * bus)}L${x.at(ridge)} ${y.at(pes)}H${area.right}`;
  const marks = points.map((p) => {
    const place = { x: x.at(p.intensity), y: y.at(p.speed) };
    const attributes = { class: `mark ${p.total ? "c4" : "c0"}`, role: "img", "aria-label": p.name };
    const mark = p.total
      ? s("path", { ...attributes, d: `M${place.x} ${place.y - 8}l8 8l-8 8l-8 -8z` })
      : s("circle", { ...attributes, cx: place.x, cy: place.y, r: 5, "fill-opacity": 0.75 });
    const reached = p.speed / Math.min(pes, p.intensity * bus);
    return tipped(mark, p.name, [
      `${full(p.intensity)} MACs per DRAM byte`, `${full(p.speed)} MACs per cycle`, `${percent(reached)} of the roof above it`,
    ]);
  });
  const flat = Math.max(area.left + 60, x.at(ridge) + 4);
  host.append(
    legend(points.length > 1 ? [["c0", "a layer"], ["c4", "the whole"]] : [["c4", "the whole"]]),
    picture(width, height, "MACs per cycle against MACs per DRAM byte; the figures are in the table below the plots", axes(x, y, area),
      s("path", { class: "roof", d: roof }), s("text", { x: Math.min(flat, area.right - 90), y: y.at(pes) - 7 }, `roof: ${pes} PEs`), marks),
    h("p", { class: "plain" }, `Roofs: ${pes} MACs per cycle (one per PE), and a bus word of ${bus} bytes per cycle. ${note}`));
  return undefined;
}
