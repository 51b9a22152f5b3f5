// One chart. Called with each new `data`; lasting state is kept on the element and, per group of charts that zoom
// together, on the window.
const shared = (window.millpondCharts ??= { library: null, groups: new Map() })
// In the language of the page.
const words = () => WORDS[document.documentElement.lang] ?? WORDS.en

function library() {
  shared.library ??= new Promise((resolve, reject) => {
    const script = document.createElement("script")
    script.src = SCRIPT
    script.onload = () => resolve(window.Plotly)
    script.onerror = () => {
      shared.library = null
      reject(new Error(words().missing))
    }
    document.head.append(script)
  })
  return shared.library
}

function groupOf(name, subject) {
  if (name && shared.groups.has(name)) return shared.groups.get(name)
  const group = { charts: new Set(), range: null, subject }
  if (name) shared.groups.set(name, group)
  return group
}

function isDark(element) {
  const probe = document.createElement("span")
  probe.style.color = getComputedStyle(element).getPropertyValue("--st-background-color")
  element.append(probe)
  const [red, green, blue] = getComputedStyle(probe).color.match(/[\d.]+/g).map(Number)
  probe.remove()
  return 0.3 * red + 0.6 * green + 0.1 * blue < 128
}

function painted(value, dark) {
  if (typeof value === "string") return value[0] === "$" ? (PALETTE[value.slice(1)]?.[dark ? 1 : 0] ?? value) : value
  if (Array.isArray(value)) return typeof value[0] === "number" ? value : value.map((entry) => painted(entry, dark))
  if (value && typeof value === "object")
    return Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, painted(entry, dark)]))
  return value
}

// Plotly's date axes have no time zones: shift to the browser's, so that the axis shows local time.
const local = (moment) => moment - new Date(moment).getTimezoneOffset() * 60_000

function figureOf(chart, dark) {
  const layout = painted(chart.layout, dark)
  const dated = layout.xaxis?.type === "date"
  const at = (values) => (dated ? values.map(local) : values)
  const times = at(chart.times)
  const timed = (trace) => (trace.ids ? trace : { ...trace, x: trace.x ? at(trace.x) : times })
  const traces = painted(chart.traces, dark).map(timed)
  if (dated) {
    if (layout.xaxis.range) layout.xaxis.range = at(layout.xaxis.range)
    for (const shape of layout.shapes ?? [])
      if (shape.xref !== "paper") [shape.x0, shape.x1] = at([shape.x0, shape.x1])
  }
  return { traces, layout }
}

function save(name, blob) {
  const link = document.createElement("a")
  link.href = URL.createObjectURL(blob)
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000)
}

// As a picture or a page of its own: with the title, and the legend below.
function exportedOf(chart, dark) {
  const { traces, layout } = figureOf(chart, dark)
  layout.title = { text: plain(chart.title), x: 0.01, y: 0.98, yanchor: "top", font: { size: 15 } }
  layout.margin = { ...layout.margin, t: 40 }
  layout.legend = { ...layout.legend, y: -0.14, yanchor: "top" }
  layout.paper_bgcolor = painted("$background", dark)
  return { traces, layout }
}

const plain = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;")

async function savePage(chart) {
  const code = await (await fetch(SCRIPT)).text()
  const { traces, layout } = exportedOf(chart, false)
  const safe = (value) => JSON.stringify(value).replace(/</g, "\\u003c")
  delete layout.height
  save(`${chart.name}.html`, new Blob([
    `<!doctype html><html><head><meta charset="utf-8"><title>${plain(chart.title)}</title>`,
    `<style>html,body,#chart{height:100%;margin:0;font-family:sans-serif}</style></head><body><div id="chart"></div>`,
    "<script>", code, "</script>",
    `<script>Plotly.newPlot("chart", ${safe(traces)}, Object.assign(${safe(layout)}, {autosize: true}), {responsive: true})`,
    "</script></body></html>",
  ], { type: "text/html" }))
}

