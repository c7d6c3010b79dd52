// What is chosen, as the part of the address after #: it survives a reload and can be sent to somebody.
const DEFAULTS = {
  a: "0", b: "1", measure: "1", detail: "layer", columns: "networks", part: "0", category: "", status: "", find: "",
  upart: "", ustatus: "", ufind: "",
};
const CONTROLS = {
  a: "a", b: "b", measure: "measure", detail: "detail", columns: "columns", part: "part", category: "category", status: "status", find: "find",
  upart: "unit-part", ustatus: "unit-status", ufind: "unit-find",
};
let state = { ...DEFAULTS };

function follow() {
  const fragment = location.hash.slice(1);
  if (fragment && !fragment.includes("=")) return false; // a link to a part of the page
  const told = new URLSearchParams(fragment);
  state = Object.fromEntries(Object.entries(DEFAULTS).map(([key, value]) => [key, told.get(key) ?? value]));
  for (const key of ["a", "b"]) if (!(state[key] in data.titles)) state[key] = DEFAULTS[key];
  for (const [key, id] of Object.entries(CONTROLS)) {
    const control = byId(id);
    if (!control) continue;
    control.value = state[key];
    if (control.value !== state[key]) control.value = state[key] = DEFAULTS[key];
  }
  return true;
}

function remember() {
  for (const [key, id] of Object.entries(CONTROLS)) if (byId(id)) state[key] = byId(id).value;
  const told = Object.entries(state).filter(([key, value]) => value !== DEFAULTS[key]);
  history.replaceState(null, "", `#${new URLSearchParams(told).toString() || "a=0"}`);
}

function sign(value, digits = 1) {
  const text = Math.abs(value).toFixed(digits);
  return Number(text) === 0 ? text : (value > 0 ? "+" : "−") + text;
}
const plain = (value) => (value < 0 ? "−" : "") + Math.abs(value).toFixed(0);
const swatch = (category) => {
  const made = element("i", undefined, "swatch");
  made.style.background = data.colours[category];
  return made;
};

// A number with its interval below it, where there is one.
function withInterval(text, low, high, between, apart) {
  const cell = element("td", text, apart ? "apart" : "");
  if (low !== null && low !== undefined) cell.append(element("small", between(low, high)));
  return cell;
}

// The rows of a pair in the order it was chosen; `turned` makes of a row from a to b one from b to a.
function ofPair(table, turned) {
  const [a, b] = [Number(state.a), Number(state.b)];
  if (a === b) return [];
  return a < b ? table[`${a},${b}`] || [] : (table[`${b},${a}`] || []).map(turned);
}

const title = (key) => data.titles[Number(state[key])];

function showDifferences() {
  const negative = (value) => (value === null ? null : -value);
  const rows = ofPair(data.differences, ([part, category, measure, a, b, low, high]) => [part, category, measure, b, a, negative(high), negative(low)])
    .filter((row) => row[2] === Number(state.measure) && (state.detail === "category" ? data.layers[row[0]] === "all" : row[1] < 0))
    .map(([part, category, , a, b, low, high]) => ({ part, category, a, b, low, high, total: category < 0 && data.layers[part] === "all" }));
  const digits = Number(state.measure) === 2 ? 1 : 0;
  drawTable("differences", [
    { title: "layer, operator", value: (row) => data.parts[row.part] },
    ...(state.detail === "category" ? [{ title: "category", value: (row) => (row.category < 0 ? "all" : data.categories[row.category]) }] : []),
    { title: `from ${title("a")}`, number: true, value: (row) => row.a, show: (row) => element("td", row.a.toFixed(digits)) },
    { title: `to ${title("b")}`, number: true, value: (row) => row.b, show: (row) => element("td", row.b.toFixed(digits)) },
    {
      title: "difference", number: true, value: (row) => row.b - row.a,
      show: (row) => withInterval(sign(row.b - row.a, digits), row.low, row.high, (low, high) => `${sign(low)} to ${sign(high)}`, row.low > 0 || row.high < 0),
    },
  ], rows);
}

