// Elements out of plain values. Everything that is shown becomes a text node: markup in an event stays text.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

// An element: h("a", {href: "#x", click: handler}, "text", other).
export const h = (tag, props, ...children) => fill(document.createElement(tag), props, children);

export const svg = (tag, props, ...children) => fill(document.createElementNS(SVG, tag), props, children);

// Replaces what an element holds.
export function show(element, ...children) {
  element.replaceChildren();
  append(element, children);
}

// Sets a text only where it has changed, so that what is selected stays selected.
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function copyButton(text, label, done) {
  const button = h("button", { type: "button", class: "small", click: copy }, label);
  async function copy() {
    try {
      await navigator.clipboard.writeText(text());
    } catch {
      // Without https or localhost there is no clipboard: select it, so that the keyboard can copy it.
      const area = h("textarea", { class: "offscreen", value: text() });
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    show(button, done);
    setTimeout(() => show(button, label), 1500);
  }
  return button;
}
