"""The page's style sheet. One accent colour; a second, warmer one only where something is wrong."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fbfaf8; --card: #ffffff; --ink: #1d2025; --soft: #5c6470; --rule: #e2e0da; --grid: #ecebe6;
  --accent: #1f5fbf; --on-accent: #ffffff; --train: #8a8f98; --miss: #c2571a; --shade: rgb(0 0 0 / 0.16);
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14161a; --card: #1b1e24; --ink: #e8e9ec; --soft: #a2a9b4; --rule: #31353d; --grid: #282c33;
    --accent: #7fb0ff; --on-accent: #0c1626; --train: #8d95a2; --miss: #f0914f; --shade: rgb(0 0 0 / 0.75);
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; scroll-padding-top: 3.5rem; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans KR", "Noto Sans CJK KR", sans-serif;
}
header, main, footer, nav ul { max-width: 68rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2.75rem; padding-bottom: 1.25rem; }
h1 { margin: 0; font-size: clamp(1.6rem, 5vw, 2.4rem); line-height: 1.15; letter-spacing: -0.02em; font-weight: 650;
  overflow-wrap: anywhere; }
h2 { margin: 0 0 1.1rem; font-size: 1.3rem; letter-spacing: -0.01em; font-weight: 650; }
h3 { margin: 1.75rem 0 0.6rem; font-size: 1rem; font-weight: 650; }
p { margin: 0 0 0.75rem; }
.eyebrow { margin: 0 0 0.4rem; color: var(--accent); font-size: 0.85rem; font-weight: 600; overflow-wrap: anywhere; }
.note, .aside, caption, footer { color: var(--soft); font-size: 0.875rem; }
a { color: var(--accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; border-radius: 3px; }
section:focus { outline: none; }
.skip { position: absolute; left: -100rem; }
.skip:focus { left: 1rem; top: 1rem; z-index: 3; background: var(--card); padding: 0.5rem 0.9rem; }

nav { position: sticky; top: 0; z-index: 2; background: var(--paper); border-bottom: 1px solid var(--rule); }
nav ul { display: flex; gap: 1.4rem; overflow-x: auto; list-style: none; scrollbar-width: none; }
nav a { display: block; padding: 0.7rem 0; color: var(--soft); font-size: 0.875rem; white-space: nowrap;
  text-decoration: none; }
nav a:hover { color: var(--accent); }
section { padding: 2.25rem 0; border-bottom: 1px solid var(--rule); }
section:last-child { border-bottom: 0; }
footer { padding-top: 1rem; padding-bottom: 2.5rem; overflow-wrap: anywhere; }

.figures { display: grid; gap: 1.75rem 3rem; grid-template-columns: minmax(15rem, 1fr) 2fr; align-items: start; }
.lead { border-left: 4px solid var(--accent); padding-left: 1.1rem; }
.big { margin: 0; font-size: clamp(3rem, 9vw, 4.25rem); line-height: 1; font-weight: 680; letter-spacing: -0.035em;
  font-variant-numeric: tabular-nums; white-space: nowrap; }
.label { margin: 0.45rem 0 0.5rem; font-weight: 600; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(12.5rem, 1fr)); gap: 1.4rem 1.75rem; margin: 0; }
.grid dt, .pairs dt { color: var(--soft); font-size: 0.875rem; }
.grid dd { margin: 0; overflow-wrap: anywhere; }
.grid .value { font-size: 1.15rem; font-weight: 600; font-variant-numeric: tabular-nums; line-height: 1.35; }
.why { margin: 0; padding-left: 1.1rem; }
.why li { margin-bottom: 0.3rem; }

.plots { display: grid; gap: 1.5rem 2rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); }
figure { margin: 0; max-width: 40rem; }
figcaption { display: flex; justify-content: space-between; align-items: baseline; gap: 1rem; }
figcaption h3 { margin: 0 0 0.4rem; }
.chart { display: block; width: 100%; height: auto; }
.chart text { font-size: 12px; fill: var(--soft); font-variant-numeric: tabular-nums; }
.chart .level { stroke: var(--grid); }
.chart .axis { stroke: var(--soft); }
.test path, .train path { fill: none; stroke-width: 2.5; stroke-linejoin: round; stroke-linecap: round; }
.test path { stroke: var(--accent); } .test circle { fill: var(--accent); }
.train path { stroke: var(--train); stroke-width: 2; stroke-dasharray: 5 5; }
.train circle { fill: var(--paper); stroke: var(--train); stroke-width: 1.75; }
.legend { display: flex; gap: 1.1rem; margin: 0; padding: 0; list-style: none; font-size: 0.875rem;
  color: var(--soft); }
.swatch { width: 28px; height: 12px; margin-right: 0.4rem; vertical-align: -1px; }
details { margin-top: 1.25rem; }
summary { cursor: pointer; color: var(--accent); font-size: 0.9rem; width: fit-content; }
details[open] summary { margin-bottom: 0.75rem; }

.scroll { overflow-x: auto; max-width: 100%;  /* a shadow on the side where there is more */
  background: linear-gradient(to right, var(--paper) 1.5rem, transparent 3rem) local,
    linear-gradient(to left, var(--paper) 1.5rem, transparent 3rem) local,
    linear-gradient(to right, var(--shade), transparent 0.9rem),
    linear-gradient(to left, var(--shade), transparent 0.9rem);
}
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; min-width: min(100%, 34rem); }
caption { text-align: left; padding-bottom: 0.6rem; }
th { text-align: left; font-weight: 600; }
thead th { color: var(--soft); font-weight: 500; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th, td { padding: 0.42rem 1.4rem 0.42rem 0; vertical-align: top; }
tr > :last-child { padding-right: 0; }
tbody tr + tr > * { border-top: 1px solid var(--grid); }
.num { text-align: right; white-space: nowrap; }
.yes { color: var(--accent); font-weight: 600; } .no { color: var(--miss); font-weight: 600; }
h3 .yes, h3 .no { margin-left: 0.5rem; font-size: 0.875rem; }
.badge { margin-left: 0.3rem; padding: 0 0.4rem; border: 1px solid var(--accent); border-radius: 1rem;
  color: var(--accent); font-size: 0.75rem; }

.exports { display: grid; gap: 0 3rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); }
.exports article { min-width: 0; } .exports h3 { margin-top: 0.5rem; } .exports table { min-width: 100%; }
.classes { display: grid; gap: 1rem 2.5rem; grid-template-columns: minmax(0, auto) minmax(0, 1fr); align-items: start; }
.classes > div { min-width: 0; } .classes table { min-width: 0; } .classes :is(th, td) { padding-right: 0.8rem; }
.classes .bar { width: 4rem; } .classes h3 { margin-top: 0; }
.mistakes { margin: 0 0 1.4rem; padding-left: 1.25rem; }
.keys > span { display: inline-block; margin-right: 1.25rem; }
.lead-in { margin-bottom: 0.25rem; color: var(--soft); }
.key { display: inline-block; width: 0.85rem; height: 0.85rem; margin: 0 0.4rem 0 0; border-radius: 3px;
  vertical-align: -1px; }
.key.hit { background: var(--accent); } .key.miss { background: var(--miss); }
.matrix { border-collapse: separate; border-spacing: 2px; min-width: 0; }
.matrix caption { position: sticky; left: 0; }
.matrix th, .matrix td { border: 0; padding: 0; }
.matrix thead th { vertical-align: bottom; text-align: center; font-weight: 500; padding-bottom: 0.4rem; }
.matrix thead th > span { writing-mode: vertical-rl; text-orientation: sideways; transform: rotate(180deg);
  max-height: 9rem; overflow: hidden; text-overflow: ellipsis; }
.matrix .corner { text-align: right; padding-right: 0.6rem; }
.matrix .corner > span { display: block; writing-mode: horizontal-tb; transform: none; font-size: 0.78rem; }
.matrix tbody th { position: sticky; left: 0; z-index: 1; background: var(--paper); padding-right: 0.6rem;
  text-align: right; font-weight: 500; max-width: 9rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap;
  vertical-align: middle; }
.matrix td { min-width: 2.9rem; height: 2.3rem; text-align: center; vertical-align: middle; border-radius: 4px;
  font-size: 0.82rem; padding: 0 0.3rem; }
.matrix .hit { background: color-mix(in srgb, var(--accent) var(--depth), transparent); }
.matrix .miss { background: color-mix(in srgb, var(--miss) var(--depth), transparent); }
.matrix .deep { color: var(--on-accent); }
.matrix .none { color: var(--soft); opacity: 0.6; }
.bar { display: inline-block; width: 6.5rem; height: 0.55rem; margin-right: 0.75rem; border-radius: 2px;
  background: linear-gradient(to right, var(--accent) var(--share), var(--grid) var(--share)); vertical-align: 1px; }
.figure { display: inline-block; min-width: 3.6rem; }

.pairs { display: grid; gap: 0.5rem 0; margin: 0.75rem 0 0; font-size: 0.9rem; }
.pairs div { display: grid; grid-template-columns: 7.5rem 1fr; gap: 1rem; }
.pairs dd { margin: 0; overflow-wrap: anywhere; }

@media (max-width: 62rem) { .classes { grid-template-columns: minmax(0, 1fr); } .classes h3 { margin-top: 1rem; } }
@media (max-width: 44rem) {
  header { padding-top: 1.75rem; }
  .figures { grid-template-columns: 1fr; }
  .grid { grid-template-columns: 1fr 1fr; }
  .pairs div { grid-template-columns: 1fr; gap: 0; }
  .bar { width: 3.5rem; }
  .matrix tbody th { max-width: 6.5rem; }
  table { font-size: 0.85rem; } th, td { padding-right: 0.7rem; }
  .chart text { font-size: 14px; }
}
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
@media print {
  :root { --paper: #fff; --ink: #000; --soft: #444; --rule: #ccc; --grid: #ddd; --accent: #1f5fbf; --on-accent: #fff;
    --train: #777; --miss: #c2571a; }
  body { font-size: 10pt; -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  nav, .skip, summary { display: none; }
  details::details-content { content-visibility: visible; display: block; block-size: auto; }
  section { padding: 1rem 0; } h2, h3 { break-after: avoid; } figure, tr, article { break-inside: avoid; }
  .scroll { overflow: visible; background: none; }
}
"""
