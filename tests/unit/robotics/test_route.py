import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import NoPrecursorError, RecipeError
from data.synthesis.catalogue import default_catalogue
from data.synthesis.reaction import Reaction
from data.synthesis.route import compatible, find_routes, needs_reduction


def best(target: str, missing: frozenset[str] = frozenset()) -> Reaction:
    return find_routes(target, default_catalogue().without(missing))[0]


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
        ("KVPO4F", {"KF", "V2O3", "NH4H2PO4"}),
        ("LiFeSO4F", {"LiF", "FeSO4·7H2O"}),
        ("LiTi2O4", {"Li2CO3", "TiO2", "Ti2O3"}),  # titanium(3.5): two sources that meet in the middle
        ("LiTiS2", {"Li2S", "Ti", "TiS2"}),
        ("Mg2Mo6S8", {"MgS", "Mo", "MoS2"}),
        ("Li3FeF6", {"LiF", "FeF3"}),
    ],
)
def test_precursors_of_the_nearest_oxidation_state_are_chosen(target: str, expected: set[str]) -> None:
    assert sources(best(target)) == expected


def test_a_poorer_laboratory_reduces_vanadium_five() -> None:
    route = best("Na3V2(PO4)3", frozenset({"V2O3", "VO2", "VF3", "V"}))
    assert "V2O5" in sources(route)
    assert needs_reduction(route)


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
        find_routes("Li2FeSO2", default_catalogue())  # an oxysulfide: carbonates would burn the sulfide


def test_metal_powder_never_meets_sulfur_or_oxides() -> None:
    for target in ("LiTiS2", "MgTi2S4", "NaCrS2", "LiVS2", "LiTi2O4", "AlV2O4"):
        for route in find_routes(target, default_catalogue()):
            hazards = {h for p, _ in route.terms for h in p.hazards}
            assert not {"metal_fuel", "metal_oxidiser"} <= hazards, route.text
            assert not ("metal_fuel" in hazards and "O" in route.product), route.text


def test_nitrates_are_never_reduced() -> None:
    for target in ("Li2CrWO6", "Li4Cr3CoO8", "LiV2O4", "LiTiO2", "LiMoO2"):
        try:
            routes = find_routes(target, default_catalogue())
        except RecipeError:
            continue
        for route in routes:
            assert not (needs_reduction(route) and any("oxidiser" in p.hazards for p, _ in route.terms)), route.text


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
        assert route.imbalance() == {}
        assert all(coefficient > 0 for _, coefficient in route.terms)
        solid = {e for p, _ in route.terms for e in p.solid}
        assert solid - {"O"} <= route.product.keys() - {"O"}  # nothing but gas is left over
