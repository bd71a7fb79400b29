"""A scene as a small static SVG: the poster of the 3D viewer, and the picture where there is no WebGL and in print."""

from __future__ import annotations

from itertools import product

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from redoxa.pipeline.pages.kit.elements import colour, mix
from redoxa.pipeline.pages.kit.svg import join, polyline, tag
from redoxa.pipeline.pages.kit.viewer import Scene, radius

WIDTH, HEIGHT, MARGIN = 400.0, 340.0, 12.0
_EDGES = [
    (i, j)
    for i, a in enumerate(product((0, 1), repeat=3))
    for j, b in enumerate(product((0, 1), repeat=3))
    if i < j and sum(x != y for x, y in zip(a, b, strict=True)) == 1
]

Item = tuple[float, Markup]
"""Depth and element; what is nearer is drawn later."""


def picture(scene: Scene, title: str) -> Markup:
    """Orthographic projection of a scene, painted from the back to the front."""
    points = np.vstack([scene.xyz, scene.corners, scene.vacancies, scene.path])[:, :2]
    low, high = points.min(axis=0) - 0.6, points.max(axis=0) + 0.6
    scale = float(min((WIDTH - 2 * MARGIN) / (high[0] - low[0]), (HEIGHT - 2 * MARGIN) / (high[1] - low[1])))
    middle = (low + high) / 2

    def flat(xyz: NDArray[np.float64]) -> NDArray[np.float64]:
        moved = (xyz[:, :2] - middle) * scale
        return np.round(np.stack([WIDTH / 2 + moved[:, 0], HEIGHT / 2 - moved[:, 1]], axis=1), 1)

    atoms = flat(scene.xyz)
    items = [
        *_edges(scene, flat(scene.corners)),
        *_faces(scene, atoms),
        *_bonds(scene, atoms),
        *_atoms(scene, atoms, scale),
        *_vacancies(scene, flat(scene.vacancies), scale),
        *_path(flat(scene.path), scale),
    ]
    items.sort(key=lambda item: item[0])
    return tag(
        "svg",
        join(element for _, element in items),
        class_="crystal",
        viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}",
        role="img",
        aria_label=title,
    )


def _edges(scene: Scene, corners: NDArray[np.float64]) -> list[Item]:
    items = []
    for i, j in _EDGES:
        depth = float(scene.corners[[i, j], 2].mean()) - 0.5
        items.append((depth, tag("path", class_="edge", d=polyline([tuple(corners[i]), tuple(corners[j])]))))
    return items


def _faces(scene: Scene, atoms: NDArray[np.float64]) -> list[Item]:
    """Faces that look toward the reader; light comes from the upper left."""
    items = []
    light = np.array([-0.35, 0.55, 0.76])
    for symbol, faces in scene.polyhedra:
        a, b, c = (scene.xyz[faces[:, k]] for k in range(3))
        normals = np.cross(b - a, c - a)
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        for face, normal in zip(faces, normals, strict=True):
            if normal[2] <= 0:
                continue
            opacity = 0.34 + 0.42 * max(0.0, float(normal @ light))
            path = polyline([tuple(atoms[k]) for k in face], close=True)
            element = tag("path", class_="face", d=path, fill=colour(symbol), fill_opacity=opacity)
            items.append((float(scene.xyz[face, 2].mean()), element))
    return items


def _bonds(scene: Scene, atoms: NDArray[np.float64]) -> list[Item]:
    return [
        (
            float(scene.xyz[[i, j], 2].mean()) - 0.2,
            tag("path", class_="bond", d=polyline([tuple(atoms[i]), tuple(atoms[j])])),
        )
        for i, j in scene.bonds
    ]


def _atoms(scene: Scene, atoms: NDArray[np.float64], scale: float) -> list[Item]:
    return [
        (
            float(z),
            tag("circle", cx=float(x), cy=float(y), r=round(radius(s, scene.ion) * scale, 1), fill=f"url(#at-{s})"),
        )
        for s, (x, y), z in zip(scene.symbols, atoms, scene.xyz[:, 2], strict=True)
    ]


def _vacancies(scene: Scene, sites: NDArray[np.float64], scale: float) -> list[Item]:
    size = round(radius(scene.ion, scene.ion) * scale, 1)
    return [
        (float(z), tag("circle", class_="gone", cx=float(x), cy=float(y), r=size, stroke=colour(scene.ion)))
        for (x, y), z in zip(sites, scene.vacancies[:, 2], strict=True)
    ]


def _path(points: NDArray[np.float64], scale: float) -> list[Item]:
    """The way of the ion as beads on a line, above all else."""
    if not len(points):
        return []
    line = polyline([(float(x), float(y)) for x, y in points])
    beads = [tag("circle", cx=float(x), cy=float(y), r=round(0.2 * scale, 1)) for x, y in points]
    return [(np.inf, tag("g", tag("path", d=line), join(beads), class_="way"))]


def gradients(symbols: set[str]) -> Markup:
    """One hidden SVG with the shading of every element that occurs, shared by all pictures."""
    made = []
    for symbol in sorted(symbols):
        stops = [
            tag("stop", offset="0", stop_color=mix(colour(symbol), "#ffffff", 0.55)),
            tag("stop", offset="0.45", stop_color=colour(symbol)),
            tag("stop", offset="1", stop_color=mix(colour(symbol), "#000000", 0.32)),
        ]
        made.append(tag("radialGradient", join(stops), id=f"at-{symbol}", cx=0.36, cy=0.32, r=0.75))
    return tag("svg", tag("defs", join(made)), class_="defs", width=0.0, height=0.0, aria_hidden="true")
