// The page's behaviour. A trial's texts are read from a block of JSON and inserted as text nodes only.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
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

  // The details of all trials: JSON, compressed with gzip and written as base64; see page.py.
  async function unpacked() {
    const bytes = Uint8Array.from(atob(byId("details").textContent), (character) => character.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
  }
  const details = unpacked();

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

  // A line is [number, unchanged text, changed text, unchanged text, ...]; null: it has no counterpart.
  function side(line, kind) {
    if (!line) return [element("span", undefined, "ln none"), element("code", undefined, "none")];
    const [number, ...pieces] = line;
    const code = element("code", undefined, kind);
    const marks = pieces.some((piece, i) => i % 2 === 0 && piece);
    pieces.forEach((piece, i) => code.append(marks && i % 2 ? element("b", piece) : piece));
    return [element("span", number, "ln"), code];
  }

  // Rows are as DiffRow.to_json writes them: the number of folded lines, [left, right] or [left, right number].
  function sideBySide(rows) {
    const diff = element("div", undefined, "diff");
    for (const row of rows) {
      if (typeof row === "number") {
        diff.append(element("p", `${row} unchanged lines`, "fold"));
        continue;
      }
      const [left, right] = row;
      const isSame = typeof right === "number";
      const pair = element("div", undefined, isSame ? "pair same" : "pair");
      pair.append(...side(left, isSame ? undefined : "removed"));
      pair.append(...(isSame ? side([right, left[1]]) : side(right, "added")));
      if (isSame) pair.lastChild.ariaHidden = "true";
      diff.append(pair);
    }
    return diff;
  }

  // A line is its text, or [classes, text] for each run of one style.
  function terminalLog(lines) {
    const pre = element("pre");
    for (const line of lines) {
      for (const [classes, text] of typeof line === "string" ? [["", line]] : line) {
        pre.append(classes ? element("span", text, classes) : text);
      }
      pre.append("\n");
    }
    return pre;
  }

  function block(text) {
    const folded = element("details");
    folded.open = text.kind === "diff";
    folded.append(element("summary", text.heading));
    const make = { diff: sideBySide, log: terminalLog }[text.kind] ?? ((content) => element("pre", content));
    const shown = make(text.content);
    if (text.kind !== "diff") shown.tabIndex = 0;
    folded.append(shown);
    if (text.left_out) {
      folded.append(element("p", `${text.left_out} characters are left out here; agent show prints all of it`, "note"));
    }
    return folded;
  }

  function fill(panel, mark, found) {
    const link = element("a", "link to this trial", "link");
    link.href = `#t${mark}`;
    panel.replaceChildren(link, pairs(found.facts));
    if (found.changed.length) panel.append(element("h3", "changed parameters"), changes(found.changed));
    const [diffs, others] = [true, false].map((wanted) => found.texts.filter((text) => (text.kind === "diff") === wanted));
    for (const text of diffs) panel.append(block(text));
    if (found.evidence.length) panel.append(element("h3", "evidence of the score"), pairs(found.evidence));
    if (found.conditions.length) {
      const heading = mark.endsWith("/0") ? "environment" : "environment: what differs from the baseline's";
      panel.append(element("h3", heading), pairs(found.conditions));
    }
    for (const text of others) panel.append(block(text));
  }

  function opened(mark) {
    const row = element("tr", undefined, "details");
    const cell = row.insertCell();
    cell.colSpan = byMark.get(mark).cells.length;
    const panel = element("div", "loading", "panel");
    cell.append(panel);
    const show = (found) => fill(panel, mark, found);
    details.then(
      // A live page fetches a trial when it is opened; see live.js.
      (all) => (all[mark] ? show(all[mark]) : document.dispatchEvent(new CustomEvent("trial-opened", { detail: { mark, cell: panel, fill: show } }))),
      () => (panel.textContent = "This browser is too old to show a trial; `agent show` prints it."),
    );
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

  // The address names the trial that was opened last, so that it can be sent, and so that Back returns to the one before.
  function linked() {
    if (!location.hash.startsWith("#t")) return "";
    try {
      return decodeURIComponent(location.hash.slice(2));
    } catch {
      return ""; // no address of ours, such as `#t%`
    }
  }

  function remember(mark) {
    try {
      if (linked() !== mark) history.pushState(null, "", `#t${mark}`);
    } catch {
      // A page inside another one may have no address to change.
    }
    shown = linked();
  }

  function toggle(row) {
    const open = !detailsOf(row);
    const mark = row.dataset.trialRow;
    setOpen(row, open);
    if (open) remember(mark);
    else if (linked() === mark) {
      history.replaceState(null, "", location.pathname + location.search);
      shown = "";
    }
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

  let shown = "";
  function follow() {
    const mark = linked();
    if (mark === shown) return;
    if (byMark.has(shown)) setOpen(byMark.get(shown), false);
    shown = mark;
    reveal(mark);
  }
  addEventListener("popstate", follow);
  addEventListener("hashchange", follow);

  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr[data-trial-row]");
    if (!row || String(getSelection())) return;
    toggle(row);
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
  const visible = () => rows.filter((row) => !row.hidden);

  // Moves to the row `step` rows away from the selected one; without a selected one, to the first row.
  function move(step) {
    const found = Array.from(body.rows).filter((row) => row.dataset.trialRow && !row.hidden);
    const at = found.indexOf(rowOf(document.activeElement));
    const next = found[at < 0 ? 0 : Math.min(Math.max(at + step, 0), found.length - 1)];
    next?.querySelector(".open").focus();
    next?.scrollIntoView({ block: "nearest" });
  }

  function rowOf(target) {
    const row = target.closest("#table tbody tr");
    return row?.classList.contains("details") ? row.previousElementSibling : row;
  }

  // Arrows select a row from the page itself, from a row and from Find; elsewhere they keep their own meaning.
  const selects = (target) => target === document.body || target.matches(".open, #find, #trials > .scroll");

  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
    if (event.key === "/" && !typing) byId("find").focus();
    else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && selects(event.target)) {
      if (event.key === "ArrowUp" && event.target.id === "find") return;
      move(event.key === "ArrowDown" ? 1 : -1);
    } else if (event.key === "Enter" && event.target.id === "find") {
      if (visible().length === 1) reveal(visible()[0].dataset.trialRow);
    } else if (event.key === "Escape") {
      const row = rowOf(event.target);
      if (row) {
        if (detailsOf(row)) toggle(row);
        row.querySelector(".open").focus();
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

  document.addEventListener("open-trial", (event) => {
    reveal(event.detail);
    remember(event.detail);
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

  follow();
})();
