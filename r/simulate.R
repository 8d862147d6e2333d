# AlphaSimR as a simulator: the flags and the dataset file of `python -m gpatlas simulate`, the draws of the study's own scripts.
#
#   Rscript --vanilla r/simulate.R simulate --n-individuals 1000 --n-loci 46 --n-qtl 46 --rel-aa 0,0.1,0.5,1,3 --seed 1 --out data.h5
#
# The leading word may be left out; --help lists the flags. Exit code 0: done, 1: failed, 2: wrong flags. Messages and progress
# (a line of JSON each) go to stderr. gpatlas/settings.py explains the settings, gpatlas/dataset.py the file.

options(warn = 2)  # a warning is an error
Sys.setenv(HDF5_USE_FILE_LOCKING = "FALSE")  # before HDF5 is loaded: some file systems have no locks, and the file is written aside

FORMAT_VERSION <- 1
TOLERANCE <- 1e-9  # AlphaSimR's genetic values, of variance 1, differ from the recomputed ones by rounding
LARGEST <- .Machine$integer.max

flag <- function(type, default, help, ge = -Inf, gt = -Inf, le = if (type == "INTEGER") LARGEST else Inf) {
  list(type = type, default = default, help = help, ge = ge, gt = gt, le = le)
}

FLAGS <- list(
  out = flag("FILE", NULL, "File to write.  [required]"),
  overwrite = flag("", FALSE, "Replace the file where it exists."),
  n_individuals = flag("INTEGER", 1000, "haploid individuals", ge = 2),
  n_loci = flag("INTEGER", 46, "segregating sites on the chromosome", ge = 1),
  n_qtl = flag("INTEGER", 46, "causal loci of each trait; even, at most n_loci", ge = 2),
  n_traits = flag("INTEGER", NULL, "traits of the one rel_aa; left out, one trait per rel_aa value", ge = 1),
  rel_aa = flag("NUMBERS", c(0, 0.1, 0.5, 1, 3), "half the expected V_AA/V_A; several values: a trait group of one each", ge = 0),
  genetic_correlation = flag("FLOAT", 0, "correlation of the effects between the traits of a group", ge = -1, le = 1),
  independent = flag("", FALSE, "every trait a group of its own, with its own effects and pairs"),
  h2 = flag("FLOAT", 0.999, "broad-sense heritability, V_G/V_P", gt = 0, le = 1),
  seed = flag("INTEGER", 1, "seed of all random draws; the study uses the replicate number", ge = 0),
  block_size = flag("INTEGER", 4096, "individuals held in memory at once; does not change the result", ge = 1)
)

option_of <- function(name) paste0("--", gsub("_", "-", name))

# A number as Python spells it.
spell <- function(number, type) {
  if (type == "INTEGER") return(sprintf("%.0f", number))
  text <- tolower(sprintf("%.15g", number))
  if (grepl("^-?[0-9]+$", text)) paste0(text, ".0") else text
}

print_help <- function() {
  cat("Usage: Rscript --vanilla r/simulate.R simulate [OPTIONS]\n\nOne scenario, simulated by AlphaSimR.\n\nOptions:\n")
  for (name in names(FLAGS)) {
    flag <- FLAGS[[name]]
    shown <- NULL
    if (is.numeric(flag$default)) {
      default <- if (flag$type == "NUMBERS") paste(flag$default, collapse = ",") else spell(flag$default, flag$type)
      shown <- paste0("  [default ", default, "]")
    }
    cat(sprintf("  %-28s %s\n", paste(option_of(name), flag$type), paste0(flag$help, shown)))
  }
  cat(sprintf("  %-28s %s\n", "--help", "Show this message and exit."))
}

# Wrong flags, unlike a failure.
refuse <- function(...) stop(errorCondition(paste0(...), class = "refusal"))

# The words of the command line as a list of texts by name; TRUE for a switch.
read_flags <- function(words) {
  names_of <- setNames(names(FLAGS), option_of(names(FLAGS)))
  texts <- list()
  stray <- character()
  while (length(words) > 0) {
    option <- sub("=.*", "", words[1])
    value <- if (option != words[1]) substring(words[1], nchar(option) + 2)
    words <- words[-1]
    if (!startsWith(option, "-")) {
      stray <- c(stray, option)
      next
    }
    name <- names_of[option]
    if (is.na(name)) refuse("No such option '", option, "'. (allowed: ", paste(names(names_of), collapse = ", "), ")")
    takes_value <- FLAGS[[name]]$type != ""
    if (!takes_value && !is.null(value)) refuse("Option '", option, "' does not take a value.")
    if (takes_value && is.null(value)) {
      if (length(words) == 0) refuse("Option '", option, "' requires an argument.")
      value <- words[1]
      words <- words[-1]
    }
    texts[[name]] <- if (takes_value) value else TRUE
  }
  if (is.null(texts$out)) refuse("Missing option '--out'.")
  if (length(stray) > 0) refuse("Got unexpected extra argument", if (length(stray) > 1) "s", " (", paste(stray, collapse = " "), ")")
  texts
}

