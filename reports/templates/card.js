// The card beside the list: of a unit, of a concept, or, where none is chosen, what the listed units detect.
function fact(name, value, note) {
  return [element("dt", { text: name }), element("dd", {}, [value, note && element("small", { text: note })])];
}

function cardHead(title, category, ...lines) {
  const close = element("button", { type: "button", text: "Close", className: "close", title: "Close (Esc)" });
  close.addEventListener("click", closeCard);
  const heading = element("h3", { tabindex: "-1", id: "card-title" }, [category && swatch(category), title]);
  return [element("header", {}, [heading, close]), ...lines.filter(Boolean).map((text) => element("p", { text, className: "muted" }))];
}

function masksSwitch() {
  const box = element("input", { type: "checkbox" });
  box.checked = state.masks === "on";
  box.addEventListener("change", () => change({ masks: box.checked ? "on" : "off" }));
  return element("label", { className: "check" }, [box, " show where it fires"]);
}

function unitCard(unit) {
  const all = picturesOf(unit), concept = conceptOf(unit), network = networkOf(unit);
  const parts = cardHead(labelOf(unit) || "no label", concept < 0 ? null : categoryOf(unit),
    `${concept < 0 ? "" : `${categoryOf(unit)} · `}${units.detector[unit] ? "detector" : "not a detector"}`, `${whereText(unit)} · ${network.title}`);
  if (all.length) parts.push(masksSwitch(), element("div", { className: "tiles" }, all.map((picture) => tile(picture, 132, all))));
  else parts.push(element("p", { text: noPicture(unit) }));
  const facts = [];
  if (concept >= 0) {
    if (HAS.score) facts.push(fact(data.scoreName, number(column("score", unit))));
    facts.push(fact("IoU", number(units.iou[unit], 4), column("low", unit) !== null ? `95 % interval ${intervalText(column("low", unit), column("high", unit))}` : ""));
    if (column("held", unit) !== null) facts.push(fact("IoU, held out", number(column("held", unit), 4), "on images that had no say in the label"));
    if (column("nImages", unit) !== null) facts.push(fact("Images that show it", count(column("nImages", unit))));
    if (column("kept", unit) !== null) {
      facts.push(fact("Keeps its label", percent(column("kept", unit)),
        `of resamples of the images, and in ${column("keptFolds", unit)} of ${data.folds[networkOf(unit).run]} leave-outs`));
      facts.push(fact("Label set", count(column("nSet", unit)), column("nSet", unit) === 1 ? "concept covers 90 % of the resamples" : "concepts cover 90 % of the resamples"));
    }
    if (!isImported(unit)) facts.push(fact("Sure", sureText(unit), column("p", unit) !== null ? `${chanceText("p", unit)}, ${chanceText("q", unit)}` : "against chance: dissect with --null 20"));
  }
  if (!isImported(unit)) facts.push(fact("Fires in", nOf(column("fires", unit), "image"), "somewhere above its threshold"));
  facts.push(fact("Threshold", column("threshold", unit) === null ? (isImported(unit) ? "not known" : "none") : String(column("threshold", unit))));
  parts.push(element("dl", { className: "facts" }, facts.flat()));
  parts.push(...bestConcepts(unit), ...histogram(unit));
  if (concept >= 0) parts.push(element("p", {}, ["All units for ", conceptLink(concept)]));
  return parts;
}

