# Builds candlewick and puts it into an image that holds nothing else: no shell, no package manager, no root.
#   docker build --build-arg REVISION="$(git rev-parse HEAD)" -t candlewick .
# The base images are pinned by digest, which covers both architectures; Dependabot updates tag and digest together.

FROM rust:1.95.0-slim-bookworm@sha256:d7482085ff5b415f84dba5647ae71606650bdef00db7aeb69f4b3d170c3e4082 AS tools
# cargo-auditable embeds the list of crates in the binary, so that scanners know what it contains.
RUN cargo install --locked cargo-chef@0.1.78 cargo-auditable@0.7.7
WORKDIR /build

FROM tools AS plan
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

FROM tools AS build
# The dependencies, which are most of the work, get a layer that changes only with Cargo.lock.
COPY --from=plan /build/recipe.json recipe.json
RUN cargo chef cook --release --locked --recipe-path recipe.json
COPY . .
ARG REVISION=unknown
ENV CANDLEWICK_REVISION=$REVISION
RUN cargo auditable build --release --locked --bin candlewick && mkdir /data

FROM gcr.io/distroless/cc-debian12:nonroot@sha256:9dac0a79194e45a7da0158a9c6da57b217585af0786db3845d1f0ec1a0dd182f
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="candlewick" \
      org.opencontainers.image.description="Keeps OHLCV candles from MetaTrader 5 and serves them to charts." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /build/target/release/candlewick /usr/local/bin/candlewick
# For DATABASE_URL=sqlite:///data/candlewick.db on a volume, because a volume takes its owner from this folder.
COPY --from=build --chown=65532:65532 /data /data
WORKDIR /data
USER 65532:65532
ENV ENVIRONMENT=production BIND_ADDR=0.0.0.0
EXPOSE 8000
STOPSIGNAL SIGTERM
# Reads PORT and BIND_ADDR as serve does. Where serve gets flags instead, give this one the same.
HEALTHCHECK --interval=5s --timeout=3s --start-period=5s --retries=3 CMD ["/usr/local/bin/candlewick", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/candlewick"]
