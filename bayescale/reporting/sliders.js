// The page's sliders: they read the posterior beside them and write what the law says.
(() => {
  const holder = document.getElementById("sliders");
  const source = document.getElementById("posterior");
  if (!holder || !source) return;
  const model = JSON.parse(source.textContent);
  const STEPS = 400;
  const SVG = "http://www.w3.org/2000/svg";
  const scales = [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "k"]];

  function human(value, digits = 3) {
    const rounded = Number(value.toPrecision(digits));
    if (rounded !== 0 && (Math.abs(rounded) < 1e-3 || Math.abs(rounded) >= 1e15)) {
      return power(value, digits);
    }
    for (const [scale, suffix] of scales) {
      if (Math.abs(rounded) >= scale) return Number((rounded / scale).toPrecision(digits)) + suffix;
    }
    return String(rounded);
  }

  function power(value, digits = 3) {
    const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
    return `${Number(mantissa)}e${Number(exponent)}`;
  }

  const counts = new Set(["N", "D", "U", "N_total"]);
  const written = (value, column) =>
    column === "C" ? power(value) : counts.has(column) ? human(value) : human(value, 4);

  function make(tag, attributes = {}, parent = null, text = "") {
    const drawn = ["svg", "path", "line", "circle", "rect", "text", "g"].includes(tag);
    const node = drawn ? document.createElementNS(SVG, tag) : document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text) node.textContent = text;
    if (parent) parent.append(node);
    return node;
  }

  function slider(parent, key, label, low, high, start) {
    const row = make("label", { class: "slider" }, parent);
    make("span", {}, row, label);
    const input = make("input", { type: "range", min: 0, max: STEPS, step: 1, "data-key": key }, row);
    const shown = make("output", {}, row);
    const log = Math.log(high / low);
    const control = { key, input, shown, exact: null };
    control.value = () => control.exact ?? low * Math.exp((log * Number(input.value)) / STEPS);
    control.set = (value) => {
      control.exact = value;
      input.value = String(Math.round((STEPS * Math.log(value / low)) / log));
    };
    control.set(start);
    input.addEventListener("input", () => { control.exact = null; update(true); });
    return control;
  }

  holder.replaceChildren();
  const group = { index: 0 };
  if (model.groups.length > 1) {
    const row = make("label", { class: "slider" }, holder);
    make("span", {}, row, "Group");
    const choice = make("select", { "data-key": "group" }, row);
    model.groups.forEach((one, i) => make("option", { value: i }, choice, one.label));
    choice.addEventListener("change", () => { group.index = Number(choice.value); update(true); });
    group.choice = choice;
  }
  make("h3", {}, holder, "The loss of one run");
  const targets = model.variables.map((variable) =>
    slider(holder, variable.column, `${variable.name}: ${variable.about || variable.column}`,
      variable.low, variable.high, variable.start));
  const said = make("p", { "aria-live": "polite", id: "said" }, holder);
  const bars = make("svg", { viewBox: "0 0 640 124", role: "img", class: "bars" }, holder);
  let budget = null, planned = null, chart = null;
  if (model.sized && model.budget) {
    make("h3", {}, holder, "The best split of a budget");
    const [low, high, start] = model.budget;
    budget = slider(holder, "budget", "C: FLOP for training", low, high, start);
    planned = make("p", { "aria-live": "polite", id: "planned" }, holder);
    chart = make("svg", { viewBox: "0 0 640 300", role: "img", class: "chart" }, holder);
  }

  // A link to this page keeps what the sliders show.
  function fromLink() {
    for (const [key, text] of new URLSearchParams(location.hash.slice(1))) {
      const value = Number(text);
      if (key === "group" && group.choice && model.groups[value]) {
        group.index = value;
        group.choice.value = text;
      }
      const control = [...targets, budget].find((one) => one && one.key === key);
      if (control && value > 0 && Number.isFinite(value)) control.set(value);
    }
  }

  function toLink() {
    const words = new URLSearchParams();
    if (group.choice) words.set("group", String(group.index));
    for (const one of [...targets, budget]) if (one) words.set(one.key, String(Number(one.value().toPrecision(6))).replace("+", ""));
    try { history.replaceState(null, "", `#${words}`); } catch { /* a page shown inside another */ }
  }

  function drawBars(mean, run) {
    bars.replaceChildren();
    const low = Math.min(mean.low, run.low), high = Math.max(mean.high, run.high);
    const room = 0.08 * (high - low) || 1e-9;
    const x = (loss) => 160 + (440 * (loss - low + room)) / (high - low + 2 * room);
    [["law's value", mean, 24, "first"], ["one more run", run, 66, "second"]].forEach(
      ([name, ends, y, kind]) => {
        make("text", { x: 0, y: y + 6 }, bars, name);
        make("line", { x1: x(ends.low), x2: x(ends.high), y1: y, y2: y, class: `thin ${kind}` }, bars);
        make("line", { x1: x(ends.low50), x2: x(ends.high50), y1: y, y2: y, class: `thick ${kind}` }, bars);
        make("circle", { cx: x(ends.median), cy: y, r: 5, class: kind }, bars);
      });
    for (const loss of [low, (low + high) / 2, high]) {
      make("text", { x: x(loss), y: 112, "text-anchor": "middle" }, bars, loss.toPrecision(4));
    }
    bars.setAttribute("aria-label", `loss ${run.low.toPrecision(4)} to ${run.high.toPrecision(4)}`);
  }

  // Round numbers on a log axis: ones, threes, or even steps where that gives too few.
  function ticks(low, high) {
    for (const within of [[1], [1, 3], [1, 2, 5]]) {
      const found = [];
      for (let e = Math.floor(Math.log10(low)); e <= Math.log10(high); e++) {
        for (const digit of within) {
          const tick = digit * 10 ** e;
          if (tick >= low && tick <= high) found.push(tick);
        }
      }
      if (found.length > 7) return found.filter((_, i) => i % Math.ceil(found.length / 7) === 0);
      if (found.length >= 3) return found;
    }
    const raw = (high - low) / 4, scale = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 2.5, 5, 10].map((digit) => digit * scale).find((one) => one >= raw);
    const found = [];
    for (let tick = Math.ceil(low / step) * step; tick <= high; tick += step) found.push(tick);
    return found;
  }

  function drawChart(plan) {
    chart.replaceChildren();
    const shown = plan.curve.filter((p) => Math.abs(Math.log10(p.N / plan.N)) <= 1.6);
    const lows = shown.map((p) => p.low), highs = shown.map((p) => p.high);
    const [y0, y1] = [Math.log(Math.min(...lows)), Math.log(Math.max(...highs))];
    const [x0, x1] = [Math.log(shown[0].N), Math.log(shown[shown.length - 1].N)];
    const x = (N) => 64 + (544 * (Math.log(N) - x0)) / (x1 - x0);
    const y = (loss) => 16 + (230 * (y1 - Math.log(loss))) / (y1 - y0);
    const path = (points) => `M${points.map((p) => p.map((v) => v.toFixed(1)).join(",")).join("L")}`;
    if (plan.near.length) {
      const [a, b] = [x(plan.near[0].N), x(plan.near[plan.near.length - 1].N)].map(
        (v) => Math.min(Math.max(v, 64), 608));
      make("rect", { x: a, width: Math.max(b - a, 1), y: 16, height: 230, class: "near" }, chart);
    }
    const band = [...shown.map((p) => [x(p.N), y(p.high)]),
      ...shown.slice().reverse().map((p) => [x(p.N), y(p.low)])];
    make("path", { d: `${path(band)}Z`, class: "band" }, chart);
    make("path", { d: path(shown.map((p) => [x(p.N), y(p.mean)])), class: "line" }, chart);
    make("line", { x1: x(plan.N), x2: x(plan.N), y1: 16, y2: 246, class: "choice" }, chart);
    for (const N of ticks(Math.exp(x0), Math.exp(x1))) {
      make("text", { x: x(N), y: 268, "text-anchor": "middle" }, chart, human(N, 2));
    }
    for (const loss of ticks(Math.exp(y0), Math.exp(y1))) {
      make("text", { x: 56, y: y(loss) + 5, "text-anchor": "end" }, chart, human(loss, 3));
    }
    make("text", { x: 340, y: 290, "text-anchor": "middle" }, chart, "parameters N on this budget");
    chart.setAttribute("aria-label", `expected ${model.response} over N on the budget`);
  }

  function update(moved) {
    const one = model.groups[group.index], at = {};
    for (const control of targets) {
      at[control.key] = control.value();
      control.shown.value = written(at[control.key], control.key);
    }
    const means = law.losses(model, one, at);
    const mean = law.summary(means), run = law.summary(law.newRuns(model, one, at, means));
    const finite = Number.isFinite(run.low) && Number.isFinite(run.high);
    const beyond = model.largest ? Math.log10(law.compute(at) / model.largest) : NaN;
    const where = Number.isNaN(beyond) ? ""
      : beyond > 0 ? ` (${beyond.toFixed(1)} decades of compute beyond the data)` : " (inside the data)";
    said.textContent = finite
      ? `One more run: ${run.median.toPrecision(4)} ${model.unit}, 95% interval ${run.low.toPrecision(4)}`
        + ` to ${run.high.toPrecision(4)}${where}.`
      : "The law has no finite loss there.";
    Object.assign(holder.dataset, { mean: JSON.stringify(mean), run: JSON.stringify(run) });
    if (finite) drawBars(mean, run); else bars.replaceChildren();
    if (budget) {
      const C = budget.value(), plan = law.split(model, one, C, at);
      budget.shown.value = written(C, "C");
      if (!plan) {
        planned.textContent = "The law has no finite loss on this budget.";
        chart.replaceChildren();
      } else {
        const near = plan.near.length
          ? ` Any N from ${human(plan.near[0].N)} to ${human(plan.near[plan.near.length - 1].N)}`
            + ` has an expected regret of at most ${model.tolerance}.`
          : "";
        planned.textContent = plan.interior
          ? `Least expected loss: N ${human(plan.N)} and D ${human(plan.D)}`
            + ` (${(plan.D / plan.N).toPrecision(3)} tokens a parameter).${near}`
          : "The least expected loss lies at an end of the range searched: the law can't answer this.";
        holder.dataset.plan = JSON.stringify({ N: plan.N, D: plan.D });
        drawChart(plan);
      }
    }
    if (moved) toLink();
  }

  fromLink();
  window.addEventListener("hashchange", () => { fromLink(); update(false); });
  update(false);
})();
