"""gpatlas.models.network: sparse products of loci beside a linear layer, what they learn, and which loci are in them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diploids import own_population
from populations import QUIET, Recorder, fit_small, part_of, random_part, random_tensors, write_dataset
from torch.nn.functional import l1_loss

from gpatlas.data.genotypes import MISSING, Genotypes
from gpatlas.models.contract import Part
from gpatlas.models.mlp import adamw_step
from gpatlas.models.network import CodedLoci, InteractionNetwork, Products, fit, loci_in_products, network_recipe, standardised_values
from gpatlas.models.network_settings import NetworkSettings
from gpatlas.models.training import train_recipe
from gpatlas.settings import build

SMALL: dict[str, Any] = {"threads": 1, "device": "cpu", "protocol": "holdout", "learning_rate": 0.01}


def pair_part(n: int = 300, n_loci: int = 10, noise: float = 0.1) -> Part:
    """An additive trait of locus 1, and a trait of the product of the loci 3 and 8 alone."""
    random = np.random.default_rng(1)
    alleles = random.integers(0, 2, (n, n_loci), dtype=np.uint8)
    x = 2.0 * alleles - 1
    return part_of(alleles, np.column_stack([x[:, 0], x[:, 2] * x[:, 7]]) + noise * random.standard_normal((n, 2)))


# What is computed


def test_a_trait_is_a_linear_part_and_products_of_standardised_loci() -> None:
    torch.manual_seed(1)
    counts = np.random.default_rng(2).integers(0, 4, (50, 7), dtype=np.uint8)
    assert MISSING in counts
    genotypes, loci = Genotypes.of(counts), np.array([0, 2, 3, 6])
    values = standardised_values(genotypes)
    network = InteractionNetwork(21, torch.from_numpy(values[loci]), torch.from_numpy(loci), 2, 0.1)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    one_hot = (counts[:, :, None] == np.arange(3)).astype(np.float64)
    z = np.einsum("nlc,lc->nl", one_hot, values)[:, loci]
    weight, bias, first, second = (parameter.detach().numpy() for parameter in network.parameters())
    w = (first * second).reshape(4, 2, 4)
    expected = one_hot.reshape(50, -1) @ weight.T + bias + np.einsum("ni,itj,nj->nt", z, w, z)
    np.testing.assert_allclose(network(torch.from_numpy(one_hot.reshape(50, -1)).float()).detach(), expected, rtol=1e-4, atol=1e-4)


def test_loci_are_standardised_by_calls_alone_and_constant_ones_are_0() -> None:
    counts = np.random.default_rng(2).integers(0, 4, (50, 7), dtype=np.uint8)
    counts[:, 1], counts[:, 4] = 2, MISSING
    values = standardised_values(Genotypes.of(counts))
    assert not values[[1, 4]].any()
    for locus in (0, 2, 3, 5, 6):
        z = values[locus][counts[counts[:, locus] != MISSING, locus]]
        assert (z.mean(), z.var()) == pytest.approx((0, 1), abs=1e-9)


def test_the_penalty_is_that_on_absolute_weights_where_factors_are_alike() -> None:
    products = Products(2, 1, 0.0)
    w = torch.tensor([[0.25, -4.0], [0.0, 1.0]])
    with torch.no_grad():
        products.first.copy_(w.abs().sqrt())
        products.second.copy_(w.abs().sqrt() * w.sign())
    assert float(products.penalty().detach()) == pytest.approx(5.25)
    torch.testing.assert_close(products.first * products.second, w)


def test_a_step_follows_the_penalty() -> None:
    """As PyTorch's Adam does, on the sum of error and penalty."""
    coded = CodedLoci.of(random_part(30, 10, 2), 10)
    settings = NetworkSettings(**SMALL)
    ours, expected = (network_recipe(coded, 0.7, settings).network(20, 2) for _ in range(2))
    step, optimiser = network_recipe(coded, 0.7, settings).step(ours), torch.optim.Adam(expected.parameters(), 0.01)
    for seed in range(5):
        inputs, wanted = random_tensors(30, 10, 2, seed)
        step(inputs, wanted, 0.01)
        optimiser.zero_grad()
        (l1_loss(expected(inputs), wanted) + 0.7 * coded.noise_level / 2 * expected.products.penalty()).backward()
        optimiser.step()
    for one, other in zip(ours.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_penalty_above_the_noise_level_leaves_no_products_of_noise() -> None:
    """The slope by a weight of a pair is a mean of n signs: 0 with SE 1/√n; that of the strongest of all is below the noise level's 1.5."""
    train, validation = random_part(400, 12, 2), random_part(100, 12, 2, seed=2)
    settings = NetworkSettings(**SMALL, epochs=60, patience=60)
    coded = CodedLoci.of(train, 12)
    weights = []
    for penalty in (0.0, 1.5):
        recipe = network_recipe(coded, penalty, settings)
        network = recipe.network(24, 2)
        step = recipe.step(network)
        for _ in range(60):
            step(
                torch.from_numpy(np.eye(2)[train.genotypes.counts()].reshape(400, -1)).float(),
                torch.from_numpy(train.phenotypes).float(),
                0.01,
            )
        weights.append(float((network.products.first * network.products.second).detach().abs().max()))
    assert weights[1] < 1e-3 < 1e-2 < weights[0]
    assert train_recipe(network_recipe(coded, 1.5, settings), train, validation, settings, QUIET).training.loss > 0


def test_adamw_without_a_penalty_is_what_it_was() -> None:
    networks = [InteractionNetwork(8, torch.ones(4, 2), torch.arange(4), 2, 0.1) for _ in range(2)]
    steps = [adamw_step(networks[0], 0.1), adamw_step(networks[1], 0.1, lambda: torch.zeros(()))]
    for step in steps:
        step(*random_tensors(9, 4, 2), 0.01)
    for one, other in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        assert torch.equal(one, other)


# What is learned


def test_it_learns_what_is_additive_and_a_pair_that_no_linear_model_sees() -> None:
    everyone = pair_part()
    train, validation, test = (everyone.rows(np.arange(*ends)) for ends in ((0, 200), (200, 240), (240, 300)))
    fitted = fit(train, validation, NetworkSettings(**SMALL, epochs=100), QUIET)["network"]
    predicted = fitted.predict(test.genotypes)
    assert [np.corrcoef(predicted[:, t], test.phenotypes[:, t])[0, 1] > 0.98 for t in (0, 1)] == [True, True]
    assert fitted.columns["penalty"] in NetworkSettings().penalties


def test_it_finds_pairs_that_ridge_cannot(tmp_path: Path) -> None:
    """10 pairs among 190, no additive variance to speak of: a linear model has r 0 but for chance, SE 1/√75."""
    source = write_dataset(tmp_path, n_individuals=500, n_loci=20, n_qtl=20, rel_aa=(2000.0,), h2=0.99)
    network = fit_small("network", source, protocol="holdout", penalties=(0.2,), learning_rate=0.01, epochs=60)["pearson_r"][0]
    assert network > 0.97
    assert abs(fit_small("ridge", source, protocol="holdout")["pearson_r"][0]) < 0.02 + 4 / np.sqrt(75)


def test_the_penalty_is_the_one_of_the_smallest_loss_fitted_again() -> None:
    everyone = pair_part(noise=1.0)
    train, validation = everyone.rows(np.arange(200)), everyone.rows(np.arange(200, 300))
    settings = NetworkSettings(**SMALL, epochs=40, penalties=(8.0, 1.0, 0.1))
    fitted = fit(train, validation, settings, QUIET)["network"]
    coded = CodedLoci.of(train, 10)
    losses = {
        p: train_recipe(network_recipe(coded, p, settings), train, validation, settings, QUIET).training.loss for p in settings.penalties
    }
    assert fitted.columns["penalty"] == min(losses, key=losses.__getitem__)
    alone = fit(train, validation, settings.model_copy(update={"penalties": (fitted.columns["penalty"],)}), QUIET)["network"]
    np.testing.assert_array_equal(alone.predict(everyone.genotypes), fitted.predict(everyone.genotypes))


def test_one_seed_gives_one_result_and_another_another() -> None:
    train, validation = random_part(60, 8, 2), random_part(20, 8, 2, seed=2)
    first, again, other = (
        fit(train, validation, NetworkSettings(**SMALL, epochs=3, batch_size=16, seed=seed), Recorder())["network"].predict(
            validation.genotypes
        )
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_diploids_with_missing_calls() -> None:
    """Own data of 12 loci; an individual without any call is predicted as one of mean genotype, by the intercept."""
    population = own_population()
    everyone = Part(population.genotypes, np.nan_to_num(population.phenotypes))
    train, validation = everyone.rows(np.arange(60)), everyone.rows(np.arange(60, len(everyone.phenotypes)))
    fitted = fit(train, validation, NetworkSettings(**SMALL, epochs=5), QUIET)["network"]
    assert np.isfinite(fitted.predict(everyone.genotypes)).all()
    unknown = replace(everyone.genotypes, packed=np.full_like(everyone.genotypes.packed, 255)).rows(slice(0, 2))
    assert (unknown.counts() == MISSING).all()
    predicted = fitted.predict(unknown)
    assert np.array_equal(predicted[0], predicted[1])


# Which loci


def test_all_loci_are_in_the_products_where_they_are_few() -> None:
    assert loci_in_products(pair_part(), 10).tolist() == list(range(10))


def test_of_linked_neighbours_one_is_in_the_products() -> None:
    part = pair_part()
    copies = part_of(np.repeat(part.genotypes.counts(), 3, axis=1), part.phenotypes)
    assert loci_in_products(copies, 10).tolist() == [1 + 3 * locus for locus in range(10)]


def test_of_many_loci_those_that_say_most_are_in_the_products() -> None:
    """Locus 1 by itself, 3 and 8 by their product: the scores are √300, those of others below 5."""
    found = loci_in_products(pair_part(n_loci=60), 5)
    assert len(found) == 5
    assert np.array_equal(found, np.sort(found))
    assert {0, 2, 7} <= set(found.tolist())


def test_many_loci_are_fitted_with_few_products() -> None:
    everyone = pair_part(n_loci=60)
    train, validation, test = (everyone.rows(np.arange(*ends)) for ends in ((0, 200), (200, 240), (240, 300)))
    fitted = fit(train, validation, NetworkSettings(**SMALL, epochs=100, max_product_loci=6, penalties=(0.5,)), QUIET)["network"]
    assert np.corrcoef(fitted.predict(test.genotypes)[:, 1], test.phenotypes[:, 1])[0, 1] > 0.95


# Settings


@pytest.mark.parametrize(
    ("values", "name"),
    [({"penalties": ()}, "penalties"), ({"penalties": (-1.0,)}, "penalties"), ({"initial_weight": 0.0}, "initial_weight")],
)
def test_faulty_settings_are_refused(values: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        build(NetworkSettings, values)