function showExchange() {
  const rows = ofPair(data.exchanges, ([part, k0, k1, k2, g0, g1, g2, l0, l1, l2]) => [part, k0, k1, k2, l0, l1, l2, g0, g1, g2])
    .map((values) => ({ part: values[0], values, total: data.layers[values[0]] === "all" }));
  const number = (name, at) => ({
    title: name, number: true, value: (row) => row.values[at],
    show: (row) => withInterval(String(row.values[at]), row.values[at + 1], row.values[at + 2], (low, high) => `${plain(low)}–${plain(high)}`),
  });
  drawTable("exchange", [{ title: "layer, operator", value: (row) => data.parts[row.part] }, number("kept", 1), number("gained", 4), number("lost", 7)], rows);
}

// Detectors of every concept, of one network and part: an array by concept, or null where the network has no such layer.
function countsOf(network, part) {
  const sparse = data.counts[network][part];
  if (!sparse) return null;
  const counts = new Int32Array(data.concepts.length);
  for (let k = 0; k < sparse.length; k += 2) counts[sparse[k]] = sparse[k + 1];
  return counts;
}

let conceptRows = [], conceptColumns = [];

function showConcepts() {
  const networks = state.columns === "networks";
  byId("part").closest("label").hidden = !networks;
  const places = networks
    ? data.titles.map((name, network) => [name, network, Number(state.part)])
    : data.parts.map((name, part) => [name, Number(state.columns), part]).filter(([, , part]) => data.layers[part] !== "all");
  const columns = places.map(([name, network, part]) => ({ name, counts: countsOf(network, part) })).filter((column) => column.counts);
  const part = networks ? Number(state.part) : 0, [a, b] = [Number(state.a), Number(state.b)];
  const [before, after] = [countsOf(a, part), countsOf(b, part)];
  const unsure = new Set([...data.unsure[a][part], ...data.unsure[b][part]]);
  const wanted = state.find.toLowerCase();
  const rows = [];
  data.concepts.forEach(([category, label], concept) => {
    const values = columns.map((column) => column.counts[concept]);
    const status = before && after ? ["", "lost", "gained", "kept"][(before[concept] > 0 ? 1 : 0) + (after[concept] > 0 ? 2 : 0)] : "";
    if (!values.some((value) => value)) return;
    if (state.category !== "" && category !== Number(state.category)) return;
    if (state.status && status !== state.status) return;
    if (wanted && !label.toLowerCase().includes(wanted)) return;
    rows.push({ concept, category, label, values, status, unsteady: unsure.has(concept), sum: values.reduce((x, y) => x + y, 0) });
  });
  rows.sort((x, y) => y.sum - x.sum);
  const top = Math.sqrt(Math.max(1, ...rows.flatMap((row) => row.values)));
  conceptColumns = [
    { title: "concept", value: (row) => row.label, show: (row) => element("td", row.label, "label") },
    { title: "category", value: (row) => data.categories[row.category], show: (row) => { const cell = element("td"); cell.append(swatch(row.category), data.categories[row.category]); return cell; } },
    ...columns.map((column, k) => ({
      title: column.name, number: true, value: (row) => row.values[k],
      show: (row) => {
        const cell = element("td", row.values[k] || "·", row.values[k] ? "cell" : "cell zero");
        cell.style.setProperty("--share", `${Math.round((45 * Math.sqrt(row.values[k])) / top)}%`);
        return cell;
      },
    })),
    { title: "status", value: (row) => row.status, show: (row) => { const cell = element("td", undefined, row.status ? `status ${row.status}` : ""); cell.append(row.status); if (row.status && row.unsteady) cell.append(element("small", "unsteady")); return cell; } },
  ];
  conceptRows = rows;
  byId("concept-count").textContent = `${rows.length} concepts` + (before && after ? `; status: from ${data.titles[a]} to ${data.titles[b]}, ${data.parts[part]}` : "");
  drawTable("concepts", conceptColumns, rows);
}

