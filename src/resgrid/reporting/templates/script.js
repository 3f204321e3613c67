// The page's script: filters the charts, shows values on hover, and shows the provenance of numbers.
// The page is complete without it.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("curve-data").textContent);
  const form = document.getElementById("filter");
  const summary = document.getElementById("filter-summary");
  const tip = document.getElementById("tip");
  const boxes = (name) => [...form.querySelectorAll(`input[name=${name}]`)];
  const networkBoxes = boxes("network"), seedBoxes = boxes("seed"), eachBox = boxes("each")[0];
  const cellsOf = new Map();
  for (const cell of Object.values(data.cells)) {
    if (!cellsOf.has(cell.network)) cellsOf.set(cell.network, []);
    cellsOf.get(cell.network).push(cell);
  }
  const LISTED = 12;

  // ---- values of a line --------------------------------------------------------------------------------------------

  const seeds = () => new Set(seedBoxes.filter((box) => box.checked).map((box) => Number(box.value)));

  // The mean over cells of one column of curve.csv; null if a cell has none.
  const mean = (cells, column) =>
    cells[0][column].map((_, index) => {
      const values = cells.map((cell) => cell[column][index]);
      return values.some((value) => value === null) ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
    });

  // [{xs, ys, seed}] of a line: the mean of the chosen seeds, or each seed.
  const valuesOf = (line) => {
    if (line.dataset.curve === undefined) {
      const ys = line.dataset.ys.split(" ").map((text) => (text === "-" ? null : Number(text)));
      const xs = line.dataset.xs ? line.dataset.xs.split(" ").map(Number) : ys.map((_, index) => index + 1);
      return [{ xs, ys }];
    }
    const chosen = seeds();
    const cells = cellsOf.get(line.dataset.network).filter((cell) => chosen.has(cell.seed));
    if (!cells.length) return [];
    const column = line.dataset.curve;
    if (eachBox.checked) return cells.map((cell) => ({ xs: data.steps[cell.steps], ys: cell[column], seed: cell.seed }));
    return [{ xs: data.steps[cells[0].steps], ys: mean(cells, column) }];
  };

  const scaleOf = (text, length, upwards) => {
    const [low, high, kind] = text.split(" ");
    const f = kind === "log" ? Math.log : Number;
    const start = f(Number(low)), reach = f(Number(high)) - start;
    return {
      place: (value) => { const share = (f(value) - start) / reach; return length * (upwards ? 1 - share : share); },
      value: (place) => { const at = start + reach * (place / length); return kind === "log" ? Math.exp(at) : at; },
    };
  };
  const scalesOf = (plot) => ({
    x: scaleOf(plot.dataset.x, plot.width.baseVal.value, false),
    y: scaleOf(plot.dataset.y, plot.height.baseVal.value, true),
  });

  const pathOf = (parts, scales) =>
    parts.map(({ xs, ys }) => {
      let letter = "M";
      return ys.map((y, index) => {
        if (y === null) { letter = "M"; return ""; }
        const point = `${letter}${scales.x.place(xs[index]).toFixed(1)} ${scales.y.place(y).toFixed(1)}`;
        letter = "L";
        return point;
      }).join("");
    }).join("");

  // ---- the filter --------------------------------------------------------------------------------------------------

  const asDrawn = new Map();  // the original lines, for a reset
  const apply = () => {
    const shown = new Set(networkBoxes.filter((box) => box.checked).map((box) => box.value));
    for (const element of document.querySelectorAll("figure [data-network]")) {
      element.toggleAttribute("hidden", element.dataset.network !== "" && !shown.has(element.dataset.network));
    }
    const chosen = seeds();
    const usual = chosen.size === seedBoxes.length && !eachBox.checked;
    for (const line of document.querySelectorAll(".line[data-curve]")) {
      if (!asDrawn.has(line)) asDrawn.set(line, line.getAttribute("d"));
      if (!shown.has(line.dataset.network)) continue;
      line.setAttribute("d", usual ? asDrawn.get(line) : pathOf(valuesOf(line), scalesOf(line.closest(".plot"))));
    }
    for (const band of document.querySelectorAll(".band")) {
      if (!usual) band.setAttribute("hidden", "");
    }
    for (const through of document.querySelectorAll(".through")) {
      through.toggleAttribute("hidden", shown.size !== networkBoxes.length);
    }
    for (const whole of form.querySelectorAll(".whole-kind")) {
      const own = [...whole.closest("fieldset").querySelectorAll("input[name=network]")];
      whole.checked = own.every((box) => box.checked);
      whole.indeterminate = !whole.checked && own.some((box) => box.checked);
    }
    const networks = shown.size === networkBoxes.length ? "all networks" : `${shown.size} of ${networkBoxes.length} networks`;
    const which = chosen.size === seedBoxes.length ? "all seeds" : `seed${chosen.size > 1 ? "s" : ""} ${[...chosen].join(", ") || "none"}`;
    summary.textContent = `${networks} and ${which}${eachBox.checked ? ", one line each" : ""}`;
    hideTip();
  };

  // The URL contains the choice: #fig-6?networks=plain20,resnet20-A&seeds=0&lines=seeds
  const anchor = () => decodeURIComponent(location.hash.slice(1).split("?")[0]);
  const remember = () => {
    const query = new URLSearchParams();
    const networks = networkBoxes.filter((box) => box.checked), chosen = seedBoxes.filter((box) => box.checked);
    if (networks.length < networkBoxes.length) query.set("networks", networks.map((box) => box.value).join(","));
    if (chosen.length < seedBoxes.length) query.set("seeds", chosen.map((box) => box.value).join(","));
    if (eachBox.checked) query.set("lines", "seeds");
    const text = query.toString().replaceAll("%2C", ",");
    history.replaceState(null, "", `#${anchor()}${text ? `?${text}` : ""}`);
  };
  const recall = () => {
    const [name, text] = decodeURIComponent(location.hash.slice(1)).split("?");
    if (text === undefined) return;
    const query = new URLSearchParams(text);
    const choose = (all, key) => {
      const wanted = query.has(key) ? new Set(query.get(key).split(",")) : null;
      for (const box of all) box.checked = wanted === null || wanted.has(box.value);
    };
    choose(networkBoxes, "networks");
    choose(seedBoxes, "seeds");
    eachBox.checked = query.get("lines") === "seeds";
    apply();
    if (name) document.getElementById(name)?.scrollIntoView();
  };

  form.addEventListener("change", (event) => {
    if (event.target.classList.contains("whole-kind")) {
      const own = event.target.closest("fieldset").querySelectorAll("input[name=network]");
      for (const box of own) box.checked = event.target.checked;
    }
    apply();
    remember();
  });
  form.addEventListener("reset", () => setTimeout(() => { apply(); remember(); }));
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", recall);

  // ---- values on hover --------------------------------------------------------------------------------------------

  const svg = (name, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const hideTip = () => {
    tip.hidden = true;
    for (const old of document.querySelectorAll(".under-pointer")) old.remove();
  };
  const nearest = (xs, x) => xs.reduce((best, at, index) => (Math.abs(at - x) < Math.abs(xs[best] - x) ? index : best), 0);
  const format = (value) => {
    if (value !== 0 && (Math.abs(value) < 0.01 || Math.abs(value) >= 1e5)) return value.toExponential(2);
    return value.toFixed(2);
  };

  const linesOf = (plot) => [...plot.querySelectorAll(".line:not([hidden])")];

  // Show the values of all lines at x; of many, only those nearest to y.
  const showValues = (plot, x, y) => {
    hideTip();
    const scales = scalesOf(plot);
    let found = [];
    for (const line of linesOf(plot)) {
      for (const { xs, ys, seed } of valuesOf(line)) {
        const index = nearest(xs, x);
        if (ys[index] === null || ys[index] === undefined) continue;
        if (Math.abs(xs[index] - x) > (xs.length > 1 ? Math.abs(xs[1] - xs[0]) : 1)) continue;
        found.push({ line, seed, x: xs[index], y: ys[index] });
      }
    }
    if (!found.length) return;
    const away = (point) => Math.abs(scales.y.place(point.y) - scales.y.place(y));
    const count = found.length;
    found = found.sort((one, other) => away(one) - away(other)).slice(0, LISTED);
    const at = found[0].x, left = scales.x.place(at), height = plot.height.baseVal.value;
    const group = svg("g", { class: "under-pointer" });
    group.append(svg("path", { class: "cursor", d: `M${left} 0V${height}` }));
    for (const point of found) {
      const dot = svg("circle", { cx: scales.x.place(point.x), cy: scales.y.place(point.y), r: 3, class: point.line.classList[2] });
      group.append(dot);
    }
    plot.append(group);
    tip.replaceChildren();
    const head = document.createElement("strong");
    head.textContent = `${plot.dataset.xLabel.split(",")[0]} ${Math.round(at).toLocaleString("en")}`;
    tip.append(head);
    const closest = found[0];
    for (const point of [...found].sort((one, other) => other.y - one.y)) {
      const row = document.createElement("div");
      const split = { "train/error": "training ", "val/error": "validation " }[point.line.dataset.curve] ?? "";
      const seed = point.seed === undefined ? "" : `, seed ${point.seed}`;
      const key = document.createElement("i");
      key.className = point.line.classList[2];
      row.append(key, `${point.line.dataset.network}${seed}: ${split}${format(point.y)}`);
      if (point === closest) row.className = "closest";
      tip.append(row);
    }
    if (count > LISTED) {
      const more = document.createElement("div");
      more.textContent = `and ${count - LISTED} more, further away`;
      tip.append(more);
    }
    tip.hidden = false;
    const own = tip.getBoundingClientRect();
    const { x: place, y: edge } = new DOMPoint(left, 0).matrixTransform(plot.getScreenCTM());
    const beside = place + 16 + own.width < innerWidth ? place + 16 : Math.max(8, place - 16 - own.width);
    tip.style.left = `${beside + scrollX}px`;
    tip.style.top = `${Math.max(8, Math.min(edge, innerHeight - own.height - 8)) + scrollY}px`;
  };

  for (const chart of document.querySelectorAll("svg.chart")) {
    const plot = chart.querySelector(".plot");
    if (!plot.querySelector(".line")) continue;
    chart.setAttribute("tabindex", "0");
    let x = null;
    chart.addEventListener("pointermove", (event) => {
      const scales = scalesOf(plot);
      const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(plot.getScreenCTM().inverse());
      x = scales.x.value(Math.max(0, Math.min(place.x, plot.width.baseVal.value)));
      const [low, high, kind] = plot.dataset.y.split(" ");
      const share = 1 - place.y / plot.height.baseVal.value;
      showValues(plot, x, kind === "log" ? low * (high / low) ** share : Number(low) + (high - low) * share);
    });
    chart.addEventListener("pointerleave", hideTip);
    chart.addEventListener("blur", hideTip);
    chart.addEventListener("keydown", (event) => {
      if (event.key === "Escape") { hideTip(); return; }
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      const first = linesOf(plot).flatMap(valuesOf)[0];
      if (step === undefined || first === undefined) return;
      event.preventDefault();
      const start = step > 0 ? -1 : first.xs.length;
      const index = x === null ? start + step : nearest(first.xs, x) + step;
      x = first.xs[Math.max(0, Math.min(index, first.xs.length - 1))];
      showValues(plot, x, first.ys[nearest(first.xs, x)] ?? 0);
    });
  }

  // Hovering over a network in a legend highlights it in the figure.
  for (const legend of document.querySelectorAll(".legend")) {
    const figure = legend.closest("figure");
    const point = (network) => {
      for (const element of figure.querySelectorAll("svg [data-network]")) {
        element.classList.toggle("faint", network !== null && element.dataset.network !== network);
      }
    };
    legend.addEventListener("pointerover", (event) => point(event.target.closest("[data-network]")?.dataset.network ?? null));
    legend.addEventListener("pointerleave", () => point(null));
  }

  // ---- provenance of a number --------------------------------------------------------------------------------------

  document.addEventListener("pointerover", (event) => {
    const number = event.target.closest?.("data[data-source]");
    if (!number || number.title) return;
    const from = number.dataset.source.split(" ");
    const listed = from.length > LISTED ? [...from.slice(0, LISTED), `and ${from.length - LISTED} more`] : from;
    number.title = `${number.value} = ${number.dataset.how ?? "value"} of\n${listed.join("\n")}`;
  });

  form.hidden = false;
  recall();
  document.documentElement.dataset.script = "ready";
})();
