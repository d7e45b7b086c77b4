// The Panel component: panes, tools and keys around figures that HoloViews made.

import { Bar } from "./bar.js"
import { frameBox } from "./bokeh_names.js"
import { spread } from "./framing.js"
import { connectKeys, helpRows } from "./keys.js"
import { measure } from "./layer.js"
import { Pane, element } from "./pane.js"
import { Regions } from "./regions.js"
import { Report } from "./report.js"
import { Side } from "./side.js"
import { State } from "./state.js"
import { Store } from "./store.js"
import { STYLE } from "./style.js"
import { DRAWING, connect } from "./tools.js"

// Pictures that were taken this fast, s, run as fast as they were taken.
const REAL_TIME = [0.01, 0.35]

class Viewer {
  constructor(model, view, root) {
    Object.assign(this, { model, root })
    this.report = new Report(model)
    this.state = new State(model, this.report)
    this.regions = new Regions(model, this.state, this.report)
    this.store = new Store(model, (message) => this.arrived(message))
    this.bars =
      model.looks.some((look) => look.cmap !== "gray") || model.series.some((one) => one.overlay && !one.overlay.discrete)
    this.curveOn = false
    this.playing = null
    this.brushRadius = 0
    const children = [model.get_child("plots")].flat()
    this.panes = model.panes.map((one, k) => new Pane(this, k, one, children[k], view.model.data.plots[k]))
    this.active = this.panes[0]
    this.brushRadius = 4 * this.active.plane.columns.step
    this.body = element("div", "body", null)
    this.side = new Side(this, null)
    this.bar = new Bar(this, root)
    root.append(this.body)
    this.grid = element("div", "panes", this.body)
    this.body.append(this.side.el)
    for (const pane of this.panes) {
      this.grid.append(pane.el)
      connect(this, pane)
    }
    this.help = this.buildHelp(root)
    connectKeys(this, root)
    this.state.onChange((what) => this.changed(what))
    this.regions.listeners.push(() => this.redraw())
    this.layout()
    for (const pane of this.panes) pane.look()
    this.store.open().then(() => this.refresh())
    setTimeout(() => this.prefetch(this.active, 0), 200)
  }

  // ---- what changed ------------------------------------------------------------------------

  changed(what) {
    if (what === "index" || what === "frame") this.refresh()
    else if (what === "windows" || what === "looks") for (const pane of this.panes) pane.look()
    else if (what === "smooth") for (const pane of this.panes) pane.smoothen()
    else if (what === "page") this.layout()
    else if (what === "tool") this.toolChanged()
    else if (what === "linked") this.relink()
    else if (what === "hidden") for (const pane of this.panes) pane.look()
    if (what === "frame") this.side.curves()
    this.redraw()
    this.bar.update()
  }

  refresh() {
    for (const pane of this.visible()) pane.update()
  }

  redraw() {
    for (const pane of this.visible()) pane.draw()
  }

  relink() {
    this.aim()
    spread(this.active)
  }

  aim() {
    for (const pane of this.panes) pane.aim()
  }

  visible() {
    return this.panes.filter((pane) => !pane.el.hidden)
  }

  arrived(message) {
    if (message.done) return this.end()
    if (message.curve !== undefined) {
      const asked = this.waiting
      this.waiting = null
      this.side.voxel = message.curve
      this.side.curves()
      // The cursor may have moved on meanwhile.
      this.hover(asked)
      return
    }
    for (const pane of this.visible()) {
      if (pane.key() !== message.key) continue
      if (message.error) pane.notice.textContent = message.error
      else pane.update()
    }
  }

  toolChanged() {
    for (const pane of this.panes) {
      pane.draft = null
      pane.brush = null
      pane.canvas.style.cursor = this.state.tool === "window" ? "default" : "crosshair"
    }
    if (DRAWING.includes(this.state.tool)) this.side.el.hidden = false
  }

  // ---- pages and panes ----------------------------------------------------------------------

  get pages() {
    return Math.ceil(this.panes.length / this.model.per_page)
  }

