// The panel of regions: names, colours, table and curves.

import { element } from "./pane.js"
import { shortly } from "./places.js"

const SVG = "http://www.w3.org/2000/svg"
// Key in a row of the table -> heading
const COLUMNS = { n: "n", volume_ml: "ml", mean: "mean", sd: "sd", min: "min", p5: "5 %", median: "50 %", p95: "95 %", max: "max" }

// Four digits are what a column has room for; counts stay whole.
const briefly = (value) => (Number.isInteger(value) ? String(value) : String(+value.toPrecision(4)))

function shape(parent, tag, attributes, text = "") {
  const made = document.createElementNS(SVG, tag)
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  made.textContent = text
  parent.append(made)
  return made
}

// curves: [{x: [...], y: [...], color, name}], at: x of the moment
export function drawCurves(svg, curves, { at, xLabel, yLabel }) {
  svg.replaceChildren()
  const [width, height, left, bottom] = [318, 190, 52, 34]
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`)
  const finite = curves.flatMap((c) => c.x.map((x, k) => [x, c.y[k]])).filter(([, y]) => Number.isFinite(y))
  if (!finite.length) return
  const range = (values) => {
    const [low, high] = [Math.min(...values), Math.max(...values)]
    return high > low ? [low, high] : [low - 1, high + 1]
  }
  const [x0, x1] = range(finite.map((p) => p[0]))
  const [y0, y1] = range(finite.map((p) => p[1]))
  const px = (x) => left + ((x - x0) / (x1 - x0)) * (width - left - 10)
  const py = (y) => height - bottom - ((y - y0) / (y1 - y0)) * (height - bottom - 12)
  shape(svg, "path", { d: `M${left} 8V${height - bottom}H${width - 8}`, stroke: "#8b949e", fill: "none" })
  const text = (x, y, words, anchor = "middle") =>
    shape(svg, "text", { x, y, fill: "#d8e2ea", "font-size": 11, "text-anchor": anchor }, words)
  text(left, height - bottom + 14, shortly(x0))
  text(width - 16, height - bottom + 14, shortly(x1))
  text((left + width) / 2, height - 6, xLabel)
  text(left - 4, height - bottom, shortly(y0), "end")
  text(left - 4, 14, shortly(y1), "end")
  text(left + 6, 14, yLabel, "start")
  if (at !== undefined) {
    shape(svg, "line", { x1: px(at), x2: px(at), y1: 8, y2: height - bottom, stroke: "#4ab4ff", "stroke-dasharray": "3 3" })
  }
  for (const { x, y, color } of curves) {
    const points = x.map((v, k) => [px(v), py(y[k])]).filter(([, v]) => Number.isFinite(v))
    shape(svg, "polyline", { points: points.join(" "), fill: "none", stroke: color, "stroke-width": 1.8 })
    for (const [cx, cy] of points.length < 60 ? points : []) shape(svg, "circle", { cx, cy, r: 2.2, fill: color })
  }
}

export class Side {
  constructor(viewer, root) {
    this.viewer = viewer
    this.el = element("div", "side", root)
    this.el.hidden = !viewer.model.records.length
    this.voxel = null
    this.saved = JSON.stringify(viewer.model.records)
    this.list = element("div", "", this.el)
    const row = element("div", "group", this.el)
    const add = (text, title, action) => {
      const made = element("button", "", row, text)
      Object.assign(made, { type: "button", title })
      made.addEventListener("click", action)
      return made
    }
    const { regions } = viewer
    add("+ New", "A new region", () => regions.addStructure())
    add("Copy to next", "Copy to the next slice (shift + up)", () => regions.copyToNext(viewer.active, 1))
    add("Interpolate", "Fill the slices between those drawn (y)", () => regions.interpolate(viewer.active))
    this.perFrame = add("Per frame", "New outlines hold for this time, b, te... only", () => {
      regions.perFrame = !regions.perFrame
      viewer.report.set("per_frame", regions.perFrame)
      this.update()
    })
    add("CSV", "Save the table", () => this.save())
    this.table = element("table", "", this.el)
    this.units = element("div", "hint", this.el)
    this.hint = element("div", "hint", this.el)
    this.title = element("div", "hint", this.el, "Mean of the regions")
    this.plot = document.createElementNS(SVG, "svg")
    this.el.append(this.plot)
    this.voxelTitle = element("div", "hint", this.el, "Voxel under the cursor")
    this.voxelPlot = document.createElementNS(SVG, "svg")
    this.el.append(this.voxelPlot)
    regions.listeners.push(() => this.update())
    viewer.model.on("table", () => this.update())
    viewer.model.on("curves", () => this.update())
    this.update()
  }

  update() {
    const { regions, model } = this.viewer
    const typing = this.list.contains(this.el.getRootNode().activeElement)
    if (!typing) this.names()
    this.perFrame.classList.toggle("on", regions.perFrame)
    this.perFrame.hidden = !this.viewer.state.series.some((one) => one.dims.length)
    this.table.replaceChildren()
    const head = element("tr", "", this.table)
    for (const title of Object.values(COLUMNS)) element("th", "", head, title)
    for (const row of model.table) {
      const own = regions.structures.find((one) => one.name === row.name)
      const title = element("td", "", element("tr", "name", this.table), row.name)
      title.colSpan = Object.keys(COLUMNS).length
      title.style.color = own?.color ?? ""
      const line = element("tr", "", this.table)
      for (const name of Object.keys(COLUMNS)) element("td", "", line, typeof row[name] === "number" ? briefly(row[name]) : row[name] ?? "")
    }
    this.table.hidden = !model.table.length || this.stale
    this.units.hidden = this.table.hidden || !model.table.some((row) => row.units)
    this.units.textContent = `Values in ${this.viewer.state.series[0].units}`
    this.hint.textContent = model.offline ? "A saved page: numbers of regions need Python."
      : regions.records.length ? "" : "Choose a tool and draw. The table follows."
    this.curves()
  }

  // In a saved page, numbers are those of the regions with which it was saved.
  get stale() {
    const { model, regions } = this.viewer
    return model.offline && JSON.stringify(regions.records) !== this.saved
  }

  names() {
    const { regions } = this.viewer
    this.list.replaceChildren()
    regions.structures.forEach((structure, k) => {
      const row = element("div", "structure", this.list)
      row.classList.toggle("on", k === regions.active)
      row.addEventListener("pointerdown", () => {
        regions.active = k
        for (const [n, one] of [...this.list.children].entries()) one.classList.toggle("on", n === k)
      })
      const color = element("input", "", row)
      Object.assign(color, { type: "color", value: structure.color })
      color.addEventListener("change", () => regions.rename(k, structure.name, color.value))
      const name = element("input", "", row)
      Object.assign(name, { type: "text", value: structure.name })
      name.addEventListener("change", () => regions.rename(k, name.value, structure.color))
      const remove = element("button", "", row, "×")
      Object.assign(remove, { type: "button", title: "Delete the region" })
      remove.addEventListener("click", () => regions.removeStructure(k))
    })
  }

  curves() {
    const { model, active, state } = this.viewer
    const dim = active?.about.dims[state.dimension]
    const { curves } = model
    const has = Boolean(curves.lines?.length && dim) && !this.stale
    this.title.hidden = !has
    this.plot.style.display = has ? "" : "none"
    const at = dim?.places[state.frame[active.series][state.dimension]]
    if (has) drawCurves(this.plot, curves.lines, { at: curves.dim === dim.name ? at : undefined, xLabel: curves.x_label, yLabel: active.about.units })
    const voxel = this.viewer.curveOn && this.voxel && dim
    this.voxelTitle.hidden = !voxel
    this.voxelPlot.style.display = voxel ? "" : "none"
    if (voxel) {
      const line = { x: dim.places, y: this.voxel.map((v) => v ?? NaN), color: "#4ab4ff" }
      drawCurves(this.voxelPlot, [line], { at, xLabel: `${dim.name} ${dim.unit}`, yLabel: active.about.units })
    }
  }

  save() {
    const quote = (value) => (typeof value === "string" ? `"${value.replaceAll('"', '""')}"` : value)
    const rows = this.viewer.model.table
    const names = rows.length ? Object.keys(rows[0]) : ["name", ...Object.keys(COLUMNS)]
    const text = [names.map(quote).join(), ...rows.map((row) => names.map((n) => quote(row[n] ?? "")).join())].join("\n")
    const link = document.createElement("a")
    link.href = URL.createObjectURL(new Blob([`${text}\n`], { type: "text/csv" }))
    link.download = "regions.csv"
    link.click()
    URL.revokeObjectURL(link.href)
  }
}
