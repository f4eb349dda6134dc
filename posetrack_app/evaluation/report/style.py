"""The look of the report page, light and dark, and the script that sorts its tables."""

STYLE = """
:root { color-scheme: light dark; --ink: #18202b; --soft: #566172; --rule: #dbe1e8; --ground: #fff; --panel: #f5f7fa;
  --accent: #2563a8; --good: #1d7a46; --bad: #b3372f; --bar: #bcd3ec; --truth: #1d7a46; --miss: #d0342c; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6ebf2; --soft: #9ba7b7; --rule: #303a46; --ground: #12161c; --panel: #1a2028;
    --accent: #79b0ee; --good: #5ac98a; --bad: #f08a80; --bar: #2d4a6b; --truth: #5ac98a; --miss: #ff7a70; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground);
  max-width: 68rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.15rem; margin: 2.75rem 0 .5rem; padding-top: .75rem; border-top: 1px solid var(--rule); }
h3 { font-size: 1rem; margin: 1.5rem 0 .35rem; }
p { color: var(--soft); margin: .35rem 0 .75rem; max-width: 46rem; } p b, p code { color: var(--ink); }
a { color: var(--accent); } nav { display: flex; flex-wrap: wrap; gap: .25rem 1rem; margin: 1rem 0 0; font-size: 14px; }
code { font: .92em ui-monospace, monospace; overflow-wrap: anywhere; }
.facts { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: .75rem 0; font-size: 14px; }
.facts dt { color: var(--soft); } .facts dd { margin: 0; overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(7.5rem, 1fr)); gap: .6rem; margin: 1rem 0 0; }
.tile { background: var(--panel); border-radius: 8px; padding: .6rem .8rem; }
.tile b { display: block; font-size: 1.5rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 13px; }
.scroll { overflow-x: auto; max-width: 100%; margin: .5rem 0 1rem; }
.tall { max-height: 30rem; overflow-y: auto; } .tall thead th { position: sticky; top: 0; background: var(--ground); }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .5rem; text-align: right; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th { font-weight: 600; } th:first-child, td:first-child { text-align: left; padding-left: 0; }
td.text, th.text { text-align: left; } td.wrap { white-space: normal; min-width: 16rem; color: var(--soft); }
tbody tr:hover { background: var(--panel); } td.best { font-weight: 700; } td.total { font-weight: 600; }
.good { color: var(--good); } .bad { color: var(--bad); } .soft { color: var(--soft); }
th[data-sort] { padding: 0; } th button { font: inherit; color: inherit; background: none; border: 0; cursor: pointer;
  padding: .28rem .5rem; width: 100%; text-align: inherit; white-space: nowrap; }
th:first-child button { padding-left: 0; } th button:hover { color: var(--accent); }
th[aria-sort=ascending] button::after { content: " \\2191"; } th[aria-sort=descending] button::after { content: " \\2193"; }
td.bar { background: linear-gradient(to right, var(--bar) var(--share), transparent var(--share)) no-repeat
  left .5rem center / calc(100% - 1rem) 70%; min-width: 7rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1rem 2rem; }
.charts.three { grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); }
figure { margin: .5rem 0; } figcaption { font-size: 13px; color: var(--soft); }
svg.chart { width: 100%; height: auto; max-width: 36rem; font-size: 12px; } svg.chart text { fill: var(--soft); }
.grid { stroke: var(--rule); } .axis { stroke: var(--soft); } svg.chart circle { fill: var(--ink); stroke: var(--ground); }
.line { fill: none; stroke-width: 2; }
.legend { list-style: none; padding: 0; margin: .25rem 0 0; display: flex; flex-wrap: wrap; gap: .1rem 1rem; font-size: 13px;
  color: var(--soft); }
.legend i { display: inline-block; width: 1.1rem; height: 3px; margin-right: .4rem; vertical-align: middle; }
.c0 { stroke: #3b78c2; background: #3b78c2; } .c1 { stroke: #d9771e; background: #d9771e; }
.c2 { stroke: #2f9a5f; background: #2f9a5f; } .c3 { stroke: #c4463f; background: #c4463f; }
.c4 { stroke: #8a68c0; background: #8a68c0; } .c5 { stroke: #96745a; background: #96745a; }
.c6 { stroke: #cf62a3; background: #cf62a3; } .c7 { stroke: #5c8f9c; background: #5c8f9c; }
.thumbs { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr)); gap: 1.25rem 1rem;
  margin: .75rem 0; }
.thumbs figure { margin: 0; } .pair { display: grid; grid-template-columns: 1fr 1fr; gap: 3px; }
svg.thumb { width: 100%; height: auto; display: block; background: #323b47; border-radius: 4px; }
.thumb .dim { fill: #000; opacity: .28; } .thumb line { stroke-width: 1.6; stroke-linecap: round; }
.thumb .truth { stroke: #fff; stroke-width: 1; stroke-dasharray: 2 2; opacity: .9; }
.thumb text { font: 600 9px system-ui, sans-serif; fill: #fff; paint-order: stroke; stroke: #000; stroke-width: 2px; }
.thumb circle.missed { fill: none; stroke: #ff5449; stroke-width: 1.6; } .thumb circle.wrong { fill: #ffb02e; }
details { margin: .75rem 0; } summary { cursor: pointer; color: var(--accent); }
pre { background: var(--panel); border-radius: 6px; padding: .75rem; overflow-x: auto; font-size: 13px; }
@media (max-width: 34rem) { body { padding: 1.25rem 1rem 3rem; }
  th, td, th button { padding-left: .4rem; padding-right: .4rem; } }
@media print { .tall { max-height: none; } nav { display: none; } }
"""
SCRIPT = """
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  table.tHead.querySelectorAll("th").forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") === "descending";
      table.tHead.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
      const compare = (a, b) => {
        const x = key(a), y = key(b);
        if (x === "" || y === "") return (x === "") - (y === "");  // undefined scores stay last
        const order = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
        return up ? order : -order;
      };
      body.append(...[...body.rows].sort(compare));
    });
  });
}
"""
