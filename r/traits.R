# Traits, drawn by AlphaSimR 1.4.2, what their effects make of genomes, and what their variance is made of.

THREADS <- 2L  # decides the order of sums, and so the last digit; with 2 it is that of tests/data
TOLERANCE <- 1e-9  # AlphaSimR's genetic values, of variance 1, differ from the recomputed ones by rounding
MOST_INDIVIDUALS <- 10000  # of least squares

# The population with its phenotypes, its map, and AlphaSimR's parameters, which hold the traits. Unlinked ones are drawn in the order of
# the study's scripts.
draw <- function(settings, groups, step) {
  set.seed(settings$seed)
  map <- genetic_map(settings, if (settings$hidden_qtl) settings$n_qtl * nrow(groups) else 0)
  if (settings$population == "unlinked") {
    founders <- AlphaSimR::quickHaplo(nInd = settings$n_individuals, nChr = 1, segSites = settings$n_loci, ploidy = 1)
  } else {
    founders <- draw_founders(settings, map)
    founders <- as_founders(breed(founders, settings), founders, 1 + is_diploid(settings))
  }
  parameters <- AlphaSimR::SimParam$new(founders)
  parameters$nThreads <- THREADS
  if (settings$hidden_qtl) parameters$invalidQtl <- unname(lapply(split(map$hidden, map$chromosome), function(hidden) which(!hidden)))
  for (group in split(groups, seq_len(nrow(groups)))) {
    add_traits(parameters, settings, group, map)
    step()
  }
  population <- AlphaSimR::newPop(founders, simParam = parameters)
  population <- AlphaSimR::setPheno(population, H2 = settings$h2, simParam = parameters)
  list(population = population, map = map, parameters = parameters)
}

# How many of a group's QTL each chromosome has: where any locus may be one, at random.
qtl_by_chromosome <- function(settings, map) {
  if (settings$n_chromosomes == 1) return(settings$n_qtl)
  allowed <- map$chromosome[map$hidden == settings$hidden_qtl]
  tabulate(allowed[sample.int(length(allowed), settings$n_qtl)], settings$n_chromosomes)
}

# Adds the traits of a group, with genetic variance 1.
add_traits <- function(parameters, settings, group, map) {
  size <- group$n_traits
  correlation <- (1 - group$genetic_correlation) * diag(size) + group$genetic_correlation
  n_pairs <- pairs_of(settings)
  rel_aa <- group$rel_aa * settings$n_qtl / 2 / n_pairs  # AlphaSimR pairs all QTL; fewer pairs have larger effects
  arguments <- list(
    nQtlPerChr = qtl_by_chromosome(settings, map), mean = rep(0, size), var = rep(1, size), relAA = rep(rel_aa, size), useVarA = FALSE,
    corA = correlation, corAA = correlation, gamma = settings$effect_distribution == "gamma", shape = settings$gamma_shape
  )
  if (settings$dominance_degree_mean != 0 || settings$dominance_degree_sd != 0) {
    dominance <- list(meanDD = settings$dominance_degree_mean, varDD = settings$dominance_degree_sd^2)
    do.call(parameters$addTraitADE, c(arguments, dominance))
  } else {
    do.call(parameters$addTraitAE, arguments)
  }
  if (settings$effect_distribution != "equal" && n_pairs == settings$n_qtl / 2) return()
  for (trait in parameters$nTraits - size + seq_len(size)) {
    changed <- change_effects(parameters$traits[[trait]], settings$effect_distribution == "equal", rel_aa, n_pairs)
    parameters$switchTrait(trait, rescaled(changed, parameters$founderPop))
  }
}

# What AlphaSimR has not: effects of one size, and QTL outside pairs, which here are in pairs without an effect.
change_effects <- function(trait, equal, rel_aa, n_pairs) {
  if (equal) {
    if (is(trait, "TraitADE")) trait@domEff <- trait@domEff / abs(trait@addEff)
    trait@addEff <- sign(trait@addEff)
    trait@epiEff[, 3] <- sign(trait@epiEff[, 3]) * 2 * sqrt(rel_aa)
  }
  trait@epiEff[-seq_len(n_pairs), 3] <- 0
  trait
}

# The trait with genetic variance 1 and mean 0.
rescaled <- function(trait, founders) {
  values <- AlphaSimR:::calcGenParam(trait, founders, THREADS)$gv
  scale <- 1 / sqrt(AlphaSimR::popVar(values)[1])
  for (name in intersect(c("addEff", "domEff"), slotNames(trait))) slot(trait, name) <- slot(trait, name) * scale
  trait@epiEff[, 3] <- trait@epiEff[, 3] * scale
  trait@intercept <- -(mean(values) - trait@intercept) * scale
  trait
}

# The loci of a trait, from 1 in genome order: lociLoc numbers them within their chromosome.
qtl_of <- function(trait, n_loci) trait@lociLoc + rep(cumsum(c(0L, n_loci[-length(n_loci)])), trait@lociPerChr)

