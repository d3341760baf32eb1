// Plots that can be touched: each picture is drawn anew from its specification, when it comes into view.

const SPECS = Object.assign({}, ...SECTIONS.map((section) => section.plots));
const MOST_PANELS = 12; // of one plot over another axis
const seen = new Set();
let library;

// The plotting library is unpacked once; the page's security policy knows its hash.
function loadLibrary() {
  library ??= unpacked("library").then((text) => document.head.append(make("script", {}, text)));
  return library;
}

const watcher = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      const figure = entry.target;
      if (entry.isIntersecting) seen.add(figure);
      else seen.delete(figure);
      if (entry.isIntersecting && figure.stale) drawFigure(figure);
    }
  },
  { rootMargin: "300px" },
);

function watchPlots(section) {
  if (!document.getElementById("library")) return;
  section.shown = new Set();
  for (const figure of section.element.querySelectorAll("[data-plot]")) {
    figure.section = section;
    figure.base = SPECS[figure.dataset.plot];
    figure.stale = true;
    watcher.observe(figure);
  }
}

// After a change: what is in view is drawn at once, the rest when it comes into view.
function drawPlots(section, shown) {
  if (!document.getElementById("library")) return;
  section.shown = new Set(shown);
  for (const group of section.element.querySelectorAll("[data-drawings]")) arrange(section, group);
  for (const figure of section.element.querySelectorAll("[data-plot]")) {
    figure.stale = true;
    figure.classList.toggle("empty", !chosenValues(section, figure.base).length); // what is not there never comes into view
    if (seen.has(figure)) drawFigure(figure);
  }
}

async function drawFigure(figure) {
  figure.stale = false;
  const turn = (figure.turn = (figure.turn ?? 0) + 1);
  const spec = specOf(figure.section, figure.base);
  if (!spec) return;
  await loadLibrary();
  if (turn !== figure.turn || !window.vegaEmbed) return;
  let live = figure.querySelector(".live");
  if (!live) {
    live = make("div", { class: "live", role: "img" });
    live.setAttribute("aria-label", figure.querySelector(".still")?.getAttribute("aria-label") ?? figure.textContent);
    figure.append(live);
  }
  figure.classList.add("touchable");
  const options = { actions: false, ast: true, renderer: "svg", config: DATA.config, tooltip: { theme: "page" } };
  const { view } = await window.vegaEmbed(live, spec, options);
  live.querySelector("svg").setAttribute("aria-hidden", "true"); // the label of what holds it says what it shows
  figure.view?.finalize();
  figure.view = view;
  view.addEventListener("click", (_, item) => {
    if (item?.datum?.r !== undefined) goToRow(figure.section, item.datum.r);
  });
}

// The specification with the values that are shown, on the scale that was chosen; null where nothing is left.
function specOf(section, base) {
  const metric = base.usermeta.metric;
  const values = chosenValues(section, base);
  if (!values.length) return null;
  const spec = structuredClone({ ...base, data: { ...base.data, values } });
  if (base.usermeta.kind === "dots") keepRows(spec, values);
  const channel = base.usermeta.kind === "dots" ? "x" : "y"; // of the values
  if (metric === SPEEDUP && section.choice.baseline) delete spec.encoding[channel].scale.domain;
  const wanted = section.choice.scale;
  if (wanted && metric) scaleTo(spec, channel, wanted);
  return spec;
}

function chosenValues(section, base) {
  const shown = base.data.values.filter((value) => value.r === undefined || section.shown.has(value.r));
  return shown.map((value) => withResult(section, base, value)).filter(Boolean);
}

// A value with its case in words, and its speed-up over the baseline that was chosen.
function withResult(section, base, value) {
  if (value.r === undefined) return value;
  const full = { ...value, case: labelOf(section, value.r) };
  if (base.usermeta.metric !== SPEEDUP || !section.choice.baseline) return full;
  const ratio = speedup(section, value.r);
  if (ratio === null) return null;
  return { ...full, [base.usermeta.kind === "dots" ? "x" : "y"]: ratio, shown: written(ratio, "ratio") };
}