  layout() {
    const per = this.model.per_page
    this.panes.forEach((pane, k) => (pane.el.hidden = Math.floor(k / per) !== this.state.page))
    const shown = this.visible()
    const columns = this.model.columns || Math.ceil(Math.sqrt(shown.length))
    this.grid.style.gridTemplateColumns = `repeat(${Math.min(columns, shown.length)}, minmax(0, 1fr))`
    this.grid.style.gridAutoRows = "minmax(0, 1fr)"
    this.grid.classList.toggle("single", shown.length === 1)
    // Of three pictures, the first is the large one.
    const three = shown.length === 3 && columns === 2
    for (const pane of this.panes) pane.el.style.gridRow = three && pane === shown[0] ? "span 2" : ""
    if (!shown.includes(this.active)) this.focus(shown[0])
    this.focus(this.active)
    this.refresh()
  }

  focus(pane) {
    this.active = pane
    for (const one of this.panes) one.el.classList.toggle("active", one === pane)
    this.root.focus({ preventScroll: true })
    this.bar?.update()
  }

  hover(pane) {
    if (!this.curveOn || this.waiting || this.model.offline || !pane.about.dims.length) return
    const voxel = pane.cursor && pane.voxel(pane.cursor)
    if (!voxel || voxel.missing || pane.about.colour) return
    const dimension = Math.min(this.state.dimension, pane.about.dims.length - 1)
    const curve = [pane.series, voxel.index, pane.frame, dimension]
    if (JSON.stringify(curve) === this.curveOf) return
    this.curveOf = JSON.stringify(curve)
    this.waiting = pane
    this.model.send_msg({ curve })
  }

  // ---- commands -----------------------------------------------------------------------------

  scroll(pane, step) {
    this.state.move(pane.series, pane.axis, pane.index + step)
    this.prefetch(pane, Math.sign(step))
  }

  step(pane, step, round = false) {
    const d = Math.min(this.state.dimension, pane.about.dims.length - 1)
    if (d < 0) return
    this.state.step(pane.series, d, pane.frame[d] + step, round)
    this.ahead(pane, (k) => pane.wanted(0, [d, k * Math.sign(step)]))
  }

  prefetch(pane, direction) {
    this.ahead(pane, (k) => pane.wanted(direction ? direction * k : k % 2 ? (k + 1) / 2 : -k / 2))
  }

  // Only after the picture that is shown has been asked for.
  ahead(pane, place) {
    const list = []
    for (let k = 1; k <= this.model.ahead; k++) list.push(place(k))
    this.store.want(list.filter((one) => one && !this.store.has(...one)))
  }

  turn(pane, step) {
    if (this.pages < 2) return this.scroll(pane, 10 * step)
    return this.state.set("page", Math.max(0, Math.min(this.pages - 1, this.state.page + step)))
  }

  nextDimension(pane) {
    const count = pane.about.dims.length
    if (count) this.state.dimension = (this.state.dimension + 1) % count
    this.report.set("dimension", this.state.dimension)
    this.bar.update()
    this.side.curves()
  }

  cine(pane) {
    if (this.playing) {
      clearInterval(this.playing)
      this.playing = null
    } else {
      const d = Math.min(this.state.dimension, pane.about.dims.length - 1)
      const size = d < 0 ? pane.about.shape[pane.axis] : pane.about.dims[d].labels.length
      const next = () => {
        const index = d < 0 ? (pane.index + 1) % size : pane.index
        const frame = pane.frame.map((k, n) => (n === d ? (k + 1) % size : k))
        // Pictures that come late make a film slower, not black.
        const place = [pane.series, pane.axis, index, frame]
        if (!this.store.get(...place)) this.store.want([place])
        else if (d < 0) {
          this.state.move(pane.series, pane.axis, index)
          this.prefetch(pane, 1)
        } else this.step(pane, 1, true)
      }
      this.playing = setInterval(next, 1000 / this.rate(pane))
    }
    this.bar.update()
  }

  // Pictures a second.
  rate(pane) {
    if (this.speed) return this.speed
    const dim = pane.about.dims[Math.min(this.state.dimension, pane.about.dims.length - 1)]
    const step = dim?.unit === "s" ? (dim.places.at(-1) - dim.places[0]) / (dim.places.length - 1) : 0
    return step > REAL_TIME[0] && step < REAL_TIME[1] ? 1 / step : this.model.fps
  }

  setSpeed(pane, speed) {
    this.speed = speed
    if (!this.playing) return
    this.cine(pane)
    this.cine(pane)
  }

  palette({ cmap, invert }) {
    this.palettes ??= new Map()
    const key = `${cmap}:${invert}`
    if (!this.palettes.has(key)) {
      const colors = this.model.palettes[cmap] ?? this.model.palettes.gray
      this.palettes.set(key, invert ? [...colors].reverse() : colors)
    }
    return this.palettes.get(key)
  }

