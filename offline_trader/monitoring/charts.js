// Draws a course over time: the curve as a stretched SVG, every label as text of the page. Values
// under the pointer, or at the place that arrow keys move, stand in a small box.
const SVG = "http://www.w3.org/2000/svg";
const WIDE = 1000, HIGH = 240;

export const make = (tag, name = "", text = "") => {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text !== "") made.textContent = text;
  return made;
};

const drawn = (tag, attributes) => {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
};

const minus = (text) => text.replaceAll("-", "\u2212");

export const written = (value, unit) => {
  if (value === null || value === undefined || !Number.isFinite(value)) return "\u2013";
  if (unit === "share") return minus(`${(100 * value).toFixed(Math.abs(value) < 0.0995 ? 2 : 1)} %`);
  if (unit === "ratio") return minus(value.toFixed(3));
  if (unit === "ms") return `${(1000 * value).toFixed(value < 0.01 ? 2 : 0)} ms`;
  if (unit === "seconds") return span(value);
  const size = Math.abs(value);
  if (size && (size < 1e-6 || size >= 1e15)) return minus(value.toExponential(3));
  const digits = size >= 1000 ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: 5 };
  return minus((value || 0).toLocaleString("en", digits));
};

export const span = (seconds) => {
  const size = Math.abs(seconds);
  if (size < 120) return minus(`${seconds.toFixed(size < 10 ? 1 : 0)} s`);
  if (size < 7200) return minus(`${(seconds / 60).toFixed(0)} min`);
  return minus(size < 172800 ? `${(seconds / 3600).toFixed(1)} h` : `${(seconds / 86400).toFixed(1)} d`);
};

export const stamp = (seconds, short = false) => {
  if (seconds === null || seconds === undefined) return "\u2013";
  const text = new Date(1000 * seconds).toISOString();
  return short ? text.slice(0, 10) : text.slice(0, 19).replace("T", " ").replace(/ 00:00:00$/, "");
};

const rounded = (raw) => {
  const power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 2.5, 5, 10].map((x) => x * power).find((x) => x >= raw * (1 - 1e-9));
};

const axis = (values, wanted) => {
  let low = Math.min(...values), high = Math.max(...values);
  if (!(high > low)) { const pad = Math.abs(high) * 0.01 || 1; low -= pad; high += pad; }
  const step = rounded((high - low) / (wanted - 1));
  const first = Math.floor(low / step), last = Math.ceil(high / step);
  const ticks = [];
  for (let i = first; i <= last; i += 1) ticks.push(i * step);
  return { low: first * step, high: last * step, ticks };
};

const days = (points) => (points.at(-1).time - points[0].time) / 86400;

const placeLabels = (box, points, count = 6) => {
  const short = days(points) > 4;
  for (let i = 0; i < count; i += 1) {
    const share = (i + 0.5) / count;
    const label = make("span", "", stamp(points[Math.floor(share * (points.length - 1))].time, short).slice(short ? 0 : 5, short ? 10 : 16));
    label.style.left = `${100 * share}%`;
    box.append(label);
  }
};