# What a flag's text says: a path, TRUE, or numbers.
convert <- function(text, name) {
  type <- FLAGS[[name]]$type
  if (type == "") return(text)
  wrong <- function(...) refuse("Invalid value for '", option_of(name), "': ", ...)
  if (type == "FILE") return(if (dir.exists(text)) wrong("File '", text, "' is a directory.") else path.expand(text))
  parts <- trimws(if (type == "NUMBERS") strsplit(paste0(text, ","), ",", fixed = TRUE)[[1]] else text)
  whole <- "^[+-]?[0-9]+$"
  real <- "^[+-]?(([0-9]+\\.?[0-9]*|\\.[0-9]+)(e[+-]?[0-9]+)?|inf|infinity|nan)$"
  if (!all(grepl(if (type == "INTEGER") whole else real, parts, ignore.case = TRUE))) {
    wanted <- c(INTEGER = "a valid integer.", FLOAT = "a valid float.", NUMBERS = "a list of numbers separated by commas")
    wrong("'", text, "' is not ", wanted[[type]])
  }
  as.numeric(parts)
}

# The settings of a command line: numbers, logicals and the path `out`, all of them allowed.
parse_settings <- function(words) {
  texts <- read_flags(words)
  settings <- modifyList(lapply(FLAGS, `[[`, "default"), Map(convert, texts, names(texts)))
  numbers <- Filter(function(name) is.numeric(settings[[name]]), names(FLAGS))
  faults <- unlist(lapply(numbers, function(name) lapply(settings[[name]], range_fault, name)))
  if (is.null(faults)) faults <- consistency_fault(settings)
  if (!is.null(faults)) refuse(paste(faults, collapse = "\n"))
  settings
}

# What is wrong with one number, or NULL.
range_fault <- function(number, name) {
  flag <- FLAGS[[name]]
  wanted <- if (!is.finite(number)) {
    "a finite number"
  } else if (number < flag$ge) {
    paste("greater than or equal to", flag$ge)
  } else if (number <= flag$gt) {
    paste("greater than", flag$gt)
  } else if (number > flag$le) {
    paste("less than or equal to", flag$le)
  }
  if (!is.null(wanted)) paste0(option_of(name), ": must be ", wanted, ", got ", spell(number, flag$type))
}

# The first thing that is wrong with the settings together, or NULL.
consistency_fault <- function(settings) with(settings, {
  size <- if (is.null(n_traits) || independent) 1 else n_traits
  lowest <- if (size > 1) -1 / (size - 1) else -1
  n_bytes <- n_individuals * ceiling(n_loci / 8)
  definite <- "--genetic-correlation: the correlation matrix of %d traits must be positive definite, so between %.4g and 1, got %g"
  c(
    if (n_qtl %% 2 != 0) sprintf("--n-qtl: must be even (loci are cut into pairs), got %d", n_qtl),
    if (n_qtl > n_loci) sprintf("--n-qtl: must be at most n_loci (%d), got %d", n_loci, n_qtl),
    if (!is.null(n_traits) && length(rel_aa) > 1) {
      sprintf("--n-traits: goes with a single rel_aa, got %d values of rel_aa", length(rel_aa))
    },
    if (independent && is.null(n_traits)) "--independent: goes with n_traits; several values of rel_aa are independent anyway",
    if (genetic_correlation != 0 && size == 1) {
      sprintf("--genetic-correlation: must be 0 where every trait is a group of its own, got %g", genetic_correlation)
    },
    if (genetic_correlation != 0 && (genetic_correlation <= lowest || genetic_correlation >= 1)) {
      sprintf(definite, size, lowest, genetic_correlation)
    },
    if (n_bytes > LARGEST) {
      sprintf("--n-individuals: AlphaSimR holds at most %d bytes of genotypes, 8 loci a byte, got %.0f", LARGEST, n_bytes)
    }
  )[1]
})

# A row per trait group, in trait order. The traits of a group share their QTL and their pairs.
trait_groups <- function(settings) with(settings, {
  sizes <- if (is.null(n_traits)) 1 else if (independent) rep(1, n_traits) else n_traits
  data.frame(rel_aa, n_traits = sizes, genetic_correlation = ifelse(sizes > 1, genetic_correlation, 0))
})