# The effects in the file's form, positions from 0 in genome order: additive and dominance (traits × loci), pairs (2 × pairs × traits),
# epistatic (pairs × traits), intercept (traits). epiEff numbers the loci within the QTL, from 1.
as_effects <- function(traits, n_loci) {
  qtl <- lapply(traits, qtl_of, n_loci)
  by_locus <- function(effects) t(mapply(function(loci, effects) replace(numeric(sum(n_loci)), loci, effects), qtl, effects))
  dominance <- function(trait) if (is(trait, "TraitADE")) trait@domEff else numeric(trait@nLoci)
  list(
    additive = by_locus(lapply(traits, slot, "addEff")),
    dominance = by_locus(lapply(traits, dominance)),
    pairs = vapply(seq_along(traits), function(i) qtl[[i]][t(traits[[i]]@epiEff[, 1:2])] - 1L, matrix(0L, 2, nrow(traits[[1]]@epiEff))),
    epistatic = do.call(cbind, lapply(traits, function(trait) trait@epiEff[, 3])),
    intercept = vapply(traits, slot, 0, "intercept")
  )
}

# Additive, dominance (of diploids) and epistatic part (individuals × traits each) of the genetic values, without the intercept.
genetic_parts <- function(bits, effects) {
  parts <- list()
  for (trait in seq_along(effects$intercept)) {
    loci <- matrix(effects$pairs[, , trait], nrow = 2) + 1
    first <- coded(bits, loci[1, ])
    second <- coded(bits, loci[2, ])
    summed <- function(first, second, effects) colSums(first * effects[loci[1, ]]) + colSums(second * effects[loci[2, ]])
    parts$additive <- cbind(parts$additive, summed(first, second, effects$additive[trait, ]))
    if (length(bits) == 2) {
      dominance <- summed(heterozygous(bits, loci[1, ]), heterozygous(bits, loci[2, ]), effects$dominance[trait, ])
      parts$dominance <- cbind(parts$dominance, dominance)
    }
    parts$epistatic <- cbind(parts$epistatic, colSums(first * second * effects$epistatic[, trait]))
  }
  parts
}

# Stops where AlphaSimR's genetic values (individuals × traits) are not the ones that its effects make.
check_explained <- function(given, recomputed, version) {
  for (trait in seq_len(ncol(given))) {
    if (!all(is.finite(given[, trait]))) stop("trait ", trait, ": its effects make no genetic variance in these individuals")
    largest <- max(abs(given[, trait] - recomputed[, trait]))
    if (largest <= TOLERANCE) next
    found <- sprintf("correlation %.4f, largest difference %.4g, allowed %g", cor(given[, trait], recomputed[, trait]), largest, TOLERANCE)
    known <- "2.0 and 2.1 do so with several trait groups and n_qtl < n_loci (AlphaSimR's issue 263), 1.4.2 does not"
    stop("trait ", trait, ": AlphaSimR ", version, " gives genetic values that its effects do not explain (", found, "); ", known)
  }
}

variance <- function(values) colMeans(sweep(values, 2, colMeans(values))^2)

# V_A, V_D and V_I of every trait in this population, which sum to V_G: what the counts of the QTL explain of its genetic values, what
# heterozygosity adds, and the rest. Not those of genParam, which leave out that the loci of a pair may be linked.
statistical_components <- function(drawn, groups) {
  bits <- count_bits(drawn$population, seq_len(min(drawn$population@nInd, MOST_INDIVIDUALS)))
  of_group <- function(traits) {
    loci <- qtl_of(drawn$parameters$traits[[traits[1]]], drawn$population@nLoci)
    values <- drawn$population@gv[seq_len(ncol(bits[[1]])), traits, drop = FALSE]
    x <- t(coded(bits, loci))
    additive <- explained_share(x, values)
    both <- if (length(bits) == 2) pmax(explained_share(cbind(x, t(heterozygous(bits, loci))), values), additive) else additive
    rbind(additive, both)
  }
  shares <- do.call(cbind, lapply(split(seq_along(drawn$parameters$traits), rep(seq_len(nrow(groups)), groups$n_traits)), of_group))
  v_g <- variance(drawn$population@gv)
  v_a <- v_g * shares[1, ]
  v_d <- v_g * (shares[2, ] - shares[1, ])
  list(v_a_statistical = v_a, v_d_statistical = v_d, v_i_statistical = v_g - v_a - v_d, linear_r_squared = shares[1, ])
}

# Adjusted R², from 0 to 1, of least squares of `values` (individuals × traits); NaN where there are too many columns.
explained_share <- function(columns, values) {
  fit <- lm.fit(cbind(1, columns), values)
  residual <- colSums(as.matrix(fit$residuals)^2) / fit$df.residual
  pmin(pmax(1 - residual / (variance(values) * nrow(values) / (nrow(values) - 1)), 0), 1)
}

# Mean distance of every trait's QTL to the nearest locus of the file, in cM; NaN without a map.
marker_qtl_cm <- function(drawn) {
  map <- drawn$map
  if (anyNA(map$cm)) return(rep(NaN, drawn$population@nTraits))
  markers <- map[!map$hidden, ]
  nearest <- mapply(function(chromosome, cm) min(abs(markers$cm[markers$chromosome == chromosome] - cm)), map$chromosome, map$cm)
  vapply(drawn$parameters$traits, function(trait) mean(nearest[qtl_of(trait, drawn$population@nLoci)]), 0)
}

# The effective number of chromosome segments: 1 / variance of the genomic relationships, of the first individuals by loci all over.
effective_segments <- function(population, loci) {
  x <- coded(count_bits(population, seq_len(min(population@nInd, 500))), loci[unique(round(seq(1, length(loci), length.out = 5000)))])
  z <- x - rowMeans(x)
  z <- z / sqrt(rowMeans(z^2))
  z <- z[is.finite(z[, 1]), , drop = FALSE]
  related <- crossprod(z) / nrow(z)
  1 / variance(as.matrix(related[upper.tri(related)]))
}
