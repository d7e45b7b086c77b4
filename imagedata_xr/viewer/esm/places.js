// Where voxels are in the patient. Axes are 0 slice, 1 row, 2 column, as in Python.

export const clamp = (value, low, high) => Math.max(low, Math.min(high, value))

export function nearest(values, value) {
  let best = 0
  for (let k = 1; k < values.length; k++) {
    if (Math.abs(values[k] - value) < Math.abs(values[best] - value)) best = k
  }
  return best
}

// mm along the three axes -> patient mm
export function toPatient(directions, along) {
  return directions.map((row) => row[0] * along[0] + row[1] * along[1] + row[2] * along[2])
}

function cross(a, b) {
  return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

// patient mm -> mm along the three axes
export function fromPatient(directions, point) {
  const [a, b, c] = [0, 1, 2].map((k) => directions.map((row) => row[k]))
  const dot = (u, v) => u[0] * v[0] + u[1] * v[1] + u[2] * v[2]
  const volume = dot(a, cross(b, c))
  return [cross(b, c), cross(c, a), cross(a, b)].map((normal) => dot(point, normal) / volume)
}

// Length of a step across and down a plane: axes of a tilted stack are not perpendicular.
export function stepVector(series, plane, dx, dy) {
  if (!series.directions) return [dx, dy, 0]
  return series.directions.map((row) => row[plane.across] * dx + row[plane.down] * dy)
}

export const norm = (vector) => Math.hypot(...vector)

export function angleBetween(u, v) {
  const cosine = (u[0] * v[0] + u[1] * v[1] + u[2] * v[2]) / (norm(u) * norm(v))
  return (Math.acos(clamp(cosine, -1, 1)) * 180) / Math.PI
}

// Never "-0.0".
export const tenths = (value) => (Math.round(value * 10) / 10 + 0).toFixed(1)

// Width, centre, lowest and highest value, with the digits that the width calls for.
export function windowTexts(low, high) {
  const digits = clamp(2 - Math.floor(Math.log10(high - low)), 0, 12)
  return [high - low, (high + low) / 2, low, high].map((value) => String(+value.toFixed(digits)))
}

// "12.5 s  3/20"; places without a coordinate have their number alone.
export function placeText({ labels, unit, named }, k) {
  return `${named ? `${labels[k]} ${unit}`.trim() : ""}  ${k + 1}/${labels.length}`.trim()
}

export function shortly(value) {
  if (!Number.isFinite(value)) return "no value"
  if (Number.isInteger(value) && Math.abs(value) < 1e7) return String(value)
  return String(+value.toPrecision(5))
}

export function roundLength(mm) {
  const power = 10 ** Math.floor(Math.log10(mm))
  return [5, 2, 1].map((k) => k * power).find((length) => length <= mm)
}
