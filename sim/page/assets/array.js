// A layer's first pass on the array: which filter rows and channels are in a PE row, which ofmap rows and filters in a column.

/** What the rows hold: for each PE row a list of [channel, filter row]. */
function rowPairs(layer) {
  const rows = [];
  for (let row = 0; row < layer.pe_rows; row += 1) {
    const pairs = [];
    for (let slot = 0; slot < layer.slots; slot += 1) {
      if (row >= (slot === layer.slots - 1 ? layer.last_rows : layer.active_rows)) continue;
      const pair = layer.depthwise ? layer.pair + slot * layer.R + row : layer.pair + slot * layer.active_rows + row;
      pairs.push([layer.channel + Math.floor(pair / layer.R), pair % layer.R]);
    }
    rows.push(pairs);
  }
  return rows;
}

/** What the columns compute: for each PE column { group, image, row, filters: [first, last] }, or nothing. */
function columnEntries(layer) {
  const perGroup = layer.images * layer.rows;
  return Array.from({ length: layer.pe_columns }, (_, column) => {
    if (column >= layer.strip_columns) return null;
    const group = Math.floor(column / perGroup), entry = column % perGroup;
    const first = layer.filter + group * layer.psums, last = Math.min(first + layer.psums, layer.filter + layer.filters) - 1;
    return { group, image: Math.floor(entry / layer.rows), row: layer.first_row + (entry % layer.rows), filters: [first, last] };
  });
}

const range = ([first, last]) => (first === last ? `${first}` : `${first}\u2013${last}`);
const pairText = ([channel, row]) => `c${channel} r${row}`;
const ifmapRow = (layer, entry, pair) => entry.row * layer.stride[0] + pair[1] - layer.padding[0];

function drawArray() {
  const { details, layers } = data.machines.length ? entries() : {};
  const select = byId("pick-layer"), host = byId("array");
  const known = layers ? details.layers[state.workload] : [];
  options(select, known.map((layer, index) => [index, layer.name]), state.layer);
  select.disabled = !known.length;
  if (!known.length) return host.replaceChildren(h("p", { class: "plain" }, "Mappings are kept for some machines of the front only."));
  const layer = known[Math.min(state.layer, known.length - 1)].array;
  const place = h("div", { ...PLACE, "aria-label": "Drawing of the array" });
  host.replaceChildren(h("dl", {}, words(layer).map(([term, text]) => [h("dt", {}, term), h("dd", {}, text)])), place);
  place.append(grid(layer, place.clientWidth));
  return undefined;
}

/** The drawing: a cell for each PE; the ifmap row of its first slot where there is room. */
function grid(layer, available) {
  const rows = rowPairs(layer), entriesOf = columnEntries(layer);
  const shown = available < 480 ? 2 : 4;
  const texts = rows.map((pairs) => pairs.slice(0, shown).map(pairText).join(", ") + (pairs.length > shown ? ` +${pairs.length - shown}` : ""));
  const heads = entriesOf.map((entry) => (entry ? `m${range(entry.filters)} n${entry.image} e${entry.row}` : "idle"));
  const left = 22 + Math.max(6, ...texts.map((text) => text.length)) * 6.4, top = 26 + Math.max(...heads.map((text) => text.length)) * 6.6;
  const size = Math.max(15, Math.min(46, (available - left - 4) / layer.pe_columns));
  const width = left + size * layer.pe_columns + 4, height = top + Math.min(size, 30) * layer.pe_rows + 8;
  const tall = Math.min(size, 30);
  const columnHeads = entriesOf.map((entry, column) => s("text", {
    class: entry ? null : "muted", "font-size": 11, transform: `translate(${left + size * (column + 0.5) + 4} ${top - 6}) rotate(-90)`,
  }, heads[column]));
  const rowHeads = rows.map((pairs, row) => s("text", {
    class: pairs.length ? null : "muted", "font-size": 11, x: left - 6, y: top + tall * (row + 0.5) + 4, "text-anchor": "end",
  }, pairs.length ? texts[row] : "idle"));
  const cells = rows.flatMap((pairs, row) => entriesOf.map((entry, column) => cellOf(layer, pairs, entry, {
    row, column, x: left + size * column, y: top + tall * row, size, tall,
  })));
  const label = `PE array of ${layer.pe_rows} rows and ${layer.pe_columns} columns; rows hold channel and filter row, columns filters, image and ofmap row`;
  const image = picture(width, height, label,
    s("text", { class: "muted", "font-size": 11, x: left - 6, y: top - 22, "text-anchor": "end" }, "m, n, e \u2192"),
    s("text", { class: "muted", "font-size": 11, x: left - 6, y: top - 8, "text-anchor": "end" }, "c, r \u2193"), columnHeads, rowHeads, cells);
  image.setAttribute("width", width);
  image.classList.add("natural");
  return image;
}

