# Genomes and traits, all drawn by AlphaSimR 1.4.2, and what the effects make of the genomes.

TOLERANCE <- 1e-9  # AlphaSimR's genetic values, of variance 1, differ from the recomputed ones by rounding
THREADS <- 2L  # decides the order of sums, and so the last digit; with 2 it is that of tests/data

# A row per trait group, in trait order. The traits of a group share their QTL and their pairs.
trait_groups <- function(settings) with(settings, {
  sizes <- if (is.null(n_traits)) 1 else if (independent) rep(1, n_traits) else n_traits
  data.frame(rel_aa, n_traits = sizes, genetic_correlation = ifelse(sizes > 1, genetic_correlation, 0))
})

# Whether an individual has two alleles at a locus.
is_diploid <- function(settings) with(settings, if (population == "outbred") is.null(ploidy) || ploidy == 2 else !population %in% c("unlinked", "dh"))

# The loci in genome order: chromosome from 1, cM on it, and whether the file lacks them.
genetic_map <- function(settings, n_hidden) with(settings, {
  chromosome <- sort(rep_len(seq_len(n_chromosomes), n_loci))
  spread <- function(n) if (n > 1) seq(0, chromosome_cm, length.out = n) else chromosome_cm / 2
  cm <- unlist(lapply(tabulate(chromosome), spread))
  loci <- rbind(
    data.frame(chromosome, cm, hidden = FALSE),
    data.frame(chromosome = sample.int(n_chromosomes, n_hidden, TRUE), cm = runif(n_hidden, 0, chromosome_cm), hidden = rep(TRUE, n_hidden))
  )
  loci[order(loci$chromosome, loci$cm), ]
})

# The founders on that map: the two inbred parents of a cross, without and with the counted allele, or those of an outbred population.
draw_founders <- function(settings, map) {
  outbred <- settings$population == "outbred"
  inbred <- !(outbred && is_diploid(settings))
  n_haplotypes <- if (outbred) settings$n_founders * (2 - inbred) else 2
  alleles <- if (outbred) {
    shape <- settings$allele_frequency_shape
    rbinom(nrow(map) * n_haplotypes, 1, rep(rbeta(nrow(map), shape[1], shape[2]), each = n_haplotypes))
  } else {
    rep(0:1, nrow(map))
  }
  alleles <- matrix(as.integer(alleles), n_haplotypes)
  haplotypes <- lapply(split(seq_len(nrow(map)), map$chromosome), function(loci) alleles[, loci, drop = FALSE])
  AlphaSimR::newMapPop(split(map$cm / 100, map$chromosome), haplotypes, inbred = inbred)
}

# The population that comes of the founders.
breed <- function(founders, settings) {
  parameters <- AlphaSimR::SimParam$new(founders)
  parameters$nThreads <- THREADS
  parameters$v <- 1  # of the gamma model: chiasmata without interference, so Haldane's crossovers; the default, 2.6, is Kosambi-like
  parameters$p <- 0
  parents <- AlphaSimR::newPop(founders, simParam = parameters)
  if (settings$population == "outbred") return(mate(parents, settings, parameters))
  n <- settings$n_individuals
  f1 <- AlphaSimR::makeCross(parents, matrix(1:2, 1), simParam = parameters)
  selfed <- function(population, n) AlphaSimR::self(population, n, simParam = parameters)
  switch(settings$population,
    dh = AlphaSimR::makeDH(f1, n, simParam = parameters),
    f2 = selfed(f1, n),
    bc = AlphaSimR::makeCross2(f1, parents[1], matrix(1, 1, 2), n, simParam = parameters),
    ril = Reduce(function(lines, generation) selfed(lines, 1), seq_len(or_default(settings$n_generations, 8) - 1), selfed(f1, n))
  )
}

or_default <- function(value, default) if (is.null(value)) default else value

# Random mating: of any two for a diploid, of two different ones for a haploid, which is a doubled haploid of their zygote.
mate <- function(population, settings, parameters) {
  n_generations <- or_default(settings$n_generations, 10)
  for (size in c(rep(settings$n_founders, n_generations - 1), settings$n_individuals)) {
    n <- AlphaSimR::nInd(population)
    mothers <- sample.int(n, size, TRUE)
    fathers <- if (is_diploid(settings)) sample.int(n, size, TRUE) else (mothers + sample.int(n - 1, size, TRUE) - 1) %% n + 1
    population <- AlphaSimR::makeCross(population, cbind(mothers, fathers), simParam = parameters)
    if (!is_diploid(settings)) population <- AlphaSimR::makeDH(population, simParam = parameters)
  }
  population
}

