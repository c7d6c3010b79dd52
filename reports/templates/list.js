// The list: units as a table or as rows of pictures, or the concepts that they detect. Rows are made as they come into sight.
const BATCH = 50;
const HAS = { interval: units.low !== null, held: units.held !== null, kept: units.kept !== null, score: data.score !== "iou" };

// What a column is called, how it sorts (numbers largest first, or text), and what a cell holds.
const UNIT_COLUMNS = [
  { key: "picture", name: "", cell: (unit) => (units.images[unit].length ? tile(picturesOf(unit)[0], 44, picturesOf(unit)) : ""), skip: units.fires === null },
  { key: "label", name: "label", text: labelOf, cell: unitLink },
  { key: "category", name: "category", text: categoryOf, cell: (unit) => categoryOf(unit) },
  { key: "score", name: data.scoreName, value: (unit) => column("score", unit), cell: (unit) => number(column("score", unit)), skip: !HAS.score },
  { key: "iou", name: "IoU", value: (unit) => units.iou[unit], cell: iouCell, title: "Overlap of unit and concept, with its 95 % interval" },
  { key: "held", name: "held out", value: (unit) => column("held", unit), cell: (unit) => number(column("held", unit)), skip: !HAS.held, title: "IoU on images that had no say in the choice of the label" },
  { key: "nImages", name: "images", value: (unit) => column("nImages", unit), cell: (unit) => (conceptOf(unit) < 0 ? "–" : count(column("nImages", unit))), title: "Images that show the concept", skip: units.nImages === null },
  { key: "sure", name: "sure", value: (unit) => (units.sure ? column("sure", unit) : 0), cell: (unit) => element("span", { text: sureText(unit), className: units.sure && column("sure", unit) ? "yes" : "muted" }), title: "A detector whose held-out IoU is above the cut too, and hardly by chance (q < 0.05)", skip: units.fires === null },
  { key: "kept", name: "stable", value: (unit) => column("kept", unit), cell: (unit) => (column("kept", unit) === null ? "–" : percent(column("kept", unit))), skip: !HAS.kept, title: "Share of resamples of the images in which the unit keeps its label" },
  { key: "place", name: "where", value: (unit) => -unit, cell: placeCell, title: "Network, layer, operator and number of the unit" },
].filter((each) => !each.skip);

const CONCEPT_COLUMNS = [
  { key: "label", name: "concept", text: (row) => data.concepts[row.concept][1], cell: (row) => conceptLink(row.concept) },
  { key: "category", name: "category", text: (row) => categoryName(row.concept), cell: (row) => categoryName(row.concept) },
  { key: "detectors", name: "detectors", value: (row) => row.n, cell: (row) => count(row.n) },
  { key: "iou", name: "best IoU", value: (row) => row.iou, cell: (row) => number(row.iou) },
  { key: "nImages", name: "images", value: (row) => row.nImages, cell: (row) => count(row.nImages || null) },
  { key: "place", name: "where", value: (row) => row.places.size, cell: (row) => [...row.places].join(", ") },
];

function unitLink(unit) {
  const link = element("a", { text: labelOf(unit) || "no label", href: addressOf({ unit: unitName(unit), concept: "" }), className: "open" });
  link.dataset.unit = unit;
  return element("span", {}, [conceptOf(unit) >= 0 && swatch(categoryOf(unit)), link]);
}

function conceptLink(concept, text = data.concepts[concept][1]) {
  const link = element("a", { text, href: addressOf({ concept: conceptName(concept), unit: "" }), className: "open" });
  link.dataset.concept = concept;
  return element("span", {}, [swatch(categoryName(concept)), link]);
}

function iouCell(unit) {
  if (units.dead[unit]) return element("span", { text: "dead", className: "muted", title: "fires nowhere" });
  return element("span", {}, [number(units.iou[unit]),
    HAS.interval && element("small", { text: intervalText(column("low", unit), column("high", unit)) })]);
}

function placeCell(unit) {
  return element("span", { title: placeOf(unit)[3] }, [whereText(unit), data.networks.length > 1 && element("small", { text: networkOf(unit).title })]);
}

// Units that pass the filters, in their order. Everything is a loop over numbers: 30,000 units take a few milliseconds.
function chosenUnits() {
  const text = state.find.trim().toLowerCase();
  const fits = text && data.concepts.map(([, label]) => label.toLowerCase().includes(text));
  const places = data.populations.map(([network, layer, operator]) => {
    const { run, title, domain } = data.networks[network];
    return (!state.run || data.runs[run] === state.run) && (!state.network || title === state.network) &&
      (!state.domain || domain === state.domain) && (!state.layer || layer === state.layer) && (!state.operator || operator === state.operator);
  });
  const category = state.category === NO_CATEGORY ? -1 : data.categories.indexOf(state.category);
  const shown = {
    all: () => true, detectors: (u) => units.detector[u], sure: (u) => units.sure && units.sure[u],
    unsure: (u) => units.detector[u] && !(units.sure && units.sure[u]), dead: (u) => units.dead[u],
  }[state.show] || (() => true);
  const found = [];
  for (let unit = 0; unit < nUnits; unit++) {
    const concept = units.concept[unit];
    if (!places[units.population[unit]] || !shown(unit)) continue;
    if (state.category && (concept < 0 ? -1 : data.concepts[concept][0]) !== category) continue;
    if (text && (concept < 0 || !fits[concept])) continue;
    found.push(unit);
  }
  return found;
}

