# The dataset file, as gpatlas/data/dataset.py describes it: format 1 of the study's populations, format 2 of linked ones.

# To HDF5 for R the dimensions are in the opposite order: an array (a, b) is (b, a) to h5py.
write_dataset <- function(file, name, ...) {
  properties <- hdf5r::H5P_DATASET_CREATE$new()
  .Call("R_H5Pset_obj_track_times", properties$id, FALSE, PACKAGE = "hdf5r")  # no time stamps: the same data, the same bytes
  file$create_dataset(name, ..., chunk_dims = NULL, dataset_create_pl = properties)
}

utf8 <- function() hdf5r::H5T_STRING$new(size = Inf)$set_cset(hdf5r::h5const$H5T_CSET_UTF8)

write_texts <- function(file, name, texts) write_dataset(file, name, robj = texts, dtype = utf8())

write_attribute <- function(object, name, value) {
  scalar <- hdf5r::H5S$new("scalar")
  if (is.character(value)) {
    object$create_attr(name, value, utf8(), scalar)
  } else if (is.integer(value)) {
    object$create_attr(name, value, hdf5r::h5types$H5T_NATIVE_INT64, scalar)
  } else {
    object$create_attr(name, value, space = scalar)
  }
}

# Bits (loci × individuals) of a matrix, or of two whose bits alternate, in bytes (bytes × individuals), the spare bits 0.
packed <- function(bits) {
  n <- ncol(bits[[1]])
  bits <- matrix(do.call(rbind, lapply(bits, as.vector)), ncol = n)
  spare <- matrix(as.raw(0), -nrow(bits) %% 8, n)
  matrix(packBits(rbind(bits, spare)), ncol = n)
}

# Writes the genotypes of the loci that are not hidden and returns the parts of the genetic values, and the packed bits of the hidden loci.
write_genotypes <- function(file, population, effects, hidden, starts, step) {
  n <- population@nInd
  bits_per_locus <- population@ploidy
  width <- function(n_loci) ceiling(n_loci * bits_per_locus / 8)
  genotypes <- write_dataset(file, "genotypes", dtype = hdf5r::h5types$H5T_NATIVE_UINT8, dims = c(width(sum(!hidden)), n))
  hidden_genotypes <- matrix(as.raw(0), width(sum(hidden)), n)
  ends <- c(starts[-1] - 1, n)
  parts <- list()
  for (block in seq_along(starts)) {
    individuals <- starts[block]:ends[block]
    bits <- count_bits(population, individuals)
    only <- function(loci) packed(lapply(bits, function(layer) layer[loci, , drop = FALSE]))
    bytes <- if (any(hidden)) only(!hidden) else packed(bits)
    genotypes[, individuals] <- array(as.integer(bytes), dim(bytes))
    if (any(hidden)) hidden_genotypes[, individuals] <- only(hidden)
    parts[[block]] <- genetic_parts(bits, effects)
    step()
  }
  parts <- do.call(Map, c(rbind, parts))
  list(parts = parts, hidden = hidden_genotypes)
}

# Attributes that both formats have.
write_attributes <- function(file, settings, groups, parts) {
  version <- as.character(packageVersion("AlphaSimR"))
  texts <- list(simulator = "alphasimr", simulator_version = version, trait_groups = as.character(jsonlite::toJSON(groups, digits = NA)))
  for (name in names(texts)) write_attribute(file, name, texts[[name]])
  numbers <- c(settings[c("n_loci", "n_qtl", "seed")], format_version = if (of_the_study(settings)) 1 else 2)
  for (name in names(numbers)) write_attribute(file, name, as.integer(numbers[[name]]))
  write_attribute(file, "h2", settings$h2)
  v_a <- variance(parts$additive)
  file$create_attr("rel_aa", rep(groups$rel_aa, groups$n_traits))
  file$create_attr("v_a", v_a)
  file$create_attr("v_aa", variance(parts$epistatic))
  file$create_attr("v_a_over_v_g", v_a / variance(Reduce(`+`, parts)))
}

