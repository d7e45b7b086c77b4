// Every name of BokehJS that is not public API. Each has a smoke test in the project's tests.

// Model -> [model and all models that it lays out]
function within(model, found = new Set()) {
  if (!model || found.has(model)) return found
  found.add(model)
  for (const key of ["children", "renderers", "child"]) {
    const value = model[key]
    for (const one of Array.isArray(value) ? value.flat() : [value]) {
      if (one && typeof one === "object" && one.type) within(one, found)
    }
  }
  return found
}

export function figureOf(model) {
  return [...within(model)].find((one) => one.renderers !== undefined && one.x_range !== undefined)
}

export function rendererOf(figure, name) {
  return figure.renderers.find((one) => one.name === name)
}

// A change that the server does not hear of: no bytes on the wire.
export function setQuietly(model, values) {
  model.setv(values, { sync: false })
}

// `source.data = ...` would send the pixels back to the server.
export function swapPixels(renderer, pixels) {
  const source = renderer.data_source
  if (source.data.image[0] === pixels) return
  source.data.image[0] = pixels
  source.change.emit()
}

export function pixelsOf(renderer) {
  return renderer.data_source.data.image[0]
}

// Typed arrays with a shape, of the class of another one.
export function pixelsLike(example, buffer, shape) {
  return new example.constructor(buffer, shape)
}

function viewOf(figure) {
  return Bokeh.index.find_one_by_id(figure.id)
}

// Where Bokeh draws the frame, CSS pixels from the figure's corner: to check our own arithmetic.
export function frameBox(figure) {
  const box = viewOf(figure).frame.bbox
  return [box.left, box.top, box.width, box.height]
}

// Bokeh draws images with hard pixels only: its painter gets a context that stays smooth.
export function smoothPainter(figure, renderer, smooth) {
  const glyph = viewOf(figure)?.views?.find_one?.(renderer)?.glyph
  if (!glyph || typeof glyph._paint !== "function") return false
  const paint = glyph._paint
  const always = {
    get: (target, key) => {
      const value = target[key]
      return typeof value === "function" ? value.bind(target) : value
    },
    set: (target, key, value) => {
      target[key] = key === "imageSmoothingEnabled" ? true : value
      return true
    },
  }
  glyph._paint = function (context, ...rest) {
    return paint.call(this, smooth() ? new Proxy(context, always) : context, ...rest)
  }
  return true
}

export function repaint(renderer) {
  renderer.data_source.change.emit()
}
