// Shortcuts and the command palette of a tab. What is shown is put there as text, never as HTML.
const SEQUENCE = 1500 // ms in which the second key of a shortcut is waited for
const PAUSE = 150 // ms without a key before a search
const AGAIN = 4000 // ms without an answer before the search is asked for again
const MAC = /mac|iphone|ipad/i.test(navigator.platform)
const BUTTONS = "[type=checkbox], [type=radio], [type=button], [type=submit], [type=range], [type=file]"

export default function ({ data, parentElement, setTriggerValue }) {
  const keyboard = (parentElement.keyboard ??= new Keyboard(parentElement))
  keyboard.update(data, setTriggerValue)
  // New data may come before, after or without the clean-up of the last call: only what has left the page stops.
  return () => setTimeout(() => keyboard.root.isConnected || keyboard.stop())
}

class Keyboard {
  constructor(root) {
    this.root = root
    this.pressed = []
    this.listen = (event) => this.press(event)
    this.palette = new Palette(root, (action) => this.run(action), (text) => this.tell("ask", text))
    // Before all others: a key that is a shortcut is none for anything else, nor is what is typed into the palette.
    window.addEventListener("keydown", this.listen, true)
  }

  stop() {
    window.removeEventListener("keydown", this.listen, true)
    clearTimeout(this.waiting)
    this.palette.stop()
  }

  update(data, tell) {
    this.data = data
    this.tell = tell
    this.palette.update(data)
  }

  press(event) {
    if (!this.root.isConnected) return this.stop()
    if (this.palette.open) {
      event.stopImmediatePropagation()
      return this.palette.press(event)
    }
    const name = event.isComposing ? "" : keyName(event)
    if (!name || document.querySelector("[role=dialog]")) return
    const field = fieldOf(event)
    if (field && name === "Escape") setTimeout(() => field.blur())
    if (field && !name.startsWith("Ctrl+")) return
    for (const pressed of [[...this.pressed, name], [name]]) {
      const fitting = this.data.shortcuts.filter(({ keys }) => pressed.every((key, index) => key === keys[index]))
      const whole = fitting.find(({ keys }) => keys.length === pressed.length)
      this.wait(whole ? [] : fitting.length ? pressed : [])
      if (!fitting.length || name === "Escape") continue
      event.preventDefault()
      event.stopImmediatePropagation()
      if (whole && !event.repeat) this.run(whole.action)
      return
    }
  }

  wait(pressed) {
    clearTimeout(this.waiting)
    this.pressed = pressed
    if (pressed.length) this.waiting = setTimeout(() => (this.pressed = []), SEQUENCE)
  }

  run(action) {
    if (action === "palette") this.palette.show()
    else if (action === "field") focusField(this.data.fields)
    else if (action !== "leave") this.tell("act", action)
  }
}

function keyName(event) {
  if (event.getModifierState("AltGraph")) return event.key
  if (event.altKey) return ""
  const [wanted, other] = MAC ? [event.metaKey, event.ctrlKey] : [event.ctrlKey, event.metaKey]
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key
  return other ? "" : wanted ? `Ctrl+${key}` : key
}

function fieldOf(event) {
  const element = event.composedPath()[0]
  if (!(element instanceof HTMLElement)) return null
  if (element instanceof HTMLInputElement) return element.matches(BUTTONS) ? null : element
  const typed = element.isContentEditable || element.closest("textarea, select, [role=textbox], [role=combobox]")
  return typed ? element : null
}

function focusField(names) {
  for (const name of names) {
    const fields = document.querySelectorAll(`.st-key-${CSS.escape(name)} :is(textarea, input)`)
    const field = [...fields].find((each) => !each.disabled && each.getClientRects().length)
    if (field) return field.focus()
  }
}

class Palette {
  constructor(root, run, ask) {
    this.run = run
    this.ask = ask
    this.entries = []
    this.chosen = 0
    this.dialog = add(root, "dialog")
    this.input = add(this.dialog, "input", { type: "text", role: "combobox", "aria-expanded": "true" })
    this.input.setAttribute("aria-controls", "entries")
    this.input.autocomplete = "off"
    this.input.spellcheck = false
    this.input.maxLength = 200
    this.list = add(this.dialog, "ul", { id: "entries", role: "listbox" })
    this.note = add(this.dialog, "p", { role: "status" })
    this.input.addEventListener("input", () => {
      this.chosen = 0
      this.draw()
      this.search(PAUSE)
    })
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.hide())
    this.dialog.addEventListener("cancel", (event) => {
      event.preventDefault()
      this.hide()
    })
  }

  get open() {
    return this.dialog.open
  }

  get answered() {
    return this.data.found !== null && this.data.found.text === this.input.value
  }

  stop() {
    clearTimeout(this.searching)
    this.dialog.remove()
  }

  update(data) {
    this.data = data
    this.dialog.setAttribute("aria-label", data.words.title)
    this.input.setAttribute("aria-label", data.words.title)
    this.input.placeholder = data.words.title
    if (!this.open) return
    this.draw()
    this.search(PAUSE) // what is found is sent once: the page may have been drawn again before it was answered
  }

  show() {
    this.input.value = ""
    this.chosen = 0
    this.draw()
    this.dialog.showModal()
    this.input.focus()
    this.search(0)
  }

  hide() {
    clearTimeout(this.searching)
    this.dialog.close()
  }

  search(delay) {
    clearTimeout(this.searching)
    this.searching = setTimeout(() => {
      if (!this.open || this.answered) return
      this.ask(this.input.value)
      this.search(AGAIN)
    }, delay)
  }

  press(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    const again = keyName(event) === "Ctrl+k"
    if (event.isComposing || (!step && !again && !["Enter", "Escape", "Tab"].includes(event.key))) return
    event.preventDefault()
    if (step) this.choose((this.chosen + step + this.entries.length) % Math.max(1, this.entries.length))
    else if (event.key === "Enter") this.pick(this.chosen)
    else if (event.key !== "Tab") this.hide()
  }

  pick(index) {
    const entry = this.entries[index]
    if (!entry) return
    this.hide()
    this.run(entry.action)
  }

  choose(index) {
    this.chosen = index
    for (const [at, item] of [...this.list.children].entries()) item.setAttribute("aria-selected", String(at === index))
    const item = this.list.children[index]
    if (item) this.input.setAttribute("aria-activedescendant", item.id)
    else this.input.removeAttribute("aria-activedescendant")
    item?.scrollIntoView({ block: "nearest" })
  }

  draw() {
    const { standing, found, words } = this.data
    const sought = this.input.value.trim().toLowerCase()
    const before = this.entries[this.chosen]?.action
    const fitting = standing.filter(({ label }) => label.toLowerCase().includes(sought))
    this.entries = this.answered ? [...fitting, ...found.entries] : fitting
    this.list.replaceChildren()
    for (const [index, entry] of this.entries.entries()) {
      const item = add(this.list, "li", { id: `entry-${index}`, role: "option" })
      add(item, "span").textContent = entry.label
      add(item, "small").textContent = entry.kind
      item.addEventListener("click", () => this.pick(index))
    }
    const kept = this.chosen ? this.entries.findIndex(({ action }) => action === before) : 0
    this.choose(Math.max(0, kept))
    const failed = this.answered ? found.failed : ""
    this.note.textContent = failed || (!this.answered ? words.searching : this.entries.length ? "" : words.nothing)
    this.note.hidden = !this.note.textContent
  }
}

function add(parent, kind, attributes = {}) {
  const element = document.createElement(kind)
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
  parent.append(element)
  return element
}
