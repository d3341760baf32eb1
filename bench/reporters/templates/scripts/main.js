// Puts it together: what is chosen is read from the address, and everything is drawn from it.

// After a choice; `what` is "table" where plots stay as they are.
function change(section, chosen, what = "all") {
  Object.assign(section.choice, chosen);
  refresh(section, what);
  writeAddress();
}

function refresh(section, what = "all") {
  for (const show of section.shows) show();
  const shown = chosenRows(section);
  drawTable(section, sortedRows(section, shown));
  if (what === "table") return;
  drawStandings(section, shown);
  drawPlots(section, shown);
  hint();
}

function start() {
  const at = readAddress();
  for (const section of SECTIONS) {
    section.element = document.getElementById(section.key);
    section.shows = [];
    if (!section.rows.case.length) continue;
    drawControls(section);
    watchPlots(section);
    refresh(section);
  }
  go(at);
}

// To a part of the page or a row of a table, which may be on another page of it.
function go(id) {
  const found = /^(s\d+)-row-(\d+)$/.exec(id);
  const section = found && SECTIONS.find((one) => one.key === found[1]);
  if (section && Number(found[2]) < section.rows.case.length) goToRow(section, Number(found[2]));
  else if (id) mark(id);
}

// Tables that are wider than their place say so.
function hint() {
  for (const region of document.querySelectorAll(".scroll")) {
    const more = region.scrollWidth > region.clientWidth + 1;
    region.classList.toggle("wide", more);
    const next = region.nextElementSibling;
    if (more && !next?.classList.contains("hint")) region.after(make("p", { class: "hint" }, "↔ the table goes on to the right: scroll it sideways"));
    if (!more && next?.classList.contains("hint")) next.remove();
  }
}

document.addEventListener("click", (event) => {
  const heading = event.target.closest("th[data-column] button")?.closest("th");
  const link = event.target.closest('a[href^="#"]');
  if (heading) {
    const section = SECTIONS.find((one) => one.element.contains(heading));
    const rising = section.choice.sort === heading.dataset.column;
    change(section, { sort: (rising ? "-" : "") + heading.dataset.column, page: "" }, "table");
  } else if (link) {
    event.preventDefault();
    go(link.getAttribute("href").slice(1));
  }
});
addEventListener("hashchange", () => {
  const at = readAddress();
  for (const section of SECTIONS) if (section.rows.case.length) refresh(section);
  go(at);
});
addEventListener("resize", hint);
start();
