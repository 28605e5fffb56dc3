"""The page around the numbers: one self-contained HTML document, its style, and the parts it is built of.

Everything that comes from data passes through ``text``; no element refers to anything outside the file,
and the content security policy forbids the browser to try.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ingest.workspace import publishing

BLUE, ORANGE, GREEN, VERMILION, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#5f6b7a"
"""Okabe and Ito's colours (2008), told apart with any colour vision, and a grey for what is absent."""

Markup = str


@dataclass(frozen=True)
class Section:
    """One chapter: its anchor, its word in the contents, its title, its finished markup."""

    anchor: str
    word: str
    title: str
    body: Markup


def text(value: object) -> Markup:
    """Any value as text that cannot become markup."""
    return html.escape(str(value), quote=True)


_SPELT = {
    "x_ray": "X-ray", "dsa": "DSA", "pet": "PET", "pet_ct": "PET-CT", "pet_mri": "PET-MRI", "spect": "SPECT",
    "vqa": "questions", "dataset": "data set",
}  # fmt: skip


def name_of(level: object) -> str:
    """A level or column as words: ``__missing__`` missing, ``optical_coherence_tomography`` with spaces."""
    return _SPELT.get(str(level), str(level).strip("_").replace("_", " "))


def sentence_case(words: str) -> str:
    """The first letter large, the others as they are."""
    return words[:1].upper() + words[1:]


SUPPRESSED: Markup = '<span class="hidden">suppressed</span>'


def whole(number: float | int | None) -> str:
    """A count with thousands separated; a dash where there is none."""
    return "–" if number is None else f"{int(number):,}"


