// Which part of a plane a pane shows. Linked panes that show one plane of the patient share it.

import { fromPatient, toPatient } from "./places.js"

const PARALLEL = 0.9999 // cosine

const column = (directions, k) => directions.map((row) => row[k])
const cosine = (u, v) => u[0] * v[0] + u[1] * v[1] + u[2] * v[2]

// Whether mm to the right and down mean the same in both.
function parallel(one, other) {
  const [a, b] = [one.about, other.about]
  if (one.turned[0] !== other.turned[0] || one.turned[1] !== other.turned[1]) return false
  if (!a.space || a.space !== b.space) {
    return !a.space && !b.space && one.axis === other.axis && String(a.shape) === String(b.shape)
  }
  return ["across", "down"].every((name) => {
    return cosine(column(a.directions, one.plane[name]), column(b.directions, other.plane[name])) > PARALLEL
  })
}

// mm of one pane's plane -> mm of the other's
function carry(one, other, place) {
  if (!one.about.space || one.series === other.series) return [...place]
  const along = fromPatient(other.about.directions, toPatient(one.about.directions, one.along(place)))
  return [along[other.plane.across], along[other.plane.down]]
}

function linked(pane) {
  const { panes, state } = pane.viewer
  return panes.filter((one) => one === pane || (state.linked && one.size && parallel(one, pane)))
}

// Middle, and mm a pixel, at which all that linked panes have to show is seen.
export function whole(pane) {
  const [width, height] = pane.size
  const corners = [[], []]
  let size = [width, height]
  for (const one of linked(pane)) {
    const { x_range: xr, y_range: yr } = one.plane
    for (const corner of [[xr[0], yr[0]], [xr[1], yr[1]]]) {
      carry(one, pane, corner).forEach((mm, k) => corners[k].push(mm))
    }
    size = size.map((pixels, k) => (one.el.hidden ? pixels : Math.min(pixels, one.size[k])))
  }
  const [low, high] = [corners.map((mm) => Math.min(...mm)), corners.map((mm) => Math.max(...mm))]
  return {
    center: low.map((mm, k) => (mm + high[k]) / 2),
    scale: Math.max((high[0] - low[0]) / size[0], (high[1] - low[1]) / size[1]),
  }
}

// After one pane was moved or zoomed: those of its plane show the same part, other planes of the
// series zoom with it, around the crosshair.
export function spread(pane) {
  const { panes, state } = pane.viewer
  if (!state.linked) return
  const same = linked(pane)
  for (const one of panes) {
    if (one === pane || !one.size) continue
    if (same.includes(one)) {
      one.zoom = pane.zoom
      one.center = pane.center && carry(pane, one, pane.center)
      one.aim()
    } else if (one.series === pane.series && one.zoom !== pane.zoom) {
      if (pane.center) one.zoomTo(pane.zoom, one.toScreen(...one.crossing()))
      else {
        Object.assign(one, { zoom: 1, center: null })
        one.aim()
      }
    }
  }
}
