"use strict";
// Filters, sorting and paging of the table of all results. The form is the state: its fields make the address, and the
// address fills them again. Only the rows of one page are elements; all others are numbers and texts in columns.
(() => {
  const holder = document.getElementById("table-data");
  if (!holder) return;
  const data = JSON.parse(holder.textContent);
  const size = data.formula.length;
  const [form, table, count, pager, said] = ["filters", "results", "shown-count", "pager", "said"].map((id) => document.getElementById(id));
  const field = form.elements;
  const { make } = dom;
  const coded = Object.fromEntries(["verdict", "group", "stage", "origin"].map((name) => [name, (i) => data[name].kinds[data[name].codes[i]]]));
  const chosen = new Set(data.chosen);
  const read = (text) => (text === null ? NaN : Number(text.split(" ")[0].replace("\u2212", "-").replaceAll("\u202f", "")));
  const numbers = Object.fromEntries(data.columns.map((name, k) => [name, Float64Array.from(data.cells[k], read)]));
  const sets = new Map(data.formula.map((text) => [text, new Set(text.match(/[A-Z][a-z]?/g))]));
  const elements = data.formula.map((text) => sets.get(text));
  const grouped = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, "\u202f");

  const listed = (name) => field[name].value.split(",").filter(Boolean);
  let texts = null; // made when first searched
  const textsOf = () => (texts ??= data.formula.map((f, i) => [f, data.id[i], coded.verdict(i), coded.group(i), coded.stage(i), data.reason[i], coded.origin(i)].join(" ").toLowerCase()));

  // `Fe` and `Fe-O` ask for elements, everything else for a part of any text of the row.
  function findTest(term) {
    if (/^[A-Z][a-z]?(-[A-Z][a-z]?)*$/.test(term)) {
      const asked = term.split("-");
      return (i) => asked.every((e) => elements[i].has(e));
    }
    const [part, all] = [term.toLowerCase(), textsOf()];
    return (i) => all[i].includes(part);
  }

  function systemTest(text) {
    const asked = text.split(/[-\s,]+/).filter(Boolean).map((e) => e[0].toUpperCase() + e.slice(1).toLowerCase());
    const named = asked.filter((e) => e !== "*");
    return (i) => elements[i].size === asked.length && named.every((e) => elements[i].has(e));
  }

  function elementTests() {
    const [wanted, unwanted] = [listed("with"), listed("without")];
    const tests = unwanted.length ? [(i) => !unwanted.some((e) => elements[i].has(e))] : [];
    if (!wanted.length) return tests;
    const only = new Set(wanted);
    const modes = {
      "": (i) => wanted.every((e) => elements[i].has(e)),
      any: (i) => wanted.some((e) => elements[i].has(e)),
      only: (i) => [...elements[i]].every((e) => only.has(e)),
    };
    return [...tests, modes[field.mode.value]];
  }

  function tests() {
    const found = elementTests();
    const { find, system, group, verdict } = field;
    if (group.value) found.push((i) => coded.group(i) === group.value);
    if (verdict.value) found.push((i) => coded.verdict(i) === verdict.value);
    if (field.chosen.checked) found.push((i) => chosen.has(i));
    for (const [name, values] of Object.entries(numbers)) {
      const [low, high] = [field[`min.${name}`].value, field[`max.${name}`].value];
      if (low) found.push((i) => values[i] >= Number(low));
      if (high) found.push((i) => values[i] <= Number(high));
    }
    if (system.value.trim()) found.push(systemTest(system.value.trim()));
    return [...found, ...find.value.normalize("NFKC").split(/\s+/).filter(Boolean).map(findTest)];
  }

  // What is unknown is NaN and stays at the end, whichever way.
  const ranks = new Map();
  function keys(name) {
    if (numbers[name]) return numbers[name];
    if (!ranks.has(name)) {
      const of = coded[name] ?? ((i) => (name === "reason" ? `${coded.stage(i)} ${data.reason[i]}`.trim() : data.formula[i]));
      const all = data.formula.map((_, i) => of(i));
      const sorted = [...new Set(all)].sort(new Intl.Collator("en", { numeric: true }).compare);
      const place = new Map(sorted.map((text, k) => [text, text ? k : NaN]));
      ranks.set(name, Float64Array.from(all, (text) => place.get(text)));
    }
    return ranks.get(name);
  }

  let order = Array.from({ length: size }, (_, i) => i);
  let sorted = "";
  function sort() {
    const [wanted, down] = [field.sort.value.replace(/^-/, ""), field.sort.value.startsWith("-")];
    const known = [...table.tHead.rows[0].cells].some((c) => c.dataset.key === wanted);
    for (const head of table.tHead.rows[0].cells) head.setAttribute("aria-sort", head.dataset.key !== wanted ? "none" : down ? "descending" : "ascending");
    if (field.sort.value === sorted) return;
    sorted = field.sort.value;
    order = Array.from({ length: size }, (_, i) => i);
    if (!known) return;
    const [key, sign] = [keys(wanted), down ? -1 : 1];
    order.sort((i, j) => {
      const [a, b] = [key[i], key[j]];
      if (a === b) return i - j;
      return Number.isNaN(a) - Number.isNaN(b) || sign * (a - b) || i - j;
    });
  }

  function element(i) {
    const card = data.card[i];
    const number = (text) => (text === null ? ["–"] : text.split(/(?= ±)/).map((part, k) => (k ? make("span", { class: "pm" }, part) : part)));
    const reason = data.reason[i];
    return make("tr", { id: `row-${i}` },
      make("th", { scope: "row" }, make("a", { href: card ? `#card-${card}` : `#row-${i}` }, card ? make("span", { class: "badge small" }, String(card)) : null, ...dom.formula(data.formula[i]))),
      make("td", null, dom.verdict(coded.verdict(i))),
      make("td", null, coded.group(i) || "–"),
      data.cells.map((column) => make("td", { class: "n" }, number(column[i]))),
      make("td", { class: "reason" }, reason ? [make("b", null, coded.stage(i)), ` ${reason}`] : null),
      make("td", { class: "origin" }, coded.origin(i)),
    );
  }

  let shown = [];
  let drawn = "";
  function render() {
    const [wanted, unwanted] = [listed("with"), listed("without")];
    for (const chip of form.querySelectorAll("[data-element]")) {
      const state = wanted.includes(chip.dataset.element) ? "with" : unwanted.includes(chip.dataset.element) ? "without" : "";
      chip.dataset.on = state;
      chip.lastChild.textContent = { with: ", wanted", without: ", left out" }[state] ?? "";
    }
    sort();
    const checks = tests();
    shown = order.filter((i) => checks.every((check) => check(i)));
    const pages = Math.max(1, Math.ceil(shown.length / data.pageRows));
    const page = Math.min(Math.max(1, Math.floor(Number(field.page.value)) || 1), pages);
    field.page.value = page > 1 ? page : "";
    const part = shown.slice((page - 1) * data.pageRows, page * data.pageRows);
    if (String(part) !== drawn) {
      drawn = String(part);
      table.tBodies[0].replaceChildren(...part.map(element));
      table.parentElement.scrollTop = 0;
    }
    count.textContent = `${shown.length === size ? "" : `${grouped(shown.length)} of `}${grouped(size)} candidates`;
    pager.hidden = pages === 1;
    const first = (page - 1) * data.pageRows + 1;
    pager.querySelector("span").textContent = `${grouped(first)} to ${grouped(first + part.length - 1)} of ${grouped(shown.length)}`;
    const [back, on] = pager.querySelectorAll("button");
    [back.disabled, on.disabled] = [page === 1, page === pages];
    open();
  }

  function open() {
    const i = field.open.value ? data.id.indexOf(field.open.value) : -1;
    if (i < 0) return detail.hide();
    const at = shown.indexOf(i);
    const [back, on] = detail.panel.querySelectorAll("[data-step]");
    [back.disabled, on.disabled] = [at <= 0, at < 0 || at === shown.length - 1];
    return detail.show({ index: i, formula: data.formula[i], id: data.id[i], verdict: coded.verdict(i), group: coded.group(i), origin: coded.origin(i) }, data);
  }

  function address() {
    const params = new URLSearchParams();
    for (const [name, value] of new FormData(form)) if (value.trim()) params.set(name, value.trim());
    return params.size ? `#all?${params}`.replaceAll("%2C", ",") : "#all";
  }

  // One step back is one change; letters typed into one field are one change together.
  let typing = null;
  function commit(typed = null) {
    render();
    const target = address();
    if (target !== location.hash) history[typed && typed === typing ? "replaceState" : "pushState"](null, "", target);
    typing = typed;
  }

  function fill(params) {
    for (const input of form.querySelectorAll("[name]")) {
      if (input.type === "checkbox") input.checked = params.has(input.name);
      else input.value = params.get(input.name) ?? "";
      if (input.tagName === "SELECT" && input.selectedIndex < 0) input.value = "";
    }
    const ranges = form.querySelector(".ranges");
    ranges.open ||= [...ranges.querySelectorAll("input")].some((input) => input.value);
  }

  function follow() {
    typing = null;
    const row = /^#row-(\d+)$/.exec(location.hash)?.[1];
    const ours = /^(#all(\?(.*))?)?$/.exec(location.hash);
    if (row < size) {
      field.open.value = data.id[row];
      render();
      history.replaceState(null, "", address());
    } else if (ours) {
      fill(new URLSearchParams(ours[3] ?? ""));
      render();
    }
  }

  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", (event) => {
    field.page.value = "";
    commit(event.target.matches("input:not([type=checkbox])") ? event.target : null);
  });
  form.addEventListener("focusout", () => (typing = null));
  form.addEventListener("click", ({ target }) => {
    const symbol = target.closest("[data-element]")?.dataset.element;
    if (target.id === "clear") fill(new URLSearchParams());
    else if (symbol) {
      const lists = { with: listed("with"), without: listed("without") };
      const next = lists.with.includes(symbol) ? "without" : lists.without.includes(symbol) ? "" : "with";
      for (const name of ["with", "without"]) field[name].value = [...lists[name].filter((e) => e !== symbol), ...(next === name ? [symbol] : [])].join(",");
      field.page.value = "";
    } else return;
    commit();
  });
  for (const head of table.tHead.rows[0].cells) {
    head.querySelector("button").addEventListener("click", () => {
      field.sort.value = field.sort.value === head.dataset.key ? `-${head.dataset.key}` : head.dataset.key;
      field.page.value = "";
      commit();
      said.textContent = `Sorted by ${head.textContent.trim()}, ${head.getAttribute("aria-sort")}`;
    });
  }
  pager.addEventListener("click", ({ target }) => {
    if (!target.dataset.step) return;
    field.page.value = Number(field.page.value || 1) + Number(target.dataset.step);
    commit();
  });
  // The whole row opens, save where somebody selects its text.
  table.tBodies[0].addEventListener("click", ({ target }) => {
    if (!target.closest("a") && getSelection().isCollapsed) target.closest("tr").querySelector("a").click();
  });
  detail.panel.addEventListener("click", ({ target }) => {
    if (target === detail.panel || "close" in target.dataset) detail.panel.close();
    else if (target.dataset.step) {
      const next = shown[shown.indexOf(data.id.indexOf(field.open.value)) + Number(target.dataset.step)];
      field.open.value = data.id[next] ?? "";
      commit();
    }
  });
  detail.panel.addEventListener("close", () => {
    if (!field.open.value) return;
    field.open.value = "";
    commit();
  });
  addEventListener("hashchange", follow);
  fill(new URLSearchParams()); // a browser may have kept the fields of an earlier visit
  render();
  follow();
  if (location.hash.startsWith("#all?")) document.getElementById("all").scrollIntoView();
})();
