// Draws the charts of the page, with ECharts, from the block of JSON "charts"; the library is packed in the block
// "library". A trial's texts never reach the library:
// a point has the mark of its trial, and what appears beside the pointer is read from the table as text.
"use strict";
globalThis.autocentaurCharts = (() => {
  const NARROW = 560; // pixels: below, a chart is laid out for a phone
  const MANY = 400; // marks: above, a canvas is faster than SVG
  const PRINT_WIDTH = 580; // pixels: what an A4 page leaves for a chart
  const root = document.documentElement;
  const kept = new Map(); // by name: the element, the ECharts instance, its legend, zoom and hidden series
  let data = {};
  let printing = false;

  const colour = (tone) => getComputedStyle(root).getPropertyValue(`--${tone}`).trim();
  const pairs = (x, y) => x.map((value, i) => [value, y[i]]);
  const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 4 });
  const number = (value) => (Math.abs(value) >= 10_000 ? compact.format(value) : String(Number(value.toPrecision(5))));
  const shortened = (text, n) => (text.length > n ? `${text.slice(0, n - 1)}…` : text);
  const text = (size = 11) => ({ color: colour("ink"), fontSize: size, fontFamily: getComputedStyle(document.body).fontFamily });

  // --- options of ECharts ------------------------------------------------------------------------------------------
  function axis(given, { isX, small, title, narrow, room }) {
    const size = small ? 10 : 11;
    const made = {
      type: given.choices ? "category" : given.log_base ? "log" : "value",
      logBase: given.log_base,
      data: given.choices?.map((choice) => shortened(choice, 14)),
      name: isX ? given.name : title ?? given.name,
      nameLocation: isX ? "middle" : given.is_inverted ? "start" : "end",
      nameGap: isX ? 24 : 12,
      nameTruncate: { maxWidth: room, ellipsis: "…" },
      nameTextStyle: { ...text(size), align: isX ? "center" : "left", padding: isX ? 0 : [0, 0, 0, -30] },
      inverse: Boolean(given.is_inverted),
      scale: true,
      min: given.low,
      max: given.high,
      minInterval: given.is_whole ? 1 : undefined,
      axisLine: { show: isX, lineStyle: { color: colour("muted") }, onZero: false },
      axisTick: { show: isX && !given.choices },
      splitLine: { show: !given.choices, lineStyle: { color: colour("grid") } },
      axisLabel: { ...text(size), hideOverlap: true, rotate: small && narrow && given.choices ? 30 : 0 },
      splitNumber: small ? 3 : 5,
    };
    if (!given.choices) {
      made.axisLabel.formatter = number;
      // The exact ends of a range are no round numbers.
      made.axisLabel.showMinLabel = given.log_base || given.low === undefined || given.low === 0 ? undefined : false;
      made.axisLabel.showMaxLabel = given.log_base || given.high === undefined ? undefined : false;
    }
    return made;
  }

  function symbol(points) {
    const inside = colour(points.tone ?? "grey");
    const edge = colour(points.rim ?? points.tone ?? "grey");
    const shapes = { "triangle-up": "triangle", "triangle-down": "triangle", cross: "path://M0,0L10,10M0,10L10,0" };
    const shape = points.shape ?? "circle";
    const isOpen = points.is_hollow || shape === "cross";
    return {
      symbol: shapes[shape] ?? shape,
      symbolRotate: shape === "triangle-down" ? 180 : 0,
      symbolSize: points.size ?? 6,
      itemStyle: {
        color: shape === "cross" ? "transparent" : isOpen ? colour("paper") : inside,
        borderColor: edge,
        borderWidth: isOpen || points.rim ? 1.5 : 0,
        opacity: 1,
      },
    };
  }

  function band(given) {
    const fill = colour(given.tone ?? "grey");
    const x = given.x ?? [];
    const rows = x.length ? x.map((value, i) => [value, given.low[i], given.high[i]]) : [[null, given.low[0], given.high[0]]];
    return {
      type: "custom",
      clip: true,
      silent: true,
      z: 1,
      data: rows,
      encode: x.length ? { x: 0, y: [1, 2] } : { x: -1, y: -1 },
      color: fill,
      renderItem: (params, api) => {
        if (params.dataIndex !== 0) return undefined;
        const box = params.coordSys;
        if (!x.length) {
          const [top, bottom] = [given.high[0], given.low[0]].map((value) => api.coord([0, value])[1]);
          const shape = { x: box.x, y: Math.min(top, bottom), width: box.width, height: Math.abs(bottom - top) };
          return { type: "rect", shape, style: { fill, opacity: 0.18 } };
        }
        const edge = (values) => x.flatMap((value, i) => {
          const place = api.coord([value, values[i]]);
          return given.is_stepped && i ? [[place[0], api.coord([value, values[i - 1]])[1]], place] : [place];
        });
        const points = [...edge(given.high), ...edge(given.low).reverse()];
        return { type: "polygon", shape: { points }, style: { fill, opacity: 0.16 } };
      },
    };
  }

  function lineSeries(given) {
    return {
      type: "line",
      data: pairs(given.x, given.y),
      step: given.is_stepped ? "end" : false,
      showSymbol: given.x.length === 1,
      symbolSize: 6,
      silent: !given.mark,
      triggerLineEvent: Boolean(given.mark),
      z: given.opacity ? 2 : 3,
      color: colour(given.tone ?? "blue"),
      lineStyle: { width: given.width ?? 1.6, opacity: given.opacity ?? 1, type: given.dash ?? "solid" },
      emphasis: { disabled: !given.mark, lineStyle: { width: 3, opacity: 1 } },
    };
  }

  function panels(content, width) {
    const all = content.panels;
    const one = all.length === 1;
    const narrow = width < NARROW;
    const columns = one ? 1 : Math.min(all.length, narrow ? 2 : Math.max(2, Math.min(4, Math.floor(width / 260))));
    const hasX = all.some((panel) => panel.x.name);
    const rows = all[0].y.is_inverted && all[0].y.high; // a tree of few rows is a low chart
    const tall = one ? Math.min(narrow ? 270 : 330, rows ? 120 + 40 * rows : Infinity) : 150 + (hasX ? 22 : 0);
    const made = { grid: [], xAxis: [], yAxis: [], series: [], marks: new Map(), legend: [] };
    all.forEach((panel, i) => {
      const column = i % columns;
      const row = Math.floor(i / columns);
      const cell = width / columns;
      made.grid.push({
        left: column * cell + (one ? 4 : 2), width: cell - (one ? 20 : 16), top: row * (tall + 14) + 30,
        height: tall - 30 - (hasX ? 32 : 12) - (one ? 30 : 0),
        outerBoundsMode: "auto", outerBounds: { left: column * cell, width: cell - 10, top: row * (tall + 14), height: tall },
      });
      made.xAxis.push({ ...axis(panel.x, { isX: true, small: !one, narrow, room: cell - 40 }), gridIndex: i });
      made.yAxis.push({ ...axis(panel.y, { isX: false, small: !one, room: cell - 40, title: panel.title && shortened(panel.title, narrow ? 20 : 32) }), gridIndex: i });
      const add = (series, name, extra) => {
        const id = `${i}-${made.series.length}`;
        made.series.push({ ...series, id, name: name || id, xAxisIndex: i, yAxisIndex: i });
        if (name && !made.legend.some((entry) => entry.name === name)) made.legend.push({ name, ...extra });
        return id;
      };
      for (const each of panel.bands ?? []) add(band(each), each.name, { band: each });
      for (const each of panel.lines ?? []) {
        const id = add(lineSeries(each), each.name, { line: each });
        if (each.mark) made.marks.set(id, () => each.mark);
      }
      for (const each of panel.points ?? []) {
        const id = add({ type: "scatter", data: pairs(each.x, each.y), z: each.size ? 5 : 4, cursor: "pointer", ...symbol(each) }, each.name, { points: each });
        made.marks.set(id, (index) => `${each.run ?? 0}/${each.trials[index]}`);
      }
    });
    const indices = all.map((_, i) => i);
    const sameX = all.every((panel) => panel.x.name === all[0].x.name && panel.x.name);
    const coarse = matchMedia("(pointer: coarse)").matches;
    const inside = {
      type: "inside", id: "inside", xAxisIndex: indices, filterMode: "none", zoomOnMouseWheel: "ctrl",
      moveOnMouseMove: !coarse, preventDefaultMouseMove: !coarse,
    };
    const slider = {
      type: "slider", id: "slider", xAxisIndex: indices, filterMode: "none", height: 16, bottom: 4, left: 40, right: 30,
      showDataShadow: false, brushSelect: false, labelFormatter: "", borderColor: "transparent", backgroundColor: colour("grid"),
      fillerColor: "rgba(128, 140, 160, 0.35)", handleStyle: { color: colour("paper"), borderColor: colour("muted") },
      moveHandleSize: 0,
    };
    const points = all.some((panel) => panel.points?.length || panel.lines?.some((line) => line.mark));
    return {
      marks: made.marks,
      legend: made.legend,
      height: Math.ceil(all.length / columns) * (tall + 14),
      option: {
        grid: made.grid, xAxis: made.xAxis, yAxis: made.yAxis, series: made.series,
        legend: { show: false },
        dataZoom: sameX && !printing ? (one ? [inside, slider] : [inside]) : [],
        tooltip: points ? { show: false } : {
          trigger: "axis", renderMode: "richText", confine: true, backgroundColor: colour("paper"), borderColor: colour("line"),
          textStyle: { ...text(12) }, valueFormatter: (value) => (typeof value === "number" ? number(value) : ""),
        },
      },
    };
  }

  function bars(content, width) {
    const narrow = width < NARROW;
    return {
      height: 12 + 28 * content.labels.length,
      option: {
        grid: { left: 4, right: 60, top: 4, bottom: 4 },
        xAxis: { type: "value", show: false, min: 0 },
        yAxis: {
          type: "category", inverse: true, data: content.labels.map((label) => shortened(label, narrow ? 18 : 40)),
          axisLine: { show: false }, axisTick: { show: false }, axisLabel: { ...text(12), interval: 0 },
        },
        series: [{
          type: "bar", data: content.values, barWidth: "62%", color: colour(content.tone ?? "blue"), silent: true,
          label: { show: true, position: "right", ...text(12), formatter: ({ dataIndex }) => content.texts[dataIndex] },
        }],
      },
    };
  }

  function parallel(content, width) {
    const narrow = width < NARROW;
    const order = content.marks.map((_, i) => i).sort((a, b) => content.ranks[a] - content.ranks[b]);
    const styles = [
      { color: colour("grey"), width: 1, opacity: 0.35 }, { color: colour("green"), width: 1.3, opacity: 0.8 },
      { color: colour("green"), width: 3, opacity: 1 },
    ];
    const axes = content.axes.map((given, dim) => ({
      ...axis({ ...given, name: shortened(given.name, narrow ? 22 : 16) }, { isX: true, small: true }),
      dim, nameLocation: "end", nameGap: narrow ? 8 : 12, nameTextStyle: { ...text(11), align: "center" },
      axisLabel: { ...text(10), hideOverlap: true, formatter: given.choices ? undefined : number, textBorderColor: colour("paper"), textBorderWidth: 2 },
      splitLine: { show: false }, axisLine: { show: true, lineStyle: { color: colour("muted") } },
      areaSelectStyle: { width: 16, color: colour("blue"), borderColor: colour("blue"), opacity: 0.3 },
      ...(narrow ? { nameTextStyle: { ...text(11), align: "right", verticalAlign: "bottom", padding: [0, 0, 6, 0] } } : {}),
    }));
    return {
      height: narrow ? 40 + 52 * axes.length : 330,
      marks: new Map([["lines", (index) => content.marks[order[index]]]]),
      option: {
        parallel: {
          layout: narrow ? "vertical" : "horizontal", left: narrow ? 24 : 50, right: narrow ? 34 : 60,
          top: 40, bottom: narrow ? 24 : 20,
        },
        parallelAxis: axes,
        series: [{
          type: "parallel", id: "lines", smooth: false, inactiveOpacity: 0.04, activeOpacity: 1, progressive: 0,
          data: order.map((i) => ({ value: content.values[i].map((value) => value ?? "-"), lineStyle: styles[content.ranks[i]] })),
          emphasis: { lineStyle: { width: 3, opacity: 1, color: colour("blue") } },
        }],
      },
    };
  }

  function lanes(content, width) {
    const narrow = width < NARROW;
    const series = content.kinds.map(([name, tone], kind) => {
      const spans = content.spans.filter((span) => span[3] === kind);
      return {
        type: "custom", id: `kind-${kind}`, name, clip: true, color: colour(tone), encode: { x: [1, 2], y: 0 },
        data: spans.map(([lane, begin, length]) => [lane, begin, begin + length]),
        renderItem: (params, api) => {
          const [left, y] = api.coord([api.value(1), api.value(0)]);
          const right = api.coord([api.value(2), api.value(0)])[0];
          const tall = Math.min(22, api.size([0, 1])[1] * 0.7);
          const shape = { x: left, y: y - tall / 2, width: Math.max(right - left, 1.5), height: tall };
          return { type: "rect", shape, style: { fill: colour(tone), opacity: 0.9, stroke: colour("paper"), lineWidth: right - left > 3 ? 0.6 : 0 } };
        },
        marks: spans.map((span) => `${content.run ?? 0}/${span[4]}`),
      };
    });
    const one = { panels: [{ x: content.x, y: { choices: content.names, is_inverted: true } }] };
    const frame = panels(one, width);
    const height = 76 + Math.max(34, Math.min(30, 400 / content.names.length) * content.names.length);
    return {
      height,
      marks: new Map(series.map(({ id, marks }) => [id, (index) => marks[index]])),
      legend: content.kinds.map(([name, tone]) => ({ name, band: { tone, opacity: 1 } })).filter((_, i) => series[i].data.length),
      option: {
        ...frame.option,
        grid: { left: 4, right: 16, top: 8, bottom: 62 },
        yAxis: { ...frame.option.yAxis[0], name: "", axisLabel: { ...text(11), interval: 0, hideOverlap: true, width: narrow ? 70 : 140, overflow: "truncate" } },
        xAxis: frame.option.xAxis[0],
        series: series.map(({ marks, ...rest }) => rest),
        tooltip: { show: false },
      },
    };
  }

  // --- legend ------------------------------------------------------------------------------------------------------
  function key(entry) {
    const make = (tag, attributes) => {
      const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
      return made;
    };
    const picture = make("svg", { viewBox: "0 0 18 12", "aria-hidden": "true" });
    if (entry.band) {
      picture.append(make("rect", { x: 0, y: 1, width: 18, height: 10, fill: colour(entry.band.tone ?? "grey"), opacity: entry.band.opacity ?? 0.3 }));
    } else if (entry.line) {
      const dashes = { dashed: "5 3", dotted: "2 2" }[entry.line.dash] ?? "none";
      picture.append(make("path", { d: "M0 6H18", stroke: colour(entry.line.tone ?? "blue"), "stroke-width": 2.4, "stroke-dasharray": dashes }));
    } else {
      const { itemStyle } = symbol(entry.points);
      const shapes = {
        circle: "M9 3a3 3 0 1 0 .01 0Z", diamond: "M9 1L14 6L9 11L4 6Z", "triangle-up": "M9 2L13 10H5Z",
        "triangle-down": "M9 10L13 2H5Z", cross: "M5 2L13 10M5 10L13 2",
      };
      picture.append(make("path", {
        d: shapes[entry.points.shape ?? "circle"], fill: itemStyle.color, stroke: itemStyle.borderColor, "stroke-width": itemStyle.borderWidth,
      }));
    }
    return picture;
  }

  function drawLegend(held, entries) {
    held.legend.replaceChildren(...entries.map((entry) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(key(entry), entry.name);
      button.setAttribute("aria-pressed", String(!held.hidden.has(entry.name)));
      button.addEventListener("click", () => {
        if (!held.hidden.delete(entry.name)) held.hidden.add(entry.name);
        held.chart.dispatchAction({ type: "legendToggleSelect", name: entry.name });
        button.setAttribute("aria-pressed", String(!held.hidden.has(entry.name)));
      });
      return button;
    }));
    held.legend.hidden = entries.length < 2;
  }

  // --- the text beside the pointer ---------------------------------------------------------------------------------
  const tip = document.getElementById("tip");

  function described(mark) {
    const row = document.querySelector(`[data-trial-row="${CSS.escape(mark)}"]`);
    if (!row) return `trial ${mark.split("/")[1]}`;
    const headings = Array.from(row.closest("table").querySelectorAll("thead th"));
    const cell = (name) => row.cells[headings.findIndex((heading) => heading.dataset.key === name)]?.textContent.trim() ?? "";
    const value = cell("value");
    const verdict = cell("verdict").replace(/^[^\p{L}]+/u, ""); // without its symbol
    return `trial ${cell("number")}, ${verdict}${value ? `, ${value}` : ""}: ${cell("title")}`;
  }

  function showTip(words, x, y) {
    tip.hidden = false;
    tip.textContent = words;
    tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${y + 16 + tip.offsetHeight > innerHeight ? y - tip.offsetHeight - 10 : y + 16}px`;
  }

  function listen(held) {
    let touched = ""; // the mark whose text a first touch has shown
    const markOf = (params) => held.marks.get(params.seriesId)?.(params.dataIndex ?? 0);
    const pointer = (params) => params.event?.event?.changedTouches?.[0] ?? params.event?.event ?? {};
    held.chart.on("mouseover", (params) => {
      const mark = markOf(params);
      const { clientX, clientY } = pointer(params);
      if (mark && clientX !== undefined) showTip(described(mark), clientX, clientY);
    });
    held.chart.on("mouseout", () => (tip.hidden = true));
    held.chart.on("click", (params) => {
      const mark = markOf(params);
      if (!mark) return;
      params.event.event.preventDefault(); // after a touch, no click follows on what has scrolled under the finger
      const { clientX, clientY } = pointer(params);
      const isTouch = matchMedia("(pointer: coarse)").matches;
      if (isTouch && touched !== mark) {
        touched = mark;
        showTip(`${described(mark)} (tap again to open)`, clientX, clientY);
        return;
      }
      touched = "";
      tip.hidden = true;
      document.dispatchEvent(new CustomEvent("open-trial", { detail: mark }));
    });
    held.chart.on("datazoom", () => {
      held.zoom = held.chart.getOption().dataZoom.map(({ id, start, end }) => ({ id, start, end }));
    });
  }

  // --- drawing -----------------------------------------------------------------------------------------------------
  const kinds = { panels, bars, parallel, lanes };

  function nMarks(content) {
    if (content.kind === "parallel") return content.marks.length * 2;
    if (content.kind === "lanes") return content.spans.length;
    const lengths = (content.panels ?? []).flatMap((panel) => (panel.points ?? []).map((points) => points.x.length));
    return lengths.reduce((sum, length) => sum + length, 0);
  }

  function held(element, content) {
    const name = element.dataset.chart;
    const before = kept.get(name);
    const renderer = nMarks(content) > MANY ? "canvas" : "svg";
    if (before?.element === element && before.renderer === renderer) return before;
    before?.chart.dispose();
    before?.legend.remove();
    element.replaceChildren();
    const legend = document.createElement("div");
    legend.className = "legend";
    element.before(legend);
    const made = {
      element, renderer, legend, hidden: before?.hidden ?? new Set(), zoom: before?.zoom ?? [], marks: new Map(), seen: false,
      chart: echarts.init(element, null, { renderer, width: 10, height: 10, devicePixelRatio: Math.max(2, devicePixelRatio) }),
    };
    kept.set(name, made);
    listen(made);
    return made;
  }

  function drawOne(element) {
    const content = data[element.dataset.chart];
    const width = printing ? PRINT_WIDTH : element.clientWidth;
    if (!content || width === 0 || !globalThis.echarts) return;
    const one = held(element, content);
    const drawing = kinds[content.kind](content, width);
    one.marks = drawing.marks ?? new Map();
    one.width = width;
    element.style.height = `${drawing.height}px`;
    one.chart.resize({ width, height: drawing.height });
    drawLegend(one, drawing.legend ?? []);
    const option = { animation: false, backgroundColor: "transparent", ...drawing.option };
    option.legend = { show: false, selected: Object.fromEntries([...one.hidden].map((name) => [name, false])) };
    const zoom = new Map(one.zoom.map((state) => [state.id, state]));
    option.dataZoom = option.dataZoom?.map((each) => ({ ...each, ...zoom.get(each.id) }));
    one.chart.setOption(option, { notMerge: content.kind !== "parallel", replaceMerge: ["series"] });
    one.chart.getZr().flush();
  }

  const visible = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) drawOne(entry.target);
  }, { rootMargin: "400px" });
  const resized = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const one = kept.get(target.dataset.chart);
      if (!printing && one?.element === target && target.clientWidth && target.clientWidth !== one.width) drawOne(target);
    }
  });
  const everyElement = () => Array.from(document.querySelectorAll("[data-chart]"));
  const redraw = () => {
    for (const { element } of kept.values()) if (element.isConnected) drawOne(element);
  };

  // Puts the lists that several charts share in the place of their references.
  function whole(value, lists) {
    if (Array.isArray(value)) return typeof value[0] === "object" ? value.map((part) => whole(part, lists)) : value;
    if (value === null || typeof value !== "object") return value;
    if (value.list !== undefined) return lists[value.list];
    return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, whole(part, lists)]));
  }

  // Unpacks the library and runs it: the policy of the page allows exactly this script, by its hash.
  async function load() {
    const packed = Uint8Array.from(atob(document.getElementById("library").textContent), (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    if (!globalThis.echarts) throw new Error("the policy of the page refused the library");
  }

  // Draws from new data: the progress, and the charts that were drawn, at once, keeping zoom and hidden series; the
  // others when they come near the screen.
  function draw(given) {
    data = whole(given.charts, given.lists);
    if (globalThis.echarts) show();
  }

  function show() {
    for (const [name, one] of kept) {
      if (!one.element.isConnected && !document.querySelector(`[data-chart="${CSS.escape(name)}"]`)) {
        one.chart.dispose();
        kept.delete(name);
      }
    }
    for (const element of everyElement()) {
      const content = data[element.dataset.chart];
      if (kept.has(element.dataset.chart) || element.closest("#progress")) drawOne(element);
      else if (content && element.clientWidth) {
        element.style.height = `${kinds[content.kind](content, element.clientWidth).height}px`; // nothing moves when it is drawn
      }
      visible.observe(element);
      resized.observe(element);
    }
  }

  new MutationObserver(() => printing || redraw()).observe(root, { attributes: true, attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

  let theme; // before printing, which is in light colours
  addEventListener("beforeprint", () => {
    printing = true;
    theme = root.dataset.theme;
    root.dataset.theme = "light";
    everyElement().forEach(drawOne);
  });
  addEventListener("afterprint", () => {
    if (theme === undefined) delete root.dataset.theme;
    else root.dataset.theme = theme;
    printing = false;
    redraw();
  });

  draw(JSON.parse(document.getElementById("charts").textContent));
  load().then(show, (error) => {
    for (const element of everyElement()) element.textContent = `${element.getAttribute("aria-label")}. (No chart: ${error.message})`;
  });
  return { draw };
})();
