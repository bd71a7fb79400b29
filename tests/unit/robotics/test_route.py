import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redoxa.data.errors import CanBeBoughtError, NoPrecursorError, RecipeError
from redoxa.data.synthesis.atmosphere import needs_reduction, would_oxidise
from redoxa.data.synthesis.catalogue import default_catalogue
from redoxa.data.synthesis.formula import parse_formula
from redoxa.data.synthesis.reaction import Reaction
from redoxa.data.synthesis.route import RouteEnergy, compatible, find_routes


def best(target: str, missing: frozenset[str] = frozenset()) -> Reaction:
    return find_routes(target, default_catalogue().without(missing))[0].reaction


def sources(reaction: Reaction) -> set[str]:
    return {p.formula for p, _ in reaction.terms}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("LiFePO4", {"Li2CO3", "FeC2O4·2H2O", "NH4H2PO4"}),  # iron(II), not iron(III)
        ("LiCoO2", {"Li2CO3", "Co3O4"}),
        ("LiMn2O4", {"Li2CO3", "Mn2O3"}),
        ("NaMnO2", {"Na2CO3", "Mn2O3"}),
        ("Na3V2(PO4)3", {"Na2CO3", "V2O3", "NH4H2PO4"}),  # vanadium(III)
        ("LiNi0.5Mn1.5O4", {"Li2CO3", "NiO", "MnO2"}),
        ("LiVPO5", {"Li2CO3", "VO2", "NH4H2PO4"}),  # vanadium(IV)
        ("LiFeSO4F", {"LiF", "FeSO4"}),  # not the hydrate, whose water would make HF
        ("Na2FePO4F", {"Na4P2O7", "FeO", "FeF2"}),  # no acid salt beside the fluoride
        ("LiTi2O4", {"Li2CO3", "TiO2", "Ti2O3"}),  # titanium(3.5): two sources that meet in the middle
        ("LiTiS2", {"Li2S", "Ti", "TiS2"}),
        ("Mg2Mo6S8", {"MgS", "Mo", "MoS2"}),
        ("Li3FeF6", {"LiF", "FeF3"}),
    ],
)
def test_precursors_of_the_nearest_oxidation_state_are_chosen(target: str, expected: set[str]) -> None:
    assert sources(best(target)) == expected


def test_a_poorer_laboratory_reduces_vanadium_five() -> None:
    reaction = best("Na3V2(PO4)3", frozenset({"V2O3", "VO2", "VF3", "V"}))
    assert "V2O5" in sources(reaction)
    assert reaction.gases["H2"] < 0


@pytest.mark.parametrize(
    ("target", "elements"),
    [("AgO", ("Ag",)), ("LiC6", ("C", "Li")), ("K2MnFe(CN)6", ("C", "Fe", "K", "Mn")), ("Na3MnPCO7", ("C",))],
)
def test_an_element_without_a_source_is_named(target: str, elements: tuple[str, ...]) -> None:
    with pytest.raises(NoPrecursorError) as caught:
        find_routes(target, default_catalogue())
    assert set(elements) >= set(caught.value.elements)
    assert caught.value.elements
    assert all(e in str(caught.value) for e in caught.value.elements)


def test_what_balances_only_with_a_left_over_has_no_route() -> None:
    with pytest.raises(RecipeError, match="no set of them"):
        find_routes("Li2Ti3N2O4", default_catalogue())


def test_metal_powder_never_meets_sulfur_or_oxides() -> None:
    for target in ("LiTiS2", "MgTi2S4", "NaCrS2", "LiVS2", "LiTi2O4", "AlV2O4"):
        for route in find_routes(target, default_catalogue()):
            hazards = {h for p, _ in route.reaction.terms for h in p.hazards}
            assert not {"metal_fuel", "metal_oxidiser"} <= hazards, route.reaction.text
            assert not ("metal_fuel" in hazards and "O" in route.reaction.product), route.reaction.text


