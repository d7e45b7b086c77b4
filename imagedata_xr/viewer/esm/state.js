// What the viewer shows: one place in each series. Panes follow it, Python hears of it later.

import { clamp, fromPatient, nearest, toPatient } from "./places.js"

const SYNC_MS = 80
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b)
const copy = (value) => JSON.parse(JSON.stringify(value))

export class State {
  constructor(model, report) {
    this.model = model
    this.report = report
    this.series = model.series
    this.index = copy(model.index)
    this.frame = copy(model.frame)
    this.windows = copy(model.windows)
    this.looks = copy(model.looks)
    this.tool = model.tool
    this.hidden = model.hide_text
    this.smooth = model.smooth
    this.linked = model.linked
    this.crosshair = model.crosshair
    this.page = model.page
    this.dimension = 0
    this.beyond = this.series.map(() => false)
    this.changed = []
    this.timers = new Map()
    for (const name of ["index", "frame", "windows", "looks", "tool", "smooth", "linked", "page"]) {
      report.listen(name)
      model.on(name, () => {
        if (same(model[name], this[name])) return
        this[name] = copy(model[name])
        this.tell(name)
      })
    }
    for (const name of ["hide_text", "crosshair"]) report.listen(name)
    model.on("hide_text", () => this.set("hidden", model.hide_text))
  }

  onChange(callback) {
    this.changed.push(callback)
  }

  tell(what) {
    for (const callback of this.changed) callback(what)
  }

  sync(name, at_once = false) {
    clearTimeout(this.timers.get(name))
    const send = () => {
      const attribute = name === "hidden" ? "hide_text" : name
      if (!same(this.model[attribute], this[name])) this.report.set(attribute, copy(this[name]))
    }
    if (at_once) send()
    else this.timers.set(name, setTimeout(send, SYNC_MS))
  }

  set(name, value) {
    if (same(this[name], value)) return
    this[name] = value
    this.tell(name)
    this.sync(name)
  }

  position(series) {
    return this.series[series].positions.map((values, k) => values[this.index[series][k]])
  }

  // Index of a slice, row or column; linked series follow to the same place in the patient.
  move(series, axis, index) {
    const size = this.series[series].shape[axis]
    const target = [...this.index[series]]
    target[axis] = clamp(index, 0, size - 1)
    this.place(series, target)
  }

  place(series, target) {
    if (same(target, this.index[series])) return
    this.index[series] = target
    this.beyond[series] = false
    if (this.linked) this.follow(series)
    this.tell("index")
    this.sync("index")
  }

  follow(leader) {
    const from = this.series[leader]
    this.series.forEach((series, k) => {
      if (k === leader) return
      if (from.space && series.space === from.space) {
        const point = toPatient(from.directions, this.position(leader))
        const along = fromPatient(series.directions, point)
        this.index[k] = series.positions.map((values, axis) => nearest(values, along[axis]))
        this.beyond[k] = series.positions.some((values, axis) => {
          const step = values.length > 1 ? Math.abs(values[1] - values[0]) : series.thickness[axis]
          return Math.abs(values[this.index[k][axis]] - along[axis]) > step
        })
      } else if (same(series.shape, from.shape) && (!from.space || !series.space)) {
        this.index[k] = [...this.index[leader]]
      }
    })
  }

  step(series, dimension, index, round = false) {
    const { dims } = this.series[series]
    if (!dims.length) return
    const size = dims[dimension].labels.length
    const target = round ? (index + size) % size : clamp(index, 0, size - 1)
    if (target === this.frame[series][dimension]) return
    this.frame[series][dimension] = target
    if (this.linked) {
      this.series.forEach((other, k) => {
        const at = other.dims.findIndex((one) => one.name === dims[dimension].name)
        if (k !== series && at >= 0) {
          this.frame[k][at] = clamp(target, 0, other.dims[at].labels.length - 1)
        }
      })
    }
    this.tell("frame")
    this.sync("frame")
  }

  // During a drag only the browser knows: nothing goes over the wire until it ends.
  setWindow(series, low, high, done = true) {
    if (!(high > low)) return
    this.windows[series] = [low, high]
    this.tell("windows")
    if (done) this.sync("windows", true)
  }

  look(series, values) {
    this.looks[series] = { ...this.looks[series], ...values }
    this.tell("looks")
    this.sync("looks")
  }
}
