// The rows of a section: which are shown, in which order, and what stands in each column.

const INTERVAL = "interval";
const SPEEDUP = "speedup";
const collator = new Intl.Collator("en", { numeric: true });

const nameOf = (section, row) => section.implementations[section.rows.implementation[row]].name;
const caseOf = (section, row) => section.cases[section.rows.case[row]].id;
const labelOf = (section, row) => section.cases[section.rows.case[row]].label;

// A column's value in a row: a number, a word, or null; a speed-up is over the baseline that was chosen.
function valueOf(section, column, row) {
  if (column === "implementation") return nameOf(section, row);
  if (column === "case") return labelOf(section, row);
  if (column === "outcome") return section.outcomes[section.rows.outcome[row]];
  if (column === SPEEDUP && section.choice.baseline) return speedup(section, row);
  return section.rows.values[column]?.[row] ?? null;
}

function remarkOn(section, column, row) {
  return section.rows.remarks[column]?.[row];
}

function textOf(section, column, row) {
  if (column.name === INTERVAL) return writtenInterval(section.rows.low[row], section.rows.high[row]);
  const remark = remarkOn(section, column.name, row);
  const text = written(valueOf(section, column.name, row), column.unit);
  return remark ? `${text} (${remark})` : text;
}

// Only times of one method on one case are set against each other.
function speedup(section, row) {
  const { rows, choice } = section;
  const base = rowOf(section, choice.baseline, rows.case[row]);
  const [own, other] = [row, base].map((one) => (one === undefined ? null : rows.values.latency_ns?.[one]));
  return own && other && rows.method[row] === rows.method[base] ? other / own : null;
}

function rowOf(section, implementation, place) {
  if (!section.index) {
    section.index = new Map();
    section.rows.case.forEach((one, row) => section.index.set(`${one} ${nameOf(section, row)}`, row));
  }
  return section.index.get(`${place} ${implementation}`);
}

// The command that takes a row's figures again, quoted for a shell.
function again(section, row) {
  const [head, tail] = section.command;
  return `${head} --impl ${quoted(nameOf(section, row))} --case ${quoted(caseOf(section, row))}${tail}`;
}

function quoted(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'"'"'`)}'`;
}

// Rows that are shown, in the table's own order.
function chosenRows(section) {
  const { rows, choice } = section;
  const words = choice.words.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (row) =>
    !choice.hidden.implementations.has(rows.implementation[row]) &&
    !choice.hidden.cases.has(rows.case[row]) &&
    (!words.length || words.every((word) => searched(section, row).includes(word)));
  return [...rows.case.keys()].filter(fits);
}

function searched(section, row) {
  const flags = section.rows.values.flags?.[row] ?? "";
  return [nameOf(section, row), caseOf(section, row), labelOf(section, row), valueOf(section, "outcome", row), flags].join(" ").toLowerCase();
}

// What has no value stays last, whichever way.
function sortedRows(section, shown) {
  const falling = section.choice.sort.startsWith("-");
  const column = section.choice.sort.replace(/^-/, "");
  if (!column) return shown;
  const keyed = shown.map((row) => [valueOf(section, column, row), row]);
  const order = ([a, first], [b, second]) => {
    if (a === null || b === null) return (a === null) - (b === null) || first - second;
    const least = typeof a === "number" ? a - b : collator.compare(a, b);
    return (falling ? -least : least) || first - second;
  };
  return keyed.sort(order).map(([, row]) => row);
}
