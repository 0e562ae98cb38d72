"use strict";
// The law's value by walking its tree, quantiles, and the best split of a budget.
const law = (() => {
  const calls = {
    exp: Math.exp, log: Math.log, log10: Math.log10, sqrt: Math.sqrt, abs: Math.abs,
    minimum: Math.min, maximum: Math.max, log2: Math.log2, log1p: Math.log1p, expm1: Math.expm1,
    tanh: Math.tanh, softplus: (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))),
    sigmoid: (x) => 1 / (1 + Math.exp(-x)), logit: (p) => Math.log(p) - Math.log1p(-p),
    inv_cloglog: (x) => -Math.expm1(-Math.exp(x)),
  };

  function evaluate(node, names) {
    switch (node[0]) {
      case "number": return node[1];
      case "name": return names[node[1]];
      case "minus": return -evaluate(node[1], names);
      case "call": return calls[node[1]](...node.slice(2).map((part) => evaluate(part, names)));
    }
    const left = evaluate(node[1], names), right = evaluate(node[2], names);
    switch (node[0]) {
      case "+": return left + right;
      case "-": return left - right;
      case "*": return left * right;
      case "/": return left / right;
      case "**": return Math.pow(left, right);
    }
    return NaN;
  }

  // As numpy has it: linear between the order statistics.
  function quantile(sorted, q) {
    const at = q * (sorted.length - 1), below = Math.floor(at);
    const above = Math.min(below + 1, sorted.length - 1);
    return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
  }

  // Losses of every draw of a group at values of the variables, by column.
  function losses(model, group, at) {
    const names = Object.create(null);
    for (const variable of model.variables) names[variable.name] = at[variable.column];
    const count = model.shown, out = new Array(count);
    for (let i = 0; i < count; i++) {
      for (const name of model.parameters) names[name] = group.parameters[name][i];
      out[i] = evaluate(model.tree, names);
    }
    return out;
  }

  function compute(at) {
    return "C" in at ? at.C : 6 * at.N * at.D;
  }

  // One more run each: the law's value times what runs scatter by.
  function newRuns(model, group, at, means) {
    const noise = group.noise;
    let z = 0;
    if (model.trend) {
      const [low, high, centre] = model.trend;
      z = Math.min(Math.max(Math.log10(compute(at)), low), high) - centre;
    }
    return means.map((mean, i) => {
      const variance = noise.fixed[i] + noise.moving[i] * Math.exp(2 * noise.slope[i] * z);
      const height = noise.height ? noise.height[i] : 0;
      return mean * Math.exp(Math.sqrt(variance) * noise.deviate[i] + height);
    });
  }

  function summary(values) {
    const sorted = Float64Array.from(values).sort();
    const at = (q) => quantile(sorted, q);
    return { median: at(0.5), low50: at(0.25), high50: at(0.75), low: at(0.025), high: at(0.975) };
  }

  // FLOPs a parameter and token at N, as the group's own runs show it.
  function rate(group, N) {
    const [sizes, rates] = group.cost;
    if (N <= sizes[0]) return rates[0];
    const last = sizes.length - 1;
    if (N >= sizes[last]) return rates[last];
    let i = 0;
    while (sizes[i + 1] < N) i++;
    const part = Math.log(N / sizes[i]) / Math.log(sizes[i + 1] / sizes[i]);
    return Math.exp(Math.log(rates[i]) + part * Math.log(rates[i + 1] / rates[i]));
  }

  const tokens = (group, N, C) => C / (N * rate(group, N));

  // Expected loss and regret over N on a budget, and the N where the loss is least.
  function split(model, group, C, others, points = 161) {
    const middle = 0.5 * Math.log(C / 6), reach = 3.5 * Math.LN10;
    const curve = [];
    for (let i = 0; i < points; i++) {
      const N = Math.exp(middle - reach + (2 * reach * i) / (points - 1));
      const D = tokens(group, N, C);
      if (N < 1 || D < 1) continue;
      const all = losses(model, group, { ...others, N, D, C });
      const mean = all.reduce((sum, loss) => sum + loss, 0) / all.length;
      if (Number.isFinite(mean)) curve.push({ N, D, all, mean });
    }
    if (curve.length < 3) return null;
    const least = curve[0].all.map((_, i) => Math.min(...curve.map((point) => point.all[i])));
    for (const point of curve) {
      point.regret = point.all.reduce((sum, loss, i) => sum + loss - least[i], 0) / least.length;
      Object.assign(point, summary(point.all));
    }
    let best = 0;
    curve.forEach((point, i) => { if (point.mean < curve[best].mean) best = i; });
    let N = curve[best].N;
    const interior = best > 0 && best < curve.length - 1;
    if (interior) {  // the vertex of the parabola through the three lowest points
      const [a, b, c] = [curve[best - 1], curve[best], curve[best + 1]].map((p) => p.mean);
      const step = Math.log(curve[best + 1].N / N);
      if (a - 2 * b + c > 0) N *= Math.exp((step * 0.5 * (a - c)) / (a - 2 * b + c));
    }
    const near = curve.filter((point) => point.regret <= model.tolerance);
    return { N, D: tokens(group, N, C), interior, curve, near };
  }

  return { evaluate, quantile, losses, newRuns, summary, split, compute };
})();
