// The page of desks. Data come from /dashboard/events as a stream; texts are set as text, never as
// markup, and nothing is loaded from elsewhere.
import { course, heat, make, span, stamp, written } from "./charts.js";

const KEPT = 600, KEY = "offline-trader token";
const at = (id) => document.getElementById(id);
const desks = new Map();
let chosen = null, heard = 0, offset = 0, scheduled = false;

const TONES = { NORMAL: "good", REDUCE: "warn", HALT: "bad" };
const SAID = {
  NORMAL: "NORMAL: every order within the limits",
  REDUCE: "REDUCE: only orders towards zero",
  HALT: "HALT: no order",
};
const LIMITS = {
  max_exposure: "exposure", max_position_notional: "position", max_daily_loss: "loss of the day",
  max_drawdown: "drawdown", max_orders_per_day: "orders today", max_equal_actions: "equal actions",
  max_price_age_s: "age of the price",
  "book.max_gross": "all desks together", "book.max_concentration": "this instrument, of all desks",
  "book.max_group": "correlated instruments", "book.max_orders_per_day": "orders of all desks today",
};

const take = (message) => {
  offset = message.now - Date.now() / 1000;
  at("version").textContent = `offline-trader ${message.version}`;
  for (const desk of message.desks) {
    const before = desks.get(desk.instrument);
    const points = desk.whole || !before ? desk.points : [...before.points, ...desk.points];
    desks.set(desk.instrument, { ...desk, points: points.slice(-KEPT) });
  }
  if (chosen === null && desks.size) chosen = [...desks.keys()].sort()[0];
  if (message.desks.length && !scheduled) {
    scheduled = true;
    // Not requestAnimationFrame: a page in the background has to be right when it is looked at.
    setTimeout(() => { scheduled = false; draw(); }, 0);
  }
};

const table = (heads, rows, caption) => {
  const made = make("table"), head = make("thead"), body = make("tbody"), top = make("tr");
  made.append(make("caption", "", caption), head, body);
  head.append(top);
  for (const [name, kind] of heads) {
    const cell = make("th", kind === "num" ? "num" : "", name);
    cell.scope = "col";
    top.append(cell);
  }
  for (const row of rows) {
    const line = make("tr");
    row.forEach((value, i) => {
      const [text, tone] = Array.isArray(value) ? value : [value, ""];
      line.append(make("td", `${heads[i][1] || ""} ${tone}`.trim(), text));
    });
    body.append(line);
  }
  return made;
};

const show = (id, element) => at(id).replaceChildren(element);
const pairs = (box, entries) => {
  box.replaceChildren(...entries.map(([name, value, tone, small]) => {
    const row = make("div"), told = make("dd", tone || "plain", value);
    if (small) told.append(make("small", "", small));
    row.append(make("dt", "", name), told);
    return row;
  }));
};

const worst = (desk) => (desk.broken || desk.trouble ? "bad" : TONES[desk.state] || "plain");

const drawNames = () => {
  const names = [...desks.keys()].sort();
  if (names.length < 2) { at("desks").replaceChildren(); return; }
  const active = document.activeElement?.dataset?.desk;
  at("desks").replaceChildren(...names.map((name) => {
    const desk = desks.get(name), button = make("button"), dot = make("i", `dot ${worst(desk)}`);
    button.type = "button";
    button.dataset.desk = name;
    button.setAttribute("aria-pressed", String(name === chosen));
    button.setAttribute("aria-label", `${name}, ${desk.state}, ${desk.firing.length} alerts`);
    button.append(dot, name);
    button.addEventListener("click", () => { chosen = name; draw(); });
    return button;
  }));
  if (active) [...at("desks").children].find((b) => b.dataset.desk === active)?.focus();
};

const drawBanner = (desk) => {
  at("banner").className = `banner ${worst(desk)}`;
  const title = desk.broken || desk.trouble ? "The audit log cannot be used" : SAID[desk.state] || desk.state;
  if (at("state").textContent !== title) at("state").textContent = title;
  const why = desk.broken || desk.trouble || desk.reason;
  if (at("reason").textContent !== why) at("reason").textContent = why;
  at("firing").replaceChildren(...desk.firing.map((each) =>
    make("li", each.severity === "critical" ? "bad" : each.severity === "warning" ? "warn" : "plain", `${each.alert}: ${each.text}`)));
};