// What fits best, each with its IoU as a bar and the interval as a line.
function bestConcepts(unit) {
  const best = units.best[unit];
  if (!best.length) return [];
  const inSet = best.some((entry) => entry[5] !== undefined);
  const most = Math.max(...best.map(([, iou, , high]) => high || iou), 1e-9);
  const made = best.map(([concept, iou, low, high, share, set]) => {
    const bar = element("span", { className: "bar" });
    const line = element("i");
    bar.style.setProperty("--width", `${(100 * iou) / most}%`);
    bar.style.setProperty("--colour", data.colours[categoryName(concept)]);
    if (low !== undefined && low !== null) {
      line.style.left = `${(100 * Math.max(low, 0)) / most}%`;
      line.style.width = `${(100 * (high - Math.max(low, 0))) / most}%`;
      bar.append(line);
    }
    const told = [element("td", {}, [conceptLink(concept), element("small", { text: categoryName(concept) })]),
      element("td", { className: "n" }, [number(iou), element("small", { text: intervalText(low, high) })]), element("td", {}, [bar])];
    if (inSet) told.push(element("td", { className: "n", text: `${set ? "● " : ""}${share ? percent(share) : "–"}` }));
    return element("tr", {}, told);
  });
  const names = ["concept", "IoU", "", ...(inSet ? ["chosen"] : [])];
  const head = element("tr", {}, names.map((name, k) => element("th", { text: name, scope: "col", className: k === 1 || k === 3 ? "n" : "" })));
  return [element("h4", { text: inSet ? "Concepts that fit best" : "Best concept of each category" }),
    element("table", { className: "best" }, [element("thead", {}, [head]), element("tbody", {}, made)]),
    inSet && element("p", { className: "muted", text: "Chosen: in what share of resamples of the images. ●: in the label set." })];
}

