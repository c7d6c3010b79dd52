// Tables that sort, and long ones that grow when asked. All text goes in as text, never as HTML.
const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);
const PAGE = 40;

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

// A column is { title, value(row), show(row) -> cell, number: bool }; a table remembers in `sorts` by what it is sorted.
const sorts = {}, shown = {};
const compared = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));

function drawTable(id, columns, rows) {
  const sort = sorts[id];
  const by = sort && columns.find((column) => column.title === sort.title);
  if (by) {
    rows = rows.map((row, k) => [row, by.value(row), k]).sort((x, y) => sort.sign * compared(x[1], y[1]) || x[2] - y[2]).map(([row]) => row);
  }
  const table = element("table"), head = element("tr"), body = element("tbody");
  for (const column of columns) {
    const cell = element("th", undefined, column.number ? "n" : ""), button = element("button", column.title);
    button.type = "button";
    if (by === column) cell.ariaSort = sort.sign > 0 ? "ascending" : "descending";
    button.addEventListener("click", () => {
      const sign = by === column ? -sort.sign : column.number ? -1 : 1;
      sorts[id] = { title: column.title, sign };
      drawTable(id, columns, rows);
    });
    cell.append(button);
    head.append(cell);
  }
  const n = shown[id] || PAGE;
  for (const row of rows.slice(0, n)) {
    const line = element("tr", undefined, row.total ? "total" : "");
    for (const column of columns) {
      const cell = column.show ? column.show(row) : element("td", column.value(row));
      if (column.number) cell.classList.add("n");
      line.append(cell);
    }
    body.append(line);
  }
  table.append(element("thead"), body);
  table.tHead.append(head);
  const parts = [table];
  if (rows.length > n) {
    const more = element("button", `Show ${Math.min(PAGE * 5, rows.length - n)} more of ${rows.length - n}`, "more");
    more.type = "button";
    more.addEventListener("click", () => { shown[id] = n + PAGE * 5; drawTable(id, columns, rows); });
    parts.push(more);
  }
  byId(id).replaceChildren(...parts);
}

// Tables that are in the page from the beginning.
for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((cell, k) => {
    const button = element("button", cell.textContent);
    button.type = "button";
    cell.replaceChildren(button);
    button.addEventListener("click", () => {
      const up = cell.ariaSort === "descending" || (cell.ariaSort !== "ascending" && !cell.classList.contains("n"));
      for (const other of table.tHead.rows[0].cells) other.ariaSort = null;
      cell.ariaSort = up ? "ascending" : "descending";
      const value = (row) => ("value" in row.cells[k].dataset ? Number(row.cells[k].dataset.value) : row.cells[k].textContent);
      const rows = [...table.tBodies[0].rows].sort((x, y) => (up ? 1 : -1) * compared(value(x), value(y)));
      table.tBodies[0].append(...rows);
    });
  });
}

// A text that a spreadsheet would take for a formula gets an apostrophe, as in the run's own tables.
function csvCell(value) {
  let text = value === null || value === undefined ? "" : String(value);
  if (typeof value === "string" && /^'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/.test(text)) text = `'${text}`;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function save(name, rows) {
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([rows.map((row) => row.map(csvCell).join(",")).join("\r\n") + "\r\n"], { type: "text/csv" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
