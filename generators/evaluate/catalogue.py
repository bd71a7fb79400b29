"""What each number of a scorecard is called and means: one line a metric, in the order of the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

Better = Literal["high", "low", ""]


@dataclass(frozen=True)
class Metric:
    """One line of a scorecard.

    Attributes:
        name: stable name in scorecard.json.
        title: for people.
        unit: "share" is between 0 and 1.
        better: which way is better; "" where neither is.
        meaning: one sentence.
    """

    name: str
    title: str
    unit: str
    better: Better
    meaning: str


def _group(*rows: tuple[str, str, str, Better, str]) -> tuple[Metric, ...]:
    return tuple(Metric(*row) for row in rows)


GROUPS: Final[dict[str, tuple[Metric, ...]]] = {
    "Structure prediction": _group(
        ("answered", "Answered", "share", "high", "True compositions for which there is at least one answer."),
        ("match_at_1", "Match@1", "share", "high",
         "Truths that the first answer matches (StructureMatcher stol 0.5, ltol 0.3, 10°), of all truths; nothing is "
         "filtered."),
        ("rmse_at_1", "RMSE@1", "", "low", "Mean distance of those matches, over (V/N)^(1/3)."),
        ("match_at_1_filtered", "Match@1, filtered", "share", "high",
         "As published by CDVAE and DiffCSP: a match counts only where answer and truth are both valid by structure "
         "(0.5 Å) and by SMACT; still of all truths."),
        ("rmse_at_1_filtered", "RMSE@1, filtered", "", "low", "Mean distance of the filtered matches."),
        ("match_at_k", "Match@k", "share", "high", "Truths that any of the first k answers matches."),
        ("rmse_at_k", "RMSE@k", "", "low", "Mean distance of the best of k."),
        ("match_at_k_filtered", "Match@k, filtered", "share", "high", "Filtered in the same way."),
        ("rmse_at_k_filtered", "RMSE@k, filtered", "", "low", "Mean distance of the filtered best of k."),
        ("metre", "METRe", "share", "high",
         "Truths that any sample of their reduced formula matches, whichever truth it was made for: polymorphs are no "
         "errors (arXiv:2509.12178)."),
        ("crmse", "cRMSE", "", "low", "Mean over all truths of the best distance, 0.5 for a truth without a match."),
        ("log_likelihood", "Log-likelihood, at least", "nat/atom", "high",
         "Mean over at most 100 truths of how likely the generator holds their geometry to be, given their elements: a "
         "density of fractional coordinates and log lattice, smoothed by 0.005. For generators that have one."),
        ("log_skeleton", "Log-probability of the skeleton, at least", "nat/crystal", "high",
         "The same of space group, elements and the positions that they occupy, geometry aside; of the sequence model, "
         "or an importance-weighted bound of the graph VAE's. Compares with no other likelihood."),
        ("log_elements", "Log-probability of the elements, at least", "nat/crystal", "high",
         "The same of the elements on the orbits of the true skeleton, mean over orders of revealing them."),
    ),
    "Validity": _group(
        ("readable", "Readable", "share", "high", "Files that hold an ordered crystal; the others count as invalid."),
        ("valid_structure", "Valid by distance", "share", "high",
         "No two atoms nearer than 0.5 Å, a cell of 0.1 Å³ or more (CDVAE)."),
        ("sane", "Sane contacts", "share", "high",
         "Stricter: contacts of at least 0.7 sums of covalent radii, packing as in real crystals."),
        ("charge_balanced", "Charge-balanced", "share", "high",
         "Common oxidation states make the cell neutral; alloys do not pass."),
        ("smact_valid", "SMACT-valid", "share", "high",
         "SMACT's published rule on pymatgen's oxidation states; alloys pass."),
    ),
    "Uniqueness and novelty": _group(
        ("unique", "Unique", "share", "high", "No earlier sample that StructureMatcher (0.2, 0.3, 5°) calls equal."),
        ("novel", "Novel by formula or skeleton", "share", "high", "At least one of the two next lines holds."),
        ("novel_formula", "Novel by formula", "share", "high", "Reduced formula in none of the known materials."),
        ("novel_skeleton", "Novel by skeleton", "share", "high",
         "Of samples with any symmetry: space group and occupied orbits are in no shipped template."),
        ("novel_family", "Novel by family", "share", "high",
         "Reduced formula in none of the known materials even when every transition metal (groups 3 to 12) is written "
         "M; real crystals: each with its own formula struck out of the table. Our measure."),
        ("novel_structure", "Novel by fingerprint", "share", "high",
         "No known crystal of the formula within fingerprint distance 0.15; where the table knows a formula without "
         "structure, the sample is not counted as novel."),
        ("memorised", "Copies of known crystals", "share", "low",
         "Within fingerprint distance 0.15, that of duplicates, of a known crystal of the formula (distances after "
         "arXiv:2009.02488); real crystals: each with its own entry left out."),
        ("memorised_family", "Copies but for the metals", "share", "",
         "The same where transition metals may be exchanged, in the same proportions."),
        ("nearest_known_median", "Distance to the nearest known crystal, median", "", "",
         "Fingerprint distance, metals exchanged; of samples that have a known crystal to be compared with."),
    ),
    "Symmetry": _group(
        ("p1", "In P1", "share", "low", "No symmetry but the lattice, at 0.1 Å."),
        ("p1_tight", "In P1 at 0.01 Å", "share", "low", "The same with the tight tolerance."),
        ("symmetry_kept", "Symmetry as meant", "share", "high",
         "Of samples whose label names a space group: spglib finds it at 0.01 Å, or a supergroup."),
        ("js_crystal_system", "Crystal systems, JS divergence", "bit", "low",
         "Jensen-Shannon divergence from the real crystals, P1 apart."),
        ("js_space_group", "Space groups, JS divergence", "bit", "low",
         "The same over the 230 groups; grows as samples become few."),
        ("commonest_group", "Commonest space group", "no.", "",
         "Its number, at 0.1 Å; real crystals: as their templates are written."),
        ("commonest_group_share", "Share of the commonest space group", "share", "", "One form for all is no design."),
    ),
    "Distribution": _group(
        ("wasserstein_density", "Density, Wasserstein", "g/cm³", "low", "Earth mover's distance from real crystals."),
        ("wasserstein_elements", "Number of elements, Wasserstein", "", "low", "The same for elements by crystal."),
        ("frechet", "Fréchet distance", "", "low",
         "Of Gaussians through 22 numbers a crystal (chemistry, volume, packing, neighbour distances, symmetry) in "
         "units of their spread among real crystals."),
        ("frechet_floor", "Fréchet distance of real crystals", "", "",
         "As many real crystals against the rest of them: what chance alone gives."),
        ("precision", "Precision", "share", "high",
         "Samples inside the ball of a real crystal, to its 5th neighbour among them, in those 22 numbers "
         "(arXiv:1904.06991)."),
        ("recall", "Recall", "share", "high",
         "Real crystals inside the ball of a sample, likewise; grows as samples become few and lie far apart."),
        ("density", "Density of samples", "", "high",
         "Balls of real crystals around a sample, over k = 5: 1 for real ones (arXiv:2002.09797)."),
        ("coverage", "Coverage", "share", "high",
         "Real crystals with a sample inside their ball, k = 5; falls as samples become few (arXiv:2002.09797)."),
        *((f"{name}_floor", f"{title} of real crystals", "share" if name != "density" else "", "",
           "As many real crystals against the rest of them.") for name, title in
          (("precision", "Precision"), ("recall", "Recall"), ("density", "Density"), ("coverage", "Coverage"))),
        ("vendi", "Vendi score", "", "high",
         "How many different crystals the samples amount to: Gaussian kernel of width 2 in those 22 numbers, as many "
         "samples as there are real crystals at most (arXiv:2210.02410)."),
        ("vendi_real", "Vendi score of real crystals", "", "", "Of as many real crystals."),
        ("vendi_ratio", "Vendi score over that of real crystals", "", "high", "1: as various as real crystals."),
        ("js_elements", "Elements, JS divergence", "bit", "low",
         "Jensen-Shannon divergence of how often elements occur, each once by crystal (doi:10.1109/18.61115)."),
        ("js_elements_floor", "Elements, JS divergence of real crystals", "bit", "",
         "As many real crystals against the rest of them: what chance alone gives."),
        ("two_metals", "Two transition metals or more", "share", "", "Different ones, of groups 3 to 12."),
        ("elements", "Elements by crystal", "", "", "Mean."),
        ("atoms", "Atoms by cell", "", "", "Mean, of the cell as it came."),
    ),
    "Relaxation by CHGNet": _group(
        ("converged", "Converged", "share", "high", "Largest force below 0.05 eV/Å within 300 steps."),
        ("energy_drop_median", "Energy drop, median", "eV/atom", "low", "From the sample as it came to its minimum."),
        ("energy_drop_mean", "Energy drop, mean", "eV/atom", "low", "The same, mean."),
        ("rmsd_median", "RMSD, median", "Å", "low",
         "Root mean square shift of the atoms, atom by atom in the relaxed cell, common drift removed."),
        ("volume_change_median", "Volume change, median", "", "low", "Size of the relative change."),
    ),
    "Stability": _group(
        ("hull_covered", "Hull known", "share", "high",
         "Converged samples whose elements all have a reference energy; the hull holds only the phases that ship."),
        ("hull_full", "Hull with a full phase", "share", "high",
         "Of those: a known phase holds all elements of the sample; without one the distance is a weak bound."),
        ("hull_phases_median", "Competing phases, median", "", "", "Known phases in the chemical system of a sample."),
        ("hull_median", "Above the hull, median", "eV/atom", "low", "Of those; a lower bound, for hulls lack phases."),
        ("stable", "On or below the hull", "share", "high", "Of those: at most 0 eV/atom."),
        ("metastable", "Within 0.1 eV/atom", "share", "high", "Of those: at most 0.1 eV/atom above the hull."),
        ("sun", "S.U.N.", "share", "high",
         "Of all samples sent to relaxation: at or below 0 eV/atom, unique and novel by fingerprint after relaxation."),
        ("msun", "M.S.U.N.", "share", "high", "The same with 0.1 eV/atom."),
        ("msun_full", "M.S.U.N. with a full phase", "share", "high",
         "Only where a known phase holds all elements of the sample: what a sparse hull cannot have given away."),
    ),
    "Cost": _group(
        ("per_second", "Samples a second", "1/s", "high", "Wall clock of sampling, as the machine was."),
        ("cpu_s_per_sample", "CPU by sample", "s", "low", "Processor time of sampling, without a first small call."),
        ("cpu_s_per_msun", "CPU by M.S.U.N. candidate", "s", "low",
         "Processor time of sampling and relaxing, over the M.S.U.N. candidates that came out of it."),
    ),
}  # fmt: skip


def metrics(k: int = 1) -> Iterator[tuple[str, Metric]]:
    """(group, metric) in order; the k of `match_at_k` filled in, its lines left out where k is 1."""
    for group, rows in GROUPS.items():
        for metric in rows:
            if "_at_k" not in metric.name:
                yield group, metric
            elif k > 1:
                name = metric.name.replace("_k", f"_{k}")
                yield group, Metric(name, metric.title.replace("@k", f"@{k}"), *_filled(metric, k))


def _filled(metric: Metric, k: int) -> tuple[str, Better, str]:
    return metric.unit, metric.better, metric.meaning.replace("first k", f"first {k}").replace("of k", f"of {k}")
