# AlphaSimR as a simulator: the flags and the dataset file of `python -m gpatlas simulate`, the draws of the study's own scripts.
#
#   Rscript --vanilla r/simulate.R simulate --n-individuals 1000 --n-loci 46 --n-qtl 46 --rel-aa 0,0.1,0.5,1,3 --seed 1 --out data.h5
#
# The leading word may be left out; --help lists the flags. Exit code 0: done, 1: failed, 2: wrong flags. Messages and progress
# (a line of JSON each) go to stderr. gpatlas/data/settings.py explains the settings, gpatlas/data/dataset.py the file.

options(warn = 2)  # a warning is an error
Sys.setenv(HDF5_USE_FILE_LOCKING = "FALSE")  # before HDF5 is loaded: some file systems have no locks, and the file is written aside

HERE <- dirname(gsub("~+~", " ", sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE)[1]), fixed = TRUE))
for (name in c("settings.R", "genomes.R", "traits.R", "dataset.R")) source(file.path(HERE, name))

# A progress line.
report <- function(...) {
  cat(jsonlite::toJSON(list(stage = "simulate", ...), auto_unbox = TRUE, digits = NA), "\n", sep = "", file = stderr())
}

# Simulates one scenario into the dataset file `path`.
simulate <- function(settings, path) {
  groups <- trait_groups(settings)
  starts <- seq(1, settings$n_individuals, by = settings$block_size)
  done <- 0
  step <- function() report(done = done <<- done + 1, total = nrow(groups) + length(starts))
  drawn <- draw(settings, groups, step)
  effects <- as_effects(drawn$parameters$traits, drawn$population@nLoci)
  file <- hdf5r::H5File$new(path, mode = "w")
  on.exit(file$close_all())
  written <- write_genotypes(file, drawn$population, effects, drawn$map$hidden, starts, step)
  recomputed <- sweep(Reduce(`+`, written$parts), 2, effects$intercept, "+")
  check_explained(drawn$population@gv, recomputed, packageVersion("AlphaSimR"))
  write_dataset(file, "phenotypes", t(drawn$population@pheno))
  if (of_the_study(settings)) {
    write_effects(file, drawn$population, effects)
  } else {
    write_names(file, drawn$population, drawn$map)
    write_truth(file, drawn, in_file_order(effects, drawn$map$hidden, pairs_of(settings)), written$hidden)
    write_facts(file, drawn, settings, groups, written$parts)
  }
  write_attributes(file, settings, groups, written$parts)
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
