// Shows the values under the pointer. They are read back from the curves' coordinates, so nothing
// is stored twice and nothing is loaded; a value is as exact as 1/3000 of the axis.
for (const area of document.querySelectorAll(".area[data-unit]")) {
  const data = area.dataset, svg = area.querySelector("svg");
  const [x0, x1, y0, y1] = [data.x0, data.x1, data.y0, data.y1].map(Number);
  const lines = [...svg.querySelectorAll("path.line")].reverse().map((path) => ({
    name: path.dataset.name,
    role: path.classList[1],
    points: (path.getAttribute("d").match(/-?[\d.]+ -?[\d.]+/g) || []).map((p) => p.split(" ").map(Number)),
  }));
  const tip = document.createElement("div"), rule = document.createElement("i");
  tip.className = "tip"; rule.className = "tiprule";
  tip.hidden = rule.hidden = true;
  area.append(rule, tip);
  const [wide, high] = [svg.viewBox.baseVal.width, svg.viewBox.baseVal.height];
  const minus = (text) => text.replace("-", "\u2212");
  const level = (y) => {
    const share = 1 - y / high;
    return data.log ? Math.exp(Math.log(y0) + share * Math.log(y1 / y0)) : y0 + share * (y1 - y0);
  };
  const value = (v) => minus(
    data.unit === "percent" ? `${(100 * v).toFixed(1)} %`
      : data.unit === "ratio" ? v.toFixed(2)
      : v.toLocaleString("en", { maximumSignificantDigits: 4 }));
  const place = (x) => {
    const at = x0 + (x / wide) * (x1 - x0);
    if (!data.dates) return value(at).replace(" %", "");
    const text = new Date(1000 * at).toISOString();
    return x1 - x0 > 45 * 86400 ? text.slice(0, 10) : text.slice(0, 16).replace("T", " ");
  };
  const nearest = (points, x) =>
    points.reduce((best, p) => (!best || Math.abs(p[0] - x) < Math.abs(best[0] - x) ? p : best), null);
  area.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = Math.min(wide, Math.max(0, ((event.clientX - box.left) / box.width) * wide));
    const found = lines.map((line) => [line, nearest(line.points, x)]);
    const at = nearest(found.map(([, p]) => p).filter(Boolean), x);
    if (!at) return;
    tip.replaceChildren();
    tip.append(Object.assign(document.createElement("b"), { textContent: place(at[0]) }));
    for (const [line, point] of found) {
      if (!point || Math.abs(point[0] - at[0]) > wide / 100) continue;
      const row = document.createElement("span"), key = document.createElement("i");
      key.className = `key line ${line.role}`;
      row.append(key, `${line.name}: ${value(level(point[1]))}`);
      tip.append(row);
    }
    tip.hidden = rule.hidden = false;
    const left = (at[0] / wide) * box.width;
    rule.style.left = `${left}px`;
    tip.style.left = `${Math.min(Math.max(0, left + 12), Math.max(0, box.width - tip.offsetWidth))}px`;
    if (left + 12 + tip.offsetWidth > box.width) tip.style.left = `${Math.max(0, left - 12 - tip.offsetWidth)}px`;
  });
  area.addEventListener("pointerleave", () => { tip.hidden = rule.hidden = true; });
}
