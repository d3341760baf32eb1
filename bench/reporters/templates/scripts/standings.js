// The first table: each implementation over the cases that are shown.

function drawStandings(section, shown) {
  const table = section.element.querySelector("table.standings");
  if (!table) return;
  const byName = new Map();
  for (const row of shown) {
    const name = nameOf(section, row);
    if (!byName.has(name)) byName.set(name, []);
    byName.get(name).push(row);
  }
  const columns = section.headlines.map((name) => section.columns.find((column) => column.name === name));
  for (const line of table.tBodies[0].rows) {
    const rows = byName.get(line.dataset.implementation) ?? [];
    line.hidden = !rows.length;
    if (!rows.length) continue;
    const [, right, fastest, ...figures] = line.cells;
    right.textContent = rightText(section, rows);
    fastest.textContent = fastestIn(section, rows) || MISSING;
    figures.forEach((cell, place) => (cell.textContent = figureText(section, columns[place], rows)));
  }
  const base = section.element.querySelector("[data-baseline]");
  if (base) base.textContent = section.choice.baseline || section.baseline;
}

function rightText(section, rows) {
  const wrong = rows.filter((row) => section.rows.state[row] === "wrong").length;
  if (wrong) return `${wrong} of ${rows.length} wrong`;
  if (rows.every((row) => valueOf(section, "outcome", row) === "unchecked")) return "unchecked";
  const passed = rows.filter((row) => valueOf(section, "outcome", row).startsWith("passed")).length;
  return `${passed} of ${rows.length}`;
}

function fastestIn(section, rows) {
  const { picks, rows: all } = section;
  return rows.filter((row) => picks[all.case[row]]?.includes(all.implementation[row])).length;
}

function figureText(section, column, rows) {
  const known = rows.filter((row) => !remarkOn(section, column.name, row));
  const values = known.map((row) => valueOf(section, column.name, row)).filter((value) => typeof value === "number");
  if (!values.length) return rows.map((row) => remarkOn(section, column.name, row)).find(Boolean) ?? MISSING;
  const high = values.reduce((a, b) => Math.max(a, b));
  const low = column.name === "error_of_budget" ? high : values.reduce((a, b) => Math.min(a, b));
  return writtenRange(low, high, column.unit);
}