function conceptRows(found) {
  const rows = new Map();
  for (const unit of found) {
    if (!units.detector[unit]) continue;
    const concept = conceptOf(unit);
    if (!rows.has(concept)) rows.set(concept, { concept, n: 0, iou: 0, nImages: 0, places: new Set() });
    const row = rows.get(concept);
    row.n += 1;
    row.iou = Math.max(row.iou, units.iou[unit]);
    row.nImages = Math.max(row.nImages, column("nImages", unit));
    row.places.add(layerOf(unit));
  }
  return [...rows.values()];
}

// Largest first, or A to Z; equals stay in their order. What has no value comes last either way.
function sorted(rows, columns, by) {
  const { value, text } = columns.find((each) => each.key === by) || columns.find((each) => each.value);
  const turn = state.order === "up" ? -1 : 1;
  const keys = new Map(rows.map((row) => [row, text ? text(row) : value(row)]));
  const none = (key) => key === null || key === "" || key === NO_CATEGORY;
  const collator = new Intl.Collator();
  return rows.sort((a, b) => {
    const left = keys.get(a), right = keys.get(b);
    if (none(left) || none(right)) return none(left) - none(right);
    return turn * (text ? collator.compare(left, right) : right - left);
  });
}

let rows = [], columns = UNIT_COLUMNS, made = 0, sortedBy = "iou";

function showMore() {
  const next = rows.slice(made, made + BATCH);
  byId("rows").append(...next.map(state.view === "pictures" ? pictureRow : tableRow));
  made += next.length;
  atEnd.unobserve(byId("more"));  // observed again, it reports again where the end is still in sight
  if (made < rows.length) atEnd.observe(byId("more"));
}
const atEnd = new IntersectionObserver((entries) => entries.some((e) => e.isIntersecting) && showMore(), { root: byId("list"), rootMargin: "1000px 0px" });

const isNumber = (each) => each.value && each.key !== "place";

function tableRow(row) {
  const cells = columns.map((each) => element("td", { className: `${each.key}${isNumber(each) ? " n" : ""}`, "data-name": each.name }, [each.cell(row)]));
  const weak = state.view !== "concepts" && !units.detector[row];
  return element("tr", { className: weak ? "weak" : "" }, cells);
}

function pictureRow(unit) {
  const all = picturesOf(unit);
  const facts = element("div", { className: "facts" }, [
    element("p", { className: "label" }, [unitLink(unit)]),
    element("p", { text: conceptOf(unit) < 0 ? "" : `${categoryOf(unit)} · IoU ${number(units.iou[unit])}${column("low", unit) !== null ? ` (${intervalText(column("low", unit), column("high", unit))})` : ""}${units.detector[unit] ? "" : " · not a detector"}` }),
    element("p", { text: whereText(unit) }), data.networks.length > 1 && element("p", { text: networkOf(unit).title }),
  ]);
  const strip = element("div", { className: "strip" }, all.map((picture) => tile(picture, 112, all)));
  if (!all.length) strip.append(element("p", { text: noPicture(unit) }));
  return element("tr", { className: units.detector[unit] ? "" : "weak" }, [element("td", { colspan: columns.length, className: "pictures" }, [facts, strip])]);
}

function heading(each) {
  const active = sortedBy === each.key;
  const up = each.text ? state.order === "down" : state.order === "up";
  const th = element("th", { className: `${each.key}${isNumber(each) ? " n" : ""}`, scope: "col" });
  if (active) th.setAttribute("aria-sort", up ? "ascending" : "descending");
  if (!each.name) return th;
  const button = element("button", { type: "button", text: each.name + (active ? (up ? " ▲" : " ▼") : ""), title: each.title || "" });
  button.addEventListener("click", () => change({ sort: each.key, order: active && state.order === "down" ? "up" : "down" }));
  th.append(button);
  return th;
}

let chosen = [];
function showList() {
  chosen = chosenUnits();
  const concepts = state.view === "concepts";
  columns = concepts ? CONCEPT_COLUMNS : UNIT_COLUMNS;
  sortedBy = state.sort || (concepts ? "detectors" : "iou");
  rows = sorted(concepts ? conceptRows(chosen) : [...chosen], columns, sortedBy);
  nearby.disconnect();
  byId("head").replaceChildren(...columns.map(heading));
  byId("rows").replaceChildren();
  byId("list").className = state.view;
  byId("list").scrollTop = 0;
  made = 0;
  showMore();
  const detectors = chosen.filter((unit) => units.detector[unit]);
  const different = new Set(detectors.map(conceptOf)).size;
  byId("count").textContent = chosen.length
    ? `${count(chosen.length)} of ${nOf(nUnits, "unit")} · ${nOf(detectors.length, "detector")} · ${count(different)} unique`
    : "No unit fits these filters.";
}
