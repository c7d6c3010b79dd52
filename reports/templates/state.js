// What is shown, as the part of the address after #: it survives a reload and can be sent to somebody.
const DEFAULTS = {
  view: "table", run: "", network: "", domain: "", layer: "", operator: "", category: "", show: "all", find: "",
  sort: "", order: "down", unit: "", concept: "", masks: "on",
};
let state = { ...DEFAULTS };

// A fragment without "=" leads to a part of the page and leaves the state as it is.
function stateInAddress() {
  const fragment = location.hash.slice(1);
  if (fragment && !fragment.includes("=")) return null;
  const told = new URLSearchParams(fragment);
  return Object.fromEntries(Object.entries(DEFAULTS).map(([key, value]) => [key, told.get(key) ?? value]));
}

function addressOf(changes) {
  const all = Object.entries({ ...state, ...changes });
  const told = new URLSearchParams(all.filter(([key, value]) => value !== DEFAULTS[key]));
  return `#${told.toString() || "view=table"}`;
}

// Opening a card is a step that the browser's Back undoes; a change of a filter is not.
function change(changes, { step = false } = {}) {
  const address = addressOf(changes);
  if (step) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
  state = { ...state, ...changes };
  show();
}
