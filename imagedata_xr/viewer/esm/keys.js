// Every key, what it does, and how the help names it.

import { finishPolygon, TOOLS } from "./tools.js"

// [keys, text of the help, action(viewer, pane)]
const MOVES = [
  ["ArrowUp", "next slice (wheel)", (v, p) => v.scroll(p, 1)],
  ["ArrowDown", "previous slice", (v, p) => v.scroll(p, -1)],
  ["ArrowRight", "next time, b, te... (shift + wheel)", (v, p) => v.step(p, 1)],
  ["ArrowLeft", "previous time, b, te...", (v, p) => v.step(p, -1)],
  ["PageUp", "previous page of series, or 10 slices back", (v, p) => v.turn(p, -1)],
  ["PageDown", "next page of series, or 10 slices on", (v, p) => v.turn(p, 1)],
  ["shift+PageUp", "10 slices back", (v, p) => v.scroll(p, -10)],
  ["shift+PageDown", "10 slices on", (v, p) => v.scroll(p, 10)],
  ["Home", "first slice", (v, p) => v.scroll(p, -1e9)],
  ["End", "last slice", (v, p) => v.scroll(p, 1e9)],
  ["ctrl+Home", "first page of series", (v) => v.state.set("page", 0)],
  ["ctrl+End", "last page of series", (v) => v.state.set("page", v.pages - 1)],
  ["ctrl+ArrowRight", "next page of series", (v, p) => v.turn(p, 1)],
  ["ctrl+ArrowLeft", "previous page of series", (v, p) => v.turn(p, -1)],
  ["n", "left and right step along the next dimension", (v, p) => v.nextDimension(p)],
  [" ", "cine on, off", (v, p) => v.cine(p)],
]
const LOOKS = [
  ["w", "window tool, and window from the values (1 to 99 %)", (v, p) => { v.state.set("tool", "window"); v.autoWindow(p) }],
  ["i", "invert", (v, p) => v.invert(p)],
  ["u", "smooth, hard pixels", (v) => v.state.set("smooth", !v.state.smooth)],
  ["k", "colour bar", (v) => v.toggleBars()],
  ["o", "overlay on, off", (v, p) => v.toggleOverlay(p)],
  ["m", "crosshair on, off", (v) => v.state.set("crosshair", !v.state.crosshair)],
  ["+", "zoom in (ctrl + wheel)", (v, p) => p.zoomBy(1.25)],
  ["-", "zoom out", (v, p) => p.zoomBy(0.8)],
  ["r", "whole picture", (v, p) => p.reset()],
  ["h", "hide text", (v) => v.state.set("hidden", !v.state.hidden)],
  ["t", "curve of the voxel under the cursor", (v) => v.toggleCurve()],
  ["F", "full screen", (v) => v.fullScreen()],
  ["?", "this help", (v) => v.toggleHelp()],
]
const REGIONS = [
  ["Enter", "close the polygon", (v, p) => finishPolygon(p)],
  ["Escape", "give up the outline; window tool", (v, p) => v.escape(p)],
  ["Delete", "delete the selected outline, else the last ruler", (v, p) => v.remove(p)],
  ["Backspace", "", (v, p) => v.remove(p)],
  ["c", "copy the selected outline", (v) => v.regions.copy()],
  ["v", "paste it on this slice", (v, p) => v.regions.paste(p)],
  ["shift+ArrowUp", "copy the outlines to the next slice", (v, p) => v.regions.copyToNext(p, 1)],
  ["shift+ArrowDown", "copy them to the previous slice", (v, p) => v.regions.copyToNext(p, -1)],
  ["shift+ArrowRight", "copy outlines of this time, b, te... to the next", (v, p) => v.regions.copyToFrame(p, 1)],
  ["shift+ArrowLeft", "copy them to the previous one", (v, p) => v.regions.copyToFrame(p, -1)],
  ["y", "fill the slices between those drawn", (v, p) => v.regions.interpolate(p)],
  ["ctrl+z", "undo", (v) => v.regions.undo(true)],
  ["ctrl+y", "redo", (v) => v.regions.undo(false)],
  ["[", "smaller brush", (v) => v.growBrush(0.8)],
  ["]", "larger brush", (v) => v.growBrush(1.25)],
  ["q", "done", (v) => v.done()],
]

function nameOf(event) {
  const control = event.ctrlKey || event.metaKey ? "ctrl+" : ""
  // The shift of "?" or "+" is part of the character.
  const shift = event.shiftKey && event.key.length > 1 ? "shift+" : ""
  return control + shift + event.key
}

const ACTIONS = new Map([...MOVES, ...LOOKS, ...REGIONS].map(([key, , action]) => [key, action]))
for (const [name, [, key]] of Object.entries(TOOLS)) {
  if (key && key !== "w") ACTIONS.set(key, (viewer) => viewer.state.set("tool", name))
}

export function connectKeys(viewer, root) {
  root.addEventListener("keydown", (event) => {
    // A name that is typed is no command.
    if (event.target.closest?.("input:not([type=range]), select, textarea")) return
    const name = nameOf(event)
    const preset = /^[1-9]$/.test(name) ? () => viewer.preset(Number(name) - 1) : null
    const action = preset ?? ACTIONS.get(name)
    if (!action || !viewer.active) return
    event.preventDefault()
    event.stopPropagation()
    action(viewer, viewer.active)
  })
}

export function helpRows() {
  const tools = Object.entries(TOOLS).filter(([, [, key]]) => key && key !== "w")
  return [
    ["Move", [...MOVES]],
    ["Look", [...LOOKS, ["1 - 9", "presets"], ["right drag", "window and level, in every tool"], ["middle drag", "move the picture"]]],
    ["Tools", tools.map(([, [text, key]]) => [key, text.toLowerCase()])],
    ["Regions", [...REGIONS, ["double click", "with Select: add a corner"], ["alt + click", "with Select: remove a corner"]]],
  ].map(([title, rows]) => [title, rows.filter(([, text]) => text)])
}
