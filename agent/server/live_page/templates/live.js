// Keeps a page of `agent serve` up to date. The server sends the version of the page's data; when it differs from the
// version shown, the page is fetched and its changed parts are replaced. What the reader has open stays open.
"use strict";
(() => {
  const RETRY = 5_000; // milliseconds until a page that was refused tries again
  const ANSWER = 60_000; // milliseconds after which a request without a whole answer is given up: its connection may be dead
  const SILENCE = 45_000; // milliseconds without any event after which a connection is taken as dead
  const address = document.body.dataset.live;
  const under = address === "/" ? "" : address;
  const runs = (document.body.dataset.runs ?? "").split(" ");
  const rowsIn = (root) => Array.from(root.querySelectorAll("#table tbody tr[data-trial-row]"));
  const keyOf = (node) => node.id || node.getAttribute("aria-label") || node.className;
  const dispatch = (name, detail) => document.dispatchEvent(new CustomEvent(name, { detail }));

  // The page as the server sent it: this script runs before any other has changed it.
  const sections = new Map(Array.from(document.querySelector("main").children, (node) => [keyOf(node), node.outerHTML]));
  const rows = new Map(rowsIn(document).map((row) => [row.dataset.trialRow, row.outerHTML]));

  // --- what the reader sees of the connection ------------------------------------------------------------------------
  let isLost = false;
  function say(text, lost) {
    const line = document.getElementById("connection");
    if (!line) return;
    line.textContent = text;
    line.classList.toggle("lost", Boolean(lost));
    isLost = Boolean(lost);
    document.getElementById("work")?.classList.toggle("lost", isLost);
  }
  const upToDate = () => say(`up to date, ${new Date().toLocaleTimeString()}`);

  // --- what the runs are doing: text only, sent beside the page ------------------------------------------------------
  const WORK = ["place", "subject", "phase", "what", "since", "line"];
  function workItem() {
    const item = document.createElement("li");
    const doing = document.createElement("span");
    doing.className = "doing";
    const made = Object.fromEntries(
      WORK.map((name) => {
        const node = document.createElement(name === "subject" ? "strong" : name === "line" ? "code" : "span");
        node.className = name;
        return [name, node];
      }),
    );
    doing.append(made.subject, " ", made.phase, " ", made.what);
    item.append(made.place, " ", doing, " ", made.since, " ", made.line);
    return item;
  }

  function write(node, text) {
    if (node.textContent !== text) node.textContent = text;
  }

  function showWork({ now, work }) {
    if (!Array.isArray(work)) {
      for (const node of document.querySelectorAll("[data-work]")) write(node, work[node.dataset.work] ?? "");
      return;
    }
    const section = document.getElementById("work");
    if (!section) return;
    section.hidden = !work.length;
    const list = section.querySelector("ul");
    while (list.children.length > work.length) list.lastElementChild.remove();
    work.forEach((item, i) => {
      if (!list.children[i]?.querySelector(".subject")) {
        const made = workItem();
        if (list.children[i]) list.children[i].replaceWith(made);
        else list.append(made);
      }
      const node = list.children[i];
      node.classList.toggle("idle", !item.subject);
      const texts = { ...item, place: [item.run, item.place].filter(Boolean).join(" · "), what: item.title, line: item.line ?? "" };
      for (const name of ["place", "subject", "phase", "what", "line"]) write(node.querySelector(`.${name}`), texts[name]);
      node.querySelector(".line").hidden = item.line === null;
      begin(node.querySelector(".since"), item.began === null ? null : now - item.began);
    });
  }

  // The clock of this machine may differ from the server's, so only differences of times count.
  const begun = new WeakMap();
  function begin(node, seconds) {
    begun.set(node, seconds === null ? null : performance.now() - 1000 * Math.max(0, seconds));
    tick(node);
  }
  function tick(node) {
    const from = begun.get(node);
    if (from == null) return write(node, "");
    const seconds = Math.floor((performance.now() - from) / 1000);
    const two = (number) => String(number).padStart(2, "0");
    const days = Math.floor(seconds / 86_400);
    const clock = `${Math.floor((seconds % 86_400) / 3600)}:${two(Math.floor((seconds % 3600) / 60))}:${two(seconds % 60)}`;
    write(node, days ? `${days} day${days > 1 ? "s" : ""}, ${clock}` : clock);
  }
  const times = () => document.querySelectorAll("#work .since");
  for (const node of times()) begin(node, "seconds" in node.dataset ? Number(node.dataset.seconds) : null);
  setInterval(() => isLost || times().forEach(tick), 1000);

  // --- replacing what has changed ------------------------------------------------------------------------------------
  function matching(nodes, like) {
    return Array.from(nodes).find((node) => node.textContent.trim() === like.textContent.trim());
  }

  function keepState(old, made) {
    for (const open of old.querySelectorAll("details[open] > summary")) {
      const same = matching(made.querySelectorAll("details > summary"), open);
      if (same) same.parentElement.open = true;
    }
    for (const field of old.querySelectorAll("form[data-post] input")) {
      const form = Array.from(made.querySelectorAll("form")).find((each) => each.dataset.post === field.form.dataset.post);
      const same = form?.elements[field.name];
      if (same) same.value = field.value;
    }
  }

  function replaceSection(old, made) {
    keepState(old, made);
    const pressed = Array.from(old.querySelectorAll('.switch [aria-pressed="true"]'));
    const scrolled = Array.from(old.querySelectorAll(".scroll"), (node) => [node.scrollLeft, node.scrollTop]);
    const active = old.contains(document.activeElement) ? document.activeElement : null;
    old.replaceWith(made);
    dispatch("section-replaced", made);
    for (const button of pressed) matching(made.querySelectorAll('.switch [aria-pressed="false"]'), button)?.click();
    made.querySelectorAll(".scroll").forEach((node, i) => node.scrollTo(...(scrolled[i] ?? [0, 0])));
    if (active?.form) {
      const form = Array.from(made.querySelectorAll("form")).find((each) => each.dataset.post === active.form.dataset.post);
      const same = active.name ? form?.elements[active.name] : form?.querySelector("button");
      same?.focus({ preventScroll: true });
      if (active.selectionStart != null) same?.setSelectionRange?.(active.selectionStart, active.selectionEnd);
    }
  }

  function replaceRows(fresh) {
    const body = document.querySelector("#table tbody");
    const there = new Map(rowsIn(document).map((row) => [row.dataset.trialRow, row]));
    const changed = [];
    for (const row of rowsIn(fresh)) {
      const mark = row.dataset.trialRow;
      const html = row.outerHTML;
      const old = there.get(mark);
      there.delete(mark);
      if (old && rows.get(mark) === html) continue;
      const made = document.importNode(row, true);
      if (old) {
        made.className += old.classList.contains("opened") ? " opened" : "";
        made.querySelector(".open")?.setAttribute("aria-expanded", String(old.classList.contains("opened")));
        const hadFocus = old.contains(document.activeElement);
        old.replaceWith(made);
        if (hadFocus) made.querySelector(".open")?.focus({ preventScroll: true });
        changed.push(mark);
      } else body.append(made);
      rows.set(mark, html);
    }
    for (const [mark, row] of there) {
      if (row.nextElementSibling?.classList.contains("details")) row.nextElementSibling.remove();
      row.remove();
      rows.delete(mark);
    }
    for (const select of fresh.querySelectorAll("select[id]")) {
      const old = document.getElementById(select.id);
      const value = old?.value;
      old?.replaceChildren(...Array.from(select.options, (option) => document.importNode(option, true)));
      if (old) old.value = value;
    }
    dispatch("rows-replaced");
    for (const mark of changed) showAgain(mark);
  }

  function replace(next) {
    const main = document.querySelector("main");
    const there = new Map(Array.from(main.children, (node) => [keyOf(node), node]));
    let last = null;
    for (const fresh of Array.from(next.querySelector("main").children)) {
      const key = keyOf(fresh);
      const html = fresh.outerHTML;
      const old = there.get(key);
      if (old && key === "work") {
        there.delete(key); // an event has newer content than the page
        last = old;
        continue;
      }
      const isSame = old && sections.get(key) === html;
      let node = old;
      if (old && !isSame && key === "trials") replaceRows(fresh);
      else if (!isSame) {
        node = document.importNode(fresh, true);
        if (old) replaceSection(old, node);
        else {
          if (last) last.after(node);
          else main.prepend(node);
          dispatch("section-replaced", node);
        }
      }
      sections.set(key, html);
      there.delete(key);
      last = node;
    }
    for (const [key, node] of there) if (sections.delete(key)) node.remove();
    for (const block of next.querySelectorAll('script[type="application/json"][id]')) {
      const old = document.getElementById(block.id);
      if (old) old.textContent = block.textContent;
    }
    // charts.js keeps zoom and hidden series of the charts that it draws again.
    globalThis.autocentaurCharts?.draw(JSON.parse(document.getElementById("charts").textContent));
    const about = next.querySelector("header .about");
    if (about) document.querySelector("header .about")?.replaceChildren(...Array.from(about.childNodes, (node) => document.importNode(node, true)));
    document.title = next.title;
  }

  // --- fetching ------------------------------------------------------------------------------------------------------
  async function fetched(path, accept) {
    let response;
    try {
      response = await fetch(path, { headers: { accept }, signal: AbortSignal.timeout(ANSWER) });
    } catch {
      throw new Error("the server does not answer");
    }
    if (!response.ok) throw new Error((await response.text()).slice(0, 2000));
    return response;
  }

  const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
  let wanted = document.body.dataset.version;
  let isRunning = false;

  async function refresh() {
    if (isRunning) return;
    isRunning = true;
    try {
      while (wanted !== document.body.dataset.version) {
        const began = performance.now();
        const response = await fetched(`${address}?parts`, "text/html");
        const next = new DOMParser().parseFromString(await response.text(), "text/html");
        if (next.body.dataset.kind !== document.body.dataset.kind) return void location.reload();
        replace(next);
        const isNew = next.body.dataset.version !== document.body.dataset.version;
        document.body.dataset.version = next.body.dataset.version;
        upToDate();
        if (!isNew) break; // the version that is wanted is older, and the next event has the present one
        await pause(Math.min(performance.now() - began, 5000)); // a large page must not keep the server busy
      }
    } catch (error) {
      say(`${error.message} This page shows what was there before.`, true);
      setTimeout(refresh, RETRY); // the next version may never come
    } finally {
      isRunning = false;
    }
  }

  // --- versions ------------------------------------------------------------------------------------------------------
  let source = null;
  let lastEvent = performance.now(); // milliseconds
  function listen() {
    source?.close();
    lastEvent = performance.now();
    const opened = (source = new EventSource(`${under}/events`));
    const on = (name, act) =>
      opened.addEventListener(name, (event) => {
        lastEvent = performance.now();
        if (opened === source) act(event.data);
      });
    on("version", (version) => {
      wanted = version;
      if (wanted === document.body.dataset.version) upToDate();
      else refresh();
    });
    on("work", (data) => showWork(JSON.parse(data)));
    on("ping", () => isLost && wanted === document.body.dataset.version && upToDate());
    opened.addEventListener("error", () => {
      if (opened !== source) return;
      if (opened.readyState !== EventSource.CLOSED) return say("the server does not answer; this page reconnects by itself", true);
      explain().finally(() => setTimeout(() => opened === source && !document.hidden && listen(), RETRY));
    });
  }
  // An event source does not get the reason of a refusal, so the same address is requested once more.
  async function explain() {
    const request = new AbortController();
    try {
      const response = await fetch(`${under}/events`, { signal: request.signal });
      if (response.ok) return;
      const why = response.status === 403 ? "The server was started again: open the link that it printed." : (await response.text()).slice(0, 2000);
      say(why, true);
    } catch {
      say("the server does not answer; this page reconnects by itself", true);
    } finally {
      request.abort();
    }
  }
  // A browser has six connections to a server, so only pages that are looked at have one. It also ends a long sleep.
  document.addEventListener("visibilitychange", () => (document.hidden ? source?.close() : listen()));
  // After a sleep, a connection can be dead without an error, so silence counts as one: the server sends an event every 15 seconds at least.
  // A new one may be dead as well, since a browser uses its open connections again: then it never opens.
  const isSilent = () => source !== null && source.readyState !== EventSource.CLOSED && performance.now() - lastEvent > SILENCE;
  setInterval(() => !document.hidden && isSilent() && listen(), 1000);
  if (!document.hidden) listen();

  // --- a trial that is opened ----------------------------------------------------------------------------------------
  const shown = new Map(); // by mark: the cell of an opened trial, and what fills it
  async function show(mark, cell, fill) {
    shown.set(mark, { cell, fill });
    const [index, number] = mark.split("/");
    try {
      const response = await fetched(`/run/${runs[index]}/trial/${number}`, "application/json");
      const found = await response.json();
      const folded = new Map(Array.from(cell.querySelectorAll("summary"), (node) => [node.textContent, node.parentElement.open]));
      cell.replaceChildren();
      fill(found);
      for (const node of cell.querySelectorAll("summary")) {
        if (folded.has(node.textContent)) node.parentElement.open = folded.get(node.textContent);
      }
    } catch (error) {
      cell.textContent = error.message;
    }
  }
  document.addEventListener("trial-opened", ({ detail }) => {
    detail.cell.textContent = "loading";
    show(detail.mark, detail.cell, detail.fill);
  });
  function showAgain(mark) {
    const open = shown.get(mark);
    if (open?.cell.isConnected) show(mark, open.cell, open.fill);
  }

  // --- steering ------------------------------------------------------------------------------------------------------
  document.addEventListener("submit", async (event) => {
    const form = event.target.closest("form[data-post]");
    if (!form) return;
    event.preventDefault();
    if (form.dataset.question && !confirm(form.dataset.question)) return;
    const answer = document.getElementById("answer");
    const button = form.querySelector("button");
    button.disabled = true;
    answer.hidden = false;
    answer.classList.remove("failed");
    answer.textContent = `${button.textContent}: sent`;
    try {
      const token = document.getElementById("steering").dataset.token;
      const response = await fetch(form.dataset.post, {
        method: "POST",
        headers: { "content-type": "application/json", "x-autocentaur-control": token },
        body: JSON.stringify(Object.fromEntries(new FormData(form))),
      });
      answer.textContent = (await response.text()).slice(0, 2000);
      answer.classList.toggle("failed", !response.ok);
      if (response.ok) form.reset();
    } catch {
      answer.textContent = "the server does not answer";
      answer.classList.add("failed");
    } finally {
      button.disabled = false;
    }
  });
})();