# A progress line.
report <- function(...) {
  cat(jsonlite::toJSON(list(stage = "simulate", ...), auto_unbox = TRUE, digits = NA), "\n", sep = "", file = stderr())
}

# The population with its phenotypes and the list of its traits, drawn in the order of the study's scripts.
draw <- function(settings, groups, step) {
  set.seed(settings$seed)
  founders <- AlphaSimR::quickHaplo(nInd = settings$n_individuals, nChr = 1, segSites = settings$n_loci, ploidy = 1)
  parameters <- AlphaSimR::SimParam$new(founders)
  parameters$nThreads <- 2L  # decides the order of sums, and so the last digit; with 2 it is that of tests/data
  for (group in split(groups, seq_len(nrow(groups)))) {
    size <- group$n_traits
    correlation <- (1 - group$genetic_correlation) * diag(size) + group$genetic_correlation
    parameters$addTraitAE(
      nQtlPerChr = settings$n_qtl, mean = rep(0, size), var = rep(1, size), relAA = rep(group$rel_aa, size), useVarA = FALSE,
      corA = correlation, corAA = correlation
    )
    step()
  }
  population <- AlphaSimR::newPop(founders, simParam = parameters)
  population <- AlphaSimR::setPheno(population, H2 = settings$h2, simParam = parameters)
  list(population = population, traits = parameters$traits)
}

# The effects in the file's form: additive (traits × loci), pairs (2 × pairs × traits) of positions from 0, epistatic (pairs × traits),
# intercept (traits). epiEff numbers the loci within the QTL, from 1; lociLoc holds the positions of the QTL, from 1.
as_effects <- function(traits, n_loci) {
  positions <- function(trait) trait@lociLoc[t(trait@epiEff[, 1:2])] - 1L
  list(
    additive = t(vapply(traits, function(trait) replace(numeric(n_loci), trait@lociLoc, trait@addEff), numeric(n_loci))),
    pairs = array(unlist(lapply(traits, positions)), c(2, nrow(traits[[1]]@epiEff), length(traits))),
    epistatic = do.call(cbind, lapply(traits, function(trait) trait@epiEff[, 3])),
    intercept = vapply(traits, function(trait) trait@intercept, 0)
  )
}

# AlphaSimR's packed bytes (bytes × individuals) of some individuals; the spare bits, which it leaves random, are 0.
packed_genotypes <- function(population, individuals) {
  bytes <- population@geno[[1]][, 1, individuals, drop = FALSE]
  dim(bytes) <- dim(bytes)[c(1, 3)]
  used <- as.raw(2^((population@nLoci - 1) %% 8 + 1) - 1)
  bytes[nrow(bytes), ] <- bytes[nrow(bytes), ] & used
  bytes
}

