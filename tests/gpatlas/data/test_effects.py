"""gpatlas.data.effects: the two parts of genetic values, worked out by hand and by the formula."""

import numpy as np
import pytest
from by_hand import PACKED, by_hand

from gpatlas.data import effects as effects_module
from gpatlas.data.effects import Effects
from gpatlas.data.genotypes import pack


def test_parts_by_hand() -> None:
    additive, epistatic = by_hand().parts(PACKED)
    # individual 1: x0 = 1, x1 = x2 = x9 = −1; individual 2: x1 = x9 = 1, x0 = x2 = −1; individual 3: x0 = x1 = x2 = 1, x9 = −1
    assert additive.tolist() == [[1 - 2 - 4 - 8, 1 + 1 - 0.5], [-1 + 2 - 4 + 8, -1 - 1 - 0.5], [1 + 2 + 4 - 8, 1 - 1 + 0.5]]
    assert epistatic.tolist() == [[-16 + 32, 3 - 5], [-16 - 32, 3 + 5], [-16 + 32, -3 + 5]]


def test_parts_ignore_the_spare_bits() -> None:
    """AlphaSimR's spare bits are random."""
    spoilt = PACKED.copy()
    spoilt[:, 1] |= 0b11111100
    for part, clean in zip(by_hand().parts(spoilt), by_hand().parts(PACKED), strict=True):
        assert part.tolist() == clean.tolist()


@pytest.mark.parametrize("n", [1, 8, 100])
@pytest.mark.parametrize("lookup_block", [3, 16])
def test_parts_are_the_formula(n: int, lookup_block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Traits 1 and 2 share their pairs, of which there are 9: more than a byte holds."""
    monkeypatch.setattr(effects_module, "LOOKUP_BLOCK", lookup_block)
    random = np.random.default_rng(n)
    alleles, pairs = random.integers(0, 2, (n, 21), dtype=np.uint8), [random.permutation(21)[:18].reshape(-1, 2) for _ in range(2)]
    effects = Effects(
        random.standard_normal((21, 3)), np.array(pairs, dtype=np.int32)[[0, 0, 1]], random.standard_normal((3, 9)), np.zeros(3)
    )
    x = 2.0 * alleles - 1
    additive, epistatic = effects.parts(pack(alleles))
    np.testing.assert_allclose(additive, x @ effects.additive, atol=1e-12)
    for trait, (first, second) in enumerate(effects.pairs.transpose(0, 2, 1)):
        np.testing.assert_allclose(epistatic[:, trait], (x[:, first] * x[:, second]) @ effects.epistatic[trait], atol=1e-12)


@pytest.mark.parametrize(("chosen", "numbers"), [([0, 1], [0, 1]), ([1], [1]), ([0], [0])])
def test_effects_of_some_traits(chosen: list[int], numbers: list[int]) -> None:
    some, of_all = by_hand().traits(chosen), by_hand()
    assert some.intercept.tolist() == of_all.intercept[numbers].tolist()
    for part, whole in zip(some.parts(PACKED), of_all.parts(PACKED), strict=True):
        assert part.tolist() == whole[:, numbers].tolist()