# The population in the place of AlphaSimR's founders, in which the variance of a trait is set. Of inbred lines one haplotype is kept.
as_founders <- function(population, founders, ploidy) {
  genotypes <- lapply(population@geno, function(bytes) bytes[, seq_len(ploidy), , drop = FALSE])
  new("MapPop",
    nInd = population@nInd, nChr = population@nChr, ploidy = as.integer(ploidy), nLoci = population@nLoci, geno = genotypes,
    genMap = founders@genMap, centromere = founders@centromere, inbred = FALSE
  )
}

# How many of a group's QTL each chromosome has: where any locus may be one, at random.
qtl_by_chromosome <- function(settings, map) {
  if (is.null(map) || settings$n_chromosomes == 1) return(settings$n_qtl)
  allowed <- map$chromosome[map$hidden == settings$hidden_qtl]
  tabulate(allowed[sample.int(length(allowed), settings$n_qtl)], settings$n_chromosomes)
}

# Adds the traits of a group, with genetic variance 1.
add_traits <- function(parameters, settings, group, map) {
  size <- group$n_traits
  correlation <- (1 - group$genetic_correlation) * diag(size) + group$genetic_correlation
  n_pairs <- or_default(settings$n_pairs, settings$n_qtl / 2)
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

# The population with its phenotypes, the list of its traits, and its map, NULL without linkage. Unlinked ones are drawn in the order of
# the study's scripts.
draw <- function(settings, groups, step) {
  set.seed(settings$seed)
  map <- NULL
  if (settings$population == "unlinked") {
    founders <- AlphaSimR::quickHaplo(nInd = settings$n_individuals, nChr = 1, segSites = settings$n_loci, ploidy = 1)
  } else {
    map <- genetic_map(settings, if (settings$hidden_qtl) settings$n_qtl * nrow(groups) else 0)
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
  list(population = population, traits = parameters$traits, map = map)
}

# The effects in the file's form, positions from 0 in genome order: additive and dominance (traits × loci), pairs (2 × pairs × traits),
# epistatic (pairs × traits), intercept (traits). lociLoc numbers the loci within their chromosome, epiEff those within the QTL, from 1.
as_effects <- function(traits, n_loci) {
  before <- cumsum(c(0L, n_loci[-length(n_loci)]))
  qtl <- lapply(traits, function(trait) trait@lociLoc + rep(before, trait@lociPerChr))
  by_locus <- function(effects) t(mapply(function(loci, effects) replace(numeric(sum(n_loci)), loci, effects), qtl, effects))
  dominance <- function(trait) if (is(trait, "TraitADE")) trait@domEff else numeric(trait@nLoci)
  list(
    additive = by_locus(lapply(traits, slot, "addEff")),
    dominance = by_locus(lapply(traits, dominance)),
    pairs = array(unlist(Map(function(trait, loci) loci[t(trait@epiEff[, 1:2])] - 1L, traits, qtl)), c(2, nrow(traits[[1]]@epiEff), length(traits))),
    epistatic = do.call(cbind, lapply(traits, function(trait) trait@epiEff[, 3])),
    intercept = vapply(traits, slot, 0, "intercept")
  )
}

# The counts of some individuals in bits, loci × individuals: a matrix, or two of diploids, the lower bit first.
count_bits <- function(population, individuals) {
  haplotype <- function(which) {
    do.call(rbind, Map(function(bytes, n_loci) {
      matrix(rawToBits(bytes[, which, individuals]), ncol = length(individuals))[seq_len(n_loci), , drop = FALSE]
    }, population@geno, population@nLoci))
  }
  first <- haplotype(1)
  if (population@ploidy == 1) return(list(first))
  second <- haplotype(2)
  list(xor(first, second), first & second)
}

# Additive, dominance (of diploids) and epistatic part (individuals × traits each) of the genetic values, without the intercept.
genetic_parts <- function(bits, effects) {
  diploid <- length(bits) == 2
  is_set <- function(bit, loci) bits[[bit]][loci, , drop = FALSE] == as.raw(1)
  heterozygous <- function(loci) if (diploid) is_set(1, loci) else 0
  coded <- function(loci) if (diploid) is_set(1, loci) + 2 * is_set(2, loci) - 1 else 2 * is_set(1, loci) - 1
  parts <- list()
  for (trait in seq_along(effects$intercept)) {
    loci <- matrix(effects$pairs[, , trait], nrow = 2) + 1
    first <- coded(loci[1, ])
    second <- coded(loci[2, ])
    summed <- function(first, second, effects) colSums(first * effects[loci[1, ]]) + colSums(second * effects[loci[2, ]])
    parts$additive <- cbind(parts$additive, summed(first, second, effects$additive[trait, ]))
    if (diploid) parts$dominance <- cbind(parts$dominance, summed(heterozygous(loci[1, ]), heterozygous(loci[2, ]), effects$dominance[trait, ]))
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
