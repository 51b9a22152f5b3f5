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

const icon = (path) => ({ width: 24, height: 24, path })
const ICONS = {
  reset: icon("M12 5V1L7 6l5 5V7a5 5 0 1 1-5 5H5a7 7 0 1 0 7-7z"),
  picture: icon("M21 19V5a2 2 0 0 0-2-2H5a2 2 0 0 0-2 2v14a2 2 0 0 0 2 2h14a2 2 0 0 0 2-2zM8.5 13.5l2.5 3 3.500-4.500 4.500 6H5z"),
  page: icon("M5 20h14v-2H5v2zM19 9h-4V3H9v6H5l7 7 7-7z"),
}

function save(name, blob) {
  const link = document.createElement("a")
  link.href = URL.createObjectURL(blob)
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000)
}

async function savePage(chart) {
  const code = await (await fetch(SCRIPT)).text()
  const { traces, layout } = figureOf(chart, false)
  const safe = (value) => JSON.stringify(value).replace(/</g, "\\u003c")
  const title = chart.title.replace(/&/g, "&amp;").replace(/</g, "&lt;")
  delete layout.height
  save(`${chart.name}.html`, new Blob([
    `<!doctype html><html><head><meta charset="utf-8"><title>${title}</title>`,
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
    this.box = document.createElement("div")
    this.box.className = "millpond-chart"
    this.words = document.createElement("div")
    this.words.style.cssText = UNSEEN
    host.append(this.words, this.box)
    this.resets = 0
    this.group = null
    this.dragging = false
    this.pointer = null
    this.box.addEventListener("pointerdown", () => (this.dragging = true))
    this.release = () => {
      this.dragging = false
      setTimeout(() => this.draw(), 0)
    }
    window.addEventListener("pointerup", this.release)
    this.box.addEventListener("mousemove", (event) => (this.pointer = event))
    this.box.addEventListener("mouseleave", () => (this.pointer = null))
    this.sizes = new ResizeObserver(() => {
      if (this.drawn && this.box.offsetWidth) window.Plotly.Plots.resize(this.box)
    })
    this.sizes.observe(host)
  }

  update(chart, dark) {
    this.chart = chart
    this.box.style.minHeight = `${chart.layout.height}px`
    this.box.setAttribute("role", "figure")
    this.box.setAttribute("aria-label", chart.title)
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
    this.draw()
  }

  async draw() {
    // Not during a drag, which would lose its selection.
    if (!this.stale || this.dragging || this.gone) return
    const Plotly = await library()
    if (!this.stale || this.dragging || this.gone) return
    this.stale = false
    const { traces, layout } = figureOf(this.chart, this.dark)
    layout.font.family = getComputedStyle(this.host).fontFamily
    layout.uirevision = `${this.chart.subject}.${this.resets}`
    // The range over time is kept here, for all charts of the group; the rest of the zoom by Plotly's uirevision.
    if (layout.xaxis) layout.xaxis.uirevision = `${layout.uirevision}.${JSON.stringify(this.group.range)}`
    if (this.group.range) Object.assign(layout.xaxis, { range: this.group.range, autorange: false })
    await Plotly.react(this.box, traces, layout, this.config(Plotly))
    this.box.setAttribute("data-updates", String(Number(this.box.getAttribute("data-updates") ?? 0) + 1))
    if (!this.drawn) {
      this.drawn = true
      this.box.on("plotly_relayout", (change) => this.zoomed(change))
      this.box.on("plotly_doubleclick", () => this.reset())
    }
    if (this.pointer && layout.hovermode === "x unified") Plotly.Fx.hover(this.box, this.pointer)
  }

  config(Plotly) {
    return {
      displaylogo: false,
      doubleClick: false,
      responsive: false,
      showTips: false,
      modeBarButtons: [[
        { name: "reset", title: words().reset, icon: ICONS.reset, click: () => this.reset() },
        {
          name: "picture",
          title: words().picture,
          icon: ICONS.picture,
          click: () => Plotly.downloadImage(this.box, { format: "png", filename: this.chart.name, scale: 2 }),
        },
        { name: "page", title: words().page, icon: ICONS.page, click: () => savePage(this.chart) },
      ]],
    }
  }

  zoomed(change) {
    const from = change["xaxis.range[0]"] ?? change["xaxis.range"]?.[0]
    const to = change["xaxis.range[1]"] ?? change["xaxis.range"]?.[1]
    if (from === undefined || to === undefined) return
    this.group.range = [from, to]
    this.spread()
  }

  reset() {
    this.group.range = null
    for (const drawing of this.group.charts) drawing.resets += 1
    this.spread(true)
  }

  spread(all = false) {
    for (const drawing of this.group.charts) {
      if (!all && drawing === this) continue
      drawing.stale = true
      drawing.draw()
    }
  }

  close() {
    this.gone = true
    this.group?.charts.delete(this)
    window.removeEventListener("pointerup", this.release)
    this.sizes.disconnect()
    window.Plotly?.purge(this.box)
    this.box.remove()
    this.words.remove()
  }
}

export function show(element, data) {
  const drawing = (element.drawing ??= new Drawing(element))
  clearTimeout(drawing.closing)
  drawing.update(JSON.parse(new TextDecoder().decode(data)), isDark(element))
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
