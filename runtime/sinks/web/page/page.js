// The page: what is shown of which source, and what the person at it does.

import { buildCharts } from "./charts.js";
import { buildLegend } from "./legend.js";
import { decodeMask } from "./mask.js";
import { connect } from "./wire.js";

const $ = (id) => document.getElementById(id);
const canvas = $("picture");
const state = { source: "", sources: [], stats: {}, connected: false, paused: false, strength: 0.5, frame: null, drawn: 0, since: 0 };
const charts = buildCharts($("charts"));
const legend = buildLegend($("legend"), $("all"), redraw);

if (location.search.includes("token=")) history.replaceState(null, "", location.pathname); // the cookie knows it now

const tell = connect({ hello, stats, frame, open: (open) => ((state.connected = open), (state.since = Date.now()), banner()) });

function hello(sources) {
  state.sources = sources;
  if (!sources.some(({ name }) => name === state.source)) state.source = sources[0]?.name ?? "";
  charts.fill(sources.find(({ name }) => name === state.source)?.history ?? []);
  tabs();
  facts();
}

function stats(sources) {
  state.stats = sources;
  state.since = Date.now();
  const mine = sources[state.source];
  if (mine) charts.add(mine);
  tabs();
  facts();
  banner();
}

/** Decodes a frame, shows it, and keeps it for what changes while it stands. */
async function frame(next) {
  if (state.paused || next.source !== state.source) return;
  const [photo, mask] = await Promise.all([createImageBitmap(next.photo), next.mask && decodeMask(next.mask, legend.hidden)]);
  if (state.paused || next.source !== state.source) return;
  state.frame?.photo.close();
  state.frame?.bitmap?.close();
  state.frame = { ...next, photo, bitmap: mask };
  draw();
  legend.show(next.shares);
}

/** Draws the frame that stands again, with the classes that are shown now. */
async function redraw() {
  const frame = state.frame;
  if (!frame?.mask) return;
  const bitmap = await decodeMask(frame.mask, legend.hidden);
  if (frame !== state.frame) return bitmap.close();
  frame.bitmap.close();
  frame.bitmap = bitmap;
  draw();
}

function draw() {
  const { photo, bitmap, box } = state.frame;
  const [w, h] = [photo.width, photo.height];
  if (canvas.width !== w || canvas.height !== h) {
    [canvas.width, canvas.height] = [w, h];
    $("stage").style.setProperty("--ratio", w / h);
  }
  const ctx = canvas.getContext("2d");
  ctx.globalAlpha = 1;
  ctx.drawImage(photo, 0, 0);
  if (bitmap) {
    ctx.globalAlpha = state.strength;
    ctx.drawImage(bitmap, box[0] * w, box[1] * h, box[2] * w, box[3] * h);
  }
  state.drawn++;
  canvas.dataset.index = state.frame.index;
  caption();
}

function caption() {
  const { size, time, index } = state.frame;
  $("caption").textContent = `${size[0]} × ${size[1]} · frame ${index.toLocaleString("en")} · ${new Date(time).toLocaleTimeString()}`;
}

function tabs() {
  const nav = $("sources");
  const names = state.sources.map(({ name }) => name);
  if (nav.dataset.names !== names.join("\n")) {
    nav.dataset.names = names.join("\n");
    nav.replaceChildren(...names.map((name) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(Object.assign(document.createElement("span"), { className: "dot" }), name);
      button.onclick = () => choose(name);
      return button;
    }));
  }
  [...nav.children].forEach((button, i) => {
    button.setAttribute("aria-current", names[i] === state.source);
    button.dataset.state = state.stats[names[i]]?.state ?? "connecting";
  });
}

function choose(name) {
  if (name === state.source) return;
  state.source = name;
  charts.fill([]);
  tell({ source: name }); // answered by a hello, with the charts so far
  if (state.paused) pause();
  stats(state.stats);
}

function facts() {
  const source = state.sources.find(({ name }) => name === state.source);
  if (!source) return;
  legend.build(source.classes);
  $("legend-panel").hidden = $("strength-box").hidden = !source.classes.length;
  const mine = state.stats[state.source];
  const size = mine?.size[0] ? `${mine.size[0]} × ${mine.size[1]}` : "–";
  const rows = { Source: source.name, Size: size, Model: source.model, Task: source.task, Backend: source.backend, Device: source.device, Precision: source.precision, Frames: mine?.frames.toLocaleString("en"), "Bad packets": mine?.bad || "" };
  $("facts").replaceChildren(...Object.entries(rows).filter(([, value]) => value).flatMap(([name, value]) => [
    Object.assign(document.createElement("dt"), { textContent: name }),
    Object.assign(document.createElement("dd"), { textContent: value })]));
  document.title = `${source.name} – epee`;
}

/** The state in words: at the top right always, over the picture where it is not live. */
function banner() {
  const mine = state.stats[state.source] ?? { state: "connecting", for_s: 0, reason: "" };
  const seconds = Math.round(mine.for_s + (Date.now() - state.since) / 1000);
  const texts = {
    connecting: ["Waiting for the first picture", mine.reason],
    lost: [`Signal lost for ${span(seconds)}`, mine.reason],
    ended: ["The source has ended", ""],
    stalled: ["No new picture for a while", "the source is connected and silent"],
    away: ["Connection to epee lost", "trying again"],
  };
  const now = !state.connected ? "away" : mine.stalled ? "stalled" : mine.state;
  const [title, text] = texts[now] ?? ["", ""];
  $("banner").hidden = now === "live";
  write($("banner-title"), title);
  write($("banner-text"), text);
  $("stage").dataset.state = now;
  $("state").dataset.state = now;
  write($("state-text"), now === "away" ? "offline" : state.paused && now === "live" ? "paused" : now);
}

/** Sets a text where it is another one, so that screen readers tell it once. */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function span(seconds) {
  return seconds < 120 ? `${seconds} s` : seconds < 7200 ? `${Math.floor(seconds / 60)} min` : `${Math.floor(seconds / 3600)} h`;
}

function pause() {
  state.paused = !state.paused;
  $("pause").setAttribute("aria-pressed", state.paused);
  $("pause").querySelector("span").textContent = state.paused ? "Resume" : "Pause";
  tell({ shows: !state.paused && !document.hidden });
  banner();
}

function strengthen(percent) {
  percent = Math.max(0, Math.min(100, percent));
  state.strength = percent / 100;
  $("strength").value = percent;
  $("strength-value").textContent = `${percent} %`;
  if (state.frame) draw();
}

function snapshot() {
  if (!state.frame) return;
  const stamp = state.frame.time.replace(/[:.]/g, "-").replace(/\+.*$/, "");
  canvas.toBlob((blob) => {
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: `${state.source}-${stamp}.png` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}

$("pause").onclick = pause;
$("snapshot").onclick = snapshot;
$("strength").oninput = () => strengthen(Number($("strength").value));
document.addEventListener("visibilitychange", () => tell({ shows: !state.paused && !document.hidden }));
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === " " && event.target.closest("button, input, a, label")) return; // it presses what has the focus
  const keys = { " ": pause, s: snapshot, "[": () => strengthen(Math.round(100 * state.strength) - 10), "]": () => strengthen(Math.round(100 * state.strength) + 10), a: legend.toggleAll };
  const act = keys[event.key] ?? (/^[1-9]$/.test(event.key) ? () => legend.toggle(Number(event.key) - 1) : null);
  if (act) {
    event.preventDefault();
    act();
  }
});
setInterval(banner, 1000);