// Rows without anything left in them are left out.
function keepRows(spec, values) {
  const left = new Set(values.map((value) => value.row));
  const rows = spec.encoding.y.scale.domain.filter((name) => left.has(name));
  spec.height -= spec.usermeta.row * (spec.encoding.y.scale.domain.length - rows.length);
  spec.encoding.y.scale.domain = spec.encoding.y.sort = rows;
  const stays = (value) => value.row === undefined || left.has(value.row);
  for (const layer of spec.layer) if (layer.data) layer.data.values = layer.data.values.filter(stays);
}

function scaleTo(spec, channel, wanted) {
  const { scale, axis } = spec.encoding[channel];
  if (!scale || spec.encoding[channel].type !== "quantitative") return;
  const { base, nice, domain, ...rest } = scale;
  const plain = spec.usermeta.plain[channel];
  if (wanted === "linear") {
    spec.encoding[channel].scale = { ...rest, type: "linear", zero: true };
    spec.encoding[channel].axis = { ...axis, gridOpacity: 1, labelExpr: plain };
  } else if (scale.type !== "log") {
    spec.encoding[channel].scale = { ...rest, type: "log", nice: false, zero: undefined };
    spec.data.values = spec.data.values.filter((value) => value[channel] > 0);
  }
}

// Over another axis than the length: a panel for each setting of all other axes, in place of those of the page.
function arrange(section, group) {
  const own = [...group.querySelectorAll("figure:not([data-made])")];
  const metric = own.map((figure) => SPECS[figure.dataset.plot]?.usermeta.metric).find(Boolean);
  const template = section.templates[metric];
  for (const made of group.querySelectorAll("[data-made]")) made.remove();
  const over = template && section.choice.x;
  for (const figure of own) figure.hidden = Boolean(over);
  if (!over) return;
  const panels = panelsOver(section, metric, over);
  const most = group.classList.contains("one") ? 1 : MOST_PANELS;
  for (const [title, values] of panels.slice(0, most)) {
    const caption = make("figcaption", {}, title);
    const figure = make("figure", { "data-made": "", "data-plot": "" }, caption);
    figure.section = section;
    figure.base = overAxis(template, over, values);
    group.append(figure);
    watcher.observe(figure);
  }
  if (!panels.length) group.append(make("p", { "data-made": "", class: "small quiet" }, `Nothing was measured at two values of ${over}.`));
}

// The panels with most points come first.
function panelsOver(section, metric, axis) {
  const groups = new Map();
  for (const row of section.shown) {
    const axes = section.cases[section.rows.case[row]].axes;
    const y = valueOf(section, metric, row);
    if (typeof y !== "number" || axes[axis] === null || axes[axis] === undefined) continue;
    const others = Object.entries(axes).filter(([name]) => name !== axis);
    const title = others.map(([name, value]) => `${name} ${value}`).join(", ") || "all cases";
    const interval = metric === "latency_ns" ? { low: section.rows.low[row], high: section.rows.high[row] } : {};
    const column = section.columns.find((one) => one.name === metric);
    const value = { name: nameOf(section, row), x: axes[axis], y, shown: written(y, column.unit), r: row, ...interval };
    if (interval.low) value.interval = writtenInterval(interval.low, interval.high);
    if (!groups.has(title)) groups.set(title, []);
    groups.get(title).push(value);
  }
  const spread = ([, values]) => new Set(values.map((value) => value.x)).size > 1;
  return [...groups].filter(spread).sort((a, b) => b[1].length - a[1].length);
}

function overAxis(template, axis, values) {
  const spec = structuredClone(template);
  spec.data.values = values;
  const places = [...new Set(values.map((value) => value.x))].sort((a, b) => collator.compare(a, b));
  const numbers = places.every((place) => typeof place === "number");
  const known = { field: "x", title: axis };
  if (numbers) {
    const type = places.every((place) => place > 0) ? "log" : "linear";
    const scale = type === "log" ? { type, nice: false, padding: 12 } : { type, zero: false, padding: 12 };
    spec.encoding.x = { ...known, type: "quantitative", scale, axis: { values: places, grid: false } };
  } else {
    for (const value of values) value.x = String(value.x);
    spec.encoding.x = { ...known, type: "nominal", sort: places.map(String), axis: { labelAngle: 0, grid: false } };
    spec.layer = spec.layer.filter((layer) => layer.mark.type !== "line");
  }
  return spec;
}
