// The tool bar and the sliders.

import { element } from "./pane.js"
import { placeText } from "./places.js"
import { DRAWING, TOOLS } from "./tools.js"

const SPEEDS = [0, 2, 5, 10, 15, 20, 30] // 0: as they were taken

function button(parent, text, title, action) {
  const made = element("button", "", parent, text)
  made.type = "button"
  made.title = title
  made.addEventListener("click", () => action())
  return made
}

function choice(parent, title, options, action) {
  const made = element("select", "", parent)
  made.title = title
  for (const text of options) element("option", "", made, text)
  made.addEventListener("change", () => action(made.selectedIndex, made.value))
  return made
}

export class Bar {
  constructor(viewer, root) {
    this.viewer = viewer
    const bars = element("div", "bars", root)
    // A button that keeps the focus would be pressed by the space bar.
    bars.addEventListener("click", (event) => {
      if (event.target.tagName === "BUTTON") root.focus({ preventScroll: true })
    })
    this.tools = {}
    const look = element("div", "group", bars)
    const draw = element("div", "group", bars)
    for (const [name, [text, key]] of Object.entries(TOOLS)) {
      const parent = DRAWING.includes(name) ? draw : look
      const title = key ? `${text} (${key})` : text
      this.tools[name] = button(parent, text, title, () => viewer.state.set("tool", name))
      this.tools[name].dataset.tool = name
    }
    const more = element("div", "group", bars)
    this.presets = choice(more, "Window presets (1 - 9)", ["Presets"], (k) => {
      const count = viewer.active.about.presets.length
      if (k <= count) viewer.preset(k - 1)
      else viewer.autoWindow(viewer.active, k > count + 1 ? 0 : 0.01)
      this.presets.selectedIndex = 0
    })
    this.maps = choice(more, "Colour map", Object.keys(viewer.model.palettes), (_, name) =>
      viewer.state.look(viewer.active.series, { cmap: name }),
    )
    const toggle = (text, title, action) => button(more, text, title, action)
    this.invert = toggle("Invert", "Invert (i)", () => viewer.invert(viewer.active))
    this.smooth = toggle("Smooth", "Smooth or hard pixels (u)", () => viewer.state.set("smooth", !viewer.state.smooth))
    this.linked = toggle("Link", "Series move together", () => viewer.state.set("linked", !viewer.state.linked))
    this.linked.hidden = viewer.state.series.length < 2
    this.curve = toggle("Curve", "Curve of the voxel under the cursor (t)", () => viewer.toggleCurve())
    this.curve.hidden = !viewer.state.series.some((one) => one.dims.length)
    this.regions = toggle("Regions", "Table and curve of regions", () => viewer.toggleSide())
    this.undo = toggle("Undo", "Undo (ctrl + z)", () => viewer.regions.undo(true))
    this.redo = toggle("Redo", "Redo (ctrl + y)", () => viewer.regions.undo(false))
    toggle("Text", "Hide text (h)", () => viewer.state.set("hidden", !viewer.state.hidden))
    toggle("Full", "Full screen (F)", () => viewer.fullScreen())
    toggle("?", "Help (?)", () => viewer.toggleHelp())
    if (viewer.model.blocking) toggle("Done", "Return the regions (q)", () => viewer.done()).classList.add("on")
    this.overlayGroup = element("div", "group", bars)
    this.buildOverlay()
    this.pageGroup = element("div", "group", bars)
    this.pageGroup.hidden = viewer.pages < 2
    button(this.pageGroup, "<", "Previous page of series (PgUp)", () => viewer.turn(viewer.active, -1))
    this.pageText = element("span", "hint", this.pageGroup)
    button(this.pageGroup, ">", "Next page of series (PgDn)", () => viewer.turn(viewer.active, 1))
    this.thresholdGroup = element("div", "group", bars)
    element("span", "hint", this.thresholdGroup, "from")
    this.low = this.number(this.thresholdGroup, "Lowest value of the threshold tool")
    element("span", "hint", this.thresholdGroup, "to")
    this.high = this.number(this.thresholdGroup, "Highest value of the threshold tool")
    this.sliders = element("div", "sliders", root)
    this.build()
  }

  number(parent, title) {
    const made = element("input", "", parent)
    Object.assign(made, { type: "number", title, step: "any", size: 7 })
    made.style.width = "80px"
    return made
  }

