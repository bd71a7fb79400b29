"""How likely a sequence network holds the decorated skeleton of a crystal to be, its geometry aside."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from redoxa.data.errors import StructureError
from redoxa.data.records import Crystal
from redoxa.data.symmetry.normaliser import canonical
from redoxa.data.symmetry.symmetric import SymmetricCrystal, symmetric
from redoxa.generators.wyckoff.checkpoint import table_of
from redoxa.generators.wyckoff.network import Context, SequenceNetwork
from redoxa.generators.wyckoff.objective import batch_of_form, log_likelihood

SKELETON = ("group", "element", "position")
"""Parts of the likelihood that are of the decorated skeleton."""


@torch.no_grad()
def skeleton_nats(network: SequenceNetwork, form: SymmetricCrystal, latent: torch.Tensor | None = None) -> torch.Tensor:
    """Log probability of the canonical writing of a decorated skeleton, in nats [k], from each of k latent vectors.

    The grammar, which leaves out what cannot follow when crystals are drawn, is left out here, so that this is a lower
    bound of the probability with which they are.

    Args:
        network: trained.
        form: canonical, of elements that the network knows.
        latent: vectors [k,L]; None for a network without any, k being 1 then.
    """
    batch = batch_of_form(form, table_of(network))
    found = []
    for vector in [None] if latent is None else latent:
        given = Context(torch.zeros_like(batch.content), batch.free_order, None if vector is None else vector[None])
        terms = log_likelihood(network, batch, given)
        found.append(torch.stack([terms[name] for name in SKELETON]).sum())
    return torch.stack(found)


def of_each(
    crystals: Sequence[Crystal], known: torch.Tensor, nats: Callable[[Crystal, SymmetricCrystal], float]
) -> NDArray[np.float64]:
    """What is told of each crystal and its canonical form [n]; NaN where there is none, or an unknown element.

    Args:
        crystals: any.
        known: which atomic numbers the network knows, bool.
        nats: of a crystal.
    """
    found = np.full(len(crystals), np.nan)
    for i, crystal in enumerate(crystals):
        if max(crystal.numbers) >= len(known) or not bool(known[list(crystal.numbers)].all()):
            continue
        try:
            form = canonical(symmetric(crystal))
        except StructureError:
            continue
        found[i] = nats(crystal, form)
    return found
