// What the reader chose, for each section; it is kept in the address, so that a link shows the same.

const DATA = JSON.parse(await unpacked("data"));
const SECTIONS = DATA.sections;
const TEXTS = ["baseline", "x", "scale", "sort", "words", "page"]; // "" where nothing was chosen

for (const section of SECTIONS) section.choice = noChoice();

// The text of an element that holds it as gzip in base64.
async function unpacked(id) {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (c) => c.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

function noChoice() {
  const texts = Object.fromEntries(TEXTS.map((name) => [name, ""]));
  return { ...texts, hidden: { implementations: new Set(), cases: new Set() } };
}

// `s0.scale=linear&s0.without=naive&at=s0-row-3`: names, for a number would mean another after the next run.
function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const section of SECTIONS) {
    const choice = (section.choice = noChoice());
    for (const name of TEXTS) choice[name] = given.get(`${section.key}.${name}`) ?? "";
    choice.hidden.implementations = hiddenOf(given, section, "", section.implementations.map((one) => one.name));
    choice.hidden.cases = hiddenOf(given, section, "-case", section.cases.map((one) => one.id));
  }
  return given.get("at") ?? (location.hash.includes("=") ? "" : [...given.keys()].join("&"));
}

// Either the names that are shown or those that are not, whichever are fewer.
function hiddenOf(given, section, what, names) {
  const [only, without] = ["only", "without"].map((word) => given.getAll(`${section.key}.${word}${what}`));
  const known = only.filter((name) => names.includes(name));
  const hidden = known.length ? (name) => !known.includes(name) : (name) => without.includes(name);
  return new Set(names.map((_, place) => place).filter((place) => hidden(names[place])));
}

function writeAddress(at) {
  const given = new URLSearchParams();
  for (const section of SECTIONS) {
    const { choice, key } = section;
    for (const name of TEXTS) if (choice[name]) given.set(`${key}.${name}`, choice[name]);
    addHidden(given, `${key}.`, "", choice.hidden.implementations, section.implementations.map((one) => one.name));
    addHidden(given, `${key}.`, "-case", choice.hidden.cases, section.cases.map((one) => one.id));
  }
  if (at) given.set("at", at);
  const address = given.toString();
  history.replaceState(null, "", address ? `#${address}` : location.pathname + location.search);
}

function addHidden(given, start, what, hidden, names) {
  const shown = names.filter((_, place) => !hidden.has(place));
  const fewer = shown.length && shown.length < hidden.size;
  const listed = fewer ? shown : names.filter((_, place) => hidden.has(place));
  for (const name of listed) given.append(`${start}${fewer ? "only" : "without"}${what}`, name);
}
