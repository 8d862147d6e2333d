# The flags of `python -m gpatlas simulate`, with its refusals, and those of what AlphaSimR has not.

LARGEST <- .Machine$integer.max

flag <- function(type, default, help, ge = -Inf, gt = -Inf, le = if (type == "INTEGER") LARGEST else Inf, lt = Inf, choices = NULL) {
  list(type = type, default = default, help = help, ge = ge, gt = gt, le = le, lt = lt, choices = choices)
}

choice <- function(choices, default, help) flag(paste0("[", paste(choices, collapse = "|"), "]"), default, help, choices = choices)

FLAGS <- list(
  out = flag("FILE", NULL, "File to write.  [required]"),
  overwrite = flag("", FALSE, "Replace the file where it exists."),
  n_qtl = flag("INTEGER", 46, "causal loci of each trait; even where n_pairs is left out", ge = 2),
  n_pairs = flag("INTEGER", NULL, "pairs of them that interact, of disjoint loci; left out, n_qtl / 2: all of them", ge = 1),
  n_traits = flag("INTEGER", NULL, "traits of the one rel_aa; left out, one trait per rel_aa value", ge = 1),
  rel_aa = flag("NUMBERS", c(0, 0.1, 0.5, 1, 3), "half the expected V_AA/V_A; several values: a trait group of one each", ge = 0),
  genetic_correlation = flag("FLOAT", 0, "correlation of the effects between the traits of a group", ge = -1, le = 1),
  independent = flag("", FALSE, "every trait a group of its own, with its own effects and pairs"),
  effect_distribution = choice(c("normal", "gamma", "equal"), "normal", "of the sizes of effects; signs are even"),
  gamma_shape = flag("FLOAT", 0.4, "shape of the gamma distribution of effects; small: few large ones", gt = 0),
  dominance_degree_mean = flag("FLOAT", 0, "mean of the dominance effects relative to |additive effect|; diploids only"),
  dominance_degree_sd = flag("FLOAT", 0, "standard deviation of these degrees of dominance; diploids only", ge = 0),
  rel_dd = flag("FLOAT", 0, "dominance x dominance effects of the pairs, in the scale of rel_aa; diploids only", ge = 0),
  pair_linkage = choice(c("any", "linked", "unlinked"), "any", "whether the loci of a pair are on one chromosome"),
  h2 = flag("FLOAT", 0.999, "broad-sense heritability, V_G/V_P", gt = 0, le = 1),
  seed = flag("INTEGER", 1, "seed of all random draws; the study uses the replicate number", ge = 0),
  block_size = flag("INTEGER", 4096, "individuals held in memory at once; does not change the result", ge = 1),
  n_individuals = flag("INTEGER", 1000, "individuals", ge = 2),
  n_loci = flag("INTEGER", 46, "segregating sites in the file, spread evenly over the chromosomes", ge = 1),
  population = choice(
    c("unlinked", "dh", "ril", "f2", "bc", "outbred"), "unlinked",
    "haploids with unlinked loci; a cross of two inbred parents; or random mating of founders"
  ),
  n_chromosomes = flag("INTEGER", 1, "chromosomes of a linked genome", ge = 1),
  chromosome_cm = flag("FLOAT", 100, "length of each in centimorgans; crossovers by Haldane's model", gt = 0),
  n_generations = flag("INTEGER", NULL, "ril: of selfing, 1 gives an F2, default 8; outbred: of random mating, default 10", ge = 1),
  n_founders = flag("INTEGER", 100, "founders of an outbred population, and its size until the last generation", ge = 2),
  allele_frequency_shape = flag("NUMBERS", c(1, 1), "the two shapes of the beta distribution of the founders' allele frequencies", gt = 0),
  ploidy = choice(c("1", "2"), NULL, "1: haploid or inbred lines; left out, what the population has"),
  hidden_qtl = flag("", FALSE, "QTL are loci of their own at random places, which the genotypes of the file lack"),
  error_rate = flag("FLOAT", 0, "share of allele calls that are wrong", ge = 0, lt = 0.5),
  missing_rate = flag("FLOAT", 0, "share of genotype calls that are missing", ge = 0, lt = 1)
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
    default <- if (flag$type %in% c("INTEGER", "FLOAT")) lapply(flag$default, spell, flag$type) else flag$default
    shown <- if (length(default) > 0 && flag$type != "") paste0("  [default ", paste(default, collapse = ","), "]")
    head <- paste(option_of(name), flag$type)
    if (nchar(head) > 28) head <- paste0(head, "\n", strrep(" ", 30))
    cat(sprintf("  %-28s %s\n", head, paste0(flag$help, shown)))
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

# What a flag's text says: a path, TRUE, one of the choices, or numbers.
convert <- function(text, name) {
  type <- FLAGS[[name]]$type
  if (type == "") return(text)
  wrong <- function(...) refuse("Invalid value for '", option_of(name), "': ", ...)
  if (type == "FILE") return(if (dir.exists(text)) wrong("File '", text, "' is a directory.") else path.expand(text))
  choices <- FLAGS[[name]]$choices
  if (!is.null(choices)) {
    if (!text %in% choices) wrong("'", text, "' is not one of ", paste0("'", choices, "'", collapse = ", "), ".")
    return(type.convert(text, as.is = TRUE))
  }
  parts <- trimws(if (type == "NUMBERS") strsplit(paste0(text, ","), ",", fixed = TRUE)[[1]] else text)
  whole <- "^[+-]?[0-9]+$"
  real <- "^[+-]?(([0-9]+\\.?[0-9]*|\\.[0-9]+)(e[+-]?[0-9]+)?|inf|infinity|nan)$"
  if (!all(grepl(if (type == "INTEGER") whole else real, parts, ignore.case = TRUE))) {
    wanted <- c(INTEGER = "a valid integer.", FLOAT = "a valid float.", NUMBERS = "a list of numbers separated by commas")
    wrong("'", text, "' is not ", wanted[[type]])
  }
  as.numeric(parts)
}

# The settings of a command line: numbers, texts and logicals, all of them allowed.
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
  } else if (number >= flag$lt) {
    paste("less than", flag$lt)
  }
  if (!is.null(wanted)) paste0(option_of(name), ": must be ", wanted, ", got ", spell(number, flag$type))
}

