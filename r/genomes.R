# Genomes, drawn by AlphaSimR 1.4.2.

# The loci in genome order: chromosome from 1, cM on it, NA where unlinked, and whether the file lacks them.
genetic_map <- function(settings, n_hidden) with(settings, {
  if (population == "unlinked") return(data.frame(chromosome = rep(1L, n_loci), cm = NA_real_, hidden = FALSE))
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
  parameters$nThreads <- 1L  # with more, chromosomes share the random numbers by chance: a seed does not tell the result
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

# Of some loci of theirs, as AlphaSimR codes them (loci × individuals): -1, 0, 1, or -1, 1 of haploids; and 1 in heterozygotes, else 0.
coded <- function(bits, loci) if (length(bits) == 2) is_set(bits[[1]], loci) + 2 * is_set(bits[[2]], loci) - 1 else 2 * is_set(bits[[1]], loci) - 1

heterozygous <- function(bits, loci) 1 * is_set(bits[[1]], loci)

is_set <- function(bit, loci) bit[loci, , drop = FALSE] == as.raw(1)