# Format 1's truth.
write_effects <- function(file, population, effects) {
  write_dataset(file, "genetic_values", t(population@gv))
  file$create_group("effects")
  for (name in c("additive", "pairs", "epistatic", "intercept")) write_dataset(file, paste0("effects/", name), effects[[name]])
}

# Who and what the rows and columns of format 2 are.
write_names <- function(file, population, map) {
  for (name in c("individuals", "traits", "loci")) file$create_group(name)
  write_texts(file, "individuals/id", as.character(seq_len(population@nInd)))
  write_texts(file, "traits/name", as.character(seq_len(population@nTraits)))
  none <- hdf5r::H5S$new("simple", dims = c(0, population@nInd))
  covariates <- write_dataset(file, "covariates", dtype = hdf5r::h5types$H5T_NATIVE_DOUBLE, space = none)
  write_attribute(covariates, "names", "[]")
  map <- map[!map$hidden, ]
  write_places(file, "loci", map)
  write_texts(file, "loci/id", if (anyNA(map$cm)) as.character(seq_len(nrow(map))) else sprintf("chr%d_%.0f", map$chromosome, position(map)))
  write_texts(file, "loci/counted_allele", rep("B", nrow(map)))
  write_texts(file, "loci/other_allele", rep("A", nrow(map)))
}

# In base pairs from 1, a million per centimorgan; 0 of unlinked loci.
position <- function(map) ifelse(is.na(map$cm), 0, round(map$cm * 1e6) + 1)

write_places <- function(file, group, map) {
  write_texts(file, paste0(group, "/chromosome"), ifelse(is.na(map$cm), "", paste0("chr", map$chromosome)))
  write_dataset(file, paste0(group, "/position"), robj = position(map), dtype = hdf5r::h5types$H5T_NATIVE_INT64)
}

# The effects with the loci of the file first, then the hidden ones, and the pairs that interact.
in_file_order <- function(effects, hidden, n_pairs) {
  loci <- order(hidden)
  pairs <- effects$pairs[, seq_len(n_pairs), , drop = FALSE]
  pairs[] <- order(loci)[pairs + 1] - 1L
  epistatic <- effects$epistatic[seq_len(n_pairs), , drop = FALSE]
  by_locus <- lapply(effects[c("additive", "dominance")], function(values) values[, loci, drop = FALSE])
  c(by_locus, list(pairs = pairs, epistatic = epistatic, dominance_epistatic = 0 * epistatic, intercept = effects$intercept))
}

# Format 2's truth.
write_truth <- function(file, drawn, effects, hidden_genotypes) {
  file$create_group("truth")
  write_dataset(file, "truth/genetic_values", t(drawn$population@gv))
  for (name in names(effects)) write_dataset(file, paste0("truth/", name), effects[[name]])
  if (!any(drawn$map$hidden)) return()
  file$create_group("truth/hidden")
  bytes <- array(as.integer(hidden_genotypes), dim(hidden_genotypes))
  write_dataset(file, "truth/hidden/genotypes", bytes, dtype = hdf5r::h5types$H5T_NATIVE_UINT8)
  write_places(file, "truth/hidden", drawn$map[drawn$map$hidden, ])
}

# The attributes that only format 2 has.
write_facts <- function(file, drawn, settings, groups, parts) {
  ploidy <- drawn$population@ploidy
  shared <- list(
    bits_per_locus = ploidy, ploidy = ploidy, population = settings$population, source = "", cm_per_mb = 1,
    n_pairs = as.integer(pairs_of(settings)), m_e = effective_segments(drawn$population, which(!drawn$map$hidden))
  )
  for (name in names(shared)) write_attribute(file, name, shared[[name]])
  none <- 0 * variance(parts$additive)
  of_traits <- c(
    list(v_d = if (ploidy == 2) variance(parts$dominance) else none, v_dd = none, marker_qtl_cm = marker_qtl_cm(drawn)),
    statistical_components(drawn, groups)
  )
  for (name in names(of_traits)) file$create_attr(name, of_traits[[name]])
}
