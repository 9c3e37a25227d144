# docker build --build-arg VERSION=$(git describe --tags --always) -t tailer .
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev TARGETOS TARGETARCH
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /tailer ./cmd/tailer

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /src/LICENSE /LICENSE
COPY --from=build /tailer /tailer
# Reachable from outside the container, and when an operator must decide, wait to be asked instead of restarting
# in a loop.
ENV TAILER_HTTP_ADDR=:8245 TAILER_ON_REFUSAL=wait
EXPOSE 8245
USER 65532:65532
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["/tailer", "status"]
ENTRYPOINT ["/tailer"]
CMD ["run"]
