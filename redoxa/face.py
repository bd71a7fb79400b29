"""The functions of ``import redoxa``. The command line calls the same ones below; here are Python's words for them.

Nothing heavy is imported before something is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from redoxa.data.progress import Watcher
    from redoxa.pipeline.results.samples import Samples
    from redoxa.pipeline.results.screening import Screening
    from redoxa.pipeline.tasks.campaign import Campaign
    from redoxa.pipeline.tasks.screen import Given

STORE = "runs/redoxa.db"


def screen(
    structures: Given | Iterable[Given],
    *,
    ion: str = "Li",
    profile: int | None = None,
    orderings: int | None = None,
    barriers: int | None = None,
    exchange: str | None = None,
    campaign: Path | str | None = None,
    store: str | None = None,
    workers: int = 0,
    trust_sites: bool = False,
    progress: bool = True,
) -> Screening:
    """Assess structures as electrodes: voltage, capacity, energy above the hull, volume change.

    A host without the ion is taken as the charged state, and the ion is put into its holes. What cannot be read or
    computed is a row with its reason, not an exception.

    Args:
        structures: one or several: paths of CIF, POSCAR, extended XYZ or JSON files or of folders of them, pymatgen
            `Structure`s, ASE `Atoms`, or `Crystal` records.
        ion: working ion: Li, Na, K, Mg, Ca, Zn or Al.
        profile: states of partial charge, for the steps of the voltage; 3 unless a campaign says otherwise; 0 for none.
        orderings: arrangements of the ions that are relaxed for each of them; 2 unless a campaign says otherwise.
        barriers: kinds of hops whose migration barrier is computed, a minute or more each; none by default.
        exchange: ion in the structures that the working ion takes the place of, at the same charge.
        campaign: take the screen section of this campaign; by default nothing is rejected by limits.
        store: keep and reuse relaxations in this store.
        workers: processes; 0 means one for each core.
        trust_sites: read a CIF as its sites stand where its formula, multiplicities or volume contradict them.
        progress: show progress on stderr.

    Returns:
        All structures in their order, with values, sigmas, units and methods.

    Raises:
        InputError: an option that cannot be used.
    """
    from redoxa.pipeline.tasks.screen import ScreenOptions, working_ion
    from redoxa.pipeline.tasks.screen import screen as run

    replaced = None if exchange is None else working_ion(exchange, "exchange")
    rules = None if campaign is None else Path(campaign)
    options = ScreenOptions(
        working_ion(ion, "ion"), rules, workers, store, profile, orderings, barriers, replaced, trust_sites
    )
    with _watcher(progress) as watcher:
        return run(_several(structures), options, watcher=watcher)


def generate(
    n: int = 16,
    *,
    generator: str | None = None,
    family: str | None = None,
    elements: str | Sequence[str] | None = None,
    require: str | Sequence[str] | None = None,
    formula: str | None = None,
    targets: Mapping[str, tuple[float | None, float | None]] | None = None,
    space_groups: str | None = None,
    another_polymorph: bool = False,
    max_atoms: int | None = None,
    charge_neutral: bool = True,
    compositions: Path | str | None = None,
    like: Path | str | None = None,
    keep: str | Sequence[str] | None = None,
    drop: str | Sequence[str] | None = None,
    best_of: int = 1,
    seed: int = 0,
    checkpoint: Path | str | None = None,
    energies: bool = True,
    budget_s: float = 60.0,
    progress: bool = True,
) -> Samples:
    """Let a generator propose crystals, or the likeliest structures of a formula.

    Args:
        n: how many.
        generator: which one (`redoxa list generators`); orbits by default.
        family: of the model that writes the formulas of `composition`, ``"mixture"`` for example; lstm by default, and
            with `checkpoint` what the file holds.
        elements: allowed elements, a hard mask: ``"Li,Fe,P,O"`` or ``["Li", "Fe", "P", "O"]``.
        require: elements every sample must hold.
        formula: the likeliest structures of this formula, in cells of every size up to `max_atoms`, no two alike; fewer
            than n where no more are known.
        targets: ranges to aim at, by property, either end None: ``{"average_voltage": (3, 3.6)}`` (V). A property of an
            electrode needs its working ion in `require`.
        space_groups: only these space groups or crystal systems, e.g. ``"62,166"`` or ``"cubic"``.
        another_polymorph: of a formula or compositions, only structures unlike every known crystal of it.
        max_atoms: largest cell: 20 unless said otherwise, 60 with `formula`.
        charge_neutral: only compositions that common oxidation states balance.
        compositions: file with one exact cell content a line; one sample a line, in order.
        like: structure file whose skeleton is filled with elements.
        keep: elements of `like` that stay where they are.
        drop: elements that are first taken out of `like`.
        best_of: new crystals that `orbits` draws for each that it makes: those that its energy model puts nearest to
            the hull.
        seed: the same seed gives the same samples.
        checkpoint: own weights instead of the shipped ones.
        energies: let `orbits` relax its likely proposals and rank them by energy too.
        budget_s: processor time in seconds that relaxing the answers to `formula` may take.
        progress: show progress on stderr.

    Returns:
        The samples, in order.

    Raises:
        InputError: an option that cannot be used.
        GenerationError: the generator cannot do what was asked.
    """
    from redoxa.generators import DEFAULT_GENERATOR
    from redoxa.pipeline.tasks.generate import generate as run
    from redoxa.pipeline.tasks.generate_options import GenerateOptions

    options = GenerateOptions.read(
        n=n, elements=_listed(elements), require=_listed(require), formula=formula, max_atoms=max_atoms,
        compositions=None if compositions is None else Path(compositions), charge_neutral=charge_neutral,
        space_groups=space_groups, another_polymorph=another_polymorph,
        like=None if like is None else Path(like), keep=_listed(keep), drop=_listed(drop),
        targets=[f"{name}={_end(low)}..{_end(high)}" for name, (low, high) in (targets or {}).items()],
    )  # fmt: skip
    weights = None if checkpoint is None else Path(checkpoint)
    with _watcher(progress) as watcher:
        return run(
            generator or DEFAULT_GENERATOR, options, seed, weights, watcher,
            family=family, best_of=best_of, energies=energies, budget_s=budget_s,
        )  # fmt: skip


def open(campaign: Path | str, *, store: str = STORE) -> Campaign:
    """A campaign, to run it and to look at what it has found. Nothing is computed or written until it is run.

    Args:
        campaign: campaign file; or the name or id of one that is in the store.
        store: path or URL of the store.

    Raises:
        InputError: no such file, and no such campaign; or a mistake in the file, with line and column.
    """
    from redoxa.pipeline.tasks.campaign import Campaign

    return Campaign.find(str(campaign), store)


def _several(structures: Given | Iterable[Given]) -> list[Given]:
    """One structure or several, as a list; Atoms and Structures can be iterated too, over what they hold."""
    from redoxa.data.structures import is_structure

    if isinstance(structures, str | Path) or is_structure(structures) or not isinstance(structures, Iterable):
        return [cast("Given", structures)]
    return list(cast("Iterable[Given]", structures))


def _listed(elements: str | Sequence[str] | None) -> str | None:
    return elements if elements is None or isinstance(elements, str) else ",".join(elements)


def _end(value: float | None) -> str:
    return "" if value is None else repr(float(value))


@contextmanager
def _watcher(progress: bool) -> Iterator[Watcher]:
    from redoxa.data.progress import SILENT

    if not progress:
        yield SILENT
        return
    from redoxa.pipeline.commands.console import watching

    with watching() as watcher:
        yield watcher