let unitRows = [];
const comparableParts = () => data.parts.map((name, part) => part).filter((part) => {
  const [x, y] = ["a", "b"].map((key) => data.units[Number(state[key])]?.[part]);
  return state.a !== state.b && x && y && x[0].length === y[0].length && ofPair(data.unitCounts, (row) => row).some((row) => row[0] === part);
});

function showUnits() {
  if (!byId("units")) return;
  const counts = ofPair(data.unitCounts, ([part, n, kept, low, high, chance, changed, gained, lost]) => [part, n, kept, low, high, chance, changed, lost, gained]);
  const number = (name, at) => ({ title: name, number: true, value: (row) => row[at] });
  drawTable("unit-counts", [
    { title: "layer, operator", value: (row) => data.parts[row[0]] }, number("units", 1),
    { title: "kept", number: true, value: (row) => row[2], show: (row) => withInterval(String(row[2]), row[3], row[4], (low, high) => `${plain(low)}–${plain(high)}`) },
    { title: "kept by chance", number: true, value: (row) => row[5], show: (row) => element("td", row[5].toFixed(1)) },
    number("changed", 6), number("gained", 7), number("lost", 8),
  ], counts);
  const name = (concept) => (concept < 0 ? "" : data.concepts[concept][1]);
  const wanted = state.ufind.toLowerCase();
  unitRows = [];
  for (const part of comparableParts()) {
    if (state.upart !== "" && part !== Number(state.upart)) continue;
    const [[a, iouA, lowA, highA], [b, iouB, lowB, highB]] = ["a", "b"].map((key) => data.units[Number(state[key])][part]);
    const heirs = new Map();
    b.forEach((concept, unit) => { if (concept >= 0 && a[unit] !== concept) heirs.set(concept, [...(heirs.get(concept) || []), unit]); });
    for (const units of heirs.values()) units.sort((x, y) => iouB[y] - iouB[x] || x - y);
    a.forEach((before, unit) => {
      const after = b[unit];
      if (before < 0 && after < 0) return;
      const status = before < 0 ? "gained" : after < 0 ? "lost" : before === after ? "kept" : "changed";
      if (state.ustatus && status !== state.ustatus) return;
      if (wanted && !name(before).toLowerCase().includes(wanted) && !name(after).toLowerCase().includes(wanted)) return;
      const gone = status === "lost" || status === "changed";
      unitRows.push({ part, unit, before, after, iouA: iouA[unit] / 1000, iouB: iouB[unit] / 1000,
        betweenA: lowA && [lowA[unit] / 1000, highA[unit] / 1000], betweenB: lowB && [lowB[unit] / 1000, highB[unit] / 1000], status, heirs: gone ? heirs.get(before) || [] : [] });
    });
  }
  const between = (ends) => (ends ? ` (${ends.map((end) => end.toFixed(3)).join("–")})` : "");
  const concept = (key, iou, ends) => (row) => {
    const cell = element("td", undefined, "label");
    if (row[key] >= 0) cell.append(swatch(data.concepts[row[key]][0]), name(row[key]), element("small", `IoU ${row[iou].toFixed(3)}${between(row[ends])}`));
    return cell;
  };
  byId("unit-count").textContent = comparableParts().length ? `${unitRows.length} units that detect something in one of the two` : "These two networks have no layer in common whose units can stand beside each other.";
  drawTable("unit-list", [
    { title: "layer, operator", value: (row) => data.parts[row.part] },
    { title: "unit", number: true, value: (row) => row.unit },
    { title: "status", value: (row) => row.status, show: (row) => element("td", row.status, `status ${row.status}`) },
    { title: `in ${title("a")}`, value: (row) => name(row.before), show: concept("before", "iouA", "betweenA") },
    { title: `in ${title("b")}`, value: (row) => name(row.after), show: concept("after", "iouB", "betweenB") },
    { title: "taken over by units", value: (row) => row.heirs.length, show: (row) => element("td", row.heirs.slice(0, 6).join(", ") + (row.heirs.length > 6 ? ` and ${row.heirs.length - 6} more` : "")) },
  ], unitRows);
}

