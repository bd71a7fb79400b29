"use strict";
// Elements in one line. Attributes that are null, undefined or false are left out; children are nodes or plain text.
const dom = (() => {
  function fill(element, attributes, children) {
    for (const [name, value] of Object.entries(attributes ?? {})) {
      if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
    }
    element.append(...children.flat().filter((c) => c !== null && c !== undefined));
    return element;
  }
  const make = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);
  const svg = (name, attributes, ...children) =>
    fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);

  // As `formula_html` in Python: counts become subscripts.
  const formula = (text) =>
    text.split(/(?<=[A-Za-z)\]])(\d+(?:\.\d+)?)/).map((part, i) => (i % 2 ? make("sub", null, part) : part));

  const VERDICTS = { pass: "passed", fail: "rejected" };
  const verdict = (value) => make("span", { class: `chip v-${value}` }, VERDICTS[value] ?? value);
  return { make, svg, formula, verdict };
})();
