"""Whether phenotypes are what AlphaSimR's model makes of the effects: genetic value plus normal noise, one h2 for all traits.

AlphaSimR 2.0 and 2.1 write other ones where only some of the loci are causal (its issue 263).
"""

import numpy as np

from gpatlas.data.dataset import DatasetError
from gpatlas.data.genotypes import FloatArray
from gpatlas.data.sources import Text
from gpatlas.data.traits import without_variance

STANDARD_ERRORS = 6
ROUNDING = 1e-9  # of the text files' 15 digits, summed over loci
KEEP = "allow_unexplained keeps such data, without genetic values"


def check_genetic_variance(text: Text, values: FloatArray) -> None:
    """Refuse effects that give all individuals the same genetic value; `values` (n, T), not centred."""
    for trait in without_variance(values):
        raise DatasetError(f"{text.name}: trait {trait + 1}: its effects make no genetic variance in these genotypes")


def explained_h2(text: Text, phenotypes: FloatArray, genetic_values: FloatArray, h2: float | None, some_neutral: bool) -> float:
    """The heritability V_G/V_P of phenotypes (n, T) that are genetic values (n, T) plus noise: `h2`, or where that is None an estimate.

    The noise is V_P − V_G = V_G·(1/h2 − 1), so the estimate is 1/(1 + mean of residual variance/V_G over the traits) (Falconer & Mackay
    1996, Introduction to Quantitative Genetics, 4th ed., chapter 8). Raises DatasetError where slope, variance or mean of a trait are
    more than STANDARD_ERRORS away from those of the model. The slope of phenotype on genetic value, 1, tells without `h2` whether the
    effects explain the phenotypes.
    """
    v_g = genetic_values.var(axis=0)
    ratios = (phenotypes - genetic_values).var(axis=0) / v_g
    _check_slopes(text, phenotypes, genetic_values, ratios, some_neutral)
    known = _estimated(text, ratios, len(phenotypes)) if h2 is None else h2
    _check_variances(text, ratios, len(phenotypes), known, estimated=h2 is None)
    _check_means(text, phenotypes, v_g * (1 / known - 1), v_g)
    return known


def _slope_tolerances(ratios: FloatArray, n: int) -> FloatArray:
    """The slope's standard error is sqrt(residual variance/V_G/n)."""
    return STANDARD_ERRORS * np.sqrt(ratios / n) + ROUNDING


def _check_slopes(text: Text, phenotypes: FloatArray, genetic_values: FloatArray, ratios: FloatArray, some_neutral: bool) -> None:
    centred = genetic_values - genetic_values.mean(axis=0)
    slopes = (centred * phenotypes).mean(axis=0) / genetic_values.var(axis=0)
    tolerances = _slope_tolerances(ratios, len(phenotypes))
    cause = "; AlphaSimR 2.0 and 2.1 write such data where n_qtl < n_loci (its issue 263)" if some_neutral else ""
    for trait in np.flatnonzero(np.abs(slopes - 1) > tolerances):
        r = np.corrcoef(phenotypes[:, trait], genetic_values[:, trait])[0, 1]
        found = f"the effects do not explain the phenotypes: these correlate {r:.4f} with the genetic values recomputed from the effects"
        slope = f"their slope on them is {slopes[trait]:.4g}, expected 1 ± {tolerances[trait]:.2g}"
        raise DatasetError(f"{text.name}: Trait{trait + 1}: {found}, and {slope}{cause}; {KEEP}")


def _estimated(text: Text, ratios: FloatArray, n: int) -> float:
    """h2 from the ratios of residual to genetic variance (T,), where a slope of 0 would have been found."""
    for trait in np.flatnonzero(_slope_tolerances(ratios, n) >= 1):
        found = f"residual variance is {ratios[trait]:.4g} of the genetic variance"
        raise DatasetError(f"{text.name}: Trait{trait + 1}: {found}, too much to estimate h2 from {n} individuals; set h2")
    return 1 / (1 + float(ratios.mean()))


def _check_variances(text: Text, ratios: FloatArray, n: int, h2: float, estimated: bool) -> None:
    """The variance of n residuals has the relative standard error sqrt(2/n). `ratios`: of residual to genetic variance, (T,)."""
    expected = 1 / h2 - 1
    tolerance = STANDARD_ERRORS * np.sqrt(2 / n) * expected + ROUNDING
    for trait in np.flatnonzero(np.abs(ratios - expected) > tolerance):
        own = 1 / (1 + ratios[trait])
        found = f"residual variance is {ratios[trait]:.4g} of the genetic variance, h2 {h2:g} means {expected:.4g} ± {tolerance:.2g}"
        if estimated:
            why = f"its h2 is near {own:.6g}, but {h2:.6g} that of all traits together; AlphaSimR's traits share one"
        elif ratios[trait] < expected:
            why = f"h2 is set too low; if the effects are right, it is near {own:.6g}"
        else:
            why = f"h2 is set too high, or the effects do not explain the phenotypes; if they are right, it is near {own:.6g}; {KEEP}"
        raise DatasetError(f"{text.name}: Trait{trait + 1}: {found}: {why}")


def _check_means(text: Text, phenotypes: FloatArray, noise: FloatArray, v_g: FloatArray) -> None:
    """The mean of n phenotypes has the standard error sqrt(noise variance/n): that of the genetic values is 0."""
    means, allowed = phenotypes.mean(axis=0), STANDARD_ERRORS * np.sqrt(noise / len(phenotypes)) + ROUNDING * np.sqrt(v_g)
    for trait in np.flatnonzero(np.abs(means) > allowed):
        found = f"mean is {means[trait]:.4g}, expected 0 ± {allowed[trait]:.2g}"
        raise DatasetError(f"{text.name}: Trait{trait + 1}: {found}: AlphaSimR shifts genetic values to mean 0")
