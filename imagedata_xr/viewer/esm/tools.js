// What the pointer does: one entry a tool, of down(event), move(event), up(event).

import { hasHandles } from "./layer.js"
import { stepVector, norm } from "./places.js"
import { ellipse, insideLoops, rasterise, rectangle, trace } from "./shapes.js"

const NEAR = 9 // screen pixels
const DOUBLE_MS = 350
const NOTCH = 40 // screen pixels

// Places of an event: on the screen of the pane, and in its mm.
export function placeOf(pane, event) {
  const box = pane.el.getBoundingClientRect()
  const screen = [event.clientX - box.left, event.clientY - box.top]
  return { screen, mm: pane.toPlane(...screen) }
}

const distance = (pane, [x, y], [px, py]) => {
  const [qx, qy] = pane.toScreen(x, y)
  return Math.hypot(qx - px, qy - py)
}

function windowDrag(pane, at) {
  const { state, about } = { state: pane.state, about: pane.about }
  const [low, high] = state.windows[pane.series]
  const [width, center] = [high - low, (high + low) / 2]
  const step = Math.max(width, about.span / 200) / 200
  let last = [low, high]
  const apply = (here, done) => {
    const wide = Math.max(about.span * 1e-5, width + (here.screen[0] - at.screen[0]) * step)
    const middle = center + (here.screen[1] - at.screen[1]) * step
    last = [middle - wide / 2, middle + wide / 2]
    state.setWindow(pane.series, ...last, done)
  }
  return { move: (here) => apply(here, false), up: () => state.setWindow(pane.series, ...last, true) }
}

function panDrag(pane, at) {
  const start = [...pane.middle]
  return {
    move: ({ screen }) => {
      pane.moveTo([
        start[0] - (screen[0] - at.screen[0]) * pane.sx,
        start[1] + (screen[1] - at.screen[1]) * pane.sy,
      ])
    },
  }
}

function zoomDrag(pane, at) {
  let last = at.screen[1]
  return {
    move: ({ screen }) => {
      pane.zoomBy(Math.exp((last - screen[1]) * 0.01), at.screen)
      last = screen[1]
    },
  }
}

function crossDrag(pane, at) {
  const move = ({ mm }) => pane.state.place(pane.series, pane.indexNear(mm))
  pane.state.set("crosshair", true)
  move(at)
  return { move }
}

function markDrag(pane, at) {
  const mark = { index: pane.index, points: [at.mm, at.mm] }
  pane.marks.push(mark)
  const move = ({ mm }) => {
    mark.points[1] = mm
    pane.draw()
  }
  const up = () => {
    if (distance(pane, mark.points[0], pane.toScreen(...mark.points[1])) < 3) pane.marks.pop()
    pane.draw()
  }
  return { move, up }
}

// Three clicks: the corner is the second.
function angleClick(pane, at) {
  const open = pane.marks.find((mark) => mark.open)
  if (!open) {
    pane.marks.push({ index: pane.index, points: [at.mm, at.mm], open: true })
  } else if (open.points.length === 2) {
    open.points[1] = at.mm
    open.points.push(at.mm)
  } else {
    open.points[2] = at.mm
    open.open = false
  }
  pane.draw()
  return null
}

function shapeDrag(kind, make) {
  return (pane, at) => {
    const { regions } = pane.viewer
    const start = at.mm
    pane.draft = regions.blank(kind, pane)
    return {
      move: ({ mm }) => {
        pane.draft.loops = [make(start, mm)]
        pane.draw()
      },
      up: ({ screen }) => {
        const draft = pane.draft
        pane.draft = null
        if (distance(pane, start, screen) > 3) regions.add(draft)
        pane.draw()
      },
    }
  }
}

function freehand(pane, at) {
  const { regions } = pane.viewer
  pane.draft = { ...regions.blank("freehand", pane), loops: [[[at.mm[0]], [at.mm[1]]]] }
  return {
    move: ({ mm, screen }) => {
      const [xs, ys] = pane.draft.loops[0]
      if (distance(pane, [xs[xs.length - 1], ys[ys.length - 1]], screen) < 2) return
      xs.push(mm[0])
      ys.push(mm[1])
      pane.draw()
    },
    up: () => {
      const draft = pane.draft
      pane.draft = null
      regions.add(draft)
      pane.draw()
    },
  }
}

export function finishPolygon(pane) {
  const draft = pane.draft
  if (draft?.kind !== "polygon") return
  pane.draft = null
  draft.loops[0][0].pop()
  draft.loops[0][1].pop()
  pane.viewer.regions.add(draft)
  pane.draw()
}

