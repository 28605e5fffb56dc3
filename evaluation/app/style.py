"""What the dashboard adds to the style of the report."""

STYLE = """
a.tab { display: block; padding: .7rem .5rem; white-space: nowrap; font-size: .9rem; color: var(--ink);
  text-decoration: none; border-bottom: 3px solid transparent; margin-bottom: -1px; }
a.tab:hover { color: var(--accent); }
a.tab.here { color: var(--accent); border-bottom-color: var(--accent); font-weight: 620; }
main section + section { border-top: 1px solid var(--line); margin-top: 2rem; }
.choices { display: flex; flex-wrap: wrap; gap: .8rem 1.4rem; margin: 1rem 0 .4rem; }
.choice { flex: 0 1 17rem; min-width: 13rem; }
.choice label { display: block; font-size: .84rem; color: var(--soft); margin-bottom: .2rem; }
button.link { font: inherit; color: var(--accent); background: none; border: 0; padding: .1rem 0; cursor: pointer;
  text-align: left; text-decoration: underline; text-underline-offset: .2em; text-decoration-thickness: 1px; }
button.link:hover { text-decoration-thickness: 2px; }
button:focus-visible, [tabindex]:focus-visible { outline: 3px solid #56B4E9; outline-offset: 2px; border-radius: 2px; }
main a { color: var(--accent); text-underline-offset: .2em; }
.cell { background: var(--wash); border-top: 3px solid var(--accent); padding: .4rem 1.2rem 1rem; margin: 1.4rem 0; }
main section .cell, main section + .cell { border-top: 3px solid var(--accent); }
.cell .wide th:first-child, .cell .wide td:first-child { background: var(--wash); }
.cell h3 { margin-top: .9rem; }
.cell .facts { margin: .8rem 0; }
.cell .facts dd { font-size: 1.15rem; }
.examples { display: flex; flex-wrap: wrap; gap: .5rem; }
.examples img { height: 8rem; border-radius: 4px; border: 1px solid var(--line); }
.waiting { color: var(--soft); padding: 2rem 0; }
@media (max-width: 640px) {
  .choice { flex: 1 1 100%; }
  .cell { padding-inline: .8rem; }
}
"""
