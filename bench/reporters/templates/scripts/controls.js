// Chips, lists and fields: each changes what was chosen, and plots and tables follow.

const MOST_CHIPS = 60; // cases beyond that are found by the field of words
const SCALES = { "": "as drawn", log: "logarithmic", linear: "linear" };

function drawControls(section) {
  const place = section.element.querySelector("[data-controls]");
  const parts = [chips(section, "implementations", section.implementations)];
  const lists = make("div", { class: "lists" });
  const timed = new Set([...section.rows.case.keys()].filter((row) => section.rows.timed[row]).map((row) => nameOf(section, row)));
  if (timed.size > 1) {
    const names = Object.fromEntries([...timed].sort(collator.compare).map((name) => [name, name]));
    lists.append(list(section, "baseline", { "": section.baseline ? `as in the run` : "none", ...names }));
  }
  const axes = Object.keys(section.cases[0]?.axes ?? {}).filter((axis) => axis !== section.lengthAxis);
  if (axes.length && Object.keys(section.templates).length && document.getElementById("library")) {
    lists.append(list(section, "x", { "": section.lengthAxis ?? "none", ...Object.fromEntries(axes.map((axis) => [axis, axis])) }, "axis of x"));
  }
  if (document.getElementById("library")) lists.append(list(section, "scale", SCALES));
  const offered = [...lists.querySelectorAll("select")].map((select) => select.name);
  for (const name of ["baseline", "x", "scale"]) {
    if (!offered.includes(name)) section.shows.push(() => (section.choice[name] = "")); // an address may hold anything
  }
  lists.append(words(section));
  parts.push(lists);
  if (section.cases.length > 1 && section.cases.length <= MOST_CHIPS) {
    const named = section.cases.map((one) => ({ name: one.label, title: one.id }));
    parts.push(make("details", { class: "cases" }, make("summary", {}), chips(section, "cases", named)));
  }
  const all = make("details", { class: "controls" }, make("summary", {}, "choose what is shown"), make("div", {}, ...parts));
  all.open = matchMedia("(min-width: 62rem)").matches;
  place.append(all);
  section.element.querySelector("[data-table-controls]").append(
    make("button", { type: "button", class: "save", onclick: () => saveCsv(section) }, "Download what is shown as CSV"),
  );
}

function chips(section, what, entries) {
  const group = make("div", { class: "chips", role: "group", "aria-label": `${what} of ${section.operator}` });
  const hidden = () => section.choice.hidden[what];
  entries.forEach((entry, place) => {
    const toggle = (event) => {
      const now = new Set(hidden());
      if (event.shiftKey || event.altKey) entries.forEach((_, other) => (other === place ? now.delete(other) : now.add(other)));
      else if (!now.delete(place)) now.add(place);
      section.choice.hidden[what] = now;
      change(section, { page: "" });
    };
    const title = `${entry.title ?? entry.name}\nShift and click: this one alone`;
    const chip = make("button", { type: "button", class: "chip", title, onclick: toggle }, make("span", {}, entry.name));
    if (what === "implementations") chip.prepend(symbol(section, entry.name));
    group.append(chip);
  });
  const all = (empty) => () => {
    section.choice.hidden[what] = new Set(empty ? [] : entries.keys());
    change(section, { page: "" });
  };
  group.append(make("button", { type: "button", class: "all", onclick: all(true) }, "all"));
  group.append(make("button", { type: "button", class: "all", onclick: all(false) }, "none"));
  group.show = () => {
    const buttons = group.querySelectorAll(".chip");
    buttons.forEach((chip, place) => chip.setAttribute("aria-pressed", String(!hidden().has(place))));
    const summary = group.closest("details.cases")?.querySelector("summary");
    if (summary) summary.textContent = `${what}: ${entries.length - hidden().size} of ${entries.length}`;
  };
  section.shows.push(group.show);
  return group;
}

// The mark of an implementation, as in the first table.
function symbol(section, name) {
  const rows = [...section.element.querySelectorAll("table.standings tbody tr")];
  return rows.find((row) => row.dataset.implementation === name)?.querySelector("svg.mark")?.cloneNode(true) ?? "";
}

function list(section, name, options, label = name) {
  const select = make("select", { name, onchange: () => change(section, { [name]: select.value }) });
  for (const [value, text] of Object.entries(options)) select.append(make("option", { value }, text));
  section.shows.push(() => {
    select.value = section.choice[name];
    if (select.selectedIndex < 0) section.choice[name] = select.value = "";
  });
  return make("label", {}, `${label} `, select);
}

function words(section) {
  const field = make("input", { type: "search", placeholder: "any words", oninput: () => change(section, { words: field.value, page: "" }) });
  section.shows.push(() => {
    if (document.activeElement !== field) field.value = section.choice.words;
  });
  return make("label", {}, "rows with ", field);
}