def plural(number: int, noun: str) -> str:
    """``1 person``, ``2 persons``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def table(columns: Sequence[str], rows: Sequence[Sequence[Markup]], *, caption: str, words: int = 1) -> Markup:
    """A table of finished cells; the first ``words`` columns are text, the rest numbers to the right."""
    kinds = ["word" if place < words else "number" for place in range(len(columns))]
    head = "".join(
        f'<th scope="col" class="{kind}">{text(name)}</th>' for name, kind in zip(columns, kinds, strict=True)
    )
    body = "".join(
        "<tr>" + "".join(f'<td class="{kind}">{cell}</td>' for cell, kind in zip(row, kinds, strict=True)) + "</tr>"
        for row in rows
    )
    size = ' class="stack"' if words == len(columns) > 2 else ' class="wide"' if len(columns) > 5 else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(caption)}"><table{size}>'
        f"<caption>{text(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def bar(share: float, colour: str, *, of: float = 1.0) -> Markup:
    """A horizontal bar, ``share`` of a track that stands for ``of``."""
    width = 100 * min(1.0, max(0.0, share / of if of else 0.0))
    return f'<span class="track"><span class="fill" style="width:{width:.2f}%;background:{colour}"></span></span>'


def note(words: str) -> Markup:
    """A paragraph that explains."""
    return f'<p class="note">{text(words)}</p>'


def folded(title: str, body: Markup) -> Markup:
    """Detail behind a line that opens it."""
    return f"<details><summary>{text(title)}</summary>{body}</details>"


def facts(pairs: Sequence[tuple[str, str]]) -> Markup:
    """The few large numbers of the page."""
    cards = "".join(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in pairs)
    return f'<dl class="facts">{cards}</dl>'


def findings(sentences: Sequence[tuple[str, str]]) -> Markup:
    """The headline findings in words, each with what it is about."""
    rows = "".join(f"<div><dt>{text(about)}</dt><dd>{text(words)}</dd></div>" for about, words in sentences)
    return f'<dl class="findings">{rows}</dl>'


def write_page(
    out: Path, *, title: str, subtitle: str, head: Markup, sections: Sequence[Section], script: str = ""
) -> Path:
    """Publish the document at ``out``. ``script`` is inlined once, before anything that uses it."""
    links = "".join(f'<li><a href="#{part.anchor}">{text(part.word)}</a></li>' for part in sections)
    chapters = "".join(
        f'<section id="{part.anchor}" aria-labelledby="{part.anchor}-title">'
        f'<h2 id="{part.anchor}-title">{text(part.title)}</h2>{part.body}</section>'
        for part in sections
    )
    inlined = f"<script>{script}</script>" if script else ""
    document = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<link rel="icon" href="data:,"><title>{text(title)}</title><style>{STYLE}</style>{inlined}</head><body>'
        '<a class="skip" href="#main">Skip to the content</a>'
        f'<header><p class="brand">BiasCareVL</p><h1>{text(title)}</h1><p class="subtitle">{text(subtitle)}</p>'
        f'</header><nav aria-label="Contents"><ul>{links}</ul></nav><main id="main">{head}{chapters}</main>'
        "<footer>Made by BiasCareVL. This file needs no network; it names no patient.</footer></body></html>\n"
    )
    with publishing(out) as staged:
        staged.write_text(document, encoding="utf-8")
    return out


_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:; font-src data:"
)

STYLE = """
:root { --ink: #17202b; --soft: #4d5866; --line: #d9dee5; --wash: #f4f6f8; --accent: #0b5c8f; }
* { box-sizing: border-box; }
html { scroll-padding-top: 3.6rem; -webkit-text-size-adjust: 100%; }
body { margin: 0; color: var(--ink); background: #fff; font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto,
  "Helvetica Neue", Arial, sans-serif; }
header, main, footer { max-width: 68rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2.2rem; padding-bottom: 1rem; }
.brand { margin: 0; font-size: .82rem; letter-spacing: .06em; color: var(--accent); font-weight: 650; }
h1 { margin: .15rem 0 .3rem; font-size: clamp(1.6rem, 4.5vw, 2.3rem); line-height: 1.15; letter-spacing: -.015em; }
h2 { margin: 0 0 .6rem; font-size: 1.45rem; line-height: 1.25; letter-spacing: -.01em; }
h3 { margin: 2rem 0 .35rem; font-size: 1.08rem; }
h3 + .note { margin-top: 0; }
p { max-width: 46rem; margin: .4rem 0 .8rem; }
.subtitle, .note, footer { color: var(--soft); }
.note { font-size: .95rem; }
nav { position: sticky; top: 0; z-index: 5; background: rgba(255, 255, 255, .97); border-block: 1px solid var(--line); }
nav ul { display: flex; gap: .1rem; max-width: 68rem; margin: 0 auto; padding: 0 .75rem; overflow-x: auto;
  list-style: none; scrollbar-width: thin; }
nav a { display: block; padding: .7rem .5rem; white-space: nowrap; font-size: .9rem; color: var(--ink);
  text-decoration: none; }
nav a:hover { color: var(--accent); text-decoration: underline; text-underline-offset: .3em; }
a:focus-visible, summary:focus-visible, .scroll:focus-visible { outline: 3px solid #56B4E9; outline-offset: 1px; }
.skip { position: absolute; left: -99rem; } .skip:focus { left: 1rem; top: .5rem; background: #fff; padding: .5rem;
  z-index: 9; }
section { padding: 2.4rem 0 .4rem; }
section + section { border-top: 1px solid var(--line); margin-top: 2rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.2rem, 1fr)); gap: .4rem 1.4rem;
  margin: 1.7rem 0 1.2rem; }
.facts div { border-top: 3px solid var(--accent); padding: .45rem 0; }
.facts dt { font-size: .82rem; color: var(--soft); }
.facts dd { margin: 0; font-size: 1.45rem; font-weight: 620; font-variant-numeric: tabular-nums; line-height: 1.3; }
.findings { max-width: 58rem; margin: 0 0 1rem; }
.findings div { display: grid; grid-template-columns: 9rem 1fr; gap: 0 1rem; padding: .42rem 0;
  border-bottom: 1px solid var(--line); }
