// Numbers as text, as the rest of the report writes them: three digits, and the unit that suits.

const MISSING = "–";
const TIMES = [[1, "ns"], [1e3, "µs"], [1e6, "ms"], [1e9, "s"]];
const BYTES = [[1, "B"], [2 ** 10, "KiB"], [2 ** 20, "MiB"], [2 ** 30, "GiB"]];
const WRITERS = {
  ns: (value) => scaled(value, TIMES),
  B: (value) => scaled(value, BYTES),
  share: (value) => `${threeDigits(100 * value)} %`,
  ratio: (value) => `${threeDigits(value)}×`,
};

function threeDigits(value) {
  if (value === 0 || !Number.isFinite(value)) return String(value);
  const rounded = Number(value.toPrecision(3)); // 9.999 is 10.0, not 10.00
  return value.toFixed(Math.max(0, 2 - Math.floor(Math.log10(Math.abs(rounded)))));
}

function scaled(value, steps) {
  const [size, unit] = step(value, steps);
  return `${threeDigits(value / size)} ${unit}`;
}

// The largest step of which the value, rounded to three digits, is one or more.
function step(value, steps) {
  const fits = ([size]) => Math.abs(Number((value / size).toPrecision(3))) >= 1;
  return [...steps].reverse().find(fits) ?? steps[0];
}

// A value as a cell of a table, without a unit that the column's heading gives.
function written(value, unit) {
  if (value === null || value === undefined) return MISSING;
  return typeof value === "string" ? value : (WRITERS[unit] ?? threeDigits)(value);
}

function writtenInterval(low, high) {
  if (low === null || high === null) return MISSING;
  const [size, unit] = step(high, TIMES);
  return `${threeDigits(low / size)} to ${threeDigits(high / size)} ${unit}`;
}

// `1.20 to 3.40 ms`: the unit once where it is one.
function writtenRange(low, high, unit) {
  const [first, last] = [written(low, unit), written(high, unit)];
  if (first === last) return first;
  const [number, name] = first.split(" ");
  if (name && last.endsWith(` ${name}`)) return `${number} to ${last}`;
  return `${first.replace(/×$/, "")} to ${last}`;
}