  buildOverlay() {
    const { viewer } = this
    const slide = (title, key) => {
      const made = element("input", "", this.overlayGroup)
      Object.assign(made, { type: "range", title, min: 0, max: 100 })
      made.style.width = "80px"
      made.addEventListener("input", () => {
        const { overlay } = viewer.state.looks[viewer.active.series]
        const about = viewer.active.about.overlay
        const part = Number(made.value) / 100
        const value = key === "alpha" ? part : about.low + part * (about.high - about.low)
        viewer.state.look(viewer.active.series, { overlay: { ...overlay, [key]: value } })
      })
      return made
    }
    this.overlayOn = button(this.overlayGroup, "Overlay", "Overlay on, off (o)", () => viewer.toggleOverlay(viewer.active))
    element("span", "hint", this.overlayGroup, "opacity")
    this.alpha = slide("Opacity of the overlay", "alpha")
    this.thresholdLabel = element("span", "hint", this.overlayGroup, "from")
    this.threshold = slide("Lowest value of the overlay that is shown", "low")
  }

  // Sliders are those of the active series.
  build() {
    const { viewer } = this
    const pane = viewer.active
    this.of = pane
    this.sliders.replaceChildren()
    this.rows = []
    const row = (name, size, read, write) => {
      if (size < 2) return
      const label = element("label", "", this.sliders)
      element("span", "name", label, name)
      const slider = element("input", "", label)
      Object.assign(slider, { type: "range", min: 0, max: size - 1, step: 1 })
      slider.dataset.dimension = name
      slider.addEventListener("input", () => write(Number(slider.value)))
      const value = element("span", "value", label)
      this.rows.push(() => {
        const [k, text] = read()
        slider.value = k
        value.textContent = text
        label.classList.toggle("chosen", pane.about.dims[viewer.state.dimension]?.name === name && pane.about.dims.length > 1)
      })
    }
    const { about, axis } = pane
    row(["slice", "row", "column"][axis], about.shape[axis], () => [pane.index, `${pane.index + 1}/${about.shape[axis]}`],
      (k) => viewer.state.move(pane.series, axis, k))
    about.dims.forEach((dim, d) => {
      row(dim.name, dim.labels.length, () => [pane.frame[d], dim.named ? `${dim.labels[pane.frame[d]]} ${dim.unit}` : `${placeText(dim, pane.frame[d])} ${dim.beside[pane.frame[d]]}`],
        (k) => viewer.state.step(pane.series, d, k))
    })
    this.cine = about.dims.length || about.shape[axis] > 1
      ? button(this.sliders, "Cine", "Cine (space)", () => viewer.cine(pane)) : null
    if (this.cine) {
      const speed = choice(this.sliders, "Pictures a second", SPEEDS.map((k) => (k ? `${k}/s` : "auto")), (k) => viewer.setSpeed(pane, SPEEDS[k]))
      speed.selectedIndex = Math.max(0, SPEEDS.indexOf(viewer.speed ?? 0))
    }
    this.fillPresets(about)
    this.update()
  }

  fillPresets(about) {
    this.presets.replaceChildren()
    const named = about.presets.map((one, k) => `${k + 1} ${one.name}`)
    for (const text of ["Presets", ...named, "w 1 to 99 %", "all values"]) element("option", "", this.presets, text)
    this.presets.hidden = about.colour
    for (const part of [this.maps, this.invert, this.tools.window, this.tools.threshold]) part.hidden = about.colour
    this.overlayGroup.hidden = !about.overlay
    this.threshold.hidden = this.thresholdLabel.hidden = !about.overlay || about.overlay.discrete
    if (!this.low.value && !about.colour) {
      const [low, high] = this.viewer.state.windows[this.of.series]
      this.low.value = String(+((low + high) / 2).toPrecision(4))
    }
  }

  update() {
    const { state } = this.viewer
    if (this.of !== this.viewer.active) return this.build()
    for (const [name, made] of Object.entries(this.tools)) made.classList.toggle("on", state.tool === name)
    this.smooth.classList.toggle("on", state.smooth)
    this.linked.classList.toggle("on", state.linked)
    this.curve.classList.toggle("on", this.viewer.curveOn)
    this.regions.classList.toggle("on", !this.viewer.side.el.hidden)
    this.cine?.classList.toggle("on", Boolean(this.viewer.playing))
    this.pageText.textContent = `page ${state.page + 1}/${this.viewer.pages}`
    const look = state.looks[this.of.series]
    this.maps.value = look.cmap
    this.invert.classList.toggle("on", look.invert)
    this.thresholdGroup.hidden = state.tool !== "threshold"
    if (look.overlay) {
      this.overlayOn.classList.toggle("on", look.overlay.visible)
      this.alpha.value = look.overlay.alpha * 100
      const { low, high } = this.of.about.overlay
      this.threshold.value = ((look.overlay.low - low) / (high - low || 1)) * 100
    }
    for (const row of this.rows) row()
    return undefined
  }
}