// One course in `box`: points have a time and `field`; marks may say where to draw a triangle.
export const course = (box, points, { field, unit, title, zero = false, fill = false, marks = null, role = "policy" }) => {
  const before = box.querySelector(".area");
  const focused = before !== null && before === document.activeElement;
  if (points.length < 2) { box.replaceChildren(make("p", "none", "No decisions yet.")); return; }
  const values = points.map((p) => p[field]);
  const y = axis(zero ? [0, ...values] : values, 5);
  const atX = (i) => (WIDE * i) / (points.length - 1);
  const atY = (v) => HIGH * (1 - (v - y.low) / (y.high - y.low));
  const area = make("div", "area");
  area.tabIndex = 0;
  area.setAttribute("role", "img");
  area.setAttribute("aria-label", `${title}: ${points.length} decisions from ${stamp(points[0].time)} to ${stamp(points.at(-1).time)}; last ${written(values.at(-1), unit)}, lowest ${written(Math.min(...values), unit)}, highest ${written(Math.max(...values), unit)}. Arrow keys read the values.`);
  const svg = drawn("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  svg.append(drawn("path", { class: "grid", d: y.ticks.map((t) => `M0 ${atY(t).toFixed(1)}H${WIDE}`).join("") }));
  const line = values.map((v, i) => `${i ? "L" : "M"}${atX(i).toFixed(1)} ${atY(v).toFixed(1)}`).join("");
  if (fill) svg.append(drawn("path", { class: `under ${role}`, d: `${line}L${WIDE} ${atY(0).toFixed(1)}L0 ${atY(0).toFixed(1)}Z` }));
  if (zero) svg.append(drawn("path", { class: "zero-line", d: `M0 ${atY(0).toFixed(1)}H${WIDE}` }));
  svg.append(drawn("path", { class: `curve ${role}`, d: line }));
  area.append(svg);
  if (marks) {
    let count = 0;
    points.forEach((p, i) => {
      const kind = marks(p);
      if (!kind) return;
      const mark = make("i", `mark ${kind}`);
      mark.style.left = `${atX(i) / 10}%`;
      mark.style.top = `${(100 * atY(p[field])) / HIGH}%`;
      area.append(mark);
      count += 1;
    });
    if (count > 60) area.classList.add("many");
  }
  const labels = make("div", "ylabels");
  for (const tick of y.ticks) {
    const label = make("span", "", written(Math.abs(tick) < 1e-12 ? 0 : tick, unit));
    label.style.top = `${(100 * atY(tick)) / HIGH}%`;
    labels.append(label);
  }
  const bottom = make("div", "xlabels");
  placeLabels(bottom, points);
  const plot = make("div", "plot");
  plot.append(labels, area, bottom);
  box.replaceChildren(plot);
  readable(area, points, (p) => `${stamp(p.time)}\n${title}: ${written(p[field], unit)}\naction ${written(p.action, "ratio")}, ordered ${written(p.ordered, "count")}`);
  if (focused) area.focus({ preventScroll: true });
};

const readable = (area, points, words) => {
  const tip = make("div", "tip"), rule = make("i", "tiprule");
  tip.setAttribute("aria-live", "polite");
  tip.hidden = rule.hidden = true;
  area.append(rule, tip);
  let at = points.length - 1;
  const show = () => {
    tip.textContent = words(points[at]);
    tip.hidden = rule.hidden = false;
    const wide = area.clientWidth, left = (wide * at) / (points.length - 1);
    rule.style.left = `${left}px`;
    tip.style.left = `${left + 12 + tip.offsetWidth > wide ? Math.max(0, left - 12 - tip.offsetWidth) : left + 12}px`;
  };
  const hide = () => { tip.hidden = rule.hidden = true; };
  area.addEventListener("pointermove", (event) => {
    const box = area.getBoundingClientRect();
    at = Math.round(Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * (points.length - 1));
    show();
  });
  area.addEventListener("pointerleave", hide);
  area.addEventListener("blur", hide);
  area.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -points.length, End: points.length }[event.key];
    if (event.key === "Escape") hide();
    if (step === undefined) return;
    event.preventDefault();
    at = Math.min(points.length - 1, Math.max(0, at + step));
    show();
  });
};

// Rows are desks, columns equal spans of time; a cell's colour is the mean action in it.
export const heat = (box, desks, columns) => {
  const all = desks.flatMap((d) => d.points).filter((p) => p.action !== null);
  if (all.length < 2) { box.replaceChildren(make("p", "none", "No decisions yet.")); return; }
  const from = Math.min(...all.map((p) => p.time)), to = Math.max(...all.map((p) => p.time));
  const grid = make("div", "heat");
  for (const desk of desks) {
    const sums = new Array(columns).fill(0), counts = new Array(columns).fill(0);
    for (const p of desk.points) {
      if (p.action === null) continue;
      const cell = Math.min(columns - 1, Math.floor((columns * (p.time - from)) / (to - from || 1)));
      sums[cell] += p.action;
      counts[cell] += 1;
    }
    const svg = drawn("svg", { viewBox: `0 0 ${columns} 1`, preserveAspectRatio: "none", role: "img" });
    const known = counts.reduce((sum, n) => sum + n, 0), total = sums.reduce((sum, x) => sum + x, 0);
    svg.setAttribute("aria-label", `${desk.instrument}: mean action ${written(total / (known || 1), "ratio")} over ${known} decisions`);
    counts.forEach((n, i) => {
      if (!n) return;
      const mean = sums[i] / n;
      const cell = drawn("rect", { x: i, y: 0, width: 1.02, height: 1, class: mean < 0 ? "neg" : "pos" });
      cell.style.opacity = Math.max(0.04, Math.abs(mean)).toFixed(2);
      const title = drawn("title", {});
      title.textContent = `${stamp(from + ((i + 0.5) * (to - from)) / columns)}: ${written(mean, "ratio")}`;
      cell.append(title);
      svg.append(cell);
    });
    grid.append(make("span", "", desk.instrument), svg);
  }
  const bottom = make("div", "xlabels");
  placeLabels(bottom, [0, 1, 2, 3, 4, 5].map((i) => ({ time: from + (i * (to - from)) / 5 })), 6);
  grid.append(make("span"), bottom);
  box.replaceChildren(grid);
};
