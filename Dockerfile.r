# The simulator AlphaSimR: Debian's R and packages, AlphaSimR from CRAN, r/simulate.R. `python -m images build r`
ARG BASE=debian:bookworm-slim

# What r-packages/ holds comes before CRAN. Both the folder and what is in it may be missing.
FROM scratch AS packages
COPY images/r.lock r-package[s] /

FROM ${BASE} AS system
ENV LANG=C.UTF-8
RUN --mount=type=bind,source=images/r.lock,target=/r.lock \
    --mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=cache,target=/var/lib/apt,sharing=locked \
    apt-get update && apt-get install --yes --no-install-recommends $(sed -n 's/^image //p' /r.lock)

FROM system AS download
WORKDIR /source
RUN --mount=type=bind,from=packages,target=/packages --mount=type=secret,id=ca \
    if [ -f /run/secrets/ca ]; then export CURL_CA_BUNDLE=/run/secrets/ca; fi; \
    file=$(sed -n 's/^cran AlphaSimR=\(.*\)/AlphaSimR_\1.tar.gz/p' /packages/r.lock); \
    if [ -f "/packages/$file" ]; then cp "/packages/$file" .; else Rscript -e 'file <- commandArgs(TRUE)' \
    -e 'download.file(file.path(contrib.url(getOption("repos")[["CRAN"]]), "Archive/AlphaSimR", file), file)' "$file"; fi

# AlphaSimR's source alone, to be had before anything is compiled.
FROM scratch AS source
COPY --from=download /source /

FROM system AS compile
RUN --mount=type=bind,source=images/r.lock,target=/r.lock \
    --mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=cache,target=/var/lib/apt,sharing=locked \
    apt-get update && apt-get install --yes --no-install-recommends $(sed -n 's/^build //p' /r.lock)
RUN --mount=type=bind,from=source,target=/source \
    MAKEFLAGS="--jobs=$(nproc)" R CMD INSTALL --strip --library=/usr/local/lib/R/site-library /source/AlphaSimR_*.tar.gz

# Everything but AlphaSimR, for machines without CRAN.
FROM system AS r-base
ENV HOME=/tmp
ENTRYPOINT ["Rscript", "--vanilla", "/app/simulate.R"]
CMD ["--help"]
# Root's results may lie below /root, where its stages, which run as nobody, must get through.
RUN chmod 755 /root
COPY --chmod=755 r /app
ARG BASE
ARG BASE_DIGEST
ARG VERSION
LABEL org.opencontainers.image.title="gpatlas-r-base" \
      org.opencontainers.image.description="All that simulates genomes and traits with AlphaSimR, but AlphaSimR" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.base.name="${BASE}" \
      org.opencontainers.image.base.digest="${BASE_DIGEST}"

FROM r-base AS r
COPY --from=compile /usr/local/lib/R/site-library/AlphaSimR /usr/local/lib/R/site-library/AlphaSimR
LABEL org.opencontainers.image.title="gpatlas-r" \
      org.opencontainers.image.description="Simulates genomes and traits with AlphaSimR"
