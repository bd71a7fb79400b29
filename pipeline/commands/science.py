"""`redoxa generate`, `screen` and `train`: the verbs without a campaign."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, get_args

from cyclopts import Parameter
from cyclopts.validators import Number

from redoxa.data.errors import InputError, StructureError
from redoxa.data.records import Verdict, WorkingIon
from redoxa.data.shipped import shipped
from redoxa.generators import DEFAULT_GENERATOR
from redoxa.generators.base import BUDGET_s
from redoxa.pipeline.commands.app import Json
from redoxa.pipeline.commands.interrupt import keeps

Count = Annotated[int, Parameter(name=["-n", "--count"], validator=Number(gte=1, lte=1_000_000))]


def generate(
    *,
    generator: str = DEFAULT_GENERATOR,
    family: str | None = None,
    best_of: Annotated[int, Parameter(validator=Number(gte=1, lte=64))] = 1,
    n: Count = 16,
    out: Path = Path("runs/generated"),
    elements: str | None = None,
    require: str | None = None,
    formula: str | None = None,
    compositions: Path | None = None,
    max_atoms: Annotated[int | None, Parameter(validator=Number(gte=1, lte=60))] = None,
    charge_neutral: bool = True,
    space_groups: str | None = None,
    like: Path | None = None,
    keep: str | None = None,
    drop: str | None = None,
    target: list[str] | None = None,
    seed: int = 0,
    checkpoint: Path | None = None,
    another_polymorph: Annotated[bool, Parameter(negative=())] = False,
    energies: bool = True,
    budget_s: Annotated[float, Parameter(validator=Number(gte=0))] = BUDGET_s,
    as_json: Json = False,
) -> None:
    """Sample crystals into a folder: CIF files, samples.extxyz and samples.csv, all in the same order.

    Args:
        generator: which one; `redoxa list generators` names them.
        family: of the model that writes the formulas of `composition`: dbn, exchange, hmm, independent, lstm (by
            default), mixture, rbm, transformer or wgan; where --checkpoint names weights, these say it themselves.
        best_of: new crystals that `orbits` draws for each that it makes: those that its energy model puts nearest to
            the hull. More of them relax to it, and sooner; no more are of a new family.
        n: how many.
        out: folder to write.
        elements: allowed elements, a hard mask, e.g. Li,Fe,P,O.
        require: elements every sample must hold, e.g. Li.
        formula: the likeliest structures of this formula, e.g. LiFePO4, in cells of every size up to --max-atoms, no
            two alike; fewer than -n where no more are known.
        compositions: file with one exact cell content a line (Li4Fe4P4O16); one sample a line, in order.
        max_atoms: largest cell: 20 unless said otherwise, 60 with --formula.
        charge_neutral: only compositions that common oxidation states balance; --formula and --compositions are
            taken as they are.
        space_groups: only these space groups or crystal systems, e.g. 62,166 or cubic.
        another_polymorph: with --formula or --compositions: only structures unlike every known crystal of the formula.
        like: structure file whose skeleton is filled with elements.
        keep: elements of --like that stay where they are, e.g. Fe,P,O. Where all of them stay, the one that --require
            names besides is put into the empty places.
        drop: elements that are first taken out of --like, e.g. Li.
        target: a range to aim at, e.g. average_voltage=3..4.5 (V) or capacity_grav=150.. (mAh/g); may be repeated. A
            property of an electrode needs its working ion in --require; other working ions (Li, Na, K, Mg, Ca, Zn, Al)
            are left out unless --elements or --require names them, and so is what cannot be oxidised. What is foreseen
            is in samples.csv.
        seed: the same seed gives the same samples.
        checkpoint: own weights instead of the shipped ones.
        energies: `orbits` relaxes its likely proposals and ranks them by energy too; --no-energies leaves that out.
        budget_s: processor time in seconds that relaxing the answers to --formula may take, by an estimate of 0.025 s
            an atom that is the same on every machine; what does not fit is named.
    """
    from redoxa.data.processor_time import processor_s
    from redoxa.pipeline.commands.console import emit, note, watching
    from redoxa.pipeline.results.samples import samples_of
    from redoxa.pipeline.tasks.generate import generate
    from redoxa.pipeline.tasks.generate_options import GenerateOptions

    options = GenerateOptions.read(
        n=n, elements=elements, require=require, formula=formula, compositions=compositions, max_atoms=max_atoms,
        charge_neutral=charge_neutral, space_groups=space_groups, like=like, keep=keep, drop=drop,
        targets=target or (), another_polymorph=another_polymorph,
    )  # fmt: skip
    before_s = processor_s()
    samples_of(out)  # a folder that cannot be used is refused before the work
    with watching(quiet=as_json) as watcher:
        made = generate(
            generator, options, seed, checkpoint, watcher,
            family=family, best_of=best_of, energies=energies, budget_s=budget_s,
        )  # fmt: skip
    made.write(out)
    spent_s = processor_s() - before_s
    if as_json:
        emit("samples", folder=out, count=len(made), notes=made.notes, processor_time_s=round(spent_s, 2))
        return
    for line in made.notes:
        note(line)
    note(f"{len(made)} structures in {out}, {spent_s:.0f} s of processor time")
    ion = next((x for x in (require or "").split(",") if x in get_args(WorkingIon)), "Li")
    note(f"next: redoxa screen {out} --ion {ion}")


def screen(
    *files: Path,
    ion: str = "Li",
    exchange: str | None = None,
    profile: Annotated[int | None, Parameter(validator=Number(gte=0, lte=7))] = None,
    orderings: Annotated[int | None, Parameter(validator=Number(gte=1, lte=20))] = None,
    barriers: Annotated[int | None, Parameter(validator=Number(gte=0, lte=8))] = None,
    html: Path | None = None,
    as_json: Json = False,
    campaign: Path | None = None,
    trust_sites: Annotated[bool, Parameter(negative="")] = False,
    workers: Annotated[int, Parameter(validator=Number(gte=0))] = 0,
    store: Annotated[str | None, Parameter(name="--store", help="keep and reuse relaxations in this store")] = None,
) -> int:
    """Assess structures as electrodes: voltage, capacity, energy above the hull, volume change, and a page with cards.

    Args:
        files: CIF, POSCAR, extended XYZ or JSON files (pymatgen, Materials Project, OPTIMADE), or folders of them. A
            host without the ion is taken as the charged state, and the ion is put into its holes.
        ion: working ion: Li, Na, K, Mg, Ca, Zn or Al.
        exchange: ion in the files that the working ion takes the place of, at the same charge, before the screening.
        profile: states of partial charge, for the steps of the voltage; 3 unless a campaign says otherwise; 0 for none.
        orderings: arrangements of the ions that are relaxed for each of them; 2 unless a campaign says otherwise.
        barriers: kinds of hops whose migration barrier is computed, a minute or more each; none by default.
        html: file for the page with a card for each structure; by default screening.html beside the store or in runs,
            and none with --json.
        campaign: take the screen section of this campaign (file, name or id); by default nothing is rejected by limits.
        trust_sites: read a CIF as its sites stand where its formula, multiplicities or volume contradict them; without
            it such a file is refused. A remark stays with every result.
        workers: processes; 0 means one for each core.
    """
    from redoxa.pipeline.commands.console import emit, note, watching
    from redoxa.pipeline.commands.screen_table import print_table
    from redoxa.pipeline.tasks.screen import ScreenOptions, default_page, working_ion
    from redoxa.pipeline.tasks.screen import screen as run_screening

    moves, replaced = working_ion(ion, "--ion"), None if exchange is None else working_ion(exchange, "--exchange")
    options = ScreenOptions(moves, campaign, workers, store, profile, orderings, barriers, replaced, trust_sites)
    if not files:
        raise StructureError("name at least one structure file")
    keeps(lambda: f"relaxations are kept in {store}" if store else "without --store nothing is kept")
    with watching(quiet=as_json) as watcher:
        found = run_screening(
            files, options, (lambda x: emit("screening", **x.to_json())) if as_json else None, watcher
        )
    if not as_json:
        print_table(found)
    unusable = [one for one in found if one.result is None]
    for one in unusable:
        sys.stderr.write(f"redoxa: {one.problem}\n")
    if len(unusable) == len(found):
        return 2
    if html is not None or not as_json:
        page = found.write_page(html or default_page(store))
        note(f"cards of {len(found)} structures in {page}")
    return 1 if any(one.verdict is Verdict.ERROR for one in found) else 0


def train(
    *paths: Path,
    generator: str = "flow",
    data: Path | None = None,
    hosts: Path | None = None,
    start: Path | None = None,
    out: Path = Path("runs/train"),
    steps: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    rate: Annotated[float | None, Parameter(validator=Number(gt=0))] = None,
    edges: Annotated[int | None, Parameter(validator=Number(gte=400))] = None,
    seed: int = 0,
    workers: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    resume: bool = True,
    as_json: Json = False,
) -> None:
    """Train a generator on crystals; goes on from the last checkpoint in the folder.

    Args:
        paths: folders of structure files (CIF, POSCAR, extended XYZ, JSON) or such files, or one table of crystals
            (.parquet, .csv; columns: docs/concepts/generators.md) or a tensor file prepared from it (.safetensors).
            Models of formulas and cells take several tables, which need no positions.
        generator: flow, diffusion, vae, wyckoff (the sequence model that vae starts from), composition-lstm,
            composition-transformer, composition-rbm, composition-dbn (a second machine on that of composition-rbm),
            composition-wgan (formulas alone), composition-dbm (formulas with formation energy, band gap, volume,
            lattice system and voltage, where the tables have them), or, fitted at once, composition-exchange,
            composition-hmm, composition-independent, composition-mixture and composition-softmax; cells (densities of
            unit cells given formula and space group); orbits (its networks) or geometry (its flow of free coordinates
            and cells), which learn from the templates that ship where no crystals are named, and take a table of
            templates too.
        data: one such path, by name.
        hosts: one more table, of insertion hosts with voltages, for diffusion and vae to aim at them.
        start: weights to begin with, for fine-tuning, or `shipped` for those that ship: of flow or diffusion for
            these, of wyckoff for vae and wyckoff, of vae for vae; by default random ones, and for vae those of wyckoff
            that ship. Of orbits: all stays but what foresees distances from the hull, which is trained anew. Of
            composition-dbn and composition-dbm: weights of composition-rbm, by default those that ship; they stay.
        out: folder for checkpoints, the log (JSON lines), and a page of the losses that reloads itself while it runs.
        steps: optimiser steps in all; by default 4,000 for composition-dbm, 6,000 for cells, orbits, composition-lstm
            and composition-transformer, 9,000 for geometry, 10,000 for composition-rbm and composition-dbn, 15,000 for
            composition-wgan, 30,000 for the others.
        rate: highest learning rate; by default 0.001, for vae and wyckoff 0.0015, for cells, composition-lstm
            and composition-rbm 0.002, for composition-wgan 0.0005.
        edges: pairs of atoms in a batch of flow and diffusion, by default 4,608; on a GPU 24576 with --rate 0.0015 is a
            good start.
        seed: of weights, data order and noise.
        workers: processes, each with one thread and its share of every batch, by default 1; for orbits, all cores are
            used.
        resume: --no-resume starts anew.
    """
    from redoxa.generators.training.kinds import Option, training_of
    from redoxa.generators.training.loop import TrainConfig
    from redoxa.pipeline.commands.console import emit, watching
    from redoxa.pipeline.tasks.train import fit_to_folder, train_on_templates, train_to_folder
    from redoxa.pipeline.tasks.training_data import training_tables

    kind = training_of(generator)
    options: dict[Option, object] = {
        "edges": edges, "start": start, "rate": rate, "hosts": hosts, "steps": steps, "workers": workers,
    }  # fmt: skip
    kind.check([name for name, value in options.items() if value is not None])
    if start == Path("shipped"):
        start = shipped(kind.shipped or f"{generator}.safetensors")
    if paths and data is not None:
        raise InputError("--data: crystals are named already; leave it out, or name it alone")
    named = paths or ((data,) if data else ())
    templates = kind.learns == "templates"
    if templates and start is not None and named:
        raise InputError(f"--start: of {generator}, it goes on from the labels that ship; name no crystals beside it")
    steps = steps or kind.steps
    with watching() as watcher:
        beside = [path for path in (hosts, start) if path]
        tables = training_tables(named, beside, out, watcher, kind.several_tables) if named else []
        if templates:
            table = tables[0] if tables else None
            weights = train_on_templates(generator, table, start, out, steps=steps, seed=seed, watcher=watcher)
        elif not tables:
            raise InputError("name crystals to train on: a folder of structure files, or a table (.parquet, .csv)")
        elif kind.fit is not None:
            weights = fit_to_folder(generator, tables, out, seed=seed, watcher=watcher)
        else:
            config = TrainConfig(
                out, steps=steps, decay_steps=max(1, 3 * steps // 5), warmup_steps=min(500, max(1, steps // 3)),
                seed=seed, workers=workers or 1,
            )  # fmt: skip
            weights = train_to_folder(
                generator, tables, config, hosts=hosts, start=start, rate=rate, edges=edges, resume=resume,
                watcher=watcher,
            )  # fmt: skip
    if as_json:
        emit("weights", file=weights, generator=generator)
