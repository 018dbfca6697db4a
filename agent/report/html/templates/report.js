// The page's behaviour. A trial's texts are read from a block of JSON and inserted as text nodes only.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const details = JSON.parse(byId("details").textContent);
  const body = document.querySelector("#table tbody");
  let rows, byMark;
  function readRows() {
    rows = Array.from(body.rows).filter((row) => row.dataset.trialRow);
    byMark = new Map(rows.map((row) => [row.dataset.trialRow, row]));
  }
  readRows();

  function element(tag, text, className) {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  }

  // --- one trial, opened -------------------------------------------------------------------------------------------
  function pairs(facts) {
    const list = element("dl");
    for (const [name, value] of facts) list.append(element("dt", name), element("dd", value));
    return list;
  }

  function changes(changed) {
    const table = element("table", undefined, "plain changes");
    for (const [name, before, after] of changed) {
      const row = table.insertRow();
      row.append(element("th", name), element("td", `${before} → ${after}`));
    }
    return table;
  }

  function differences(pre, content) {
    const kinds = { "+": "added", "-": "removed", "@": "place" };
    for (const line of content.split("\n")) pre.append(element("span", line || " ", kinds[line[0]] || "same"));
  }

  function block(text) {
    const folded = element("details");
    folded.open = text.kind === "diff";
    folded.append(element("summary", text.heading));
    const pre = element("pre");
    pre.tabIndex = 0;
    if (text.kind === "diff") differences(pre, text.content);
    else pre.textContent = text.content;
    folded.append(pre);
    if (text.left_out) {
      folded.append(element("p", `${text.left_out} characters are left out here; agent show prints all of it`, "note"));
    }
    return folded;
  }

  function fill(cell, found) {
    cell.append(pairs(found.facts));
    if (found.changed.length) cell.append(element("h3", "changed parameters"), changes(found.changed));
    if (found.evidence.length) cell.append(element("h3", "evidence of the score"), pairs(found.evidence));
    for (const text of found.texts) cell.append(block(text));
  }

  function opened(mark) {
    const row = element("tr", undefined, "details");
    const cell = row.insertCell();
    cell.colSpan = byMark.get(mark).cells.length;
    if (details[mark]) fill(cell, details[mark]);
    // A live page fetches a trial when it is opened; see live.js.
    else document.dispatchEvent(new CustomEvent("trial-opened", { detail: { mark, cell, fill: (found) => fill(cell, found) } }));
    return row;
  }

  const detailsOf = (row) => (row.nextElementSibling?.classList.contains("details") ? row.nextElementSibling : null);

  function setOpen(row, open) {
    const below = detailsOf(row);
    if (open === Boolean(below)) return;
    if (open) row.after(opened(row.dataset.trialRow));
    else below.remove();
    row.classList.toggle("opened", open);
    row.querySelector(".open").setAttribute("aria-expanded", String(open));
  }

  function reveal(mark) {
    const row = byMark.get(mark);
    if (!row) return;
    if (row.hidden) {
      byId("filters").reset();
      filter();
    }
    setOpen(row, true);
    row.scrollIntoView({ block: "center" });
    row.querySelector(".open").focus({ preventScroll: true });
  }

  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr[data-trial-row]");
    if (!row || String(getSelection())) return;
    setOpen(row, !detailsOf(row));
  });

  // --- sorting and filtering ---------------------------------------------------------------------------------------
  const headings = Array.from(document.querySelectorAll("#table thead th"));

  function sortBy(column, descending) {
    const text = (row) => row.cells[column].textContent.trim();
    const numeric = headings[column].classList.contains("number");
    const known = rows.filter((row) => text(row) !== "");
    const missing = rows.filter((row) => text(row) === "");
    const sign = descending ? -1 : 1;
    known.sort((a, b) => sign * (numeric ? Number(text(a)) - Number(text(b)) : text(a).localeCompare(text(b))));
    const moved = document.createDocumentFragment();
    for (const row of [...known, ...missing]) {
      const below = detailsOf(row);
      moved.append(row);
      if (below) moved.append(below);
    }
    body.append(moved);
  }

  function sortAgain() {
    const column = headings.findIndex((heading) => heading.hasAttribute("aria-sort"));
    if (column >= 0) sortBy(column, headings[column].getAttribute("aria-sort") === "descending");
  }

  headings.forEach((heading, column) => {
    const button = element("button", heading.textContent);
    button.type = "button";
    heading.replaceChildren(button);
    button.addEventListener("click", () => {
      const descending = heading.getAttribute("aria-sort") === "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
      sortAgain();
    });
  });

  const columnOf = (key) => headings.findIndex((heading) => heading.dataset.key === key);
  const cellText = (row, key) => row.cells[columnOf(key)].textContent.trim();

  function filter() {
    const wanted = byId("find").value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      const fits =
        (!wanted || row.textContent.toLowerCase().includes(wanted)) &&
        (!byId("verdict").value || cellText(row, "verdict").endsWith(` ${byId("verdict").value}`)) &&
        (!byId("origin").value || cellText(row, "origin") === byId("origin").value) &&
        (!byId("run")?.value || cellText(row, "run") === byId("run").value);
      if (!fits) setOpen(row, false);
      row.hidden = !fits;
      shown += fits;
    }
    const trials = rows.length === 1 ? "trial" : "trials";
    byId("count").textContent = shown === rows.length ? `${shown} ${trials}` : `${shown} of ${rows.length} ${trials}`;
  }

  byId("filters").hidden = false;
  byId("filters").addEventListener("input", filter);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());

  // --- keys --------------------------------------------------------------------------------------------------------
  function move(step) {
    const visible = Array.from(body.rows).filter((row) => row.dataset.trialRow && !row.hidden);
    const at = visible.indexOf(document.activeElement.closest("tr"));
    const next = visible[at < 0 ? 0 : Math.min(Math.max(at + step, 0), visible.length - 1)];
    next?.querySelector(".open").focus();
  }

  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === "/" && !typing) byId("find").focus();
    else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && event.target.classList.contains("open")) {
      move(event.key === "ArrowDown" ? 1 : -1);
    } else if (event.key === "Escape") {
      const row = event.target.closest("tr");
      if (row) {
        const trial = row.classList.contains("details") ? row.previousElementSibling : row;
        setOpen(trial, false);
        trial.querySelector(".open")?.focus();
      } else if (event.target.id === "find") {
        byId("filters").reset();
        filter();
      }
      return;
    } else return;
    event.preventDefault();
  });

  // --- charts ------------------------------------------------------------------------------------------------------
  function setUpTabs(tabs) {
    const figures = Array.from(tabs.children);
    const bar = element("div", undefined, "switch");
    bar.setAttribute("role", "group");
    bar.setAttribute("aria-label", "against");
    const show = (chosen) => {
      figures.forEach((figure, i) => (figure.hidden = i !== chosen));
      Array.from(bar.children).forEach((button, i) => button.setAttribute("aria-pressed", String(i === chosen)));
    };
    figures.forEach((figure, i) => {
      figure.querySelector("figcaption").hidden = true;
      const button = element("button", figure.dataset.tab);
      button.type = "button";
      button.addEventListener("click", () => show(i));
      bar.append(button);
    });
    tabs.prepend(bar);
    show(0);
  }
  document.querySelectorAll(".tabs").forEach(setUpTabs);

  // --- a live page: live.js has replaced rows or a section -----------------------------------------------------------
  document.addEventListener("rows-replaced", () => {
    readRows();
    sortAgain();
    filter();
  });
  document.addEventListener("section-replaced", (event) => event.detail.querySelectorAll(".tabs").forEach(setUpTabs));

  const tip = byId("tip");
  document.addEventListener("pointermove", (event) => {
    const row = byMark.get(event.target.closest?.("[data-trial]")?.dataset.trial);
    tip.hidden = !row;
    if (!row) return;
    const value = cellText(row, "value");
    tip.textContent = `trial ${cellText(row, "number")}, ${cellText(row, "verdict")}${value ? `, ${value}` : ""}: ${cellText(row, "title")}`;
    const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
    const top = event.clientY + 16 + tip.offsetHeight > innerHeight ? event.clientY - tip.offsetHeight - 10 : event.clientY + 16;
    tip.style.left = `${left}px`;
    tip.style.top = `${top}px`;
  });
  document.addEventListener("click", (event) => {
    const mark = event.target.closest?.("[data-trial]")?.dataset.trial;
    if (mark) reveal(mark);
  });

  // --- theme -------------------------------------------------------------------------------------------------------
  const root = document.documentElement;
  const theme = byId("theme");
  const isDark = () =>
    root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const label = () => (theme.textContent = isDark() ? "Light" : "Dark");
  theme.hidden = false;
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    label();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", label);
  label();

  if (location.hash.startsWith("#t")) reveal(decodeURIComponent(location.hash.slice(2)));
})();
