"""The page's look, in light and dark, on a desk and on a phone."""

STYLE = """
:root { color-scheme: light dark; --back: #fbfaf8; --card: #fff; --ink: #1d2126; --soft: #646c76; --line: #e2dfd9;
  --good: #17694a; --bad: #b3261e; --h0: #2166ac; --h1: #c2570c; --h2: #2e7d4f; --h3: #8e44ad; --h4: #957000;
  --h5: #b02a5b; --h6: #6b7280; --s0: #4c78a8; --s1: #e0853d; --s2: #59a14f; --s3: #b279a2; --s4: #c4a01a;
  --s5: #8a8f98 }
@media (prefers-color-scheme: dark) {
  :root { --back: #14171a; --card: #1c2024; --ink: #e6e8ea; --soft: #9aa3ad; --line: #31373d; --good: #63c99c;
    --bad: #ff8a80; --h0: #6cb0f5; --h1: #f2975a; --h2: #6cc48f; --h3: #c99be8; --h4: #d9b84a; --h5: #ef86a9;
    --h6: #a3abb5; --s0: #4f83bd; --s1: #c4702d; --s2: #4d8f45; --s3: #9a6690; --s4: #a3851a; --s5: #6f757e } }
* { box-sizing: border-box }
body { margin: 0; background: var(--back); color: var(--ink); font: 16px/1.55 system-ui, sans-serif }
main { max-width: 74rem; margin: 0 auto; padding: 2rem 1.25rem 4rem }
h1 { font-size: 1.15rem; margin: 0; font-weight: 600; color: var(--soft) }
h2 { font-size: 1.15rem; margin: 2.8rem 0 .4rem }
h3 { font-size: 1rem; margin: 1.4rem 0 .3rem }
.take { font-size: clamp(1.3rem, 3.4vw, 1.9rem); line-height: 1.3; margin: .5rem 0 .8rem; text-wrap: balance }
.soft, figcaption { color: var(--soft); font-size: .9rem }
p { margin: .4rem 0 }
figure, .wide { margin: .8rem 0; background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: .9rem }
.wide { overflow-x: auto; padding: .2rem .4rem }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .88rem }
th { color: var(--soft); font-weight: 500; vertical-align: bottom }
th, td { text-align: right; padding: .42rem .5rem; border-bottom: 1px solid var(--line); white-space: nowrap }
tr:last-child td { border-bottom: 0 }
th.l, td.l { text-align: left }
tr.taken td { font-weight: 650 }
tr.taken td:first-child { box-shadow: inset 3px 0 var(--good) }
tr.wrong td, .slower, .broken { color: var(--bad) }
.fine { color: var(--good) }
.fault { color: var(--bad); overflow-wrap: anywhere }
.swatch { display: inline-block; width: .65em; height: .65em; border-radius: 50%; margin-right: .5em }
svg { display: block; width: 100%; max-width: 56rem; margin: 0 auto; height: auto;
  font: 12.5px system-ui, sans-serif; fill: var(--ink) }
.scroll { overflow-x: auto } .scroll svg { min-width: 34rem }
text { fill: var(--soft) } text.name { fill: var(--ink); font-weight: 550;
  paint-order: stroke; stroke: var(--card); stroke-width: 4px; stroke-linejoin: round } text.on { fill: #fff }
.grid { stroke: var(--line) } .axis { stroke: var(--soft) } .mark { stroke: var(--ink); stroke-width: 1.5 }
.front { fill: none; stroke: var(--soft); stroke-dasharray: 3 4 } .whisker { stroke-width: 2 }
.limit { stroke: var(--bad); stroke-dasharray: 5 4 }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: .8rem; overflow-x: auto;
  font-size: .86rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.2rem; margin: .6rem 0 }
dt { color: var(--soft) } dd { margin: 0; overflow-wrap: anywhere }
details { margin: .5rem 0 } summary { cursor: pointer }
@media (max-width: 640px) {
  main { padding: 1.2rem .9rem 3rem }
  .cards thead { display: none }
  .cards, .cards tbody, .cards tr, .cards td { display: block; width: 100% }
  .cards tr { padding: .6rem .3rem; border-bottom: 1px solid var(--line) }
  .cards tr:last-child { border-bottom: 0 }
  .cards td { display: flex; justify-content: space-between; border: 0; padding: .12rem .4rem; gap: 1rem;
    text-align: right; white-space: normal; overflow-wrap: anywhere }
  .cards td::before { flex: none; content: attr(data-is); color: var(--soft); font-weight: 400 }
  .cards td.l:first-child, .cards td.l:nth-child(2) { font-weight: 650 }
  .cards td:empty { display: none }
  dl { grid-template-columns: 1fr; gap: 0 } dd { margin-bottom: .5rem }
}
@media print { figure, .wide { break-inside: avoid } }
"""

HUES = "\n".join(f".h{i} {{ fill: var(--h{i}); stroke: var(--h{i}) }} .b{i} {{ background: var(--h{i}) }}"
                 for i in range(7)) + "\n" + "\n".join(f".s{i} {{ fill: var(--s{i}) }}" for i in range(6))
"""Classes of the charts' colours: `h` a backend, `s` a stage or a kind of work."""
SHEET = STYLE + HUES