.findings dt { font-weight: 620; } .findings dd { margin: 0; }
.scroll { overflow-x: auto; margin: .8rem 0 1.2rem; }
table.wide { min-width: 52rem; }
.stack td:first-child { white-space: nowrap; padding-right: 1.4rem; }
td .track { min-width: 5rem; margin-top: .35rem; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); font-size: .88rem; padding: 0 0 .4rem; }
th { font-weight: 600; font-size: .84rem; color: var(--soft); border-bottom: 1.5px solid var(--ink);
  vertical-align: bottom; }
th, td { padding: .38rem .7rem .38rem 0; text-align: left; }
td { border-bottom: 1px solid var(--line); vertical-align: top; }
th.number, td.number { text-align: right; padding: .38rem 0 .38rem .7rem; white-space: nowrap; }
.track { display: block; height: .62rem; background: var(--wash); border-radius: 2px; overflow: hidden; }
.fill { display: block; height: 100%; border-radius: 2px; }
.census { width: 100%; table-layout: fixed; }
.census th, .census td { padding-right: 1.2rem; }
.census .small { display: block; font-weight: 400; padding-top: .1rem; color: var(--soft); font-size: .84rem; }
.census .level { font-weight: 560; overflow-wrap: anywhere; }
.census .pair { display: grid; grid-template-columns: 3rem 1fr 4rem; gap: .1rem .5rem; align-items: center;
  font-size: .86rem; }
.census .pair b { font-weight: 600; text-align: right; } .census .pair i { font-style: normal; color: var(--soft); }
.absent .level { font-weight: 400; font-style: italic; color: var(--soft); }
.hidden { font-style: italic; color: var(--soft); }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.3rem; padding: 0; margin: .6rem 0; list-style: none;
  font-size: .9rem; }
.legend span { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px; margin-right: .4rem;
  vertical-align: -.08rem; }
.verdict { display: inline-block; padding: .05rem .5rem; border-radius: 4px; font-weight: 600; font-size: .86rem;
  white-space: nowrap; border: 1.5px solid; }
.verdict.within { color: #00624a; background: #e8f6f1; } .verdict.disparity { color: #9a3f00; background: #fdf0e7; }
.verdict.cannot_conclude { color: #414b57; background: var(--wash); }
.figure { margin: .4rem 0 1rem; width: 100%; overflow: hidden; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: 1rem; }
.pictures img { width: 100%; border: 1px solid var(--line); border-radius: 4px; display: block; }
details { margin: .6rem 0 1rem; }
summary { cursor: pointer; color: var(--accent); font-size: .94rem; padding: .2rem 0; }
code { font: .86em ui-monospace, "SF Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere; }
footer { padding-block: 2.5rem; font-size: .88rem; border-top: 1px solid var(--line); margin-top: 3rem; }
@media (max-width: 640px) {
  header, main, footer { padding-inline: 1rem; }
  .findings div { grid-template-columns: 1fr; }
  th.number, td.number { padding-left: .45rem; }
  table.wide { min-width: 0; }
  .wide th:first-child, .wide td:first-child { position: sticky; left: 0; background: #fff; min-width: 7.5rem; }
  caption { position: sticky; left: 0; max-width: calc(100vw - 2rem); }
  .census, .census tbody, .census tr, .census td { display: block; }
  .census thead { position: absolute; left: -999rem; }
  .census tr { border-bottom: 1px solid var(--line); padding: .55rem 0; }
  .census td { border: 0; padding: .1rem 0; }
  .stack, .stack tbody, .stack tr, .stack td { display: block; }
  .stack caption { display: block; }
  .stack thead { position: absolute; left: -999rem; }
  .stack tr { border-bottom: 1px solid var(--line); padding: .5rem 0; }
  .stack td { border: 0; padding: .1rem 0; }
  .stack td:first-child { font-weight: 620; }
  .census td::before { content: attr(data-label); display: block; color: var(--soft); font-size: .78rem; }
  .census td.level::before { content: none; }
}
@media print {
  nav, .skip { display: none; } body { font-size: 10.5pt; } section { break-inside: auto; }
  h2, h3 { break-after: avoid; } tr, .figure, .facts { break-inside: avoid; }
  details::details-content { content-visibility: visible; height: auto; } summary { display: none; }
  .track, .fill, .verdict { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
"""
