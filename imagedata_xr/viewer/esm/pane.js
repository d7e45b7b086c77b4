// One picture: a Bokeh figure that HoloViews made, with text and a drawing layer over it.

import { figureOf, pixelsOf, rendererOf, repaint, setQuietly, smoothPainter, swapPixels } from "./bokeh_names.js"
import { spread, whole } from "./framing.js"
import { drawLayer } from "./layer.js"
import { nearest, placeText, shortly, tenths, toPatient, windowTexts } from "./places.js"

const LATE_MS = 3000
const LATE = "waiting for this picture from Python\n(in Jupyter: is pyviz_comms installed beside it?)"
const LEGEND = 12
const CORNERS = ["tl", "tr", "bl", "br"]
const EDGES = ["left", "right", "top", "bottom"]

export function element(tag, className, parent, text = "") {
  const made = document.createElement(tag)
  made.className = className
  // Text of a header is only ever text.
  made.textContent = text
  parent?.append(made)
  return made
}

export class Pane {
  constructor(viewer, number, { series, axis }, child, model) {
    Object.assign(this, { viewer, number, series, axis })
    this.state = viewer.state
    this.about = this.state.series[series]
    this.plane = this.about.planes[axis]
    const { x_range: xr, y_range: yr } = this.plane
    this.turned = [Math.sign(xr[1] - xr[0]), Math.sign(yr[1] - yr[0])]
    this.el = element("div", "pane", null)
    this.el.dataset.pane = number
    this.plot = element("div", "plot", this.el)
    this.plot.append(child)
    this.canvas = element("canvas", "layer", this.el)
    this.corners = Object.fromEntries(CORNERS.map((n) => [n, element("span", "", element("div", `text ${n}`, this.el))]))
    this.letters = EDGES.map((name, k) => {
      return element("div", `letter ${name}`, this.el, this.plane.letters[k])
    })
    this.bar = element("canvas", "colorbar", this.el)
    this.barHigh = element("div", "bartext high", this.el)
    this.barLow = element("div", "bartext low", this.el)
    for (const part of [this.bar, this.barHigh, this.barLow]) part.style.display = "none"
    this.notice = element("div", "notice", this.el)
    this.legend = this.buildLegend()
    this.figure = figureOf(model)
    this.image = rendererOf(this.figure, "image")
    this.overlay = rendererOf(this.figure, "overlay")
    this.mapper = this.about.colour ? null : this.image.glyph.color_mapper
    this.zoom = 1
    this.center = null // of the user's choice
    this.middle = null
    this.cursor = null
    this.draft = null
    this.marks = []
    this.shown = null
    this.pending = 0
    viewer.store.example(series, axis, this.picture())
    viewer.store.put(this.key(), this.picture())
    this.observer = new ResizeObserver(() => this.fit())
    this.observer.observe(this.el)
  }

  // Colours and names of a label map.
  buildLegend() {
    const { labels = {}, colors = [], discrete } = this.about.overlay ?? {}
    const legend = element("div", "legend", this.el)
    const rows = discrete ? Object.entries(labels).filter(([number]) => colors[number - 1]) : []
    rows.slice(0, LEGEND).forEach(([number, name]) => {
      const row = element("div", "", legend)
      element("i", "", row).style.background = colors[number - 1]
      element("span", "", row, name)
    })
    if (rows.length > LEGEND) element("div", "", legend, `and ${rows.length - LEGEND} more`)
    legend.rows = rows.length
    return legend
  }

  picture() {
    return { image: pixelsOf(this.image), overlay: this.overlay ? pixelsOf(this.overlay) : null }
  }

  get index() {
    return this.state.index[this.series][this.axis]
  }

  get frame() {
    return this.state.frame[this.series]
  }

  key() {
    return [this.series, this.axis, this.index, ...this.frame].join(":")
  }

  wanted(dk = 0, step = null) {
    const frame = [...this.frame]
    if (step) frame[step[0]] += step[1]
    const dims = this.about.dims
    const inside = frame.every((k, d) => k >= 0 && k < dims[d].labels.length)
    const index = this.index + dk
    return inside && index >= 0 && index < this.about.shape[this.axis]
      ? [this.series, this.axis, index, frame]
      : null
  }

  // ---- size: the frame fills the pane, ranges give the exact aspect -----------------------