def test_nitrates_are_never_reduced() -> None:
    for target in ("Li2CrWO6", "Li4Cr3CoO8", "LiV2O4", "LiTiO2", "LiMoO2"):
        try:
            routes = find_routes(target, default_catalogue())
        except RecipeError:
            continue
        for route in routes:
            assert not (
                needs_reduction(route.reaction) and any("oxidiser" in p.hazards for p, _ in route.reaction.terms)
            ), route.reaction.text


def test_oxidiser_with_fuel_is_incompatible() -> None:
    rows = default_catalogue().by_formula
    assert not compatible((rows["LiNO3"], rows["FeC2O4·2H2O"]))
    assert not compatible((rows["S"], rows["Ti"]))
    assert not compatible((rows["Li2S"], rows["MnCO3"]))
    assert compatible((rows["LiNO3"], rows["NiO"]))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.sampled_from(["Li", "Na", "K", "Mg", "Ca", "Zn"]),
    st.integers(1, 3),
    st.sampled_from(["Ti", "V", "Mn", "Fe", "Co", "Ni", "Cr"]),
    st.integers(1, 3),
    st.sampled_from(["O2", "O4", "PO4", "SiO4", "P2O7", "BO3", "PO4F", "S2", "F6"]),
)
def test_every_route_conserves_every_element(ion: str, n: int, metal: str, m: int, anion: str) -> None:
    target = f"{ion}{n}{metal}{m}{anion}"
    try:
        routes = find_routes(target, default_catalogue())
    except RecipeError:
        return
    for route in routes:
        assert route.reaction.imbalance() == {}
        assert all(coefficient > 0 for _, coefficient in route.reaction.terms)
        solid = {e for p, _ in route.reaction.terms for e in p.solid}
        assert solid - {"O"} <= route.reaction.product.keys() - {"O"}  # nothing but gas is left over


@pytest.mark.parametrize(
    "target", ["LiMnO2", "LiFePO4", "LiVO2", "NaCrO2", "LiTi2O4", "Li2MoO3", "LiCrO2", "Na3V2(PO4)3"]
)
def test_what_hot_air_would_oxidise_is_told(target: str) -> None:
    assert would_oxidise(parse_formula(target))
    assert find_routes(target, default_catalogue())[0].atmosphere in ("argon", "argon/hydrogen 95/5")


@pytest.mark.parametrize(
    "target",
    ["LiCoO2", "LiMn2O4", "Li2MnO3", "NaMnO2", "Na0.67MnO2", "LiNi0.5Mn1.5O4", "LiNi0.5Mn0.5O2", "Li4Ti5O12", "ZnMn2O4",
     "LiMnPO4", "LiFeO2", "LiTiS2", "KMnO2"],
)  # fmt: skip
def test_what_stands_in_hot_air_is_told(target: str) -> None:
    assert not would_oxidise(parse_formula(target))


@pytest.mark.parametrize("target", ["TiO2", "WO3", "LiF", "Li2O", "S", "Ti2O4"])
def test_what_one_can_buy_is_not_made(target: str) -> None:
    with pytest.raises(CanBeBoughtError, match="buy it"):
        find_routes(target, default_catalogue())


def test_energies_put_an_uphill_reaction_behind() -> None:
    taken, other, *_ = find_routes("LiFePO4", default_catalogue())
    uphill = {taken.reaction.text: 0.2}

    def energies(reaction: Reaction, _atmosphere: str) -> RouteEnergy:
        return RouteEnergy(uphill.get(reaction.text, -0.1), -0.05, ("FePO4",))

    first, *_, last = find_routes("LiFePO4", default_catalogue(), energies)
    assert first.reaction == other.reaction
    assert last.reaction == taken.reaction
    assert last.cost == pytest.approx(taken.cost + 2.0)  # 10 electrons by eV/atom
    assert first.cost == pytest.approx(other.cost)
    assert "-0.100 eV/atom" in first.text
