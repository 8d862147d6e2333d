"""What a user's own files are, by their names, and how large the population in them is at most, before they are imported.

Standard library only on purpose: the driver asks before a run.
"""

from pathlib import Path

from gpatlas.data.matching import IndividualTable
from gpatlas.data.sources import BROKEN, CHUNK, SourceError, decompressed
from gpatlas.data.text_tables import MISSING_VALUES, plink_files
from gpatlas.settings import Size

SUFFIXES: dict[str, tuple[str, ...]] = {
    "import-plink": (".bed",),
    "import-vcf": (".vcf", ".vcf.gz", ".bcf"),
    "import-table": (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz"),
}
TWO_BITS = 2  # a genotype in the dataset file, at most
FEWEST_BYTES = 2  # a call in a text: a character and a separator
SAMPLED = 16 * CHUNK  # bytes of a compressed file by which its whole length is told


def importer_of(genotypes: Path) -> str:
    """The stage that imports a file of this name. SourceError where it ends otherwise."""
    for stage, suffixes in SUFFIXES.items():
        if genotypes.name.lower().endswith(suffixes):
            return stage
    known = ", ".join(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)
    raise SourceError(f"{genotypes.name!r} ends with none of {known}, which tell its format")


def size_at_most(stage: str, genotypes: Path, phenotyped: int, n_traits: int) -> Size:
    """Of the population that is imported from files with so many `phenotyped` individuals.

    PLINK's loci are counted. Of other files the bytes are: no call takes less than two, and a compressed file is as long
    as its beginning tells.
    """
    if stage == "import-plink":
        _, bim, fam = plink_files(genotypes)
        return Size(min(phenotyped, _lines(fam)), _lines(bim), n_traits, TWO_BITS)
    n_calls = _length(genotypes) / FEWEST_BYTES
    if stage == "import-vcf":
        return Size(phenotyped, int(n_calls / _vcf_samples(genotypes)) + 1, n_traits, TWO_BITS)
    columns = _columns(genotypes)  # individuals or loci
    return Size(phenotyped, max(columns, int(n_calls / columns)), n_traits, TWO_BITS)


def phenotyped(path: Path, id_column: str | None, group_column: str | None) -> tuple[int, int | None]:
    """How many individuals a table of phenotypes has, and how many groups, where a column names these."""
    table = IndividualTable.read(path, id_column, [group_column] if group_column else [])
    groups = None if group_column is None else len(set(table.values[group_column]) - MISSING_VALUES)
    return len(table.people), groups


def n_measured(path: Path, id_column: str | None, trait: str) -> int:
    """How many individuals of a table of phenotypes have a value of the trait."""
    values = IndividualTable.read(path, id_column, [trait]).values[trait]
    return sum(value not in MISSING_VALUES for value in values)


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in file)


def _length(path: Path) -> float:
    """Bytes of a file, or of what it is when it is no longer compressed, as far as its beginning tells."""
    size = path.stat().st_size
    with path.open("rb") as file:
        opened = decompressed(file)
        if opened is file:
            return size
        try:
            read = len(opened.read(SAMPLED))
        except BROKEN as error:
            raise SourceError(f"{path}: compressed file is cut short or broken: {error}") from error
        return read * size / max(file.tell(), 1)


def _vcf_samples(path: Path) -> int:
    """Of the header, which is text in BCF too."""
    with path.open("rb") as file:
        for line in decompressed(file):
            if line.startswith(b"#CHROM"):
                return max(line.count(b"\t") - 8, 1)
    raise SourceError(f"{path}: has no line #CHROM, which names the individuals")


def _columns(path: Path) -> int:
    """Beside the first: as many as there are separators in the first line."""
    with path.open("rb") as file:
        line = decompressed(file).readline().strip()
    return max(*(line.count(separator) for separator in (b"\t", b",", b";")), len(line.split()) - 1, 1)
