// Pictures in the browser: the least recently used go first, the next ones are asked for early.

import { pixelsLike } from "./bokeh_names.js"

const RETRY_MS = 4000

export const keyOf = (series, axis, index, frame) => [series, axis, index, ...frame].join(":")

export class Store {
  constructor(model, arrived) {
    this.model = model
    this.arrived = arrived
    this.pictures = new Map()
    this.examples = new Map()
    this.asked = new Map()
    this.bytes = 0
    this.archive = null
    model.on("msg:custom", (event) => this.receive(event.data ?? event))
  }

  size(picture) {
    return (picture.image?.byteLength ?? 0) + (picture.overlay?.byteLength ?? 0)
  }

  put(key, picture) {
    this.asked.delete(key)
    if (this.pictures.has(key)) this.bytes -= this.size(this.pictures.get(key))
    this.pictures.delete(key)
    this.pictures.set(key, picture)
    this.bytes += this.size(picture)
    for (const [oldest, old] of this.pictures) {
      if (this.bytes <= this.model.cache_mb * 1048576 || this.pictures.size < 3) break
      this.pictures.delete(oldest)
      this.bytes -= this.size(old)
    }
  }

  // Each renderer shows arrays of one class; the first picture says of which.
  example(series, axis, picture) {
    this.examples.set(`${series}:${axis}`, picture)
  }

  get(series, axis, index, frame) {
    const key = keyOf(series, axis, index, frame)
    const found = this.pictures.get(key)
    if (found) {
      this.pictures.delete(key)
      this.pictures.set(key, found)
      return found
    }
    return this.unpack(key, series, axis)
  }

  has(series, axis, index, frame) {
    return this.pictures.has(keyOf(series, axis, index, frame))
  }

  receive(message) {
    if (message.error) this.asked.delete(message.key)
    else if (message.key !== undefined) this.put(message.key, { image: message.image, overlay: message.overlay ?? null })
    this.arrived(message)
  }

  want(list) {
    if (this.model.offline) return
    const now = performance.now()
    const missing = list.filter(([series, axis, index, frame]) => {
      const key = keyOf(series, axis, index, frame)
      return !this.pictures.has(key) && !(this.asked.get(key) > now - RETRY_MS)
    })
    if (!missing.length) return
    for (const [series, axis, index, frame] of missing) {
      this.asked.set(keyOf(series, axis, index, frame), now)
    }
    this.model.send_msg({ want: missing })
  }

  // A saved page holds all pictures in one deflated block.
  async open() {
    if (!this.model.offline) return
    const stream = new Blob([this.model.archive]).stream()
    const whole = stream.pipeThrough(new DecompressionStream("deflate"))
    this.archive = await new Response(whole).arrayBuffer()
    this.contents = new Map(this.model.contents.map((entry) => [entry.key, entry]))
  }

  unpack(key, series, axis) {
    const entry = this.contents?.get(key)
    if (!entry || !this.archive) return undefined
    const example = this.examples.get(`${series}:${axis}`)
    const cut = (part, like) =>
      part && pixelsLike(like, this.archive.slice(part.start, part.stop), part.shape)
    const picture = {
      image: cut(entry.image, example.image),
      overlay: entry.overlay ? cut(entry.overlay, example.overlay) : null,
    }
    this.put(key, picture)
    return picture
  }
}
