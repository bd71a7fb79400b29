"use strict";
// Structure viewers, made when their card comes into view. Without WebGL the static pictures stay.
const viewers = (() => {
  const MOST = 6; // live WebGL contexts; browsers drop the oldest beyond 8 to 16
  const live = [];
  const given = new WeakMap(); // scenes of boxes that a script has made

  function hasWebGL() {
    try {
      return Boolean(window.$3Dmol && document.createElement("canvas").getContext("webgl2"));
    } catch {
      return false;
    }
  }

  const points = (flat) => Array.from({ length: flat.length / 3 }, (_, i) => ({ x: flat[3 * i], y: flat[3 * i + 1], z: flat[3 * i + 2] }));

  function drawAtoms(viewer, scene, xyz) {
    const atoms = xyz.map((p, i) => ({ ...p, elem: scene.kinds[scene.el[i]], serial: i, bonds: [], bondOrder: [] }));
    for (let k = 0; k < scene.bonds.length; k += 2) {
      const [i, j] = [scene.bonds[k], scene.bonds[k + 1]];
      atoms[i].bonds.push(j);
      atoms[j].bonds.push(i);
      atoms[i].bondOrder.push(1);
      atoms[j].bondOrder.push(1);
    }
    const model = viewer.addModel();
    model.addAtoms(atoms);
    scene.kinds.forEach((kind, i) => {
      const color = scene.colours[i];
      model.setStyle({ elem: kind }, { sphere: { radius: scene.radii[i], color }, stick: { radius: 0.07, color } });
    });
  }

  // Faces are flat and pale (3Dmol has one lamp and no ambient light, so that a face seen aslant is dark), edges unlit.
  function drawPolyhedra(viewer, scene, xyz) {
    for (const [kind, faces] of scene.poly) {
      const vertexArr = faces.map((i) => xyz[i]);
      const normalArr = [];
      for (let k = 0; k < vertexArr.length; k += 3) {
        const [a, b, c] = vertexArr.slice(k, k + 3);
        const u = [b.x - a.x, b.y - a.y, b.z - a.z];
        const v = [c.x - a.x, c.y - a.y, c.z - a.z];
        const n = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
        const length = Math.hypot(...n) || 1;
        const normal = { x: n[0] / length, y: n[1] / length, z: n[2] / length };
        normalArr.push(normal, normal, normal);
      }
      const faceArr = faces.map((_, i) => i);
      const color = scene.pale[kind];
      viewer.addCustom({ vertexArr, normalArr, faceArr, color, opacity: Math.sqrt(0.42) }); // 3Dmol squares the opacity
      viewer.addCustom({ vertexArr, normalArr, faceArr, color, wireframe: true, linewidth: 1 });
    }
  }

  function drawCell(viewer, scene, color) {
    const corners = points(scene.corners);
    for (let i = 0; i < 8; i++) {
      for (const bit of [1, 2, 4]) {
        if (!(i & bit)) viewer.addLine({ start: corners[i], end: corners[i | bit], color, linewidth: 1.5 });
      }
    }
    const gone = points(scene.gone);
    if (!gone.length) return;
    const ghosts = viewer.addShape({ color: scene.ionColour, opacity: 0.5 });
    for (const center of gone) ghosts.addSphere({ center, radius: 0.5, color: scene.ionColour });
  }

  // The way of the ion: beads, since browsers draw lines one pixel wide.
  function drawPath(viewer, scene, color) {
    const path = points(scene.path);
    if (!path.length) return;
    const beads = viewer.addShape({ color });
    for (const center of path) beads.addSphere({ center, radius: 0.2, color });
    for (let i = 1; i < path.length; i++) viewer.addCylinder({ start: path[i - 1], end: path[i], radius: 0.06, color });
  }

  // An opaque background: transparent shapes vanish on 3Dmol's transparent canvas.
  const surface = (box) => getComputedStyle(box).getPropertyValue("--surface").trim() || "white";

  // 3Dmol's orthographic camera spans R tan(fov)/tan(fov/2) to each side, R being the radius about the centre: far more
  // than the crystal. Zoom in until the first view fills the frame.
  function fill(entry, xyz) {
    const { viewer, canvas } = entry;
    const middle = (k) => (Math.max(...xyz.map((p) => p[k])) + Math.min(...xyz.map((p) => p[k]))) / 2;
    const [cx, cy, cz] = ["x", "y", "z"].map(middle);
    const radius = Math.max(...xyz.map((p) => Math.hypot(p.x - cx, p.y - cy, p.z - cz)));
    const half = (k, c) => Math.max(...xyz.map((p) => Math.abs(p[k] - c))) + 0.8;
    const span = (radius * Math.tan(Math.PI / 9)) / Math.tan(Math.PI / 18);
    const aspect = canvas.clientWidth / canvas.clientHeight || 1;
    viewer.zoom(Math.min(span / half("x", cx), span / aspect / half("y", cy), (1.4 * span) / radius));
  }

  function draw(entry, state, keepView) {
    const { viewer, scenes, box } = entry;
    const view = keepView ? viewer.getView() : null;
    const scene = scenes[state];
    const xyz = points(scene.xyz);
    viewer.removeAllModels();
    viewer.removeAllShapes();
    drawAtoms(viewer, scene, xyz);
    drawPolyhedra(viewer, scene, xyz);
    const style = getComputedStyle(box);
    drawCell(viewer, scene, style.getPropertyValue("--faint").trim() || "#888888");
    drawPath(viewer, scene, style.getPropertyValue("--blue-fill").trim() || "#2f74d0");
    if (view) viewer.setView(view);
    else {
      viewer.zoomTo();
      fill(entry, xyz);
    }
    viewer.render();
  }

  function create(box) {
    const canvas = box.querySelector(".canvas");
    canvas.hidden = false;
    const viewer = $3Dmol.createViewer(canvas, { backgroundColor: surface(box), antialias: true, orthographic: true, disableFog: true });
    const scenes = given.get(box) ?? JSON.parse(box.querySelector('script[type="application/json"]').textContent);
    const entry = { box, canvas, viewer, scenes };
    draw(entry, box.dataset.state, false);
    box.querySelectorAll("figure").forEach((figure) => (figure.hidden = true));
    live.push(entry);
    if (live.length > MOST) release(live[0]);
  }

  // Gives the WebGL context back and shows the picture again; the viewer returns when the card is next looked at.
  function release(entry) {
    live.splice(live.indexOf(entry), 1);
    entry.viewer.getCanvas().getContext("webgl2")?.getExtension("WEBGL_lose_context")?.loseContext();
    entry.canvas.replaceChildren();
    entry.canvas.hidden = true;
    showPicture(entry.box);
  }

  const entryOf = (box) => live.find((entry) => entry.box === box);

  function showPicture(box) {
    box.querySelectorAll("figure").forEach((figure) => (figure.hidden = figure.dataset.state !== box.dataset.state));
  }

  function select(box, state) {
    box.dataset.state = state;
    box.querySelectorAll(".switch button").forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.state === state)));
    const entry = entryOf(box);
    if (entry) draw(entry, state, true);
    else showPicture(box);
  }

  function keys(box, event) {
    const viewer = entryOf(box)?.viewer;
    if (!viewer) return;
    const turn = { ArrowLeft: [-15, "y"], ArrowRight: [15, "y"], ArrowUp: [-15, "x"], ArrowDown: [15, "x"] }[event.key];
    const zoom = { "+": 1.2, "=": 1.2, "-": 1 / 1.2 }[event.key];
    if (turn) viewer.rotate(...turn);
    else if (zoom) viewer.zoom(zoom);
    else if (event.key === "0") draw(entryOf(box), box.dataset.state, false);
    else return;
    event.preventDefault();
  }

  const able = hasWebGL();
  const watch = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting || entryOf(target)) continue;
      try {
        create(target);
      } catch (error) {
        console.warn("No 3D view:", error); // the context was refused: the picture stays
        watch.unobserve(target);
        target.querySelector(".canvas").hidden = true;
        showPicture(target);
      }
    }
  });

  function adopt(box, scenes) {
    if (scenes) given.set(box, scenes);
    box.querySelectorAll(".switch button").forEach((b) => b.addEventListener("click", () => select(box, b.dataset.state)));
    const canvas = box.querySelector(".canvas");
    canvas.addEventListener("keydown", (event) => keys(box, event));
    // The page scrolls over a viewer; only with Ctrl, or once it has the focus, does the wheel zoom.
    canvas.addEventListener(
      "wheel",
      (event) => {
        if (!event.ctrlKey && document.activeElement !== canvas) event.stopPropagation();
      },
      { capture: true, passive: true },
    );
    canvas.addEventListener("pointerdown", () => canvas.focus({ preventScroll: true }));
    if (able) watch.observe(box);
  }

  function drop(box) {
    watch.unobserve(box);
    if (entryOf(box)) release(entryOf(box));
  }

  document.querySelectorAll(".viewer").forEach((box) => adopt(box));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const { viewer, box } of live) viewer.setBackgroundColor(surface(box));
  });
  document.documentElement.dataset.webgl = String(able);
  return { adopt, drop };
})();