# The first thing that is wrong with the settings together, or NULL: what the native simulator refuses, then what only AlphaSimR can't do.
consistency_fault <- function(settings) c(trait_faults(settings), population_faults(settings), faults_here(settings))[1]

trait_faults <- function(settings) with(settings, {
  size <- if (is.null(n_traits) || independent) 1 else n_traits
  lowest <- if (size > 1) -1 / (size - 1) else -1
  definite <- "--genetic-correlation: the correlation matrix of %d traits must be positive definite, so between %.4g and 1, got %g"
  c(
    if (is.null(n_pairs) && n_qtl %% 2 != 0) sprintf("--n-qtl: must be even where n_pairs is left out (loci are cut into pairs), got %d", n_qtl),
    if (!is.null(n_pairs) && 2 * n_pairs > n_qtl) sprintf("--n-pairs: must be at most half of n_qtl (%d), got %d", n_qtl, n_pairs),
    if (!is.null(n_traits) && length(rel_aa) > 1) {
      sprintf("--n-traits: goes with a single rel_aa, got %d with the rel_aa %s", n_traits, listed(rel_aa))
    },
    if (independent && is.null(n_traits)) {
      "--independent: goes with n_traits, which is not given; traits of several rel_aa are independent anyway"
    },
    if (genetic_correlation != 0 && size == 1) {
      sprintf("--genetic-correlation: must be 0 where every trait is a group of its own, got %g", genetic_correlation)
    },
    if (genetic_correlation != 0 && (genetic_correlation <= lowest || genetic_correlation >= 1)) {
      sprintf(definite, size, lowest, genetic_correlation)
    }
  )
})

