"""What a plan's page adds to the style sheet: colours of makers, of roofs, and the filters."""

SHOWN = {
    "fits": "fits",
    "unfit": "does not fit",
    "nvidia": "NVIDIA",
    "amd": "AMD",
    "intel": "Intel",
    "apple": "Apple",
    "other": "others",
}

# A box that is not ticked hides its rows and points, without a script.
_FILTERS = "\n".join(f"main:has(#show-{key}:not(:checked)) :is(tr, .dot).{key} {{ display: none; }}" for key in SHOWN)

PLAN_STYLE = f"""
:root {{ --nvidia: #3f7d20; --amd: #c2331a; --intel: #1f5fbf; --apple: #6f6f78; --other: #8a3fbf;
  --hue0: #1f5fbf; --hue1: #c2571a; --hue2: #2f7d4f; --hue3: #8a3fbf; --hue4: #6f6f78; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --nvidia: #86c95e; --amd: #ff8a6b; --intel: #7fb0ff; --apple: #b5b8c0; --other: #c99bff;
    --hue0: #7fb0ff; --hue1: #f0914f; --hue2: #7fd1a1; --hue3: #c99bff; --hue4: #b5b8c0; }}
}}
.plots:has(.dot, .roof) {{ grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)); }}
.dot {{ fill-opacity: 0.55; stroke: var(--paper); stroke-width: 0.75; }}
.dot:hover {{ fill-opacity: 1; stroke: var(--ink); }} .dot.best {{ fill-opacity: 1; }}
.dot.nvidia {{ fill: var(--nvidia); }} .dot.amd {{ fill: var(--amd); }} .dot.intel {{ fill: var(--intel); }}
.dot.apple {{ fill: var(--apple); }} .dot.other {{ fill: var(--other); }}
.key.nvidia {{ background: var(--nvidia); }} .key.amd {{ background: var(--amd); }}
.key.intel {{ background: var(--intel); }} .key.apple {{ background: var(--apple); }}
.key.other {{ background: var(--other); }}
.frontier {{ fill: none; stroke: var(--soft); stroke-dasharray: 3 4; }}
.chart .labels text {{ fill: var(--ink); font-size: 11px; paint-order: stroke; stroke: var(--paper);
  stroke-width: 3px; }}
.region {{ stroke: none; fill-opacity: 0.16; }}
.region.compute {{ fill: var(--hue2); }} .region.memory {{ fill: var(--hue0); }}
.region.network {{ fill: var(--hue1); }}
.key.compute {{ background: var(--hue2); }} .key.memory {{ background: var(--hue0); }}
.key.network {{ background: var(--hue1); }} .chart:has(.region) circle {{ fill: var(--ink); }}
.chart .here {{ stroke: var(--soft); stroke-dasharray: 2 4; }}
.roof path {{ fill: none; stroke-width: 2.25; stroke-linejoin: round; }}
.roof circle {{ stroke: var(--paper); stroke-width: 1.5; }}
{"".join(f".hue{n} path {{ stroke: var(--hue{n}); }} .hue{n} circle {{ fill: var(--hue{n}); }}" for n in range(5))}
.legend.stacked {{ display: block; }} .legend.stacked li {{ margin-bottom: 0.6rem; }}
.swatch.roof {{ height: 14px; }}
.filters {{ display: flex; flex-wrap: wrap; gap: 0.3rem 1.2rem; margin: 0 0 1rem; padding: 0.4rem 0.9rem 0.6rem;
  border: 1px solid var(--rule); border-radius: 6px; font-size: 0.9rem; width: fit-content; }}
.filters legend {{ color: var(--soft); font-size: 0.8rem; padding: 0 0.3rem; }}
.filters input {{ accent-color: var(--accent); }}
.gpus th, .gpus td {{ white-space: nowrap; }} .gpus .bar {{ width: 3.5rem; }} .gpus .unfit {{ color: var(--soft); }}
{_FILTERS}
@media print {{ .filters {{ display: none; }} }}
"""
