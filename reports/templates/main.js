// The controls above the list, and what happens when something changes.
const FILTERS = ["run", "network", "domain", "layer", "operator", "category", "show", "find", "view"];

function fill(id, values) {
  const different = [...new Set(values.filter(Boolean))];
  byId(id).append(...different.map((value) => new Option(value, value)));
  byId(id).closest("label").hidden = different.length < 2;
}

let listShown = "", cardFor = "", masksShown = "on";

// Only what has changed is made anew, so that the list stays where it is while cards are opened.
function show() {
  const list = JSON.stringify({ ...state, unit: "", concept: "", masks: "" });
  const card = state.unit || state.concept ? state.unit + state.concept : list;
  if (list !== listShown) showList();
  if (list !== listShown || card !== cardFor) showCard();
  [listShown, cardFor] = [list, card];
  if (state.masks !== masksShown) {
    masksShown = state.masks;
    for (const canvas of document.querySelectorAll("canvas[data-drawn]")) if (drawable.has(canvas)) drawable.get(canvas)();
    for (const box of document.querySelectorAll("#card label.check input")) box.checked = masksShown === "on";
  }
  for (const id of FILTERS) if (byId(id).value !== state[id]) byId(id).value = state[id];
  byId("clear").hidden = FILTERS.every((id) => id === "view" || state[id] === DEFAULTS[id]);
}

function follow() {
  const told = stateInAddress();
  if (!told) return;
  state = told;
  show();
  const { top, bottom } = byId("explore").getBoundingClientRect();
  if (top > innerHeight / 2 || bottom < innerHeight / 2) byId("explore").scrollIntoView();
}

// A text that a spreadsheet would take for a formula gets an apostrophe, as in the run's own tables.
const cellOf = (value) => {
  let text = value === null || value === undefined ? "" : String(value);
  if (typeof value === "string" && /^'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/.test(text)) text = `'${text}`;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};
const csvOf = (table) => table.map((row) => row.map(cellOf).join(",")).join("\r\n") + "\r\n";

function unitTable(found) {
  const numbers = { iou: "iou", low: "iou_low", high: "iou_high", held: "held_out_iou", nImages: "n_images", keptFolds: "kept_folds", kept: "kept_share", nSet: "n_set", p: "p", q: "q", sure: "sure", detector: "detector", dead: "dead", threshold: "threshold" };
  if (HAS.score) numbers.score = data.score;
  const head = ["run", "network", "domain", "layer", "operator", "unit", "category", "label", ...Object.values(numbers)];
  return [head, ...found.map((unit) => {
    const network = networkOf(unit);
    return [data.runs[network.run], network.name, network.domain, layerOf(unit).replace(/^layer (?=\d+$)/, ""), operatorOf(unit), units.unit[unit],
      conceptOf(unit) < 0 ? "" : categoryOf(unit), labelOf(unit), ...Object.keys(numbers).map((name) => column(name, unit))];
  })];
}

function conceptTable(found) {
  return [["category", "label", "detectors", "best_iou", "n_images", "layers"],
    ...found.map((row) => [categoryName(row.concept), data.concepts[row.concept][1], row.n, row.iou, row.nImages, [...row.places].join("; ")])];
}

function save(name, content, type) {
  const address = URL.createObjectURL(new Blob([content], { type }));
  element("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

const DOWNLOADS = {
  "units.csv": () => save("units.csv", csvOf(unitTable(Array.from({ length: nUnits }, (_, unit) => unit))), "text/csv"),
  "concepts.csv": () => save("concepts.csv", csvOf(conceptTable(conceptRows(Array.from({ length: nUnits }, (_, unit) => unit)))), "text/csv"),
  "run.json": () => save("run.json", byId("run-info").textContent, "application/json"),
};

function startTheme() {
  const dark = () => (document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const tell = () => { byId("theme").textContent = dark() ? "Light" : "Dark"; };
  try { document.documentElement.dataset.theme = localStorage.getItem("dissection-theme") || ""; } catch { /* kept nowhere */ }
  byId("theme").addEventListener("click", () => {
    const theme = dark() ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    try { localStorage.setItem("dissection-theme", theme); } catch { /* kept nowhere */ }
    tell();
  });
  byId("theme").hidden = false;
  tell();
}

// Up and down go through the list; where a card is open it follows.
function walk(event) {
  const links = [...document.querySelectorAll("#rows a.open")];
  const at = links.indexOf(document.activeElement);
  const next = links[at + (event.key === "ArrowDown" ? 1 : -1)];
  if (at < 0 || !next) return;
  event.preventDefault();
  next.focus();
  if (state.unit || state.concept) openLink(next, false);
}

function openLink(link, step = true) {
  const { unit, concept } = link.dataset;
  const chosen = unit !== undefined ? { unit: unitName(Number(unit)), concept: "" } : { concept: conceptName(Number(concept)), unit: "" };
  change(chosen, { step });
}

function start() {
  fill("run", data.runs);
  fill("network", data.networks.map((network) => network.title));
  fill("domain", data.networks.map((network) => network.domain));
  fill("layer", data.populations.map((p) => p[1]));
  fill("operator", data.populations.map((p) => p[2]));
  fill("category", [...data.categories, NO_CATEGORY]);
  if (!units.sure) for (const option of byId("show").querySelectorAll(".tested")) option.remove();
  byId("controls").addEventListener("input", (event) => FILTERS.includes(event.target.id) && change({ [event.target.id]: event.target.value }));
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  byId("clear").addEventListener("click", () => change({ ...DEFAULTS, view: state.view }));
  byId("csv").addEventListener("click", () => (state.view === "concepts"
    ? save("concepts.csv", csvOf(conceptTable(rows)), "text/csv") : save("units.csv", csvOf(unitTable(rows)), "text/csv")));
  // A link to a card opens it in place; with Ctrl, Shift or the middle button it opens as any link does.
  byId("explore").addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    const link = event.target.closest("a.open") || (!event.target.closest("a, button, input") && event.target.closest("#rows tr")?.querySelector("a.open"));
    if (!link) return;
    event.preventDefault();
    openLink(link);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !byId("large").open && (state.unit || state.concept)) closeCard();
    if ((event.key === "ArrowDown" || event.key === "ArrowUp") && event.target.closest?.("#rows")) walk(event);
  });
  for (const button of document.querySelectorAll("button[data-save]")) {
    button.addEventListener("click", () => DOWNLOADS[button.dataset.save]());
  }
  for (const button of document.querySelectorAll("button[data-figure]")) {
    const image = button.closest(".sheet").querySelector("img");
    const kind = { "image/svg+xml": "svg", "image/png": "png" }[image.src.slice(5).split(/[;,]/)[0]] || "jpg";
    button.textContent = `Save as ${kind.toUpperCase()}`;
    button.addEventListener("click", () => element("a", { href: image.src, download: `${button.dataset.figure}.${kind}` }).click());
    button.hidden = false;
  }
  startTheme();
  startPictures();
  addEventListener("popstate", follow);
  byId("explorer").hidden = byId("controls").hidden = byId("csv").hidden = false;
  state = stateInAddress() || state;
  show();
  if (location.hash.includes("=")) byId("explore").scrollIntoView({ behavior: "instant" });
}

start();
