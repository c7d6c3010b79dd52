// What the page knows: units, concepts and where they are, read once from the page.
const data = JSON.parse(document.getElementById("data").textContent);
const units = data.units;
const nUnits = units.unit.length;
const NO_CATEGORY = "(no label)";

const byId = (id) => document.getElementById(id);
const count = (n) => (n ?? null) === null ? "–" : n.toLocaleString("en");  // an imported run does not know every number
const nOf = (n, noun) => `${count(n)} ${noun}${n === 1 ? "" : "s"}`;
const number = (value, digits = 3) => (value === null || value === undefined ? "–" : value.toFixed(digits));
// A p-value is never 0, however many decimals are shown.
const chanceText = (name, unit) => {
  const value = column(name, unit);
  return value < 0.0001 ? `${name} < 0.0001` : `${name} ${number(value, 4)}`;
};
const percent = (share) => `${Math.round(100 * share)} %`;
// A column that the run does not have is null as a whole.
const column = (name, unit) => (units[name] ? units[name][unit] : null);

const placeOf = (unit) => data.populations[units.population[unit]];
const networkOf = (unit) => data.networks[placeOf(unit)[0]];
const layerOf = (unit) => placeOf(unit)[1];
const operatorOf = (unit) => placeOf(unit)[2];
const conceptOf = (unit) => units.concept[unit];
const labelOf = (unit) => (conceptOf(unit) < 0 ? "" : data.concepts[conceptOf(unit)][1]);
const categoryName = (concept) => data.categories[data.concepts[concept][0]];
const categoryOf = (unit) => (conceptOf(unit) < 0 ? NO_CATEGORY : categoryName(conceptOf(unit)));
const whereText = (unit) => `${layerOf(unit)} · ${operatorOf(unit)} · unit ${units.unit[unit]}`;
const intervalText = (low, high, digits = 3) =>
  low === null || low === undefined ? "" : `${number(low, digits)}–${number(high, digits)}`;
// An imported run knows neither pictures nor thresholds, nor where a unit fires.
const isImported = (unit) => column("fires", unit) === null;
const noPicture = (unit) => (units.dead[unit] ? "A dead unit: it fires nowhere." : isImported(unit) ? "The run was imported without pictures." : "No image is above its threshold.");
const sureText = (unit) => (column("sure", unit) === null ? "not tested" : column("sure", unit) ? "sure" : "not sure");

// Names of units and concepts for the address of a state: they stay the same when the report is made again.
const unitName = (unit) => [networkOf(unit).title, layerOf(unit), operatorOf(unit), units.unit[unit]].join(" / ");
const unitsByName = new Map();
const conceptsByName = new Map();
// Labels that differ in spaces alone look the same here: the second is called "color / car (2)".
const conceptNames = data.concepts.map(([category, label], concept) => {
  const plain = `${data.categories[category]} / ${label}`;
  let name = plain;
  for (let n = 2; conceptsByName.has(name); n++) name = `${plain} (${n})`;
  conceptsByName.set(name, concept);
  return name;
});
const conceptName = (concept) => conceptNames[concept];
const unitNamed = (name) => {
  if (!unitsByName.size) for (let unit = 0; unit < nUnits; unit++) unitsByName.set(unitName(unit), unit);
  return unitsByName.get(name);
};

// The units that detect each concept, best first.
let detectorsByConcept = null;
function detectorsOf(concept) {
  if (!detectorsByConcept) {
    detectorsByConcept = new Map();
    for (let unit = 0; unit < nUnits; unit++) {
      if (!units.detector[unit]) continue;
      if (!detectorsByConcept.has(conceptOf(unit))) detectorsByConcept.set(conceptOf(unit), []);
      detectorsByConcept.get(conceptOf(unit)).push(unit);
    }
    for (const found of detectorsByConcept.values()) found.sort((a, b) => units.iou[b] - units.iou[a] || a - b);
  }
  return detectorsByConcept.get(concept) || [];
}

// A new element; text is always text, never HTML.
function element(tag, { text, className, title, href, ...attributes } = {}, children = []) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  if (title) made.title = title;
  if (href !== undefined) made.href = href;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter(Boolean));
  return made;
}

function swatch(category) {
  const made = element("i", { className: "swatch", "aria-hidden": "true" });
  made.style.background = data.colours[category] || "transparent";
  return made;
}
