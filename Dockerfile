# What the image is. Two builders read this file and agree: `docker build .`, and the deployer, which needs no Docker. The
# deployer reads the final stage alone and compiles by itself what comes out of the first one; see docs/image.md.

# That of rust-toolchain.toml.
ARG RUST_VERSION=1.95.0

FROM rust:${RUST_VERSION}-slim AS build
ARG RUST_VERSION
# The compiler is there. Without this, rustup fetches the components that rust-toolchain.toml names for people.
ENV RUSTUP_TOOLCHAIN=${RUST_VERSION}
WORKDIR /src
COPY . .
# Static, so that it needs nothing from the image it runs in, and not relocatable, which makes it smaller. With `--target` the
# flags reach the program alone, and not the procedural macros, which cannot be static.
RUN target="$(uname -m)-unknown-linux-gnu" \
 && RUSTFLAGS='-C target-feature=+crt-static -C relocation-model=static' \
    cargo build --locked --profile image --package app --bin app --target "$target" \
 && mkdir /out \
 && cp "target/$target/image/app" /out/app

FROM scratch
LABEL org.opencontainers.image.title="app" \
      org.opencontainers.image.description="HTTP service that tells the time" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /out/app /app
# Nobody: a number, since there is no /etc/passwd, and above 1024, so that the port is too.
USER 65532:65532
ENV PORT=8080
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["/app"]
