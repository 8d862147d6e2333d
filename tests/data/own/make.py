"""Makes the population of this folder: `python tests/data/own/make.py`. Seeded, so that it makes the same files again.

24 families of 12 full sibs, from 16 diploid parents of 3 chromosomes of 100 cM with 130 loci each; neighbouring loci of the parents
are in linkage disequilibrium. 2 % of the calls are missing.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

N_PARENTS, N_FAMILIES, N_SIBS, N_CHROMOSOMES, N_LOCI = 16, 24, 12, 3, 130
STAY = 0.8  # chance that a parent's haplotype goes on as the same ancestor's at the next locus
MISSING = 0.02
CODES = np.array([3, 2, 0, 1], np.uint8)  # of 0, 1, 2 counted alleles and a missing call in a .bed
Counts = npt.NDArray[np.int64]


def haplotypes(random: np.random.Generator) -> Counts:
    """(parents, 2, loci) of one chromosome: mosaics of six ancestors."""
    ancestors = random.random((6, N_LOCI)) < random.uniform(0.15, 0.6, N_LOCI)
    source = random.integers(6, size=(N_PARENTS, 2, N_LOCI))
    for locus in range(1, N_LOCI):
        stays = random.random((N_PARENTS, 2)) < STAY
        source[:, :, locus] = np.where(stays, source[:, :, locus - 1], source[:, :, locus])
    return ancestors[source, np.arange(N_LOCI)].astype(np.int64)


def gamete(parent: Counts, random: np.random.Generator) -> Counts:
    """Of a parent's two haplotypes (2, loci), which cross over about once."""
    switches = random.random(N_LOCI) < 1 / N_LOCI
    switches[0] = random.random() < 0.5
    return parent[np.cumsum(switches) % 2, np.arange(N_LOCI)]


def genotypes(random: np.random.Generator) -> Counts:
    """(individuals, loci) of all chromosomes, families one after the other."""
    chromosomes = [haplotypes(random) for _ in range(N_CHROMOSOMES)]
    parents = [random.choice(N_PARENTS, 2, replace=False) for _ in range(N_FAMILIES)]
    rows = []
    for mother, father in parents:
        for _ in range(N_SIBS):
            rows.append(np.concatenate([gamete(one[mother], random) + gamete(one[father], random) for one in chromosomes]))
    return np.array(rows)


def scaled(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return (values - values.mean()) / values.std()


def write_plink(folder: Path, counts: Counts, ids: list[tuple[str, str]], random: np.random.Generator) -> None:
    n, m = counts.shape
    calls = np.where(random.random((n, m)) < MISSING, 3, counts)
    codes = np.zeros((m, -(-n // 4) * 4), np.uint8)
    codes[:, :n] = CODES[calls.T]
    packed = (codes.reshape(m, -1, 4) << np.array([0, 2, 4, 6], np.uint8)).sum(axis=2, dtype=np.uint8)
    (folder / "own.bed").write_bytes(b"\x6c\x1b\x01" + packed.tobytes())
    places = [(chromosome + 1, 1 + 750_000 * locus) for chromosome in range(N_CHROMOSOMES) for locus in range(N_LOCI)]
    loci = [f"{chromosome} c{chromosome}_{position} 0 {position} A G\n" for chromosome, position in places]
    (folder / "own.bim").write_text("".join(loci))
    (folder / "own.fam").write_text("".join(f"{family} {name} 0 0 0 -9\n" for family, name in ids))


def main(folder: Path) -> None:
    random = np.random.default_rng(13)
    counts = genotypes(random)
    n = len(counts)
    families = [f"F{1 + number // N_SIBS:02d}" for number in range(n)]
    ids = [(family, f"P{1 + number:03d}") for number, family in enumerate(families)]
    write_plink(folder, counts, ids, random)
    loci = random.permutation(np.flatnonzero((counts != counts[0]).any(axis=0)))
    additive = scaled(counts[:, loci[:15]] @ random.normal(size=15))
    heterozygous = (counts[:, loci[:4]] == 1) * 2.0 - 1
    pairs = scaled(2 * heterozygous[:, 0] * heterozygous[:, 1] + 1.5 * heterozygous[:, 2] * heterozygous[:, 3])
    other = scaled(counts[:, loci[20:40]] @ random.normal(size=20))
    age, site = random.integers(30, 90, n), random.integers(3, size=n)
    noise = random.normal(size=(3, n))
    height = 120 + 8 * (0.8 * additive + 0.6 * noise[0]) + 0.15 * age + np.array([0, 3, -2])[site]
    yields = 40 + 5 * (0.5 * additive + 0.7 * pairs + 0.5 * noise[1]) + np.array([0, 4, 1])[site]
    protein = 12 + 0.8 * (0.7 * other + 0.7 * noise[2]) - 0.01 * age
    missing = random.random(n) < 0.15
    order = random.permutation(n)
    with (folder / "own.pheno.tsv").open("w") as file:
        file.write("id\tfamily\theight\tyield\tprotein\n")
        for row in order:
            last = "NA" if missing[row] else f"{protein[row]:.3f}"
            file.write(f"{ids[row][1]}\t{families[row]}\t{height[row]:.2f}\t{yields[row]:.2f}\t{last}\n")
    with (folder / "own.covariates.tsv").open("w") as file:
        file.write("id\tage\tsite\n")
        for row in order[::-1]:
            file.write(f"{ids[row][1]}\t{age[row]}\t{('north', 'south', 'west')[site[row]]}\n")


if __name__ == "__main__":
    main(Path(__file__).parent)
