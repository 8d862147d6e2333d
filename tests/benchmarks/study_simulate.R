# The study's way to simulate five traits: AlphaSimR, then its genotypes, phenotypes and effects as text.
# Rscript --vanilla study_simulate.R INDIVIDUALS QTL FOLDER

suppressPackageStartupMessages(library(AlphaSimR))
arguments <- commandArgs(TRUE)
n <- as.integer(arguments[1])
m <- as.integer(arguments[2])

set.seed(1)
founders <- quickHaplo(nInd = n, nChr = 1, segSites = m, ploidy = 1)
parameters <- SimParam$new(founders)
for (rel_aa in c(0, 0.1, 0.5, 1, 3)) parameters$addTraitAE(nQtlPerChr = m, relAA = rel_aa, useVarA = FALSE)
population <- setPheno(newPop(founders, simParam = parameters), H2 = 0.999, simParam = parameters)

write <- function(table, what) write.table(table, file.path(arguments[3], paste0("study_", what, ".txt")), quote = FALSE)
genotypes <- pullQtlGeno(population, simParam = parameters)
write(population@pheno, "p")
write(t(genotypes), "g")
write(do.call(rbind, lapply(parameters$traits, function(trait) {
  partner <- match(seq_len(m), c(trait@epiEff[, 1:2]))
  data.frame(locus = trait@lociLoc, add_eff = trait@addEff, epi_loc = c(trait@epiEff[, 2:1])[partner],
             epi_eff = rep(trait@epiEff[, 3], 2)[partner], sfs = colMeans(genotypes))
})), "eff")