// What the chart shows, in words: seen by nobody, read by screen readers before the chart.
const UNSEEN = "position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap"

function describe(place, { sentence, head, rows }) {
  const cells = (kind, texts) => {
    const row = document.createElement("tr")
    row.append(...texts.map((text) => Object.assign(document.createElement(kind), { textContent: text })))
    return row
  }
  const table = document.createElement("table")
  table.createCaption().textContent = sentence
  table.append(cells("th", head), ...rows.map((texts) => cells("td", texts)))
  place.replaceChildren(...(sentence ? [table] : []))
}

class Drawing {
  constructor(host) {
    this.host = host
    if (!document.getElementById("millpond-chart-style")) {
      const style = document.createElement("style")
      style.id = "millpond-chart-style"
      style.textContent = STYLE
      document.head.append(style)
    }
    this.root = document.createElement("div")
    this.root.className = "millpond-chart"
    this.root.setAttribute("role", "figure")
    host.append(this.root)
    this.head = new Head(this.root, {
      reset: () => this.reset(),
      picture: () => this.savePicture(),
      page: () => savePage(this.chart),
      changed: () => this.renew(),
    })
    this.box = part(this.root, "div", "plot")
    this.words = part(this.root, "div", "words")
    this.words.style.cssText = UNSEEN
    this.resets = 0
    this.stretched = false // the other axis than that of the time
    this.group = null
    this.dragging = false
    this.pointer = null
    this.box.addEventListener("pointerdown", () => (this.dragging = true))
    this.release = () => {
      this.dragging = false
      setTimeout(() => this.draw(), 0)
    }
    window.addEventListener("pointerup", this.release)
    this.box.addEventListener("mousemove", (event) => {
      this.pointer = event
      this.root.classList.toggle("over-event", this.eventAt(event) !== null)
    })
    this.box.addEventListener("mouseleave", () => (this.pointer = null))
    this.sizes = new ResizeObserver(() => {
      if (this.drawn && this.box.offsetWidth && this.box.offsetHeight) window.Plotly.Plots.resize(this.box)
    })
    this.sizes.observe(this.box)
  }

  update(chart, dark, tell) {
    this.chart = chart
    this.tell = tell
    this.root.style.height = `${chart.height}px`
    this.root.setAttribute("aria-label", chart.title)
    describe(this.words, chart.description)
    this.dark = dark
    this.stale = true
    if (!this.group || this.zoom !== chart.zoom) {
      this.group?.charts.delete(this)
      this.zoom = chart.zoom
      this.group = groupOf(chart.zoom, chart.subject)
      this.group.charts.add(this)
    }
    if (this.group.subject !== chart.subject) {
      this.group.subject = chart.subject
      this.group.range = null
    }
    if (this.subject !== chart.subject) {
      this.subject = chart.subject
      this.stretched = false
    }
    this.head.update(chart, painted("$quiet", dark))
    this.showZoom()
    this.draw()
  }

  renew() {
    this.stale = true
    this.draw()
  }

  async draw() {
    // Not during a drag, which would lose its selection.
    if (!this.stale || this.dragging || this.gone) return
    const Plotly = await library()
    if (!this.stale || this.dragging || this.gone) return
    this.stale = false
    const { traces, layout } = figureOf(this.chart, this.dark)
    this.head.legend.update(traces, layout.showlegend)
    for (const trace of traces) if (this.head.legend.hidden.has(trace.name)) trace.visible = false
    Object.assign(layout, { showlegend: false, autosize: true })
    delete layout.height // what the head leaves
    layout.font.family = getComputedStyle(this.host).fontFamily
    layout.uirevision = `${this.chart.subject}.${this.resets}`
    // The range over time is kept here, for all charts of the group; the rest of the zoom by Plotly's uirevision.
    // On a narrow plot the values of all curves would cover it.
    if (layout.hovermode === "x unified" && traces.length > 6 && this.box.offsetWidth < 520) layout.hovermode = "closest"
    if (layout.xaxis) layout.xaxis.uirevision = `${layout.uirevision}.${JSON.stringify(this.group.range)}`
    if (this.group.range) Object.assign(layout.xaxis, { range: this.group.range, autorange: false })
    this.showZoom()
    await Plotly.react(this.box, traces, layout, this.config())
    this.root.setAttribute("data-updates", String(Number(this.root.getAttribute("data-updates") ?? 0) + 1))
    if (!this.drawn) {
      this.drawn = true
      this.box.on("plotly_relayout", (change) => this.zoomed(change))
      this.box.on("plotly_doubleclick", () => this.reset())
      this.box.on("plotly_click", ({ event }) => {
        const chosen = this.eventAt(event)
        if (chosen !== null) this.tell("event", chosen)
      })
    }
    if (this.pointer && layout.hovermode === "x unified") Plotly.Fx.hover(this.box, this.pointer)
  }

