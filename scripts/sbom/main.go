// Command sbom prints the bill of materials of a Go binary, as CycloneDX 1.5:
// the modules that were really linked, as the linker noted them. The same
// binary gives the same text.
package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: sbom BINARY")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

// The parts of https://cyclonedx.org/docs/1.5/json/ that a Go binary can say.
type bom struct {
	Schema       string       `json:"$schema"`
	BomFormat    string       `json:"bomFormat"`
	SpecVersion  string       `json:"specVersion"`
	SerialNumber string       `json:"serialNumber"`
	Version      int          `json:"version"`
	Metadata     metadata     `json:"metadata"`
	Components   []component  `json:"components"`
	Dependencies []dependency `json:"dependencies"`
}

type metadata struct {
	Timestamp string    `json:"timestamp,omitempty"`
	Component component `json:"component"`
}

type component struct {
	Ref        string     `json:"bom-ref"`
	Type       string     `json:"type"`
	Name       string     `json:"name"`
	Version    string     `json:"version"`
	Purl       string     `json:"purl"`
	Hashes     []hash     `json:"hashes,omitempty"`
	Properties []property `json:"properties,omitempty"`
}

type hash struct {
	Alg     string `json:"alg"`
	Content string `json:"content"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type dependency struct {
	Ref       string   `json:"ref"`
	DependsOn []string `json:"dependsOn"`
}

func run(path string, w io.Writer) error {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read what was linked: %w", err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	root := module(info.Main.Path, version(info), "")
	root.Type = "application"
	root.Hashes = []hash{{"SHA-256", hex.EncodeToString(sum[:])}}
	for _, s := range info.Settings {
		if s.Key == "GOOS" || s.Key == "GOARCH" {
			root.Properties = append(root.Properties, property{"go:" + s.Key, s.Value})
		}
	}
	list := []component{module("std", strings.TrimPrefix(info.GoVersion, "go"), "")}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		list = append(list, module(m.Path, m.Version, m.Sum))
	}
	refs := make([]string, len(list))
	for i := range list {
		refs[i] = list[i].Ref
	}
	b := bom{
		Schema: "http://cyclonedx.org/schema/bom-1.5.schema.json", BomFormat: "CycloneDX", SpecVersion: "1.5",
		SerialNumber: "urn:uuid:" + uuid(sum), Version: 1,
		Metadata:   metadata{Timestamp: epoch(os.Getenv("SOURCE_DATE_EPOCH")), Component: root},
		Components: list, Dependencies: []dependency{{root.Ref, refs}},
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(b)
}

var flagVersion = regexp.MustCompile(`main\.version=([^\s"']+)`)

// version is what the binary was told to be; with -trimpath Go does not note
// the linker's flags, and the version comes from the environment instead.
func version(info *buildinfo.BuildInfo) string {
	for _, s := range info.Settings {
		if m := flagVersion.FindStringSubmatch(s.Value); s.Key == "-ldflags" && m != nil {
			return m[1]
		}
	}
	if v := os.Getenv("VERSION"); v != "" {
		return v
	}
	return info.Main.Version
}

func module(path, version, sum string) component {
	purl := "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")
	c := component{Ref: purl, Type: "library", Name: path, Version: version, Purl: purl}
	if sum != "" {
		c.Properties = []property{{"go:sum", sum}}
	}
	return c
}

// uuid is one that follows from the binary.
func uuid(sum [32]byte) string {
	b := sum[:16]
	b[6], b[8] = 0x80|b[6]&0x0f, 0x80|b[8]&0x3f // version 8: of the maker's own choice
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func epoch(s string) string {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return ""
	}
	return time.Unix(n, 0).UTC().Format(time.RFC3339)
}
