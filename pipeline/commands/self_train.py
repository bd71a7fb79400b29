"""`redoxa self-train`: `orbits` draws, screening judges, and what is new and near the hull is learned from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from redoxa.pipeline.commands.app import Json
from redoxa.pipeline.commands.science import Count

if TYPE_CHECKING:
    from redoxa.pipeline.self_training.loop import Outcome

Natural = Annotated[int, Parameter(validator=Number(gte=0))]


def self_train(
    *,
    rounds: Annotated[int, Parameter(validator=Number(gte=1))] = 2,
    n: Count = 200,
    final: Natural = 0,
    out: Path = Path("runs/self"),
    ion: str | None = None,
    elements: str | None = None,
    max_atoms: Annotated[int, Parameter(validator=Number(gte=1, lte=60))] = 20,
    charge_neutral: bool = False,
    space_groups: str | None = None,
    target: list[str] | None = None,
    limit: float = 0.1,
    learn: bool = True,
    confirm: bool = True,
    steps: Annotated[int, Parameter(validator=Number(gte=1))] = 300,
    rate: Annotated[float, Parameter(validator=Number(gt=0))] = 5e-4,
    share: Annotated[float, Parameter(validator=Number(gt=0, lte=0.5))] = 0.5,
    checkpoint: Path | None = None,
    seed: int = 0,
    workers: Natural = 0,
    as_json: Json = False,
) -> None:
    """Fine-tune `orbits` on its own crystals that are unique, novel and near the hull; goes on where it was stopped.

    Writes orbits.safetensors (for `redoxa generate --generator orbits --checkpoint`), found.parquet (every crystal with
    its hull distance) and rounds.json (what each round gave).

    Args:
        rounds: of drawing, screening and learning.
        n: crystals of a round.
        final: crystals that are drawn with the last weights and screened, to see what was gained.
        out: folder for everything.
        ion: element that every crystal must hold, e.g. Li.
        elements: allowed elements, e.g. Li,Fe,P,O.
        max_atoms: largest cell.
        charge_neutral: only compositions that common oxidation states balance.
        space_groups: only these space groups or crystal systems, e.g. 62,166 or cubic.
        target: a range to aim at while drawing, as for `redoxa generate`; may be repeated.
        limit: farthest above the known hull that counts as near, in eV/atom.
        learn: --no-learn does the same rounds without fine-tuning, to compare with.
        confirm: crystals to learn from are relaxed with all atoms free as well; --no-confirm stays in their symmetry.
        steps: of each fine-tuning.
        rate: largest learning rate.
        share: of a batch that found crystals may take; the rest is real.
        checkpoint: weights to begin with, instead of the shipped ones.
        seed: of drawing and learning.
        workers: processes that relax; 0 means one for each core.
    """
    from redoxa.generators.orbits.self_training import FineTuning
    from redoxa.pipeline.commands.console import note, progress_bars
    from redoxa.pipeline.self_training.files import write_outcome
    from redoxa.pipeline.self_training.loop import Plan, self_train
    from redoxa.pipeline.tasks.generate_options import GenerateOptions

    condition = GenerateOptions.read(
        n=1, elements=elements, require=ion, formula=None, compositions=None, max_atoms=max_atoms,
        charge_neutral=charge_neutral, space_groups=space_groups, targets=target or (),
    ).condition  # fmt: skip
    tuning = FineTuning(steps, rate, share) if learn else None
    plan = Plan(rounds, n, final, condition, limit, tuning, confirm, checkpoint, out, seed, workers)
    with progress_bars(quiet=as_json) as on_progress:
        outcome = self_train(plan, on_progress)
    write_outcome(plan, outcome)
    print_rounds(outcome, as_json=as_json)
    note(f"{'weights and ' if outcome.weights else ''}all crystals in {out}")
    if outcome.weights:
        note(f"next: redoxa generate --generator orbits --checkpoint {out / 'orbits.safetensors'}")


def print_rounds(outcome: Outcome, *, as_json: bool) -> None:
    """The rounds on stdout."""
    from redoxa.pipeline.commands.console import emit, table
    from redoxa.pipeline.self_training.files import rounds_json
    from redoxa.pipeline.self_training.rows import round_values

    if as_json:
        for values in rounds_json(outcome):
            emit("round", **values)
        return
    shown = []
    for number, (found, cpu_s) in enumerate(zip(outcome.found, outcome.cpu_s, strict=True), 1):
        row: dict[str, object] = {"round": number, "sampled": len(found)}
        for name, value in round_values(found, cpu_s).items():
            if name == "sampled" or value.value is None:
                continue
            between = "" if value.low is None or value.high is None else f" ({value.low:.2f}-{value.high:.2f})"
            row[name] = f"{value.value:.3f}{between}" if name != "cpu_s" else f"{value.value:.0f}"
        shown.append(row)
    table("shares of all that were drawn, with 95 % intervals; eV/atom above the known hull", shown, list(shown[0]))
