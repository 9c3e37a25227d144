# docker build --build-arg VERSION=$(git describe --tags --always) -t tailer .
# docker buildx build --platform linux/amd64,linux/arm64 ... makes both from one machine: Go compiles across.
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
ARG TARGETOS
ARG TARGETARCH
RUN VERSION=$VERSION GOOS=$TARGETOS GOARCH=$TARGETARCH scripts/rootfs /rootfs

# The binary, the authorities to trust, one user; no shell.
FROM scratch
COPY --from=build /rootfs /
# Reachable from outside the container, and when an operator must decide, wait to be asked instead of restarting
# in a loop.
ENV TAILER_HTTP_ADDR=:8245 TAILER_ON_REFUSAL=wait
EXPOSE 8245
USER 65532:65532
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s CMD ["/tailer", "status"]
ENTRYPOINT ["/tailer"]
CMD ["run"]