population_faults <- function(settings) with(settings, {
  own <- if (is_diploid(replace(settings, "ploidy", list(NULL)))) 2 else 1
  dominance <- Filter(function(name) settings[[name]] != 0, c("dominance_degree_mean", "dominance_degree_sd", "rel_dd"))
  diploids <- "goes with diploids (population bc, f2, outbred or ril), got"
  c(
    if (n_qtl > n_loci && !hidden_qtl) sprintf("--n-qtl: must be at most n_loci (%d), got %d", n_loci, n_qtl),
    if (population != "unlinked" && n_loci < n_chromosomes) {
      sprintf("--n-loci: must be at least n_chromosomes (%d), got %d", n_chromosomes, n_loci)
    },
    if (length(allele_frequency_shape) != 2) {
      sprintf("--allele-frequency-shape: must be two numbers, got %s", listed(allele_frequency_shape))
    },
    if (!is.null(ploidy) && ploidy != own && population != "outbred") {
      sprintf("--ploidy: must be %d for the population '%s', got %d", own, population, ploidy)
    },
    unlist(lapply(names(OF_SOME), out_of_place, settings)),
    if (length(dominance) > 0 && !is_diploid(settings)) {
      name <- dominance[1]
      sprintf("%s: %s %g with population '%s' of ploidy 1", option_of(name), diploids, settings[[name]], population)
    },
    if (pair_linkage == "unlinked" && population != "unlinked" && n_chromosomes == 1) {
      "--pair-linkage: 'unlinked' takes more than one chromosome, got it with n_chromosomes 1"
    },
    if (pair_linkage == "linked" && population == "unlinked") {
      sprintf("--pair-linkage: 'linked' goes with population %s, got it with population 'unlinked'", either(LINKED))
    }
  )
})

LINKED <- c("bc", "dh", "f2", "outbred", "ril")
OF_SOME <- list(  # the populations that have a setting
  n_chromosomes = LINKED, chromosome_cm = LINKED, hidden_qtl = LINKED, error_rate = LINKED, missing_rate = LINKED,
  n_generations = c("outbred", "ril"), n_founders = "outbred", allele_frequency_shape = "outbred"
)

# What is wrong with a setting that this population has not, or NULL.
out_of_place <- function(name, settings) {
  value <- settings[[name]]
  if (settings$population %in% OF_SOME[[name]] || identical(value, FLAGS[[name]]$default)) return()
  got <- if (isTRUE(value)) "" else paste(listed(value), "with ")
  sprintf("%s: goes with population %s, got %spopulation '%s'", option_of(name), either(OF_SOME[[name]]), got, settings$population)
}

listed <- function(values) paste(sprintf("%g", values), collapse = ", ")

# 'a, b or c'.
either <- function(names) sub(", ([^,]*)$", " or \\1", paste(names, collapse = ", "))

faults_here <- function(settings) with(settings, {
  n_bytes <- n_individuals * ceiling(n_loci / n_chromosomes / 8) * (if (population == "unlinked") 1 else 2)
  lacks <- function(name, what, value) sprintf("%s: AlphaSimR has no %s, got %s; the native simulator has", option_of(name), what, value)
  c(
    if (n_qtl %% 2 != 0) sprintf("--n-qtl: AlphaSimR pairs all QTL, so it must be even, got %d", n_qtl),
    if (rel_dd != 0) lacks("rel_dd", "dominance x dominance effects", spell(rel_dd, "FLOAT")),
    if (pair_linkage != "any") lacks("pair_linkage", "choice of pairs", pair_linkage),
    if (error_rate != 0) lacks("error_rate", "genotyping errors", spell(error_rate, "FLOAT")),
    if (missing_rate != 0) lacks("missing_rate", "missing calls", spell(missing_rate, "FLOAT")),
    if (n_bytes > LARGEST) {
      sprintf("--n-individuals: AlphaSimR holds at most %d bytes of genotypes, 8 loci a byte, got %.0f", LARGEST, n_bytes)
    }
  )
})

# A row per trait group, in trait order. The traits of a group share their QTL and their pairs.
trait_groups <- function(settings) with(settings, {
  sizes <- if (is.null(n_traits)) 1 else if (independent) rep(1, n_traits) else n_traits
  data.frame(rel_aa, n_traits = sizes, genetic_correlation = ifelse(sizes > 1, genetic_correlation, 0))
})

# Whether an individual has two alleles at a locus.
is_diploid <- function(settings) with(settings, if (population == "outbred") is.null(ploidy) || ploidy == 2 else !population %in% c("unlinked", "dh"))

# Whether the file is the study's: haploid and unlinked, effects normal, every QTL in a pair.
of_the_study <- function(settings) with(settings, {
  population == "unlinked" && effect_distribution == "normal" && pairs_of(settings) == n_qtl / 2
})

pairs_of <- function(settings) or_default(settings$n_pairs, settings$n_qtl / 2)

or_default <- function(value, default) if (is.null(value)) default else value
