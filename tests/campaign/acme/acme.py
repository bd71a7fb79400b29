"""A package of somebody else: a kind of each sort, none of which Redoxa knows."""

from __future__ import annotations

from redoxa.generators.exchange.substitution import SubstitutionGenerator
from redoxa.robotics.drivers.simulated import SimulatedLab
from redoxa.screening.base import Findings, Subject, Surroundings
from redoxa.screening.labels import Label
from redoxa.screening.potentials.chgnet import Chgnet
from redoxa.screening.properties.density import Density


class Swaps(SubstitutionGenerator):
    name = "acme_swaps"
    summary = "swaps elements, by Acme"


class Bulk(Density):
    name = "acme_bulk"
    summary = "bulk density, by Acme"
    stage = "acme_bulk"
    label = Label("Acme bulk density", "Acme bulk", "Practicalities", absent="Acme weighed nothing")

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        return super().evaluate(subject, around)


class Bench(SimulatedLab):
    name = "acme_bench"
    summary = "a bench that is simulated, by Acme"


class Network(Chgnet):
    name = "acme_network"
