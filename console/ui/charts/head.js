// What stands above a chart: title, note, the way out of a zoom, tools, legend. Nothing of it lies on the plot.
const TOOLS = {
  picture: "M21 19V5a2 2 0 0 0-2-2H5a2 2 0 0 0-2 2v14a2 2 0 0 0 2 2h14a2 2 0 0 0 2-2zM8.5 13.5l2.5 3 3.500-4.500 4.500 6H5z",
  page: "M5 20h14v-2H5v2zM19 9h-4V3H9v6H5l7 7 7-7z",
}
const MINUTES = 60_000

function part(parent, kind, name) {
  const element = document.createElement(kind)
  element.className = `millpond-chart-${name}`
  if (kind === "button") element.type = "button"
  parent.append(element)
  return element
}

function drawn(path) {
  const space = "http://www.w3.org/2000/svg"
  const svg = document.createElementNS(space, "svg")
  svg.setAttribute("viewBox", "0 0 24 24")
  svg.setAttribute("aria-hidden", "true")
  svg.append(document.createElementNS(space, "path"))
  svg.firstChild.setAttribute("d", path)
  return svg
}

// Plotly tells moments as local text, "2026-11-30 12:01:03.5".
function clock(range) {
  const ends = range.map((moment) => new Date(String(moment).length > 10 ? String(moment).replace(" ", "T") : `${moment}T00:00`))
  const time = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }
  if (ends[1] - ends[0] < 10 * MINUTES) time.second = "2-digit"
  const day = ends[0].toDateString() === ends[1].toDateString() ? {} : { month: "short", day: "numeric" }
  return ends.map((moment) => moment.toLocaleString(document.documentElement.lang, { ...day, ...time }))
}

function zoomText(range, dated) {
  if (!range) return words().zoomed
  const [start, end] = dated ? clock(range) : range.map((value) => Number(Number(value).toPrecision(4)).toLocaleString())
  return words().zoomedTo.replace("{start}", start).replace("{end}", end)
}

class Head {
  constructor(root, doings) {
    const head = (this.head = part(root, "div", "head"))
    this.title = part(head, "div", "title")
    this.note = part(head, "div", "note")
    this.zoom = part(head, "div", "zoom")
    this.zoomed = part(this.zoom, "span", "zoomed")
    this.whole = part(this.zoom, "button", "whole")
    this.whole.addEventListener("click", doings.reset)
    const tools = (this.tools = part(head, "div", "tools"))
    this.buttons = Object.entries(TOOLS).map(([name, path]) => {
      const button = part(tools, "button", "tool")
      button.append(drawn(path))
      button.addEventListener("click", doings[name])
      return [name, button]
    })
    this.legend = new Legend(root, doings.changed)
  }

  update(chart, quiet) {
    this.head.hidden = chart.titled === false && !chart.tools
    this.tools.hidden = !chart.tools
    this.head.style.setProperty("--quiet", quiet)
    this.title.textContent = chart.titled === false ? "" : chart.title
    this.note.textContent = chart.note
    this.whole.textContent = words().whole
    for (const [name, button] of this.buttons) {
      button.title = words()[name]
      button.setAttribute("aria-label", words()[name])
    }
  }

  // The range over time, null where only the other axis was changed; undefined without a zoom.
  showZoom(range, dated) {
    this.zoom.hidden = range === undefined
    if (range !== undefined) this.zoomed.textContent = zoomText(range, dated)
  }
}

// Two lines of names at most, the rest on demand; each name hides and shows what it names.
class Legend {
  constructor(root, changed) {
    this.hidden = new Set()
    this.changed = changed
    this.box = part(root, "div", "legend")
    this.list = part(this.box, "ul", "names")
    this.more = part(this.box, "button", "more")
    this.more.addEventListener("click", () => {
      this.box.classList.toggle("open")
      this.fold()
    })
    this.sizes = new ResizeObserver(() => this.fold())
    this.sizes.observe(this.list)
  }

  update(traces, shown) {
    const named = shown ? traces.filter((trace) => trace.name && trace.showlegend !== false) : []
    const entries = named.map((trace) => [trace.name, ...mark(trace)])
    const known = JSON.stringify(entries)
    this.box.hidden = !entries.length
    if (known !== this.known) {
      this.known = known
      this.list.replaceChildren(...entries.map(([name, kind, colour]) => this.entry(name, kind, colour)))
    }
    for (const button of this.list.querySelectorAll("button"))
      button.setAttribute("aria-pressed", String(!this.hidden.has(button.dataset.name)))
    this.fold()
  }

  entry(name, kind, colour) {
    const item = document.createElement("li")
    const button = part(item, "button", "name")
    button.dataset.name = name
    const sign = part(button, "span", `sign ${kind}`)
    sign.style.setProperty("--sign", colour)
    button.append(name)
    button.addEventListener("click", () => {
      if (!this.hidden.delete(name)) this.hidden.add(name)
      this.changed()
    })
    return item
  }

  // What is folded away is out of the keyboard's way, too.
  fold() {
    const open = this.box.classList.contains("open")
    const items = [...this.list.children]
    const lower = items.filter((item) => item.offsetTop - this.list.offsetTop >= FOLDED)
    for (const item of items) item.style.visibility = !open && lower.includes(item) ? "hidden" : ""
    this.more.hidden = !lower.length
    this.more.textContent = open ? words().fewer : words().more.replace("{count}", lower.length)
    this.more.setAttribute("aria-expanded", String(open))
  }

  close() {
    this.sizes.disconnect()
  }
}

const FOLDED = 40 // pixels: two lines, as in chart.css

function mark(trace) {
  const single = (value, usual) => (typeof value === "string" ? value : (usual ?? "currentColor"))
  if (trace.stackgroup) return ["area", trace.fillcolor]
  if (trace.type === "bar") return ["area", single(trace.marker?.color)]
  if (trace.mode?.startsWith("markers")) return ["point", single(trace.marker?.color, trace.marker?.line?.color)]
  return [trace.line?.dash && trace.line.dash !== "solid" ? "dashes" : "line", single(trace.line?.color)]
}
