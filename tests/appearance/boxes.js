// What is cut, covered or outside of the window on a page as it is shown now, in words; an empty list if nothing is.
async (exceptions) => {
  const faults = []
  const INTERACTIVE = "a[href], button, input:not([type=hidden]), textarea, select, summary, [role=button], [role=tab], " +
    "[role=radio], [role=switch], [role=combobox], [role=menuitem]"
  const excepted = (element) => exceptions.some((selector) => closest(element, selector))
  const parentOf = (element) => element.assignedSlot ?? element.parentElement ?? element.getRootNode().host ?? null

  function closest(element, selector) {
    for (let each = element; each; each = each.getRootNode().host) {
      const found = each.closest(selector)
      if (found) return found
    }
    return null
  }

  function* every(root) {
    for (const element of root.querySelectorAll("*")) {
      yield element
      if (element.shadowRoot) yield* every(element.shadowRoot)
    }
  }

  function within(outer, inner) {
    for (let each = inner; each; each = parentOf(each)) if (each === outer) return true
    return false
  }

  function named(element) {
    const words = (element.getAttribute("aria-label") || element.textContent || element.placeholder || "").trim()
    const place = closest(element, "[class*=st-key-]")?.className.match(/st-key-[\w-]+/)?.[0] ?? ""
    return `${element.tagName.toLowerCase()} "${words.slice(0, 50)}" ${place || element.dataset?.testid || ""}`.trim()
  }

  // Stands still: charts and tables are painted, and bars slide, after the page has run.
  async function still() {
    let before = "", same = 0
    for (let round = 0; round < 120 && same < 4; round += 1) {
      await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 40)))
      let now = ""
      for (const element of document.querySelectorAll("button, a, p, input, canvas, .main-svg, section, h1")) {
        const { x, y, width, height } = element.getBoundingClientRect()
        now += `${x | 0},${y | 0},${width | 0},${height | 0};`
      }
      same = now === before ? same + 1 : 0
      before = now
    }
  }

  function shown(element) {
    if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) return false
    const { width, height } = element.getBoundingClientRect()
    if (width <= 1 || height <= 1) return false
    for (let each = element; each; each = parentOf(each)) {
      if (each.getAttribute("aria-hidden") === "true" && each.tagName !== "svg" && !each.closest("svg")) return false
      const style = getComputedStyle(each)
      if (style.clipPath.startsWith("inset(50%") || style.clip === "rect(0px, 0px, 0px, 0px)") return false
      const box = each.getBoundingClientRect()
      if (box.width <= 1 && box.height <= 1 && style.overflow === "hidden") return false // for screen readers alone
    }
    const sidebar = closest(element, "[data-testid=stSidebar]")
    return !(sidebar && sidebar.dataset.collapsed === "true")
  }

  // The boxes that cut an element, from the inside out, up to the first that can be scrolled in that direction.
  function* cutting(element, direction) {
    for (let each = parentOf(element); each && each !== document.documentElement; each = parentOf(each)) {
      const style = getComputedStyle(each)
      const overflow = direction === "x" ? style.overflowX : style.overflowY
      if (["auto", "scroll"].includes(overflow)) return
      if (overflow === "hidden" || overflow === "clip") yield [each, style]
      if (style.position === "fixed") return
    }
  }

  function textBoxes(element) {
    const boxes = []
    for (const node of element.childNodes) {
      if (node.nodeType !== 3 || !node.textContent.trim()) continue
      const range = document.createRange()
      range.selectNodeContents(node)
      boxes.push(...range.getClientRects())
    }
    return boxes.filter(({ width, height }) => width && height)
  }

  function told(element, cutter) {
    for (let each = element; each; each = parentOf(each)) {
      if (each.getAttribute("title") || each.getAttribute("data-title")) return true
      if (each === cutter) break
    }
    const style = getComputedStyle(cutter)
    return style.textOverflow === "ellipsis" && Boolean(closest(cutter, "[title]"))
  }

  function cut(element) {
    const own = getComputedStyle(element)
    if (own.fontFamily.includes("Material")) return
    for (const box of textBoxes(element)) {
      for (const direction of ["x", "y"]) {
        const cutters = [...(own[direction === "x" ? "overflowX" : "overflowY"] === "hidden" ? [[element, own]] : []),
          ...cutting(element, direction)]
        for (const [cutter] of cutters) {
          const edge = cutter.getBoundingClientRect()
          // A line's box is higher than what is painted of it.
          const over = direction === "x" ? Math.max(edge.left - box.left, box.right - edge.right) - 1
            : Math.max(edge.top - box.top, box.bottom - edge.bottom) - 5
          if (over > 0 && !told(element, cutter)) {
            return faults.push(`cut: ${Math.round(over)} px ${direction} of ${named(element)} by ${named(cutter)}`)
          }
        }
      }
    }
  }

  function outside(element) {
    const { left, right } = element.getBoundingClientRect()
    if (right <= innerWidth + 1 && left >= -1) return
    for (let each = parentOf(element); each; each = parentOf(each)) {
      const style = getComputedStyle(each)
      if (["auto", "scroll"].includes(style.overflowX) && each.scrollWidth > each.clientWidth && each.tagName !== "SECTION" &&
        each !== document.body) return
      if (["hidden", "clip"].includes(style.overflowX) && each.getBoundingClientRect().right <= innerWidth + 1) return
    }
    faults.push(`outside: ${Math.round(Math.max(right - innerWidth, -left))} px of ${named(element)}`)
  }

  function hitAt(x, y) {
    let hit = document.elementFromPoint(x, y)
    while (hit?.shadowRoot) {
      const inner = hit.shadowRoot.elementFromPoint(x, y)
      if (!inner || inner === hit) break
      hit = inner
    }
    return hit
  }

  // What one clicks for a control: a tick's and a choice's field itself is hidden in its label.
  function face(element) {
    const label = element.matches("input[type=checkbox], input[type=radio]") ? element.closest("label") : null
    return label ?? element.closest("[data-baseweb=select], [data-baseweb=input], [data-baseweb=slider]") ?? element
  }

  function covered(element) {
    element.scrollIntoView({ block: "center", inline: "nearest", behavior: "instant" })
    const box = [...element.getClientRects()].find(({ width, height }) => width > 1 && height > 1)
    if (!box) return
    const [x, y] = [box.left + box.width / 2, box.top + box.height / 2]
    if (x < 0 || y < 0 || x >= innerWidth || y >= innerHeight) {
      return faults.push(`unreachable: ${named(element)} at ${x | 0}, ${y | 0}`)
    }
    const hit = hitAt(x, y)
    if (!hit || !(within(element, hit) || within(hit, element) && hit.matches("label"))) {
      faults.push(`covered: ${named(element)} by ${hit ? named(hit) : "nothing"}`)
    }
  }

  function clipped(element) {
    let { left, top, right, bottom } = element.getBoundingClientRect()
    for (let each = parentOf(element); each && each !== document.body; each = parentOf(each)) {
      const style = getComputedStyle(each)
      if (style.overflowX === "visible" && style.overflowY === "visible") continue
      const edge = each.getBoundingClientRect()
      ;[left, top] = [Math.max(left, edge.left), Math.max(top, edge.top)]
      ;[right, bottom] = [Math.min(right, edge.right), Math.min(bottom, edge.bottom)]
    }
    return { left, top, right, bottom }
  }

  const LAYERS = ["[role=dialog]", "[data-testid=stBottom]", "[data-testid=stHeader]", "[data-testid=stSidebar]", "body"]
  const layerOf = (element) => LAYERS.find((layer) => closest(element, layer))

  function overlaps(controls) {
    const boxes = controls.map((element) => [element, clipped(element), layerOf(element)])
    for (const [place, [one, a, layer]] of boxes.entries()) {
      for (const [other, b, second] of boxes.slice(place + 1)) {
        const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left)
        const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top)
        if (layer !== second || wide <= 2 || high <= 2 || within(one, other) || within(other, one)) continue
        faults.push(`overlap: ${Math.round(wide)} x ${Math.round(high)} px of ${named(one)} and ${named(other)}`)
      }
    }
  }

  // Parts of the status bar that are in one line have one middle.
  function offTheLine() {
    const parts = [...document.querySelectorAll(".st-key-status-strip :is(a, button)")].filter(shown)
    for (const [place, part] of parts.entries()) {
      if (!place) continue
      const [a, b] = [parts[place - 1], part].map((each) => each.getBoundingClientRect())
      const off = Math.abs(a.top + a.height / 2 - b.top - b.height / 2)
      if (off > 0.75 && off < 8) faults.push(`off the line: ${off.toFixed(1)} px between ${named(parts[place - 1])} and ${named(part)}`)
    }
  }

  // Whoever does not see a chart has its sentence.
  function withoutWords() {
    for (const chart of document.querySelectorAll(".millpond-chart")) {
      const said = chart.parentElement.querySelector("caption")?.textContent
      if (chart.querySelector(".trace path, .slice") && !said) faults.push(`without words: ${chart.getAttribute("aria-label")}`)
    }
  }

  await still()
  offTheLine()
  withoutWords()
  for (const scroller of [document.scrollingElement, document.querySelector("[data-testid=stMain]"),
    document.querySelector("[data-collapsed=false] [data-testid=stSidebarContent]")]) {
    if (scroller?.checkVisibility() && scroller.scrollWidth > scroller.clientWidth + 1) {
      faults.push(`scrolls sideways: ${scroller.scrollWidth - scroller.clientWidth} px of ${named(scroller)}`)
    }
  }
  const dialog = [...document.querySelectorAll("[role=dialog]"), ...[...every(document)].filter((each) => each.matches("dialog[open]"))]
    .find(shown)
  const elements = [...every(document)].filter((each) => (!dialog || within(dialog, each)) && !excepted(each) && shown(each))
  for (const element of elements) cut(element)
  const controls = elements.filter((each) => each.matches(INTERACTIVE))
  for (const element of [...controls, ...elements.filter((each) => textBoxes(each).length)]) outside(element)
  const faces = [...new Set(controls.map(face))].filter(shown)
  overlaps(faces)
  const places = new Map([...document.querySelectorAll("*")].filter((each) => each.scrollTop).map((each) => [each, each.scrollTop]))
  for (const element of faces) covered(element)
  for (const element of document.querySelectorAll("[data-testid=stMain]")) element.scrollTop = places.get(element) ?? 0
  return [...new Set(faults)]
}
