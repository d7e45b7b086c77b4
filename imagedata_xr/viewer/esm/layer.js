// What is drawn over a picture: regions, crosshair, rulers, the scale bar.

import { angleBetween, norm, roundLength, shortly, stepVector } from "./places.js"

const HANDLES = 80 // More points than this are moved together only.

export function hasHandles(record) {
  return record.loops.length === 1 && record.loops[0][0].length <= HANDLES && record.kind !== "ellipse"
}

function path(context, pane, [xs, ys], closed = true) {
  xs.forEach((x, k) => context[k ? "lineTo" : "moveTo"](...pane.toScreen(x, ys[k])))
  if (closed) context.closePath()
}

function drawRecord(context, pane, record, selected) {
  context.beginPath()
  for (const loop of record.loops) path(context, pane, loop)
  context.fillStyle = `${record.color}33`
  context.fill("evenodd")
  // A dark rim, for bright surroundings.
  context.strokeStyle = "#000a"
  context.lineWidth = selected ? 5 : 3.4
  context.stroke()
  context.strokeStyle = record.color
  context.lineWidth = selected ? 3 : 1.6
  context.stroke()
  if (!selected || !hasHandles(record)) return
  const [xs, ys] = record.loops[0]
  context.fillStyle = "#fff"
  xs.forEach((x, k) => {
    const [px, py] = pane.toScreen(x, ys[k])
    context.fillRect(px - 3, py - 3, 6, 6)
    context.strokeRect(px - 3, py - 3, 6, 6)
  })
}

// The name of a region stands at the right of its outline.
function drawName(context, pane, record) {
  const points = record.loops.flatMap(([xs, ys]) => xs.map((x, k) => pane.toScreen(x, ys[k])))
  if (!points.length) return
  const [x, y] = points.reduce((best, one) => (one[0] > best[0] ? one : best))
  const width = context.measureText(record.name).width
  label(context, record.name, Math.min(x + 6, pane.size[0] - width - 4), y + 4, record.color)
}

function label(context, text, x, y, color = "#ffd75e") {
  context.font = "12px system-ui, sans-serif"
  context.lineWidth = 3
  context.strokeStyle = "#000"
  context.strokeText(text, x, y)
  context.fillStyle = color
  context.fillText(text, x, y)
}

export function measure(pane, points) {
  const vectors = points.slice(1).map(([x, y], k) => {
    return stepVector(pane.about, pane.plane, x - points[k][0], y - points[k][1])
  })
  if (points.length === 3) return `${angleBetween(vectors[0].map((v) => -v), vectors[1]).toFixed(1)}°`
  return points.length === 2 ? `${norm(vectors[0]).toFixed(1)} ${pane.about.unit}` : ""
}

function drawMark(context, pane, { points }) {
  context.beginPath()
  path(context, pane, [points.map((p) => p[0]), points.map((p) => p[1])], false)
  context.strokeStyle = "#000a"
  context.lineWidth = 4
  context.stroke()
  context.strokeStyle = "#ffd75e"
  context.lineWidth = 1.5
  context.stroke()
  const [px, py] = pane.toScreen(...points[points.length - 1])
  label(context, measure(pane, points), px + 8, py - 6)
}

function drawCrosshair(context, pane) {
  const [px, py] = pane.toScreen(...pane.crossing())
  const [width, height] = pane.size
  context.beginPath()
  for (const [x0, y0, x1, y1] of [
    [0, py, px - 8, py],
    [px + 8, py, width, py],
    [px, 0, px, py - 8],
    [px, py + 8, px, height],
  ]) {
    context.moveTo(x0, y0)
    context.lineTo(x1, y1)
  }
  context.strokeStyle = "#0006"
  context.lineWidth = 3
  context.stroke()
  context.strokeStyle = "#4ab4ffd0"
  context.lineWidth = 1
  context.stroke()
}

function drawScaleBar(context, pane) {
  const [width, height] = pane.size
  const { about, plane } = pane
  if (!about.directions) return
  const unit = norm(stepVector(about, plane, 1, 0))
  const length = roundLength((width / 4) * pane.scale * unit)
  const pixels = length / (pane.scale * unit)
  const [x, y] = [(width - pixels) / 2, height - 26]
  context.beginPath()
  context.moveTo(x, y - 4)
  context.lineTo(x, y)
  context.lineTo(x + pixels, y)
  context.lineTo(x + pixels, y - 4)
  context.strokeStyle = "#000a"
  context.lineWidth = 4
  context.stroke()
  context.strokeStyle = "#d8e2ea"
  context.lineWidth = 1.5
  context.stroke()
  context.textAlign = "center"
  label(context, `${shortly(length)} mm`, x + pixels / 2, y - 6)
  context.textAlign = "left"
}

function drawBrush(context, pane) {
  const { radius, position } = pane.brush
  context.beginPath()
  const [px, py] = pane.toScreen(...position)
  context.arc(px, py, radius / pane.scale, 0, 2 * Math.PI)
  context.strokeStyle = "#fff"
  context.lineWidth = 1
  context.stroke()
}

export function drawLayer(pane) {
  const context = pane.canvas.getContext("2d")
  const ratio = window.devicePixelRatio || 1
  context.setTransform(ratio, 0, 0, ratio, 0, 0)
  context.clearRect(0, 0, ...pane.size)
  const { regions, state } = pane.viewer
  const records = regions.here(pane)
  for (const record of records) drawRecord(context, pane, record, record.id === regions.selected)
  if (!state.hidden) for (const record of records) drawName(context, pane, record)
  if (pane.draft) drawRecord(context, pane, pane.draft, pane.draft.kind === "polygon")
  for (const mark of pane.marks) if (mark.index === pane.index) drawMark(context, pane, mark)
  if (pane.brush) drawBrush(context, pane)
  if (state.crosshair) drawCrosshair(context, pane)
  if (!state.hidden) drawScaleBar(context, pane)
}
