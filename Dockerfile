# Three images from one build: `gateway` (what `docker build .` makes), `user-service` and `product-service`.
# Plain enough for the classic builder as well as for BuildKit.

FROM rust:1.95-slim-bookworm AS builder
# libz-ng-sys, which Pingora brings, is built by cmake and make.
RUN apt-get update \
 && apt-get install -y --no-install-recommends cmake make \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
# `--build-arg PROFILE=dev` builds faster and runs slower.
ARG PROFILE=release
ENV CARGO_INCREMENTAL=0

# The dependencies in a layer of their own, which only a change of a manifest or of the lock makes anew: the
# sources are stubs. What is built of the stubs goes, since cargo would take it for newer than the real sources.
COPY Cargo.toml Cargo.lock ./
COPY fake-services/Cargo.toml fake-services/
COPY examples/custom-plugin/Cargo.toml examples/custom-plugin/
RUN mkdir -p src fake-services/src/bin examples/custom-plugin/src \
 && echo 'fn main() {}' | tee src/main.rs examples/custom-plugin/src/main.rs fake-services/src/bin/user-service.rs fake-services/src/bin/product-service.rs \
 && touch src/lib.rs fake-services/src/lib.rs \
 && cargo build --locked --package aegis-gateway --package fake-services --bins --profile "$PROFILE" \
 && cargo clean --locked --profile "$PROFILE" --package aegis-gateway --package fake-services \
 && rm -r src fake-services/src

COPY fake-services fake-services
COPY src src
# The folder of the `dev` profile is the one that is not named after it. Nothing but /out is kept: a builder
# that keeps a layer for every edit would keep this one's half gigabyte each time.
RUN cargo build --locked --package aegis-gateway --package fake-services --bins --profile "$PROFILE" \
 && folder="target/$([ "$PROFILE" = dev ] && echo debug || echo "$PROFILE")" \
 && install -D --strip --target-directory /out "$folder/aegis" "$folder/user-service" "$folder/product-service" \
 && rm -r target

# `--build-arg PGO=on` takes three times as long and runs faster: the gateway is laid out by a profile of itself under the loads of
# the benchmarks. LLVM's tools have to be those of rustc's own LLVM.
FROM builder AS profiled
ARG PGO=off
COPY bench bench
RUN [ "$PGO" = off ] || { \
    apt-get update \
 && apt-get install -y --no-install-recommends nghttp2-client nginx-core openssl python3 redis-server wrk \
 && { rustup component add llvm-tools || apt-get install -y --no-install-recommends "llvm-$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')"; } \
 && rm -rf /var/lib/apt/lists/* \
 && bench/pgo --output /tmp/aegis \
 && install --strip --target-directory /out /tmp/aegis \
 && rm -r target /tmp/aegis; }

# What the three have in common: nobody's rights, and nothing to write to.
FROM debian:bookworm-slim AS runtime
COPY --from=builder /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
USER 65532:65532

FROM runtime AS user-service
COPY --from=builder /out/user-service /usr/local/bin/
EXPOSE 3001
HEALTHCHECK --interval=5s --timeout=3s --start-period=5s CMD ["user-service", "--health"]
ENTRYPOINT ["user-service"]

FROM runtime AS product-service
COPY --from=builder /out/product-service /usr/local/bin/
EXPOSE 3004
HEALTHCHECK --interval=5s --timeout=3s --start-period=5s CMD ["product-service", "--health"]
ENTRYPOINT ["product-service"]

FROM runtime AS gateway
COPY --from=profiled /out/aegis /usr/local/bin/
COPY --chown=65532:65532 conf/aegis.yaml /etc/aegis/aegis.yaml
# For `run`, and for a `token` or `check` in the same container.
ENV AEGIS_CONFIG=/etc/aegis/aegis.yaml
EXPOSE 8000
HEALTHCHECK --interval=5s --timeout=3s --start-period=5s CMD ["aegis", "health"]
ENTRYPOINT ["aegis"]
CMD ["run"]