const drawTiles = (desk) => {
  const last = desk.last, latency = desk.health?.latency_s;
  const day = last && desk.day_equity > 0 ? last.equity / desk.day_equity - 1 : null;
  const tone = (x) => (x === null || x === 0 ? "plain" : x > 0 ? "good" : "bad");
  const down = desk.limits.find((each) => each.name === "max_drawdown");
  pairs(at("tiles"), [
    ["Equity", written(last?.equity, "money"), "plain", last ? `cash ${written(last.cash, "money")}` : ""],
    ["Since the day began", written(day, "share"), tone(day)],
    ["Drawdown", written(down ? -down.used : null, "share"), "plain"],
    ["Position", written(last?.units, "count"), "plain", last ? `${written(last.exposure, "share")} of equity` : "units"],
    ["Last action", written(last?.action, "ratio"), "plain", last ? `ordered ${written(last.ordered, "count")}` : ""],
    ["Last bar", last ? stamp(last.time) : "\u2013", "plain", last ? `close ${written(last.close, "money")}` : ""],
    ["Decisions", written(desk.decisions, "count"), "plain", `${written(desk.orders, "count")} orders, ${written(desk.refused, "count")} refused`],
    ["Time of a decision", written(latency?.p50, "ms"), "plain", latency?.p99 != null ? `99 %: ${written(latency.p99, "ms")}` : "not measured yet"],
  ]);
};

const drawLimits = (desk) => {
  const box = make("div");
  for (const each of desk.limits) {
    const share = each.limit > 0 ? each.used / each.limit : each.used > 0 ? 1 : 0;
    const row = make("div", `meter ${share >= 1 ? "bad" : share >= 0.8 ? "warn" : "good"}`), track = make("div", "track"), bar = make("i");
    const name = LIMITS[each.name] || each.name, text = `${written(each.used, each.unit)} of ${written(each.limit, each.unit)}`;
    track.setAttribute("role", "meter");
    track.setAttribute("aria-label", name);
    track.setAttribute("aria-valuemin", "0");
    track.setAttribute("aria-valuemax", "100");
    track.setAttribute("aria-valuenow", String(Math.round(100 * Math.min(1, Math.max(0, share)))));
    track.setAttribute("aria-valuetext", text);
    bar.style.width = `${Math.min(100, Math.max(0, 100 * share))}%`;
    track.append(bar);
    row.append(make("span", "", name), make("b", "", text), track);
    box.append(row);
  }
  show("limits", desk.limits.length ? box : make("p", "none", "No decisions yet."));
};

const drawDrift = (desk) => {
  const drift = desk.health?.drift;
  if (!drift) {
    show("drift", make("p", "none", "Not known: it takes 100 decisions, and a model with the manifest of its export beside it."));
    return;
  }
  const mark = (psi) => (psi > 0.25 ? "bad" : psi > 0.1 ? "warn" : "");
  const rows = Object.entries(drift.columns).sort((a, b) => b[1].psi - a[1].psi).slice(0, 10);
  const line = ([name, each]) => [name, [written(each.psi, "ratio"), mark(each.psi)], written(each.ks, "ratio")];
  show("drift", table(
    [["", ""], ["PSI", "num"], ["KS", "num"]],
    [line(["actions", drift.action]), ...rows.map(line)],
    `The last ${drift.n} decisions; of ${Object.keys(drift.columns).length} features those that moved most. Above 0.25 PSI is large.`,
  ));
};