  config() {
    return { displayModeBar: false, doubleClick: false, responsive: false, showTips: false }
  }

  // Which event has its mark under the pointer: in a hover over time Plotly names all that are near.
  eventAt({ clientX, clientY }) {
    const marks = this.box._fullData?.find((trace) => trace.meta === "events" && trace.visible === true)
    if (!marks) return null
    const { left, top } = this.box.getBoundingClientRect()
    const [x, y] = [marks.xaxis, marks.yaxis].map((id) => this.box._fullLayout[`${id[0]}axis${id.slice(1)}`])
    const far = (at) =>
      Math.hypot(left + x._offset + x.d2p(marks.x[at]) - clientX, top + y._offset + y.d2p(marks.y[at]) - clientY)
    const nearest = marks.x.map((_moment, at) => at).sort((one, other) => far(one) - far(other))[0]
    return nearest !== undefined && far(nearest) <= 10 ? marks.customdata[nearest] : null
  }

  async savePicture() {
    const Plotly = await library()
    const { traces, layout } = exportedOf(this.chart, this.dark)
    const size = { width: this.box.offsetWidth, height: layout.height + 60 }
    const options = { format: "png", filename: this.chart.name, scale: 2, ...size }
    await Plotly.downloadImage({ data: traces, layout: { ...layout, ...size } }, options)
  }

  zoomed(change) {
    const from = change["xaxis.range[0]"] ?? change["xaxis.range"]?.[0]
    const to = change["xaxis.range[1]"] ?? change["xaxis.range"]?.[1]
    if (Object.keys(change).some((name) => /^yaxis\d*\.range/.test(name))) this.stretched = true
    if (from !== undefined && to !== undefined) {
      this.group.range = [from, to]
      this.spread()
    }
    this.showZoom()
  }

  showZoom() {
    const range = this.group.range ?? (this.stretched ? null : undefined)
    this.head.showZoom(range, this.chart.layout.xaxis?.type === "date")
  }

  reset() {
    this.group.range = null
    for (const drawing of this.group.charts) {
      drawing.resets += 1
      drawing.stretched = false
    }
    this.spread(true)
  }

  spread(all = false) {
    for (const drawing of this.group.charts) {
      if (!all && drawing === this) continue
      drawing.renew()
    }
  }

  close() {
    this.gone = true
    this.group?.charts.delete(this)
    window.removeEventListener("pointerup", this.release)
    this.sizes.disconnect()
    this.head.legend.close()
    window.Plotly?.purge(this.box)
    this.root.remove()
  }
}

export function show(element, data, tell) {
  if (!element.isConnected) return // the page was left while what draws was being fetched
  const drawing = (element.drawing ??= new Drawing(element))
  clearTimeout(drawing.closing)
  drawing.update(JSON.parse(new TextDecoder().decode(data)), isDark(element), tell)
}

// Called at the end, but also between two updates: an element that is still connected a moment later stays.
export function leave(element) {
  const drawing = element.drawing
  if (!drawing) return
  drawing.closing = setTimeout(() => {
    if (element.isConnected) return
    drawing.close()
    element.drawing = undefined
  }, 1000)
}
