// The 32 built-in features of the last bar, from all bars since the first one. The formulas are in
// docs/markets-and-features.md; windows are summed oldest bar first, averages after Wilder begin
// at the first bar, and prices are divided by the first close, as in the Python package.

const FLAT = 1e-12;

const sum = (values) => values.reduce((total, x) => total + x, 0);
const mean = (values) => sum(values) / values.length;
const clip = (x, low, high) => Math.min(Math.max(x, low), high);
const quotient = (a, b, otherwise) => (b > 0 ? a / b : otherwise);

function deviation(values) {
  const centre = mean(values);
  return Math.sqrt(mean(values.map((x) => (x - centre) * (x - centre))));
}

// The mean of the first n values, then the recursion.
function average(n, next) {
  let count = 0, total = 0, value = NaN;
  return (x) => {
    count += 1;
    if (count > n) value = next(value, x);
    else if ((total += x, count === n)) value = total / n;
    return value;
  };
}
const exponential = (n) => average(n, (value, x) => (x - value) * (2 / (n + 1)) + value);
const wilder = (n) => average(n, (value, x) => (value * (n - 1) + x) / n);

function adx(n) {
  const smooth = wilder(n);
  let bars = 0, plus = 0, minus = 0, range = 0, seeds = 0, value = NaN;
  return (up, down, span) => {
    bars += 1;
    if (bars >= n) {
      plus -= plus / n;
      minus -= minus / n;
      range -= range / n;
    }
    if (down > 0 && up < down) minus += down;
    else if (up > 0 && up > down) plus += up;
    range += span;
    if (bars < n) return NaN;
    const [p, m] = range > 0 ? [100 * (plus / range), 100 * (minus / range)] : [0, 0];
    // without range or direction the running mean stays as it is
    if (p + m === 0 && seeds >= n) return value;
    seeds += 1;
    value = smooth(p + m > 0 ? 100 * (Math.abs(m - p) / (p + m)) : 0);
    return value;
  };
}

function recursive(bars) {
  const base = bars[0].close;
  const [gain, loss, range] = [wilder(14), wilder(14), wilder(14)];
  const [fast, slow, signal] = [exponential(12), exponential(26), exponential(9)];
  const direction = adx(14);
  let before = null, equal = 0, out = null;
  for (const bar of bars) {
    const [high, low, close] = [bar.high / base, bar.low / base, bar.close / base];
    const macd = fast(close) - slow(close);
    const line = Number.isNaN(macd) ? NaN : signal(macd);
    let rsi = NaN, atr = NaN, index = NaN;
    if (before !== null) {
      const change = close - before.close;
      equal = change === 0 ? equal + 1 : 0;
      const up = gain(Math.max(change, 0)), down = loss(Math.max(-change, 0));
      const still = up + down === 0 || equal >= 251;
      rsi = still ? 0.5 : 0.5 + (100 * ((up - down) / (up + down))) / 200;
      const span = Math.max(
        high - low, Math.abs(high - before.close), Math.abs(low - before.close));
      atr = range(span);
      index = direction(high - before.high, before.low - low, span);
    }
    before = { high, low, close };
    out = { rsi, macd: macd / close, hist: (macd - line) / close, atr: atr / close,
      adx: index / 100 };
  }
  return out;
}

function calendar(time) {
  const day = 86_400_000, year = time.getUTCFullYear(), ms = time.getTime();
  const first = Date.UTC(year, 0, 1), next = Date.UTC(year + 1, 0, 1);
  const phases = [
    (ms % day) / day, ((ms + 3 * day) % (7 * day)) / (7 * day), (ms - first) / (next - first)];
  return phases.flatMap((x) => [Math.sin(2 * Math.PI * x), Math.cos(2 * Math.PI * x)]);
}

/** The features of the last of `bars` ({ time: Date, open, high, low, close, volume }). */
export function features(bars) {
  const column = (name, n) => bars.slice(-n).map((bar) => bar[name]);
  const bar = bars.at(-1);
  const closes = column("close", 253);
  const back = (k) => closes.at(-1 - k);
  const returns = closes.slice(-61).map((x, i, all) => Math.log(x / all[i - 1])).slice(1);
  const [vol20, vol60] = [deviation(returns.slice(-20)), deviation(returns)];
  const [sma20, sma50, sma200] = [20, 50, 200].map((n) => mean(column("close", n)));
  let half = 2 * deviation(column("close", 20));
  if (half <= FLAT * sma20) half = 0;
  const channel = (n) => {
    const past = bars.slice(-1 - n, -1);
    const top = Math.max(...past.map((x) => x.high)), bottom = Math.min(...past.map((x) => x.low));
    return clip(quotient(bar.close - bottom, top - bottom, 0.5), -1, 2);
  };
  const r = recursive(bars);
  return [
    ...[1, 5, 10, 20, 60, 252].map((k) => Math.log(bar.close / back(k))),
    vol20, vol60, vol20 > FLAT && vol60 > FLAT ? Math.log(vol20 / vol60) : 0,
    r.rsi, r.macd, r.hist,
    quotient(bar.close - (sma20 - half), 2 * half, 0.5), (2 * half) / sma20, r.atr, r.adx,
    quotient(bar.volume, mean(column("volume", 20)), 1),
    Math.log(bar.close / sma20), Math.log(bar.close / sma50), Math.log(bar.close / sma200),
    Math.log(sma50 / sma200), channel(20), channel(55),
    Math.log(bar.close / Math.max(...column("high", 252))),
    quotient(bar.close - bar.low, bar.high - bar.low, 0.5), Math.log(bar.open / back(1)),
    ...calendar(bar.time),
  ];
}
