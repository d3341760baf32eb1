// The table of results: a page of its rows, links to each, and all that are shown as CSV.

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function drawTable(section, ordered) {
  const table = document.getElementById(`${section.key}-table`);
  const pages = Math.max(1, Math.ceil(ordered.length / DATA.rowsPerPage));
  const page = Math.min(pages, Math.max(1, Math.floor(Number(section.choice.page)) || 1));
  const start = (page - 1) * DATA.rowsPerPage;
  const rows = ordered.slice(start, start + DATA.rowsPerPage);
  table.tBodies[0].replaceChildren(...rows.map((row) => line(section, row)));
  for (const heading of table.tHead.rows[0].cells) {
    const falling = section.choice.sort === `-${heading.dataset.column}`;
    const sorted = falling || section.choice.sort === heading.dataset.column;
    if (sorted) heading.setAttribute("aria-sort", falling ? "descending" : "ascending");
    else heading.removeAttribute("aria-sort");
  }
  drawPager(section, ordered.length, page, pages, start);
}

function line(section, row) {
  const id = `${section.key}-row-${row}`;
  const state = section.rows.state[row];
  const link = make("a", { href: `#${id}` }, nameOf(section, row));
  const outcome = { class: `name ${state}`, title: section.rows.reasons[row] };
  const cells = section.columns.map((column) => {
    const kind = column.numeric ? "number" : column.name === "flags" ? "flags" : "name";
    const more = section.headlines.includes(column.name) ? "" : " more";
    return make("td", { class: kind + more }, textOf(section, column, row));
  });
  return make(
    "tr",
    { id, class: section.rows.timed[row] ? undefined : "out" },
    make("th", { scope: "row", class: "name pinned" }, link),
    make("td", { class: "name case", title: caseOf(section, row) }, labelOf(section, row)),
    make("td", outcome, valueOf(section, "outcome", row)),
    ...cells,
    make("td", { class: "more" }, commandOf(section, row)),
  );
}

function commandOf(section, row) {
  const command = again(section, row);
  const copy = make("button", { type: "button", onclick: () => copyText(command) }, "copy");
  return make("details", { class: "again" }, make("summary", {}, "command"), make("code", {}, command), " ", copy);
}

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    say("copied");
  } catch {
    say("it could not be copied: select it instead");
  }
}

function say(text) {
  const place = document.getElementById("said");
  place.textContent = text;
  place.classList.remove("hidden");
  setTimeout(() => place.classList.add("hidden"), 2000);
}

function drawPager(section, total, page, pages, start) {
  const place = section.element.querySelector("[data-pager]");
  const turn = (to) => change(section, { page: to > 1 ? String(to) : "" }, "table");
  const button = (text, to) => {
    const made = make("button", { type: "button", onclick: () => turn(to) }, text);
    made.disabled = to < 1 || to > pages;
    return made;
  };
  const count = (number) => number.toLocaleString("en");
  const last = Math.min(total, start + DATA.rowsPerPage);
  const told = total ? `rows ${count(start + 1)} to ${count(last)} of ${count(total)}` : "no row has all of that";
  const turning = pages > 1 ? [button("‹ before", page - 1), button("next ›", page + 1)] : [];
  place.replaceChildren(make("div", { class: "pager" }, make("span", { role: "status" }, told), ...turning));
}

function goToRow(section, row) {
  const ordered = sortedRows(section, chosenRows(section));
  const place = ordered.indexOf(row);
  if (place < 0) Object.assign(section.choice, { ...noChoice(), sort: section.choice.sort });
  const found = place < 0 ? sortedRows(section, chosenRows(section)).indexOf(row) : place;
  const page = Math.floor(found / DATA.rowsPerPage) + 1;
  section.choice.page = page > 1 ? String(page) : "";
  refresh(section);
  mark(`${section.key}-row-${row}`);
}

// Scrolls to an element and marks it; the address says so.
function mark(id) {
  for (const old of document.querySelectorAll(".marked")) old.classList.remove("marked");
  const element = document.getElementById(id);
  if (!element) return;
  if (element.tagName === "TR") element.classList.add("marked");
  element.scrollIntoView({ block: element.tagName === "TR" ? "center" : "start" });
  writeAddress(id);
}

// All rows that are shown, in their order, in stored units.
function csvOf(section) {
  const columns = ["implementation", "case", "outcome", ...section.columns.map((column) => column.name)];
  const extra = ["case_id", "ci_low_ns", "ci_high_ns", "again"];
  const lines = sortedRows(section, chosenRows(section)).map((row) => [
    ...columns.map((column) => valueOf(section, column, row)),
    caseOf(section, row),
    section.rows.low[row],
    section.rows.high[row],
    again(section, row),
  ]);
  return [[...columns, ...extra], ...lines].map((cells) => cells.map(csvCell).join(",") + "\r\n").join("");
}

const FORMULA = /^\s*[=+\-@\t\r\n|%＝＋－＠]/;
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

// A word that a spreadsheet would take for a formula begins with an apostrophe, as in files of ours.
function csvCell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  const text = FORMULA.test(value) && !NUMBER.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function saveCsv(section) {
  const url = URL.createObjectURL(new Blob([csvOf(section)], { type: "text/csv" }));
  make("a", { href: url, download: `${section.run}-${section.operator}.csv`.replace(/[^\w.-]/g, "_") }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