function polygonClick(pane, at) {
  const draft = pane.draft
  if (!draft) {
    const loops = [[[at.mm[0], at.mm[0]], [at.mm[1], at.mm[1]]]]
    pane.draft = { ...pane.viewer.regions.blank("polygon", pane), loops }
  } else {
    const [xs, ys] = draft.loops[0]
    const closes = xs.length > 3 && distance(pane, [xs[0], ys[0]], at.screen) < NEAR
    if (closes || at.second) return finishPolygon(pane)
    ;[xs[xs.length - 1], ys[ys.length - 1]] = at.mm
    xs.push(at.mm[0])
    ys.push(at.mm[1])
  }
  pane.draw()
  return null
}

function selectDrag(pane, at, event) {
  const { regions } = pane.viewer
  const chosen = regions.here(pane).find((record) => record.id === regions.selected)
  if (chosen && hasHandles(chosen)) {
    const [xs, ys] = chosen.loops[0]
    const corner = xs.findIndex((x, k) => distance(pane, [x, ys[k]], at.screen) < NEAR)
    if (corner >= 0 && event.altKey && xs.length > 3) {
      regions.remember()
      xs.splice(corner, 1)
      ys.splice(corner, 1)
      regions.commit()
      return null
    }
    if (corner >= 0) return moveCorner(pane, chosen, corner)
    if (at.second) return insertCorner(pane, chosen, at)
  }
  const hit = regions.here(pane).reverse().find((record) => insideLoops(record.loops, ...at.mm))
  regions.selected = hit?.id ?? null
  if (hit) regions.active = Math.max(0, regions.structures.findIndex((one) => one.name === hit.name))
  regions.tell()
  return hit ? moveRecord(pane, hit, at) : null
}

function changing(pane, change) {
  const { regions } = pane.viewer
  let before = false
  return {
    move: (here) => {
      if (!before) regions.remember()
      before = true
      change(here)
      pane.draw()
    },
    up: () => {
      if (before) regions.commit()
    },
  }
}

function moveCorner(pane, record, corner) {
  return changing(pane, ({ mm }) => {
    ;[record.loops[0][0][corner], record.loops[0][1][corner]] = mm
    record.kind = "polygon"
  })
}

function insertCorner(pane, record, { mm, screen }) {
  const [xs, ys] = record.loops[0]
  const middle = (k) => [(xs[k] + xs[(k + 1) % xs.length]) / 2, (ys[k] + ys[(k + 1) % xs.length]) / 2]
  const far = xs.map((_, k) => distance(pane, middle(k), screen))
  const edge = far.indexOf(Math.min(...far))
  pane.viewer.regions.remember()
  xs.splice(edge + 1, 0, mm[0])
  ys.splice(edge + 1, 0, mm[1])
  record.kind = "polygon"
  pane.viewer.regions.commit()
  return null
}

function moveRecord(pane, record, at) {
  const start = JSON.parse(JSON.stringify(record.loops))
  return changing(pane, ({ mm }) => {
    const [dx, dy] = [mm[0] - at.mm[0], mm[1] - at.mm[1]]
    record.loops = start.map(([xs, ys]) => [xs.map((x) => x + dx), ys.map((y) => y + dy)])
  })
}

function brush(value) {
  return (pane, at) => {
    const { regions } = pane.viewer
    const { rows, columns } = pane.plane
    const width = columns.index.length
    // The brush adds to what it painted; the eraser takes from all of the structure.
    const mine = regions.here(pane).filter(
      (record) => record.name === regions.structure.name && (!value || record.kind === "brush"),
    )
    const mask = mine.reduce(
      (sum, record) => rasterise(record.loops, pane.plane).map((m, k) => m | sum[k]),
      new Uint8Array(rows.index.length * width),
    )
    let before = at.mm
    const dab = ([x, y]) => {
      const r = pane.viewer.brushRadius
      for (let i = 0; i < rows.index.length; i++) {
        const dy = rows.start + i * rows.step - y
        if (Math.abs(dy) > r) continue
        for (let j = 0; j < width; j++) {
          const dx = columns.start + j * columns.step - x
          if (norm(stepVector(pane.about, pane.plane, dx, dy)) <= r) mask[i * width + j] = value
        }
      }
    }
    const show = () => {
      pane.draft = { ...regions.blank("brush", pane), loops: trace(mask, pane.plane) }
      pane.draw()
    }
    dab(at.mm)
    show()
    return {
      move: ({ mm }) => {
        const steps = Math.max(1, Math.ceil(Math.hypot(mm[0] - before[0], mm[1] - before[1]) / (pane.viewer.brushRadius / 2)))
        for (let k = 1; k <= steps; k++) dab(mm.map((v, d) => before[d] + ((v - before[d]) * k) / steps))
        before = mm
        show()
      },
      up: () => {
        pane.draft = null
        regions.replaceHere(pane, mine, trace(mask, pane.plane))
      },
    }
  }
}