function cellOf(layer, pairs, entry, place) {
  const busy = pairs.length && entry;
  const mark = s("rect", { class: `mark pe ${busy ? `group${entry.group % 2}` : "idle"}`, x: place.x, y: place.y, width: place.size - 1.5, height: place.tall - 1.5 });
  const title = `PE row ${place.row}, column ${place.column}`;
  const lines = busy
    ? [`filters m${range(entry.filters)}, image n${entry.image}, ofmap row e${entry.row}`,
      ...pairs.slice(0, 12).map((pair) => `channel c${pair[0]}, filter row r${pair[1]}: ifmap row ${ifmapRow(layer, entry, pair)}`),
      ...(pairs.length > 12 ? [`and ${pairs.length - 12} more`] : [])]
    : ["idle in this pass"];
  const text = busy && place.size >= 24 && place.tall >= 15
    ? s("text", { "font-size": 10, x: place.x + place.size / 2 - 1, y: place.y + place.tall / 2 + 3, "text-anchor": "middle", "pointer-events": "none" },
      String(ifmapRow(layer, entry, pairs[0])))
    : null;
  return [tipped(mark, title, lines), text];
}

const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

function words(layer) {
  const groups = new Set(columnEntries(layer).filter(Boolean).map((entry) => entry.group)).size;
  const slots = layer.depthwise
    ? "each another channel, as depthwise work adds up no channels"
    : "each another (channel, filter row) pair";
  const sets = layer.depthwise ? 1 : Number((layer.active_rows / layer.R).toPrecision(3));
  return [
    ["layer", `${layer.kind}, C = ${layer.C}, H × W = ${layer.H} × ${layer.W}, M = ${layer.M}, R × S = ${layer.R} × ${layer.S}, `
      + `stride U = ${layer.stride.join(" × ")}, E × F = ${layer.E} × ${layer.F}, N = ${layer.N}`
      + (layer.works > 1 ? `; computed in ${layer.works} parts, of which the first is drawn` : "")],
    ["drawn", layer.passes > 1 ? `the first of ${layer.passes} passes over the first strip of columns` : "the only pass over the first strip of columns"],
    ["rows", `${layer.active_rows} of ${layer.pe_rows} PE rows hold consecutive pairs of channel c and filter row r`],
    ["columns", `${layer.strip_columns} of ${layer.pe_columns} PE columns hold consecutive entries of filters m, image n and ofmap row e`],
    [`p = ${layer.p}`, `${plural(layer.p, "filter")} in a PE`],
    [`q = ${layer.slots}`, `${plural(layer.slots, "slot")} in a PE, ${slots}`],
    [`r = ${sets}`, `${plural(sets, "set")} of R filter rows above one another`],
    [`t = ${groups}`, `${plural(groups, "filter group")} beside one another`],
    ["taps", `${layer.taps} of S = ${layer.S} filter columns in a pass`],
    ["tile", `${plural(layer.images, "image")}, ${plural(layer.rows, "ofmap row")}, ${plural(layer.columns, "ofmap column")}`],
    ["psums", `of ${plural(layer.strips, "strip")} of columns stay in the banks; they move down a column from PE row to PE row`],
    ["ifmap", layer.resident ? "the tile's stays in the lanes for all passes" : "each pass loads the channels it needs"],
    ["numbers", "where there is room: the ifmap row that the first slot of a PE reads, e U + r less the padding; below 0 it is padding"],
  ];
}
