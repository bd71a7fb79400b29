"use strict";
// The panel of one row: structure, voltage profile, reasons, numbers and CIF, from the packed block that holds the row.
const detail = (() => {
  const { make, svg } = dom;
  const panel = document.getElementById("detail");
  const unpacked = new Map(); // by block

  function block(number) {
    if (!unpacked.has(number)) {
      const text = document.getElementById(`rows-${number}`).textContent;
      unpacked.set(number, downloads.unpack(text).then((blob) => blob && blob.text()).then((json) => json && JSON.parse(json)));
    }
    return unpacked.get(number);
  }

  function structure(row, told, table) {
    const names = Object.keys(told.crystals);
    const scenes = Object.fromEntries(names.map((name) => [name, crystals.scene(told.crystals[name], table)]));
    const switches = names.map((name, i) => make("button", { type: "button", "data-state": name, "aria-pressed": String(!i) }, name));
    const figures = names.map((name, i) =>
      make("figure", { "data-state": name, hidden: i ? "" : null }, crystals.picture(scenes[name], `${row.formula}, ${name.toLowerCase()}`)),
    );
    const help = `3D view of ${row.formula}. Drag or use the arrow keys to turn; plus and minus to zoom; 0 to reset.`;
    const key = scenes[names[0]].kinds.map((kind) =>
      make("li", null, svg("svg", { viewBox: "0 0 14 14", "aria-hidden": "true" }, svg("circle", { cx: 7, cy: 7, r: 6, fill: table.elements[kind][0] })), kind),
    );
    const box = make("div", { class: "viewer", "data-state": names[0] },
      names.length > 1 ? make("div", { class: "switch", role: "group", "aria-label": "State of charge" }, switches) : null,
      make("div", { class: "stage" }, figures, make("div", { class: "canvas", tabindex: "0", role: "application", "aria-label": help, hidden: "" })),
      make("ul", { class: "atoms" }, key),
    );
    viewers.adopt(box, scenes);
    const files = names.map((name) => {
      const text = crystals.cif(told.crystals[name], table.steps, `${row.formula}_${row.id}`, told.said);
      const stem = `${row.formula}_${row.id}_${name}`.replace(/[^\w.+-]+/g, "_");
      return make("a", { class: "button", download: `${stem}.cif`, href: `data:chemical/x-cif;charset=utf-8,${encodeURIComponent(text)}` }, `CIF, ${name.toLowerCase()}`);
    });
    return make("div", null, box, make("p", { class: "files" }, files));
  }

  // Stairs of voltage against the content of ions.
  function profile(steps, ion) {
    const volts = steps.map(([, , v]) => v);
    const low = Math.min(...volts) - 0.2;
    const high = Math.max(...volts) + 0.2;
    const [from, to] = [steps[0][0], steps[steps.length - 1][1]];
    const x = (value) => 46 + (330 * (value - from)) / (to - from || 1);
    const y = (value) => 150 - (136 * (value - low)) / (high - low);
    const line = steps.flatMap(([a, b, v]) => [[a, v], [b, v]]).map(([a, v]) => `${x(a).toFixed(1)} ${y(v).toFixed(1)}`).join("L");
    const said = steps.map(([a, b, v]) => `${v.toFixed(2)} V from ${a.toFixed(2)} to ${b.toFixed(2)}`).join("; ");
    const text = (at, words, anchor) => svg("text", { class: "tick", x: at[0], y: at[1], "text-anchor": anchor }, words);
    return make("figure", { class: "curve-figure" },
      svg("svg", { class: "plot profile", viewBox: "0 0 390 180", role: "img", "aria-label": `Voltage profile: ${said}` },
        svg("line", { class: "axis", x1: 46, x2: 376, y1: 150, y2: 150 }), svg("line", { class: "axis", x1: 46, x2: 46, y1: 14, y2: 150 }),
        svg("path", { class: "stairs", d: `M${line}` }),
        [...new Set(volts)].map((v) => text([40, y(v) + 4], v.toFixed(2), "end")),
        [...new Set([from, to])].map((v) => text([x(v), 166], v.toFixed(2), "middle")),
      ),
      make("figcaption", null, `Voltage (V) against ${ion} per formula unit of the host`),
    );
  }

  const part = (title, ...content) => make("div", { class: "part" }, make("h4", null, title), ...content);

  function words(row, told, table) {
    const reasons = told.reasons.map(([stage, text, verdict]) => make("li", null, dom.verdict(verdict === "pass" ? "note" : verdict), " ", make("b", null, stage), ` ${text}`));
    const facts = [["Id", make("code", null, row.id)], ["From", [row.origin, told.from].filter(Boolean).join("; ")], ["Space group", row.group || "–"], ["Novelty", told.novelty]];
    return make("div", null,
      told.why ? make("div", { class: "why" }, make("h4", null, "Why it was chosen"), make("p", null, told.why)) : null,
      told.whyNot ? make("div", { class: "why" }, make("h4", null, "Why it was not chosen"), make("p", null, told.whyNot)) : null,
      part("Reasons", reasons.length ? make("ul", { class: "told" }, reasons) : make("p", null, "It passed every gate.")),
      told.numbers.length
        ? part("Numbers", make("table", { class: "props" }, make("tbody", null, told.numbers.map(([name, value]) => make("tr", null, make("th", { scope: "row" }, name), make("td", { class: "n" }, value))))))
        : part("Numbers", make("p", null, "None was computed before it ended.")),
      told.profile.length ? part("Voltage profile", profile(told.profile, table.ion)) : null,
      make("dl", { class: "tiny" }, facts.filter(([, value]) => value).map(([name, value]) => make("div", null, make("dt", null, name), make("dd", null, value)))),
    );
  }

  let wanted = null;
  async function show(row, table) {
    if (wanted === row.index) return;
    wanted = row.index;
    panel.querySelector("h3").replaceChildren(...dom.formula(row.formula));
    panel.querySelector(".chip").replaceWith(dom.verdict(row.verdict));
    if (!panel.open) panel.showModal();
    panel.querySelector("h3").focus();
    const told = (await block(Math.floor(row.index / table.pageRows)))?.[row.index % table.pageRows];
    if (wanted !== row.index) return;
    clear();
    const parts = told ? [structure(row, told, table), words(row, told, table)] : ["This browser cannot unpack the details; the CSV holds the numbers."];
    panel.querySelector(".detail-body").replaceChildren(...parts);
    panel.scrollTop = 0;
  }

  const clear = () => panel.querySelectorAll(".viewer").forEach(viewers.drop);

  function hide() {
    wanted = null;
    clear();
    panel?.close();
  }

  return { panel, show, hide };
})();