function show() {
  byId("pair-note").textContent = state.a === state.b
    ? "Choose two different networks."
    : `From ${title("a")} to ${title("b")}: the second minus the first. Bold: the 95 % interval excludes 0.`;
  showDifferences();
  showExchange();
  showConcepts();
  showUnits();
}

function fill(id, options) {
  if (byId(id)) byId(id).append(...options.map(([value, text]) => new Option(text, value)));
}

const numbered = (names) => names.map((name, k) => [String(k), name]);
fill("a", numbered(data.titles));
fill("b", numbered(data.titles));
fill("measure", numbered(data.measures));
fill("detail", [["layer", "layer and operator"], ["category", "category"]]);
fill("columns", [["networks", "the networks"], ...numbered(data.titles).map(([k, name]) => [k, `layers of ${name}`])]);
fill("part", numbered(data.parts));
fill("category", [["", "all"], ...numbered(data.categories)]);
fill("status", [["", "all"], ...["kept", "gained", "lost"].map((name) => [name, name])]);
fill("unit-part", [["", "all layers"], ...numbered(data.parts).filter(([k]) => data.layers[k] !== "all")]);
fill("unit-status", [["", "all"], ...["kept", "changed", "gained", "lost"].map((name) => [name, name])]);

for (const id of ["choice", "concept-choice", "unit-choice"]) {
  const form = byId(id);
  if (!form) continue;
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => { for (const key of Object.keys(shown)) delete shown[key]; remember(); show(); });
}
byId("swap").addEventListener("click", () => {
  [byId("a").value, byId("b").value] = [byId("b").value, byId("a").value];
  remember();
  show();
});
const conceptCells = (concept, iou, ends) =>
  (concept < 0 ? ["", "", "", "", ""] : [data.categories[data.concepts[concept][0]], data.concepts[concept][1], iou, ...(ends || ["", ""])]);
byId("save-concepts").addEventListener("click", () => save("concepts.csv", [
  conceptColumns.map((column) => column.title), ...conceptRows.map((row) => conceptColumns.map((column) => column.value(row))),
]));
byId("save-units")?.addEventListener("click", () => save("units.csv", [
  ["layer", "operator", "unit", "status", "category_a", "label_a", "iou_a", "iou_low_a", "iou_high_a", "category_b", "label_b", "iou_b", "iou_low_b", "iou_high_b", "taken_over_by"],
  ...unitRows.map((row) => [data.layers[row.part], data.operators[row.part], row.unit, row.status,
    ...conceptCells(row.before, row.iouA, row.betweenA), ...conceptCells(row.after, row.iouB, row.betweenB), row.heirs.join(" ")]),
]));

const dark = () => (document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
const tell = () => { byId("theme").textContent = dark() ? "Light" : "Dark"; };
try { document.documentElement.dataset.theme = localStorage.getItem("dissection-theme") || ""; } catch { /* kept nowhere */ }
byId("theme").addEventListener("click", () => {
  document.documentElement.dataset.theme = dark() ? "light" : "dark";
  try { localStorage.setItem("dissection-theme", document.documentElement.dataset.theme); } catch { /* kept nowhere */ }
  tell();
});
byId("theme").hidden = false;
tell();
addEventListener("hashchange", () => { if (follow()) show(); });
if (!follow()) { state = { ...DEFAULTS }; for (const [key, id] of Object.entries(CONTROLS)) if (byId(id)) byId(id).value = state[key]; }
show();