  fit() {
    const { clientWidth: width, clientHeight: height } = this.el
    if (!width || !height) return
    const ratio = window.devicePixelRatio || 1
    this.canvas.width = Math.round(width * ratio)
    this.canvas.height = Math.round(height * ratio)
    this.size = [width, height]
    setQuietly(this.figure, { width, height })
    if (!this.smoothing) this.smoothing = smoothPainter(this.figure, this.image, () => this.state.smooth)
    this.viewer.aim()
  }

  // mm -> screen along one axis: [mm of the middle, mm a pixel with sign]
  aim() {
    if (!this.size) return
    const [width, height] = this.size
    const all = whole(this)
    const [cx, cy] = this.middle = this.center ?? all.center
    this.scale = all.scale / this.zoom
    this.sx = this.turned[0] * this.scale
    this.sy = this.turned[1] * this.scale
    setQuietly(this.figure.x_range, { start: cx - (this.sx * width) / 2, end: cx + (this.sx * width) / 2 })
    setQuietly(this.figure.y_range, { start: cy - (this.sy * height) / 2, end: cy + (this.sy * height) / 2 })
    this.draw()
  }

  toScreen(x, y) {
    return [this.size[0] / 2 + (x - this.middle[0]) / this.sx, this.size[1] / 2 - (y - this.middle[1]) / this.sy]
  }

  toPlane(px, py) {
    return [this.middle[0] + (px - this.size[0] / 2) * this.sx, this.middle[1] - (py - this.size[1] / 2) * this.sy]
  }

  // The place under a pixel stays there.
  zoomTo(zoom, [px, py]) {
    const before = this.toPlane(px, py)
    this.zoom = Math.min(60, Math.max(0.2, zoom))
    this.aim()
    const after = this.toPlane(px, py)
    this.center = this.middle.map((c, k) => c + before[k] - after[k])
    this.aim()
  }

  zoomBy(factor, place = [this.size[0] / 2, this.size[1] / 2]) {
    this.zoomTo(this.zoom * factor, place)
    spread(this)
  }

  moveTo(center) {
    this.center = center
    this.aim()
    spread(this)
  }

  reset() {
    this.zoom = 1
    this.center = null
    this.aim()
    spread(this)
  }

  // Where the places of the other planes cross this one.
  crossing() {
    const position = this.state.position(this.series)
    return [position[this.plane.across], position[this.plane.down]]
  }

  // ---- picture -----------------------------------------------------------------------------

  paint() {
    const found = this.viewer.store.get(this.series, this.axis, this.index, this.frame)
    if (!found) return false
    this.shown = this.key()
    this.notice.textContent = this.state.beyond[this.series] ? "this place lies beyond the series" : ""
    swapPixels(this.image, found.image)
    if (this.overlay && found.overlay) swapPixels(this.overlay, found.overlay)
    return true
  }

  // Until its picture is here, no other slice's picture may stand under this slice's text.
  update() {
    const here = this.paint()
    clearTimeout(this.late)
    if (!here) {
      this.viewer.store.want([this.wanted()])
      this.late = setTimeout(() => (this.notice.textContent = LATE), LATE_MS)
    }
    this.plot.style.visibility = here ? "" : "hidden"
    this.plot.style.opacity = this.state.beyond[this.series] ? 0.3 : 1
    this.draw()
  }

  look() {
    const look = this.state.looks[this.series]
    if (this.mapper) {
      const [low, high] = this.state.windows[this.series]
      const palette = this.viewer.palette(look)
      if (this.mapper.palette !== palette) setQuietly(this.mapper, { palette })
      setQuietly(this.mapper, { low, high })
      const over = this.about.overlay && !this.about.overlay.discrete && look.overlay.visible
      // Where a map lies over the image, its colours are those that need an explanation.
      if (over) this.colorBar(this.overlay.glyph.color_mapper.palette, look.overlay.low, look.overlay.high, this.about.overlay.units)
      else this.colorBar(palette, low, high, this.about.units)
    }
    if (this.overlay) {
      const { overlay } = look
      setQuietly(this.overlay, { visible: overlay.visible })
      setQuietly(this.overlay.glyph, { global_alpha: { value: overlay.alpha } })
      setQuietly(this.overlay.glyph.color_mapper, { low: overlay.low, high: overlay.high })
    }
    this.draw()
  }

