// What the browser changed, said to Python: at once, and once more when it is quiet.

const QUIET_MS = 400

// Panel may lose a change in a notebook, where two threads hear the browser: a kernel with
// subshells. A region that is on the screen only would be missing from the mask.
export class Report {
  constructor(model) {
    this.model = model
    this.page = Math.random().toString(36).slice(2)
    this.count = 0
    this.names = new Set()
    this.speaking = false
  }

  // Python's own change is the newer one: nothing is left to say about that name.
  listen(name) {
    this.model.on(name, () => {
      if (!this.speaking) this.names.delete(name)
    })
  }

  set(name, value) {
    this.speaking = true
    this.model[name] = value
    this.speaking = false
    this.names.add(name)
    if (this.model.offline) return
    clearTimeout(this.timer)
    this.timer = setTimeout(() => this.repeat(), QUIET_MS)
  }

  repeat() {
    const state = Object.fromEntries([...this.names].map((name) => [name, this.model[name]]))
    this.names.clear()
    this.count += 1
    this.model.send_msg({ state, page: this.page, count: this.count })
  }
}