const SVG = "http://www.w3.org/2000/svg";
function drawn(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

const LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
function histogram(unit) {
  const bars = column("bars", unit);
  if (!bars) return [];
  const [low, high, heights] = bars, threshold = column("threshold", unit);
  const svg = drawn("svg", { viewBox: "0 0 400 104", class: "histogram", role: "img", "aria-label": `Histogram of activations from ${low} to ${high}, threshold ${threshold}` });
  const width = 400 / heights.length;
  [...heights].forEach((letter, k) => {
    const height = (80 * LETTERS.indexOf(letter)) / (LETTERS.length - 1);
    const middle = low + ((k + 0.5) * (high - low)) / heights.length;
    svg.append(drawn("rect", { x: k * width + 0.5, y: 88 - height, width: width - 1, height, class: threshold !== null && middle > threshold ? "above" : "" }));
  });
  if (threshold !== null) {
    const x = (400 * (threshold - low)) / (high - low);
    svg.append(drawn("line", { x1: x, x2: x, y1: 0, y2: 88 }));
    const name = drawn("text", { x: x + (x > 300 ? -4 : 4), y: 10, "text-anchor": x > 300 ? "end" : "start" });
    name.textContent = `threshold ${threshold}`;
    svg.append(name);
  }
  [[0, low, "start"], [400, high, "end"]].forEach(([x, value, anchor]) => {
    const tick = drawn("text", { x, y: 101, "text-anchor": anchor });
    tick.textContent = value;
    svg.append(tick);
  });
  return [element("h4", { text: "Its activations" }), svg, element("p", { className: "muted", text: "How often each value occurs at all positions of all images, on a logarithmic scale." })];
}

function conceptCard(concept) {
  const found = detectorsOf(concept), label = data.concepts[concept][1];
  const nImages = Math.max(0, ...found.map((unit) => column("nImages", unit)));
  const parts = cardHead(label, categoryName(concept), categoryName(concept),
    found.length ? `${count(found.length)} ${found.length === 1 ? "unit detects" : "units detect"} it${nImages ? `; ${count(nImages)} ${nImages === 1 ? "image shows" : "images show"} it` : ""}` : "No unit detects it.");
  const shown = data.conceptImages[concept].map((image) => ({ image }));
  if (found.length) parts.push(placesTable(found));
  if (shown.length) parts.push(element("h4", { text: "Images that show most of it" }), element("div", { className: "tiles" }, shown.map((picture) => tile(picture, 132, shown))));
  if (found.length) {
    const some = found.slice(0, 30).map((unit) => element("tr", {}, [
      element("td", {}, [element("span", {}, [unitLinkTo(unit), data.networks.length > 1 && element("small", { text: networkOf(unit).title })])]),
      element("td", { className: "n" }, [iouCell(unit)]),
      element("td", {}, [element("div", { className: "strip" }, picturesOf(unit).slice(0, 2).map((picture, _, all) => tile(picture, 56, all)))])]));
    parts.push(element("h4", { text: "Its detectors, best first" }), element("table", { className: "best" }, [element("tbody", {}, some)]));
    if (found.length > 30) parts.push(element("p", { className: "muted", text: `and ${count(found.length - 30)} more in the list` }));
    parts.push(element("p", {}, [element("a", { text: "Show them in the list", href: addressOf({ ...DEFAULTS, find: label, category: categoryName(concept), show: "detectors" }) })]));
  }
  return parts;
}

function unitLinkTo(unit) {
  const link = element("a", { text: whereText(unit), className: "open", href: addressOf({ unit: unitName(unit), concept: "" }) });
  link.dataset.unit = unit;
  return link;
}

// How many units detect it in each layer, by network and operator.
function placesTable(found) {
  const layers = [...new Set(data.populations.map((p) => p[1]))], lines = new Map();
  for (const unit of found) {
    const name = data.networks.length > 1 ? `${networkOf(unit).title} · ${operatorOf(unit)}` : operatorOf(unit);
    if (!lines.has(name)) lines.set(name, new Map());
    lines.get(name).set(layerOf(unit), (lines.get(name).get(layerOf(unit)) || 0) + 1);
  }
  const used = layers.filter((layer) => [...lines.values()].some((line) => line.has(layer)));
  const head = element("tr", {}, ["", ...used].map((text, k) => element("th", { text, scope: "col", className: k ? "n" : "" })));
  const body = [...lines].map(([name, line]) => element("tr", {}, [element("th", { text: name, scope: "row" }), ...used.map((layer) => element("td", { className: "n", text: line.has(layer) ? String(line.get(layer)) : "·" }))]));
  return element("div", { className: "wide" }, [element("table", { className: "places" }, [element("thead", {}, [head]), element("tbody", {}, body)])]);
}

// Nothing chosen: which concepts the listed units detect.
function overview() {
  const found = sorted(conceptRows(chosen), CONCEPT_COLUMNS.filter((each) => each.key === "detectors"), "detectors").slice(0, 18);
  const most = found.length ? Math.max(...found.map((row) => row.n)) : 1;
  const made = found.map((row) => {
    const bar = element("span", { className: "bar" });
    bar.style.setProperty("--width", `${(100 * row.n) / most}%`);
    bar.style.setProperty("--colour", data.colours[categoryName(row.concept)]);
    return element("tr", {}, [element("td", {}, [conceptLink(row.concept)]), element("td", { className: "n", text: count(row.n) }), element("td", {}, [bar])]);
  });
  return [element("h3", { text: "What the listed units detect" }),
    element("p", { className: "muted", text: found.length ? "Number of detectors of each concept, most frequent first. Choose a unit or a concept to see it here." : "Nothing." }),
    element("table", { className: "best wide-bar" }, [element("tbody", {}, made)])];
}

let cardShown = null;
function showCard() {
  const unit = state.unit ? unitNamed(state.unit) : undefined, concept = state.concept ? conceptsByName.get(state.concept) : undefined;
  const open = unit !== undefined || concept !== undefined;
  const parts = unit !== undefined ? unitCard(unit) : concept !== undefined ? conceptCard(concept) : overview();
  byId("card").replaceChildren(...parts.filter(Boolean));
  byId("card").classList.toggle("open", open);
  document.documentElement.classList.toggle("card-open", open);
  const name = state.unit || state.concept;
  if (open && name !== cardShown) {
    byId("card").scrollTop = 0;
    if (cardShown !== null) byId("card-title").focus({ preventScroll: true });
  }
  cardShown = name;
  for (const link of document.querySelectorAll("#rows a.open")) {
    const isShown = link.dataset.unit !== undefined ? Number(link.dataset.unit) === unit : Number(link.dataset.concept) === concept;
    link.closest("tr").classList.toggle("shown", isShown);
  }
}

function closeCard() {
  const { unit, concept } = state;
  change({ unit: "", concept: "" });
  const link = [...document.querySelectorAll("#rows a.open")].find((each) =>
    unit ? Number(each.dataset.unit) === unitNamed(unit) : Number(each.dataset.concept) === conceptsByName.get(concept));
  if (link) link.focus({ preventScroll: true });
}