  colorBar(palette, low, high, units) {
    const show = this.viewer.bars && !this.state.hidden
    for (const part of [this.bar, this.barHigh, this.barLow]) part.style.display = show ? "" : "none"
    if (!show) return
    if (this.barOf !== palette) {
      this.barOf = palette
      ;[this.bar.width, this.bar.height] = [1, palette.length]
      const context = this.bar.getContext("2d")
      palette.forEach((color, k) => {
        context.fillStyle = typeof color === "string" ? color : `#${color.toString(16).padStart(6, "0")}`
        context.fillRect(0, palette.length - 1 - k, 1, 1)
      })
    }
    const [, , lowest, highest] = windowTexts(low, high)
    this.barHigh.textContent = `${highest} ${units}`
    this.barLow.textContent = lowest
  }

  smoothen() {
    repaint(this.image)
  }

  // ---- text and drawings, once a screen refresh ---------------------------------------------

  draw() {
    if (this.pending) return
    this.pending = requestAnimationFrame(() => {
      this.pending = 0
      if (!this.size) return
      drawLayer(this)
      this.write()
    })
  }

  write() {
    const hidden = this.state.hidden
    for (const part of [...Object.values(this.corners), ...this.letters]) part.style.display = hidden ? "none" : ""
    this.legend.hidden = hidden || !this.legend.rows || !this.state.looks[this.series].overlay?.visible
    if (hidden) return
    const { about, axis } = this
    this.corners.tl.textContent = about.patient.join("\n")
    this.corners.tr.textContent = about.title.join("\n")
    const mm = about.positions[axis][this.index]
    const lines = []
    if (about.directions || about.shape[axis] > 1) {
      lines.push(`${["slice", "row", "column"][axis]} ${this.index + 1}/${about.shape[axis]}  ${tenths(mm)} ${about.unit}`)
    }
    about.dims.forEach((dim, d) => {
      const k = this.frame[d]
      lines.push(`${dim.name} ${placeText(dim, k)}`)
      if (dim.beside[k]) lines.push(dim.beside[k])
    })
    if (this.mapper) {
      const [low, high] = this.state.windows[this.series]
      const [width, center] = windowTexts(low, high)
      lines.push(`W ${width}  C ${center}`)
    }
    if (this.plane.note) lines.unshift(this.plane.note)
    this.corners.bl.textContent = lines.join("\n")
    this.corners.br.textContent = this.readout().join("\n")
  }

  // Place on the plane -> the voxel there, or null.
  voxel([x, y]) {
    const { rows, columns, across, down } = this.plane
    const [i, j] = [Math.round((y - rows.start) / rows.step), Math.round((x - columns.start) / columns.step)]
    if (i < 0 || j < 0 || i >= rows.index.length || j >= columns.index.length) return null
    const index = [0, 0, 0]
    index[this.axis] = this.index
    index[across] = columns.index[j]
    index[down] = rows.index[i]
    return { index, offset: i * columns.index.length + j, missing: index.some((k) => k < 0) }
  }

  along([x, y]) {
    const along = this.state.position(this.series)
    along[this.plane.across] = x
    along[this.plane.down] = y
    return along
  }

  indexNear(place) {
    return this.along(place).map((mm, k) => nearest(this.about.positions[k], mm))
  }

  readout() {
    if (!this.cursor) return []
    const voxel = this.voxel(this.cursor)
    if (!voxel) return []
    if (voxel.missing) return ["no slice here"]
    const lines = [`[${voxel.index.join(", ")}]`]
    if (this.about.directions) {
      const point = toPatient(this.about.directions, this.along(this.cursor))
      lines.push(`${point.map(tenths).join(", ")} mm`)
    }
    const found = this.shown === this.key() && this.viewer.store.get(this.series, this.axis, this.index, this.frame)
    if (found) lines.push(...this.valueText(found, voxel.offset))
    return lines
  }

  valueText(found, offset) {
    const { about } = this
    if (about.colour) {
      const rgba = found.image[offset]
      return [`${rgba & 255}, ${(rgba >> 8) & 255}, ${(rgba >> 16) & 255}`]
    }
    const lines = [`${shortly(found.image[offset])} ${about.units}`]
    if (about.suv) lines.push(`SUV ${shortly(+(found.image[offset] * about.suv).toPrecision(3))}`)
    if (found.overlay) {
      const value = found.overlay[offset]
      const { name, labels, units, discrete } = about.overlay
      if (!discrete || value) lines.push(`${name} ${labels[value] ?? shortly(value)} ${units}`.trim())
    }
    return lines
  }

  close() {
    this.observer.disconnect()
    if (this.pending) cancelAnimationFrame(this.pending)
  }
}