const drawTables = (desk) => {
  const rows = desk.points.slice(-25).reverse().map((p) => [
    stamp(p.time), written(p.close, "money"), written(p.action, "ratio"),
    [written(p.ordered, "count"), p.ordered > 0 ? "good" : p.ordered < 0 ? "bad" : ""],
    written(p.units, "count"), written(p.equity, "money"), p.why,
  ]);
  show("decisions", rows.length ? table(
    [["bar", ""], ["close", "num"], ["action", "num"], ["ordered", "num"], ["held", "num"], ["equity", "num"], ["why", "text"]],
    rows, "Newest first; times are of bars, UTC.") : make("p", "none", "No decisions yet."));
  const events = [...desk.events].reverse().slice(0, 30).map((each) => [
    stamp(each.now), [each.what, each.tone === "critical" ? "bad" : each.tone === "warning" ? "warn" : ""], each.words,
  ]);
  show("events", events.length ? table([["when", ""], ["what", ""], ["", "text"]], events, "Newest first, UTC.") : make("p", "none", "Nothing happened."));
  pairs(at("model"), [
    ["SHA-256", desk.model || "\u2013"],
    ["in the shadow", desk.shadow || "none"],
    ["action mode", String(desk.rules.action_mode ?? "\u2013")],
    ["fill", String(desk.rules.fill ?? "\u2013")],
    ["row of the log", written(desk.row, "count")],
  ]);
};

const draw = () => {
  const desk = desks.get(chosen);
  at("board").hidden = !desk;
  if (!desk) return;
  drawNames();
  drawBanner(desk);
  drawTiles(desk);
  const side = (p) => (p.ordered > 0 ? "buy" : p.ordered < 0 ? "sell" : "");
  course(at("price"), desk.points, { field: "close", unit: "money", title: "close", marks: side });
  course(at("equity"), desk.points, { field: "equity", unit: "money", title: "equity" });
  course(at("exposure"), desk.points, { field: "exposure", unit: "share", title: "position", zero: true, fill: true });
  heat(at("heat"), [...desks.values()].sort((a, b) => (a.instrument < b.instrument ? -1 : 1)), at("heat").clientWidth < 500 ? 60 : 120);
  drawLimits(desk);
  drawDrift(desk);
  drawTables(desk);
  document.title = `${desk.state === "NORMAL" && !desk.firing.length ? "" : "! "}${chosen} \u00b7 offline-trader`;
};

const say = (kind, text) => {
  if (at("link").textContent === text) return;
  at("link").className = `link ${kind}`;
  at("link").textContent = text;
};

const listen = async () => {
  const token = sessionStorage.getItem(KEY);
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const stop = new AbortController();
  const watch = setInterval(() => { if (Date.now() - heard > 15000) stop.abort(); }, 1000);
  heard = Date.now();
  try {
    const answer = await fetch(new URL("events", import.meta.url), { headers, signal: stop.signal });
    if (answer.status === 401) { ask(Boolean(token)); return false; }
    if (!answer.ok) throw new Error(String(answer.status));
    say("live", "live");
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return true;
      heard = Date.now();
      rest += value;
      const parts = rest.split("\n\n");
      rest = parts.pop();
      for (const part of parts) {
        const data = part.split("\n").find((line) => line.startsWith("data: "));
        if (data) take(JSON.parse(data.slice(6)));
      }
    }
  } finally {
    clearInterval(watch);
  }
};

const ask = (wrong) => {
  sessionStorage.removeItem(KEY);
  say("wait", "a token is needed");
  at("refused").textContent = wrong ? "The server does not know this token." : "";
  at("token").hidden = false;
  at("word").focus();
};

at("token").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, at("word").value.trim());
  at("word").value = "";
  at("token").hidden = true;
  run();
});

const run = async () => {
  for (let pause = 500; ; pause = Math.min(2 * pause, 10000)) {
    try {
      if (!(await listen())) return;
      pause = 250;
    } catch {
      say("lost", "no connection, trying again");
    }
    await new Promise((done) => setTimeout(done, pause));
  }
};

// How old what is seen is, without a new event.
setInterval(() => {
  const last = desks.get(chosen)?.last;
  if (last) at("age").textContent = `\u00b7 last decision ${span(Math.max(0, Date.now() / 1000 + offset - last.now))} ago`;
}, 1000);
run();
