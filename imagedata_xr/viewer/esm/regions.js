// Regions of interest: records of outlines, with undo.

import { between } from "./shapes.js"

const STEPS = 200
const COLORS = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7"]
const clone = (value) => JSON.parse(JSON.stringify(value))

export class Regions {
  constructor(model, state, report) {
    this.model = model
    this.report = report
    this.state = state
    this.records = clone(model.records)
    this.structures = clone(model.structures)
    this.active = 0
    this.selected = null
    this.perFrame = model.per_frame
    this.past = []
    this.future = []
    this.clip = null
    this.listeners = []
    for (const name of ["structures", "records", "per_frame", "dimension"]) report.listen(name)
    if (!this.structures.length) this.addStructure(false)
    model.on("records", () => {
      if (JSON.stringify(model.records) === JSON.stringify(this.records)) return
      this.records = clone(model.records)
      this.structures = clone(model.structures)
      if (!this.structures.length) this.addStructure(false)
      this.tell()
    })
    model.on("per_frame", () => {
      this.perFrame = model.per_frame
      this.tell()
    })
  }

  tell() {
    for (const listener of this.listeners) listener()
  }

  get structure() {
    return this.structures[this.active]
  }

  addStructure(choose = true) {
    let number = this.structures.length + 1
    while (this.structures.some((one) => one.name === `region ${number}`)) number++
    const color = COLORS[(number - 1) % COLORS.length]
    this.structures.push({ name: `region ${number}`, color })
    this.active = this.structures.length - 1
    if (choose) this.commit()
  }

  rename(position, name, color) {
    const old = this.structures[position]
    const free = !this.structures.some((one, k) => k !== position && one.name === name)
    if (!name.trim() || !free) return
    this.remember()
    for (const record of this.records) {
      if (record.name === old.name) Object.assign(record, { name, color })
    }
    this.structures[position] = { name, color }
    this.commit()
  }

  removeStructure(position) {
    this.remember()
    const { name } = this.structures[position]
    this.records = this.records.filter((record) => record.name !== name)
    this.structures.splice(position, 1)
    if (!this.structures.length) this.addStructure(false)
    this.active = Math.min(this.active, this.structures.length - 1)
    this.commit()
  }

  now() {
    return JSON.stringify([this.records, this.structures, this.active])
  }

  remember() {
    this.past.push(this.now())
    if (this.past.length > STEPS) this.past.shift()
    this.future = []
  }

  undo(back = true) {
    const [from, to] = back ? [this.past, this.future] : [this.future, this.past]
    if (!from.length) return
    to.push(this.now())
    ;[this.records, this.structures, this.active] = JSON.parse(from.pop())
    this.commit()
  }

  commit() {
    if (!this.records.some((record) => record.id === this.selected)) this.selected = null
    this.report.set("structures", clone(this.structures))
    this.report.set("records", clone(this.records))
    this.tell()
  }

  blank(kind, pane) {
    const { series, axis } = pane
    const frame = this.perFrame && this.state.frame[series].length ? [...this.state.frame[series]] : null
    const id = `r${Date.now().toString(36)}${Math.random().toString(36).slice(2, 7)}`
    const index = this.state.index[series][axis]
    return { id, ...this.structure, kind, series, axis, index, frame, loops: [] }
  }

  visible(record, pane) {
    const { series, axis } = pane
    if (record.series !== series || record.axis !== axis) return false
    if (record.index !== this.state.index[series][axis]) return false
    return !record.frame || record.frame.join() === this.state.frame[series].join()
  }

  here(pane) {
    return this.records.filter((record) => this.visible(record, pane))
  }

  add(record) {
    if (!record.loops.some(([xs]) => xs.length >= 3)) return
    this.remember()
    this.records.push(record)
    this.selected = record.id
    this.commit()
  }

  find(id) {
    return this.records.find((record) => record.id === id)
  }

  remove() {
    if (!this.find(this.selected)) return
    this.remember()
    this.records = this.records.filter((record) => record.id !== this.selected)
    this.commit()
  }

  // What the brush made takes the place of these records.
  replaceHere(pane, old, loops) {
    this.remember()
    this.records = this.records.filter((record) => !old.includes(record))
    if (loops.length) this.records.push({ ...this.blank("brush", pane), loops })
    this.commit()
  }

  copy() {
    this.clip = clone(this.find(this.selected) ?? null)
  }

  paste(pane) {
    if (!this.clip || this.clip.series !== pane.series || this.clip.axis !== pane.axis) return
    const { name, color, kind, loops } = this.clip
    this.add({ ...this.blank(kind, pane), name, color, loops: clone(loops) })
  }

  copyToNext(pane, step) {
    const { series, axis } = pane
    const target = this.state.index[series][axis] + step
    const here = this.here(pane)
    const selected = here.filter((record) => record.id === this.selected)
    const chosen = selected.length ? selected : here
    if (!chosen.length || target < 0 || target >= this.state.series[series].shape[axis]) return
    this.remember()
    this.state.move(series, axis, target)
    for (const record of chosen) {
      const { name, color } = record
      const made = { ...this.blank(record.kind, pane), name, color, loops: clone(record.loops) }
      this.records.push(made)
      this.selected = made.id
    }
    this.commit()
  }

  // Outlines that hold at one time, b, te... only, to the next one.
  copyToFrame(pane, step) {
    const { series } = pane
    const dims = this.state.series[series].dims
    const d = Math.min(this.state.dimension, dims.length - 1)
    const here = this.here(pane).filter((record) => record.frame)
    const selected = here.filter((record) => record.id === this.selected)
    const chosen = selected.length ? selected : here
    if (!chosen.length || d < 0) return
    const frame = [...this.state.frame[series]]
    frame[d] += step
    if (frame[d] < 0 || frame[d] >= dims[d].labels.length) return
    this.remember()
    this.state.step(series, d, frame[d])
    for (const record of chosen) {
      const { name, color } = record
      const made = { ...this.blank(record.kind, pane), name, color, frame: [...frame], loops: clone(record.loops) }
      this.records.push(made)
      this.selected = made.id
    }
    this.commit()
  }

  // Fill the slices between those on which the active structure is drawn.
  interpolate(pane) {
    const plane = this.state.series[pane.series].planes[pane.axis]
    const frame = JSON.stringify(this.blank("", pane).frame)
    const mine = this.records.filter(
      (r) => r.name === this.structure.name && r.series === pane.series && r.axis === pane.axis
        && JSON.stringify(r.frame) === frame,
    )
    const drawn = [...new Set(mine.map((record) => record.index))].sort((a, b) => a - b)
    const loops = (index) => mine.filter((r) => r.index === index).flatMap((r) => r.loops)
    const made = []
    drawn.slice(1).forEach((above, k) => {
      const below = drawn[k]
      for (let index = below + 1; index < above; index++) {
        const part = (index - below) / (above - below)
        const found = between(loops(below), loops(above), plane, part)
        if (found.length) made.push({ ...this.blank("interpolated", pane), index, loops: found })
      }
    })
    if (!made.length) return
    this.remember()
    this.records.push(...made)
    this.commit()
  }
}
