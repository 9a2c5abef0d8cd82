// Small charts of the last 90 seconds: a line for what is measured, bars for what is counted.

const SAMPLES = 90;
export const CHARTS = [
  { key: "fps", title: "Frames a second", unit: "", digits: 1 },
  { key: "age_ms", title: "Age", unit: "ms", digits: 1, hint: "from capture to here, median" },
  { key: "infer_ms", title: "Latency", unit: "ms", digits: 1, hint: "the network alone, median" },
  { key: "dropped", title: "Dropped", unit: "", counts: true, hint: "frames left out because a newer one was there" },
  { key: "reconnects", title: "Reconnects", unit: "", counts: true },
];

/** Builds the cards into `parent`; gives `add(stats)` and `fill(history)`, whose rows are the CHARTS' values. */
export function buildCharts(parent) {
  const cards = CHARTS.map((chart) => {
    const card = document.createElement("article");
    card.className = "panel chart";
    card.id = `chart-${chart.key}`;
    card.innerHTML = `<h2></h2><p><b class="value">–</b> <span class="unit"></span></p><canvas aria-hidden="true"></canvas><p class="range"></p>`;
    card.querySelector("h2").textContent = chart.title;
    card.querySelector(".unit").textContent = chart.unit;
    if (chart.hint) card.title = chart.hint;
    parent.append(card);
    return { ...chart, card, canvas: card.querySelector("canvas"), values: [], last: null };
  });

  function add(stats) {
    for (const card of cards) {
      const value = stats[card.key];
      const sample = !card.counts ? value : card.last === null ? 0 : Math.max(0, value - card.last);
      card.last = value;
      card.values = [...card.values, sample].slice(-SAMPLES);
      card.card.querySelector(".value").textContent = format(value, card.digits);
    }
    draw();
  }

  function fill(history) {
    cards.forEach((card, i) => {
      const values = history.map((row) => row[i]);
      card.last = values.at(-1) ?? null;
      card.values = card.counts ? values.map((value, at) => Math.max(0, value - (values[at - 1] ?? value))) : values;
    });
    draw();
  }

  function draw() {
    const style = getComputedStyle(document.documentElement);
    for (const card of cards) plot(card, style.getPropertyValue("--accent"), style.getPropertyValue("--line"));
  }

  new ResizeObserver(draw).observe(parent);
  matchMedia("(prefers-color-scheme: light)").addEventListener("change", draw);
  return { add, fill };
}

function plot({ canvas, values, counts, digits, unit, card }, accent, line) {
  const ratio = devicePixelRatio || 1;
  const [w, h] = [canvas.clientWidth, canvas.clientHeight];
  [canvas.width, canvas.height] = [w * ratio, h * ratio];
  const ctx = canvas.getContext("2d");
  ctx.scale(ratio, ratio);
  ctx.fillStyle = line;
  ctx.fillRect(0, h - 1, w, 1);
  const known = values.filter((value) => value !== null);
  if (!known.length) return;
  const [least, most] = [Math.min(...known), Math.max(...known)];
  card.querySelector(".range").textContent = counts
    ? `${known.reduce((a, b) => a + b, 0)} in the last ${values.length} s`
    : `${format(least, digits)} to ${format(most, digits)} ${unit}`;
  const top = Math.max(most * 1.15, counts ? 1 : 1e-3);
  const x = (i) => w - (values.length - 1 - i) * (w / (SAMPLES - 1));
  const y = (value) => h - 1 - (value / top) * (h - 4);
  ctx.fillStyle = ctx.strokeStyle = accent;
  if (counts) {
    values.forEach((value, i) => value > 0 && ctx.fillRect(x(i) - 1.5, y(value), 2, h - 1 - y(value)));
    return;
  }
  ctx.lineWidth = 1.5;
  ctx.lineJoin = "round";
  const path = new Path2D();
  let from = null;
  values.forEach((value, i) => {
    if (value === null) return;
    from === null ? path.moveTo((from = x(i)), y(value)) : path.lineTo(x(i), y(value));
  });
  ctx.stroke(path);
  path.lineTo(w, h - 1);
  path.lineTo(from, h - 1);
  ctx.globalAlpha = 0.14;
  ctx.fill(path);
}

function format(value, digits = 0) {
  return value === null || value === undefined ? "–" : value.toLocaleString("en", { maximumFractionDigits: digits, minimumFractionDigits: digits });
}