function thresholdDrag(pane, at) {
  const { regions, store } = pane.viewer
  const start = at.mm
  pane.draft = regions.blank("threshold", pane)
  return {
    move: ({ mm }) => {
      pane.draft.loops = [rectangle(start, mm)]
      pane.draw()
    },
    up: () => {
      const draft = pane.draft
      pane.draft = null
      const found = store.get(pane.series, pane.axis, pane.index, pane.frame)
      if (!found || pane.about.colour || !draft.loops.length) return pane.draw()
      const [low, high] = pane.viewer.thresholds(pane.series)
      const mask = rasterise(draft.loops, pane.plane)
      mask.forEach((m, k) => (mask[k] = m && found.image[k] >= low && found.image[k] <= high ? 1 : 0))
      regions.add({ ...draft, loops: trace(mask, pane.plane) })
      pane.draw()
    },
  }
}

// name: [what the button says, key, what it does]
export const TOOLS = {
  window: ["Window", "w", (pane, at) => (pane.mapper ? windowDrag(pane, at) : null)],
  pan: ["Pan", "", panDrag],
  zoom: ["Zoom", "z", zoomDrag],
  crosshair: ["Crosshair", "x", crossDrag],
  ruler: ["Ruler", "l", markDrag],
  angle: ["Angle", "a", angleClick],
  select: ["Select", "s", selectDrag],
  polygon: ["Polygon", "p", polygonClick],
  freehand: ["Freehand", "f", freehand],
  rectangle: ["Rectangle", "b", shapeDrag("rectangle", rectangle)],
  ellipse: ["Ellipse", "e", shapeDrag("ellipse", ellipse)],
  brush: ["Brush", "g", brush(1)],
  eraser: ["Eraser", "d", brush(0)],
  threshold: ["Threshold", "j", thresholdDrag],
}
export const DRAWING = ["select", "polygon", "freehand", "rectangle", "ellipse", "brush", "eraser", "threshold"]

// A notch of a wheel is one step; the many small movements of a touch pad are added up first.
function wheelSteps() {
  let sum = 0
  return (event) => {
    const moved = event.deltaY || event.deltaX
    if (event.deltaMode || Math.abs(moved) >= NOTCH) {
      sum = 0
      return Math.sign(moved)
    }
    sum = sum * moved < 0 ? moved : sum + moved
    if (Math.abs(sum) < NOTCH) return 0
    sum = 0
    return Math.sign(moved)
  }
}

export function connect(viewer, pane) {
  const layer = pane.canvas
  const notch = wheelSteps()
  let drag = null
  let last = { time: -Infinity, screen: [0, 0] }
  // Pointer events count no clicks.
  const isSecond = (event, { screen }) => {
    const near = Math.hypot(screen[0] - last.screen[0], screen[1] - last.screen[1]) < NEAR
    const second = near && event.timeStamp - last.time < DOUBLE_MS
    last = { time: second ? -Infinity : event.timeStamp, screen }
    return second
  }
  const start = (event) => {
    const at = placeOf(pane, event)
    at.second = isSecond(event, at)
    if (event.button === 2) return pane.mapper ? windowDrag(pane, at) : null
    if (event.button === 1) return panDrag(pane, at)
    return TOOLS[viewer.state.tool][2](pane, at, event)
  }
  layer.addEventListener("contextmenu", (event) => event.preventDefault())
  layer.addEventListener("pointerdown", (event) => {
    event.preventDefault()
    event.stopPropagation()
    viewer.focus(pane)
    try {
      layer.setPointerCapture(event.pointerId)
    } catch {
      // A pointer that was made by a script cannot be captured.
    }
    drag = start(event)
  })
  layer.addEventListener("pointermove", (event) => {
    const at = placeOf(pane, event)
    pane.cursor = at.mm
    viewer.hover(pane)
    const painting = viewer.state.tool === "brush" || viewer.state.tool === "eraser"
    pane.brush = painting ? { radius: viewer.brushRadius, position: at.mm } : null
    const open = pane.marks.find((mark) => mark.open)
    if (open) open.points[open.points.length - 1] = at.mm
    if (pane.draft?.kind === "polygon" && !drag) {
      const [xs, ys] = pane.draft.loops[0]
      ;[xs[xs.length - 1], ys[ys.length - 1]] = at.mm
    }
    drag?.move?.(at)
    pane.draw()
  })
  const end = (event) => {
    const done = drag
    drag = null
    done?.up?.(placeOf(pane, event))
  }
  layer.addEventListener("pointerup", end)
  layer.addEventListener("pointercancel", end)
  layer.addEventListener("pointerleave", () => {
    pane.cursor = null
    pane.brush = null
    pane.draw()
  })
  layer.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault()
      event.stopPropagation()
      const direction = notch(event)
      if (!direction) return
      if (event.ctrlKey) pane.zoomBy(Math.exp(-direction * 0.15), placeOf(pane, event).screen)
      else if (event.shiftKey) viewer.step(pane, direction)
      else viewer.scroll(pane, direction)
    },
    { passive: false },
  )
}
