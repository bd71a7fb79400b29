"use strict";
// Structures of rows without a card: the scene that the viewer draws, a flat picture of it, and a CIF. Lengths in Å.
const crystals = (() => {
  const NEAR = 1.18; // times the sum of the covalent radii, as in viewer.py
  const EDGE = 0.12;
  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  const scaled = (a, s) => a.map((x) => x * s);
  const unit = (a) => scaled(a, 1 / (Math.hypot(...a) || 1));
  const vectors = (flat) => [flat.slice(0, 3), flat.slice(3, 6), flat.slice(6, 9)];
  const place = (f, [a, b, c]) => [0, 1, 2].map((k) => f[0] * a[k] + f[1] * b[k] + f[2] * c[k]);
  const fractions = (crystal, steps) => crystal.sites.map((_, i) => crystal.at.slice(3 * i, 3 * i + 3).map((x) => x / steps));
  const CORNERS = [0, 1, 2, 3, 4, 5, 6, 7].map((i) => [(i >> 2) & 1, (i >> 1) & 1, i & 1]);

  // c upward and a to the right, turned a little aside.
  function turner([a, , c]) {
    const up = unit(c);
    const right = unit(a.map((x, k) => x - dot(a, up) * up[k]));
    const front = cross(right, up);
    const [yaw, pitch] = [-24, 13].map((d) => (d * Math.PI) / 180);
    return (p) => {
      const [x, y, z] = [dot(p, right), dot(p, up), dot(p, front)];
      const [u, w] = [x * Math.cos(yaw) + z * Math.sin(yaw), z * Math.cos(yaw) - x * Math.sin(yaw)];
      return [u, y * Math.cos(pitch) - w * Math.sin(pitch), y * Math.sin(pitch) + w * Math.cos(pitch)];
    };
  }

  // Atoms of the cell with their images on its faces.
  function inCell(crystal, cell, steps) {
    const volume = Math.abs(dot(cell[0], cross(cell[1], cell[2])));
    const edges = [0, 1, 2].map((k) => (EDGE * Math.hypot(...cross(cell[(k + 1) % 3], cell[(k + 2) % 3]))) / volume);
    const found = [];
    fractions(crystal, steps).forEach((f, i) => {
      const choices = f.map((x, k) => [-1, 0, 1].map((s) => x + s).filter((y) => y >= -edges[k] && y <= 1 + edges[k]));
      for (const x of choices[0]) for (const y of choices[1]) for (const z of choices[2]) found.push([crystal.sites[i], [x, y, z]]);
    });
    return found;
  }

  function bonds(atoms, xyz, ion, looks) {
    const pairs = [];
    for (let i = 0; i < atoms.length; i++) {
      for (let j = i + 1; j < atoms.length; j++) {
        const [a, b] = [atoms[i][0], atoms[j][0]];
        const [, , reachA, nonmetalA] = looks[a];
        const [, , reachB, nonmetalB] = looks[b];
        if (a === ion || b === ion || a === b || !(nonmetalA || nonmetalB)) continue;
        const far = Math.hypot(...xyz[i].map((x, k) => x - xyz[j][k]));
        if (far > 0.4 && far < NEAR * (reachA + reachB)) pairs.push(i, j);
      }
    }
    return pairs;
  }

  function scene(crystal, { ion, elements: looks, steps }) {
    const cell = vectors(crystal.cell);
    const turn = turner(cell);
    const middle = place([0.5, 0.5, 0.5], cell);
    const seen = (f) => turn(place(f, cell).map((x, k) => x - middle[k]));
    const atoms = inCell(crystal, cell, steps);
    const xyz = atoms.map(([, f]) => seen(f));
    const kinds = [...new Set(crystal.sites)].sort();
    const colours = kinds.map((k) => looks[k][0]);
    return {
      kinds, colours, pale: colours, ionColour: looks[ion]?.[0] ?? "#888888",
      radii: kinds.map((k) => looks[k][1]),
      el: atoms.map(([symbol]) => kinds.indexOf(symbol)),
      xyz: xyz.flat(), bonds: bonds(atoms, xyz, ion, looks), poly: [], corners: CORNERS.flatMap(seen), gone: [], path: [],
    };
  }

  function picture(drawn, title) {
    const split = (flat) => Array.from({ length: flat.length / 3 }, (_, i) => flat.slice(3 * i, 3 * i + 3));
    const [xyz, corners] = [split(drawn.xyz), split(drawn.corners)];
    const [xs, ys] = [0, 1].map((k) => [...xyz, ...corners].map((p) => p[k]));
    const [left, top] = [Math.min(...xs) - 0.7, -Math.max(...ys) - 0.7];
    const box = [left, top, Math.max(...xs) + 0.7 - left, 0.7 - Math.min(...ys) - top];
    const line = (p, q, name) => dom.svg("line", { class: name, x1: p[0], y1: -p[1], x2: q[0], y2: -q[1] });
    const depth = (p) => p[2];
    const items = [];
    corners.forEach((p, i) => [1, 2, 4].forEach((bit) => i & bit || items.push([-1e9, line(p, corners[i | bit], "edge")])));
    for (let k = 0; k < drawn.bonds.length; k += 2) {
      const [p, q] = [xyz[drawn.bonds[k]], xyz[drawn.bonds[k + 1]]];
      items.push([(depth(p) + depth(q)) / 2, line(p, q, "bond")]);
    }
    xyz.forEach((p, i) => {
      const kind = drawn.el[i];
      items.push([depth(p), dom.svg("circle", { cx: p[0], cy: -p[1], r: drawn.radii[kind], fill: drawn.colours[kind] })]);
    });
    items.sort((a, b) => a[0] - b[0]);
    return dom.svg("svg", { class: "crystal plain", viewBox: box.map((x) => x.toFixed(2)).join(" "), role: "img", "aria-label": title }, items.map(([, e]) => e));
  }

  // Every site is written and no symmetry claimed; the first line says what the crystal is.
  function cif(crystal, steps, name, said) {
    const [a, b, c] = vectors(crystal.cell);
    const angle = (u, v) => ((Math.acos(dot(unit(u), unit(v))) * 180) / Math.PI).toFixed(5);
    const sites = fractions(crystal, steps).map(
      (f, i) => `${crystal.sites[i]} ${crystal.sites[i]}${i + 1} ${f.map((x) => x.toFixed(5)).join(" ")} 1`,
    );
    return [
      `# ${said}`, `# ${name}`, `data_${name.replace(/\W+/g, "_") || "crystal"}`,
      "_symmetry_space_group_name_H-M 'P 1'", "_symmetry_Int_Tables_number 1",
      ...[a, b, c].map((v, k) => `_cell_length_${"abc"[k]} ${Math.hypot(...v).toFixed(6)}`),
      `_cell_angle_alpha ${angle(b, c)}`, `_cell_angle_beta ${angle(a, c)}`, `_cell_angle_gamma ${angle(a, b)}`,
      "loop_", "_symmetry_equiv_pos_site_id", "_symmetry_equiv_pos_as_xyz", "1 'x, y, z'",
      "loop_", "_atom_site_type_symbol", "_atom_site_label", "_atom_site_fract_x", "_atom_site_fract_y", "_atom_site_fract_z", "_atom_site_occupancy",
      ...sites, "",
    ].join("\n");
  }

  return { scene, picture, cif };
})();