# Additive and epistatic part (individuals × traits each) of the genetic values of packed individuals, without the intercept.
genetic_parts <- function(bytes, effects) {
  bits <- matrix(rawToBits(bytes), ncol = ncol(bytes))
  signs <- function(loci) 2 * (bits[loci, , drop = FALSE] == as.raw(1)) - 1
  parts <- list(additive = NULL, epistatic = NULL)
  for (trait in seq_along(effects$intercept)) {
    loci <- matrix(effects$pairs[, , trait], nrow = 2) + 1
    first <- signs(loci[1, ])
    second <- signs(loci[2, ])
    additive <- colSums(first * effects$additive[trait, loci[1, ]]) + colSums(second * effects$additive[trait, loci[2, ]])
    parts$additive <- cbind(parts$additive, additive)
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

# To HDF5 for R the dimensions are in the opposite order: an array (a, b) is (b, a) to h5py.
write_dataset <- function(file, name, ...) {
  properties <- hdf5r::H5P_DATASET_CREATE$new()
  .Call("R_H5Pset_obj_track_times", properties$id, FALSE, PACKAGE = "hdf5r")  # no time stamps: the same data, the same bytes
  file$create_dataset(name, ..., chunk_dims = NULL, dataset_create_pl = properties)
}

# Writes the genotypes and returns the parts of the genetic values that the effects make of them.
write_genotypes <- function(file, population, effects, starts, step) {
  n <- population@nInd
  dims <- c(dim(population@geno[[1]])[1], n)
  genotypes <- write_dataset(file, "genotypes", dtype = hdf5r::h5types$H5T_NATIVE_UINT8, dims = dims)
  parts <- list(additive = matrix(0, n, population@nTraits), epistatic = matrix(0, n, population@nTraits))
  ends <- c(starts[-1] - 1, n)
  for (block in seq_along(starts)) {
    individuals <- starts[block]:ends[block]
    bytes <- packed_genotypes(population, individuals)
    genotypes[, individuals] <- array(as.integer(bytes), dim(bytes))
    block_parts <- genetic_parts(bytes, effects)
    for (name in names(parts)) parts[[name]][individuals, ] <- block_parts[[name]]
    step()
  }
  parts
}

write_attributes <- function(file, settings, groups, parts) {
  scalar <- hdf5r::H5S$new("scalar")
  text <- hdf5r::H5T_STRING$new(size = Inf)$set_cset(hdf5r::h5const$H5T_CSET_UTF8)
  version <- as.character(packageVersion("AlphaSimR"))
  texts <- list(simulator = "alphasimr", simulator_version = version, trait_groups = as.character(jsonlite::toJSON(groups, digits = NA)))
  for (name in names(texts)) file$create_attr(name, texts[[name]], text, scalar)
  numbers <- c(settings[c("n_loci", "n_qtl", "seed")], format_version = FORMAT_VERSION)
  for (name in names(numbers)) file$create_attr(name, as.integer(numbers[[name]]), hdf5r::h5types$H5T_NATIVE_INT64, scalar)
  file$create_attr("h2", settings$h2, space = scalar)
  variance <- function(values) colMeans(sweep(values, 2, colMeans(values))^2)
  v_a <- variance(parts$additive)
  file$create_attr("rel_aa", rep(groups$rel_aa, groups$n_traits))
  file$create_attr("v_a", v_a)
  file$create_attr("v_aa", variance(parts$epistatic))
  file$create_attr("v_a_over_v_g", v_a / variance(parts$additive + parts$epistatic))
}

# Simulates one scenario into the dataset file `path`.
simulate <- function(settings, path) {
  groups <- trait_groups(settings)
  starts <- seq(1, settings$n_individuals, by = settings$block_size)
  done <- 0
  step <- function() report(done = done <<- done + 1, total = nrow(groups) + length(starts))
  drawn <- draw(settings, groups, step)
  effects <- as_effects(drawn$traits, settings$n_loci)
  file <- hdf5r::H5File$new(path, mode = "w")
  on.exit(file$close_all())
  parts <- write_genotypes(file, drawn$population, effects, starts, step)
  recomputed <- sweep(parts$additive + parts$epistatic, 2, effects$intercept, "+")
  check_explained(drawn$population@gv, recomputed, packageVersion("AlphaSimR"))
  write_dataset(file, "phenotypes", t(drawn$population@pheno))
  write_dataset(file, "genetic_values", t(drawn$population@gv))
  file$create_group("effects")
  for (name in names(effects)) write_dataset(file, paste0("effects/", name), effects[[name]])
  write_attributes(file, settings, groups, parts)
}

# Calls write(path) with a path in a folder aside; the file comes to `out` when it ends well. A shell that waits for the end of this
# process removes the folder, so nothing is left behind however that ends.
write_aside <- function(out, write) {
  dir.create(dirname(out), showWarnings = FALSE, recursive = TRUE)
  folder <- tempfile(paste0(".", basename(out), "."), dirname(out))
  guard <- pipe(paste("trap '' HUP INT TERM; cat; rm -rf", shQuote(folder)), "w")
  on.exit(close(guard))
  dir.create(folder)
  path <- file.path(folder, basename(out))
  write(path)
  file.rename(path, out)
}

# Largest resident memory of this process in MB, where the kernel tells (Linux).
peak_memory_mb <- function() {
  if (!file.exists("/proc/self/status")) return(NULL)
  line <- grep("^VmHWM:", readLines("/proc/self/status"), value = TRUE)
  round(as.numeric(gsub("[^0-9]", "", line)) / 1024, 1)
}

main <- function(words) {
  if (length(words) > 0 && words[1] == "simulate") words <- words[-1]
  if ("--help" %in% words) return(print_help())
  settings <- parse_settings(words)
  out <- settings$out
  if (file.exists(out) && !settings$overwrite) stop(out, " exists already: name another --out, or add --overwrite")
  packages <- lapply(c(AlphaSimR = "AlphaSimR", hdf5r = "hdf5r"), function(name) as.character(packageVersion(name)))
  report(facts = list(versions = c(R = as.character(getRversion()), packages)))
  write_aside(out, function(path) simulate(settings, path))
  report(facts = list(peak_memory_mb = peak_memory_mb()))
}

fail <- function(error, status) {
  cat("Error: ", sub("^\\(converted from warning\\) ", "", conditionMessage(error)), "\n", sep = "", file = stderr())
  quit(status = status)
}

if (sys.nframe() == 0) {
  tryCatch(
    main(commandArgs(trailingOnly = TRUE)),
    refusal = function(error) fail(error, 2),
    error = function(error) fail(error, 1),
    interrupt = function(...) quit(status = 130)
  )
}