  // From the values of the picture, without the given part at both ends.
  autoWindow(pane, part = 0.01) {
    const found = this.store.get(pane.series, pane.axis, pane.index, pane.frame)
    if (!found || pane.about.colour) return
    const stride = part ? Math.max(1, Math.floor(found.image.length / 50000)) : 1
    const values = []
    for (let k = 0; k < found.image.length; k += stride) {
      if (Number.isFinite(found.image[k])) values.push(found.image[k])
    }
    values.sort((a, b) => a - b)
    const at = (place) => values[Math.min(values.length - 1, Math.floor(place * values.length))]
    if (values.length) this.state.setWindow(pane.series, at(part), Math.max(at(1 - part), at(part) + pane.about.span * 1e-4))
  }

  preset(number) {
    const found = this.active.about.presets[number]
    if (found) this.state.setWindow(this.active.series, found.low, found.high)
  }

  invert(pane) {
    this.state.look(pane.series, { invert: !this.state.looks[pane.series].invert })
  }

  toggleBars() {
    this.bars = !this.bars
    for (const pane of this.panes) pane.look()
  }

  toggleOverlay(pane) {
    const { overlay } = this.state.looks[pane.series]
    if (overlay) this.state.look(pane.series, { overlay: { ...overlay, visible: !overlay.visible } })
  }

  toggleCurve() {
    this.curveOn = !this.curveOn
    if (this.curveOn) this.side.el.hidden = false
    this.side.curves()
    this.bar.update()
  }

  toggleSide() {
    this.side.el.hidden = !this.side.el.hidden
    this.bar.update()
  }

  toggleHelp() {
    this.help.hidden = !this.help.hidden
  }

  fullScreen() {
    if (document.fullscreenElement) document.exitFullscreen()
    else this.root.requestFullscreen()
  }

  growBrush(factor) {
    this.brushRadius = Math.max(this.active.plane.columns.step * 0.6, this.brushRadius * factor)
    if (this.active.brush) this.active.brush.radius = this.brushRadius
    this.redraw()
  }

  thresholds(series) {
    const [low, high] = [this.bar.low.value, this.bar.high.value]
    const [wl, wh] = this.state.windows[series]
    return [low === "" ? (wl + wh) / 2 : Number(low), high === "" ? Infinity : Number(high)]
  }

  escape(pane) {
    if (!this.help.hidden) this.help.hidden = true
    else if (pane.draft || pane.marks.some((mark) => mark.open)) {
      pane.draft = null
      pane.marks = pane.marks.filter((mark) => !mark.open)
      this.redraw()
    } else if (this.state.tool === "window") {
      for (const one of this.panes) one.marks = []
      this.redraw()
    } else this.state.set("tool", "window")
  }

  remove(pane) {
    if (this.regions.selected) return this.regions.remove()
    pane.marks.pop()
    return pane.draw()
  }

  done() {
    if (!this.model.blocking) return
    this.model.send_msg({ done: true })
  }

  // Python answers in turn: what was drawn before is there, too, and nothing is on its way here.
  end() {
    if (this.root.querySelector(".end")) return
    element("div", "end", this.root, "Done: the regions are with Python. This page can be closed.")
    this.model.send_msg({ ended: true })
  }

  buildHelp(root) {
    const help = element("div", "help", root)
    help.hidden = true
    for (const [title, rows] of helpRows()) {
      const section = element("section", "", help)
      element("h3", "", section, title)
      for (const [key, text] of rows) {
        const row = element("div", "", section)
        element("kbd", "", row, key === " " ? "space" : key.replace("Arrow", ""))
        element("span", "", row, text)
      }
    }
    return help
  }

  close() {
    clearInterval(this.playing)
    for (const pane of this.panes) pane.close()
  }
}

export function render({ model, view, el }) {
  const style = element("style", "", null, STYLE)
  const root = element("div", "imxr", null)
  root.tabIndex = 0
  root.style.position = "relative"
  const viewer = new Viewer(model, view, root)
  // For tests, and for those who look under the bonnet.
  root.viewer = viewer
  Object.assign(viewer, { frameBox, measure })
  el.append(style, root)
  // A page of its own listens at once; in a notebook, the first click says who is meant.
  if (model.whole_page) setTimeout(() => root.focus({ preventScroll: true }), 0)
  model.on("remove", () => viewer.close())
}
