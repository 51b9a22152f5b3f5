// Texts that Streamlit has in English alone, in the reader's language: what is on its own controls, never what a page
// or a document says. React writes a text again when it changes, hence the observer.
const TEXTS = [
  "[data-testid=stSkipToContent]",
  "[data-testid=stFileUploaderDropzone] :is(button p, span)",
  "[data-testid=InputInstructions]",
  "[data-testid=stTooltipContent]",
  "[role=menuitem]",
].join()
const NOTHING = "No results" // in a list of choices, whose other entries are a page's
const NAMES = ["aria-label", "title", "placeholder"]
const COMPONENT = "[data-testid=stBidiComponentRegular]" // a page's own
const MARKDOWN = "[data-testid=stMarkdownContainer]" // whose links may have titles

export default function ({ data, parentElement }) {
  const translator = (parentElement.translator ??= new Translator(parentElement))
  translator.update(data)
  return () => setTimeout(() => parentElement.isConnected || translator.stop())
}

class Translator {
  constructor(root) {
    this.root = root
    this.observer = new MutationObserver(() => this.soon())
    const changes = { childList: true, subtree: true, characterData: true, attributes: true, attributeFilter: NAMES }
    this.observer.observe(document.body, changes)
  }

  update({ texts, patterns }) {
    this.texts = new Map(Object.entries(texts))
    this.patterns = patterns.map(([pattern, text]) => [new RegExp(`^${pattern}$`), text])
    this.soon()
  }

  stop() {
    this.observer.disconnect()
    cancelAnimationFrame(this.frame)
  }

  soon() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined
      if (this.root.isConnected) this.translate()
      else this.stop()
    })
  }

  translate() {
    const empty = [...document.querySelectorAll("[role=listbox]")].filter(({ textContent }) => textContent === NOTHING)
    for (const element of [...document.querySelectorAll(TEXTS), ...empty]) {
      const nodes = document.createTreeWalker(element, NodeFilter.SHOW_TEXT)
      while (nodes.nextNode()) {
        const said = this.inLanguage(nodes.currentNode.data)
        if (said) nodes.currentNode.data = said
      }
    }
    for (const name of NAMES) {
      for (const element of document.querySelectorAll(`[${name}]`)) {
        if (element.closest(name === "title" ? `${COMPONENT}, ${MARKDOWN}` : COMPONENT)) continue
        const said = this.inLanguage(element.getAttribute(name))
        if (said) element.setAttribute(name, said)
      }
    }
  }

  inLanguage(text) {
    const [action, of] = text.trim().split(/: (.*)/s) // "Search: the table's name"
    const known = this.texts.get(action)
    if (known) return of ? `${known}: ${of}` : known
    const [pattern, said] = this.patterns.find(([pattern]) => pattern.test(text)) ?? []
    return pattern && text.replace(pattern, said)
  }
}
