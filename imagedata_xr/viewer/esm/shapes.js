// Outlines as loops [xs, ys] in mm of a plane, and the pixels inside them.

export function insideLoop([xs, ys], x, y) {
  let inside = false
  for (let i = 0, j = xs.length - 1; i < xs.length; j = i++) {
    const crosses = ys[i] > y !== ys[j] > y
    if (crosses && x < ((xs[j] - xs[i]) * (y - ys[i])) / (ys[j] - ys[i]) + xs[i]) inside = !inside
  }
  return inside
}

export const insideLoops = (loops, x, y) =>
  loops.reduce((inside, loop) => inside !== insideLoop(loop, x, y), false)

export const rectangle = ([x0, y0], [x1, y1]) => [
  [x0, x1, x1, x0],
  [y0, y0, y1, y1],
]

export function ellipse([x0, y0], [x1, y1], points = 64) {
  const xs = []
  const ys = []
  for (let k = 0; k < points; k++) {
    const angle = (2 * Math.PI * k) / points
    xs.push((x0 + x1) / 2 + (Math.abs(x1 - x0) / 2) * Math.cos(angle))
    ys.push((y0 + y1) / 2 + (Math.abs(y1 - y0) / 2) * Math.sin(angle))
  }
  return [xs, ys]
}

// Pixels of a plane whose centres lie inside, by scan lines: edges are half-open, as in Python.
export function rasterise(loops, plane) {
  const { rows, columns } = plane
  const [height, width] = [rows.index.length, columns.index.length]
  const mask = new Uint8Array(height * width)
  for (let i = 0; i < height; i++) {
    const y = rows.start + i * rows.step
    const cuts = []
    for (const [xs, ys] of loops) {
      for (let a = 0, b = xs.length - 1; a < xs.length; b = a++) {
        if (ys[a] > y === ys[b] > y) continue
        cuts.push(((xs[b] - xs[a]) * (y - ys[a])) / (ys[b] - ys[a]) + xs[a])
      }
    }
    cuts.sort((p, q) => p - q)
    for (let k = 0; k + 1 < cuts.length; k += 2) {
      const first = Math.max(0, Math.ceil((cuts[k] - columns.start) / columns.step))
      const last = Math.min(width, Math.ceil((cuts[k + 1] - columns.start) / columns.step))
      for (let j = first; j < last; j++) mask[i * width + j] = 1
    }
  }
  return mask
}

// Loops along the edges of the pixels of a mask.
export function trace(mask, plane) {
  const { rows, columns } = plane
  const [height, width] = [rows.index.length, columns.index.length]
  const at = (i, j) => i >= 0 && j >= 0 && i < height && j < width && mask[i * width + j] > 0
  const edges = new Map()
  const join = (i0, j0, i1, j1) => {
    const from = i0 * (width + 1) + j0
    if (!edges.has(from)) edges.set(from, [])
    edges.get(from).push(i1 * (width + 1) + j1)
  }
  for (let i = 0; i < height; i++) {
    for (let j = 0; j < width; j++) {
      if (!mask[i * width + j]) continue
      if (!at(i - 1, j)) join(i, j, i, j + 1)
      if (!at(i, j + 1)) join(i, j + 1, i + 1, j + 1)
      if (!at(i + 1, j)) join(i + 1, j + 1, i + 1, j)
      if (!at(i, j - 1)) join(i + 1, j, i, j)
    }
  }
  const loops = []
  for (const start of edges.keys()) {
    while (edges.get(start).length) {
      const corners = [start]
      let next = edges.get(start).pop()
      while (next !== start) {
        corners.push(next)
        next = edges.get(next).pop()
      }
      const turns = corners.filter((corner, k) => {
        const before = corners[(k + corners.length - 1) % corners.length]
        return corner - before !== corners[(k + 1) % corners.length] - corner
      })
      loops.push([
        turns.map((c) => columns.start + ((c % (width + 1)) - 0.5) * columns.step),
        turns.map((c) => rows.start + (Math.floor(c / (width + 1)) - 0.5) * rows.step),
      ])
    }
  }
  return loops
}

// Squared distances to the nearest zero of f along one line (Felzenszwalb and Huttenlocher, 2012).
function lowerEnvelope(f, step) {
  const n = f.length
  const v = new Int32Array(n)
  const z = new Float64Array(n + 1)
  let k = 0
  z[0] = -Infinity
  z[1] = Infinity
  const meet = (q, p) => (f[q] + (q * step) ** 2 - f[p] - (p * step) ** 2) / (2 * step * step * (q - p))
  for (let q = 1; q < n; q++) {
    let s = meet(q, v[k])
    while (s <= z[k]) s = meet(q, v[--k])
    v[++k] = q
    z[k] = s
    z[k + 1] = Infinity
  }
  const out = new Float64Array(n)
  for (let q = 0, j = 0; q < n; q++) {
    while (z[j + 1] < q) j++
    out[q] = ((q - v[j]) * step) ** 2 + f[v[j]]
  }
  return out
}

const FAR = 1e12

// Signed distance of each pixel to the border, mm; positive inside.
function signedDistance(mask, plane) {
  const { rows, columns } = plane
  const [height, width] = [rows.index.length, columns.index.length]
  const squared = (inside) => {
    const d = Float64Array.from(mask, (m) => (m > 0 === inside ? FAR : 0))
    for (let i = 0; i < height; i++) {
      d.set(lowerEnvelope(d.slice(i * width, (i + 1) * width), columns.step), i * width)
    }
    for (let j = 0; j < width; j++) {
      const line = Float64Array.from({ length: height }, (_, i) => d[i * width + j])
      lowerEnvelope(line, rows.step).forEach((value, i) => (d[i * width + j] = value))
    }
    return d
  }
  const [inner, outer] = [squared(true), squared(false)]
  return inner.map((value, k) => Math.sqrt(Math.min(value, FAR)) - Math.sqrt(Math.min(outer[k], FAR)))
}

// Shapes between two drawn ones (Raya and Udupa, 1990): distances are interpolated, not outlines.
export function between(first, second, plane, part) {
  const [a, b] = [first, second].map((loops) => signedDistance(rasterise(loops, plane), plane))
  return trace(Uint8Array.from(a, (value, k) => (value * (1 - part) + b[k] * part > 0 ? 1 : 0)), plane)
}
