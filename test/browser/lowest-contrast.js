// Runs in a page: the text that is hardest to read, by the contrast ratio of WCAG 2.2 §1.4.3, and what is behind it.
(() => {
  const partsOf = (color) => color.match(/[\d.]+/g).map(Number)
  const luminanceOf = (color) => {
    const [red, green, blue] = partsOf(color).slice(0, 3).map((value) => value / 255).map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
  }
  const contrastOf = (one, other) => {
    const [dark, light] = [luminanceOf(one), luminanceOf(other)].sort((a, b) => a - b)
    return (light + 0.05) / (dark + 0.05)
  }

  // What the browser paints where no element has a background.
  const probe = document.createElement('div')
  probe.style.background = 'Canvas'
  document.body.append(probe)
  const canvas = getComputedStyle(probe).backgroundColor
  probe.remove()
  const backgroundOf = (element) => {
    for (let at = element; at !== null; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor
      if ((partsOf(color)[3] ?? 1) > 0) return color
    }
    return canvas
  }

  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  let lowest = { ratio: 21, text: '' }
  while (walker.nextNode()) {
    const { data, parentElement } = walker.currentNode
    if (data.trim() === '' || parentElement.getClientRects().length === 0) continue
    const ratio = contrastOf(getComputedStyle(parentElement).color, backgroundOf(parentElement))
    if (ratio < lowest.ratio) lowest = { ratio, text: data.trim() }
  }
  return { ...lowest, pageLuminance: luminanceOf(backgroundOf(document.body)) }
})()
