"""How the page looks, and the keys that it knows."""

from __future__ import annotations

COLOURS = {
    "background": "#101317",
    "surface": "#181c22",
    "surface-light": "#232932",
    "primary": "#6cb2f7",
    "on-primary": "#06131f",
    "warning": "#f2c14e",
    "error": "#ff8a80",
}
THEME = {
    "theme": {"defaultTheme": "reading", "themes": {"reading": {"dark": True, "colors": COLOURS}}},
    "defaults": {"VBtn": {"style": "text-transform: none; letter-spacing: 0"}, "VTooltip": {"openDelay": 400}},
}
PANEL, NARROW_PANEL = 372, 344  # pixels; the second on a page of less than NARROW
NARROW, PHONE = 1150, 650
CSS = """
html { overflow: hidden; }
.panel .v-navigation-drawer__content { overflow-y: scroll; scrollbar-width: thin; scrollbar-color: #56616e #181c22; }
.panel h2 { font-size: .8rem; font-weight: 600; letter-spacing: .02em; color: #a9b4c0; padding: 10px 14px 4px; }
.panel table { table-layout: fixed; width: 100%; }
.panel th, .panel td { padding: 0 4px !important; height: 30px !important; font-size: .8rem; white-space: nowrap; }
.panel th:first-child { width: 34%; }
.panel th:first-child, .panel td:first-child { padding-left: 12px !important; }
.panel td:first-child { white-space: normal; }
.panel th.more, .panel td.more { width: 32px; padding: 0 4px 0 0 !important; }
.panel td.more .v-icon { font-size: 18px; }
.panel td.number, .panel th.number { text-align: right !important; font-variant-numeric: tabular-nums; }
.panel th { font-size: .72rem !important; color: #a9b4c0 !important; line-height: 1.15; }
.panel th small { display: block; font-weight: 400; }
.panel .text-subtitle-1 { font-size: .8rem !important; font-weight: 600; color: #a9b4c0; }
.panel .v-card-item { padding: 2px 14px; }
.panel .v-expansion-panel-title { min-height: 32px !important; padding: 4px 14px; font-size: .8rem; color: #a9b4c0; }
.panel .v-label { font-size: .82rem; }
.panel .review, .panel .review .v-label { white-space: nowrap; }
.panel tbody.old .number { opacity: .35; }
.panel tr.jump { cursor: pointer; }
.panel tr.jump:hover, .panel tr.jump:focus-visible { background: #232932; outline: none; }
.messages { position: sticky; top: 0; z-index: 3; background: #181c22; max-height: 40vh; overflow-y: auto; }
.messages ul { margin: 0; padding: 2px 14px 6px 30px; font-size: .8rem; line-height: 1.35; }
.messages .heading { width: 100%; min-height: 28px; padding: 2px 14px; text-align: left; font-size: .8rem;
  color: #f2c14e; font-weight: 600; }
.told { padding: 6px 14px; text-align: left; font-size: .8rem; line-height: 1.35; color: #f2c14e; background: #181c22;
  max-height: 20vh; overflow: hidden; position: relative; z-index: 3; }
.told[data-error=true] { color: #ff8a80; }
.legend { display: flex; align-items: center; gap: 6px; padding: 0 14px 4px; font-size: .72rem; color: #a9b4c0; }
.legend i { flex: 1; height: 8px; border-radius: 4px; }
.tool-grid { display: grid; grid-template-columns: repeat(4, 1fr); gap: 2px; padding: 4px 8px; }
.tool-grid .v-btn { height: 48px !important; font-size: .7rem; }
.say { font-size: .75rem; line-height: 1.35; color: #a9b4c0; padding: 2px 0; }
.tool-options .v-selection-control { --v-selection-control-size: 28px; min-height: 28px; }
.save .v-list-item-subtitle { display: block; white-space: nowrap; }
.choices .v-list-item-title { white-space: normal; overflow-wrap: anywhere; }
.panel .segments { display: grid; grid-template-columns: 1fr 1fr; }
.segment { min-height: 32px !important; padding-inline: 12px 4px !important; }
.segment .v-list-item-title { font-size: .85rem; }
.segment .v-list-item__prepend .v-icon { opacity: 1; }
.mark { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: 6px; }
.views { position: relative; height: 100%; display: flex; flex-direction: column; }
.views .grid { flex: 1; min-height: 0; position: relative; }
.hand { display: flex; flex-wrap: wrap; align-items: center; gap: 2px; min-height: 38px; padding: 0 6px;
  background: #181c22; border-bottom: 1px solid #2a3038; white-space: nowrap; }
.image-display-area { display: block; width: 100%; height: 100%; }
.over-view { position: absolute; inset: 0; pointer-events: none; color: #c9d3dd; font-size: .75rem;
  text-shadow: 0 0 3px #000, 0 0 3px #000; }
.over-view { container-type: inline-size; }
.over-view > * { position: absolute; white-space: nowrap; }
.over-view > *, .over-view .top > * { padding: 0 4px; border-radius: 3px; background: #0008; }
.over-view .top { top: 6px; left: 8px; right: 66px; padding: 0; background: none; display: flex; flex-wrap: wrap;
  justify-content: space-between; }
.over-view .edge-0 { top: 4px; left: 50%; }
.over-view .edge-1 { top: 46%; right: 6px; }
.over-view .edge-2 { bottom: 34px; left: 50%; }
.over-view .edge-3 { top: 46%; left: 6px; }
@container (max-width: 420px) {
  .over-view .edge-0 { top: 30px; }
  .over-view .edge-2 { bottom: 54px; }
}
@container (max-width: 260px) {
  .over-view .window-level { display: none; } /* it stands above the views, too */
  .over-view .which, .over-view .pointer { white-space: normal; max-width: calc(100% - 8px); line-height: 1.2; }
  .over-view .edge-0 { top: 40px; }
}
.over-view .pointer { bottom: 32px; left: 8px; font-variant-numeric: tabular-nums; }
.over-view .view-buttons { top: 4px; right: 4px; pointer-events: auto; padding: 0; }
.over-view .view-buttons button { width: 26px; height: 24px; font-size: 16px; border-radius: 4px; color: #c9d3dd; }
.over-view .view-buttons button:hover { background: #3a4450; }
.over-view .slice-slider { background: none; left: 8px; right: 8px; bottom: 0; pointer-events: auto; }
.over-view .v-slider.v-input--horizontal { margin: 0; }
.v-slider-thumb { width: 24px !important; height: 24px !important; }
.over-view .v-slider-thumb__surface { width: 14px; height: 14px; }
.over-view .marks { inset: 0; padding: 0; background: none; }
.marks svg { width: 100%; height: 100%; overflow: hidden; }
.marks line, .marks .round { stroke: #ffd54a; stroke-width: 1.5; fill: none; }
.marks .dot { fill: #ffd54a; }
.marks .grip { fill: transparent; pointer-events: all; cursor: move; }
.marks text { fill: #ffe9a3; font-size: 13px; paint-order: stroke; stroke: #000c; stroke-width: 3px; }
:focus-visible { outline: 2px solid #6cb2f7; outline-offset: 1px; }
@media (max-width: 1149px) {
  .hand .v-btn .v-btn__content .word, .bar-size { display: none; }
}
@media (max-width: 649px) {
  .bar h1 { display: none; }
  .bar .v-btn:has(.v-btn__prepend) { min-width: 36px; padding: 0 6px; }
  .bar .v-btn:has(.v-btn__prepend) .v-btn__content { width: 0; overflow: hidden; } /* its name stays for a reader */
  .bar .v-btn .v-btn__prepend { margin: 0; font-size: 20px; }
}
"""
ENTER = ("keydown_enter", "keydown.enter")  # trame leaves out, without a word, what an element was not told of
KEYS = (
    ("Wheel; Up, Down", "the slice before, the next one; Page Up and Page Down: five; Home, End: the first, the last"),
    ("Left button", "window and level: to the right wider, upwards brighter; or what is chosen above the views"),
    ("Right button, middle button", "zoom, move; Ctrl and wheel zoom too"),
    ("Double click", "one view large, and back, while no correction tool is on"),
    ("1, 2, 3, 4", "window: soft tissue, kidney, bone, lung"),
    ("C", "crosshair: a click shows the same place in all views"),
    ("F, R", "fit the view, reset all of them"),
    ("H, U", "hide the segments; uncertainty on or off"),
    ("N, P, D", "next tumor, previous tumor, next uncertain place"),
    ("Delete", "take away the ruler or region under the pointer, or the last one"),
    ("[ and ]; Shift and wheel", "a smaller, a larger brush"),
    ("Ctrl+Z, Ctrl+Y", "undo and redo a correction"),
)
