package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tailer-io/tailer/e2e/harness"
)

// release runs scripts/release in a copy of the sources that lies in dir.
func release(t *testing.T, dir string, platforms string) (out string) {
	t.Helper()
	sources := filepath.Join(dir, "sources")
	if err := os.Mkdir(sources, 0o755); err != nil {
		t.Fatal(err)
	}
	copied := exec.Command("cp", "-R", "--", "cmd", "internal", "scripts", "configs", "deploy", "go.mod", "go.sum", "LICENSE",
		"README.md", "CHANGELOG.md", "SECURITY.md", sources)
	copied.Dir = ".."
	if msg, err := copied.CombinedOutput(); err != nil {
		t.Fatalf("copy: %v\n%s", err, msg)
	}
	out = filepath.Join(dir, "out")
	cmd := exec.Command(filepath.Join(sources, "scripts/release"), "1.2.3", out)
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1700000000", "PLATFORMS="+platforms)
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("scripts/release: %v\n%s", err, msg)
	}
	return out
}

// The same sources in two places give the same bytes; the archive holds a binary that knows its version, and the bill
// of materials names what go.mod does.
func TestAReleaseIsReproducible(t *testing.T) {
	t.Parallel()
	harness.Binary(t) // as a sign that end-to-end tests are wanted
	platforms := harness.Either("linux/amd64 linux/arm64", "linux/amd64")
	one, two := release(t, t.TempDir(), platforms), release(t, t.TempDir(), platforms)
	sums, err := os.ReadFile(filepath.Join(one, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := os.ReadFile(filepath.Join(two, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(sums, again) || bytes.Count(sums, []byte("\n")) != 2*len(strings.Fields(platforms)) {
		t.Errorf("one place:\n%sthe other:\n%s", sums, again)
	}

	unpacked := t.TempDir()
	if msg, err := exec.Command("tar", "-C", unpacked, "-xzf", filepath.Join(one, "tailer_1.2.3_linux_amd64.tar.gz")).CombinedOutput(); err != nil {
		t.Fatalf("unpack: %v\n%s", err, msg)
	}
	program := filepath.Join(unpacked, "tailer_1.2.3_linux_amd64", "tailer")
	version, err := exec.Command(program, "version").Output()
	if err != nil || !strings.HasPrefix(string(version), "tailer 1.2.3 ") {
		t.Errorf("version: %q, %v", version, err)
	}
	binary, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	for _, place := range []string{one, two, "/root/", os.TempDir() + "/"} {
		if bytes.Contains(binary, []byte(place)) {
			t.Errorf("the binary names %s", place)
		}
	}
	checkBill(t, filepath.Join(one, "tailer_1.2.3_linux_amd64.cdx.json"))
}

// checkBill holds a bill of materials against go.mod: every module in it is named with its version.
func checkBill(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var bill struct {
		BomFormat, SpecVersion string
		Metadata               struct {
			Component struct{ Name, Version string }
		}
		Components []struct{ Name, Version, Purl string }
	}
	if err := json.Unmarshal(text, &bill); err != nil {
		t.Fatal(err)
	}
	if c := bill.Metadata.Component; bill.BomFormat != "CycloneDX" || c.Name != "github.com/tailer-io/tailer" || c.Version != "1.2.3" {
		t.Errorf("the bill is of %+v", bill.Metadata)
	}
	var names []string
	for _, c := range bill.Components {
		names = append(names, c.Name+" "+c.Version)
		if c.Purl != "pkg:golang/"+c.Name+"@"+strings.ReplaceAll(c.Version, "+", "%2B") {
			t.Errorf("%s has the purl %s", c.Name, c.Purl)
		}
	}
	mods, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for _, module := range []string{"github.com/IBM/sarama", "github.com/jackc/pgx/v5", "github.com/go-mysql-org/go-mysql", "github.com/prometheus/client_golang"} {
		_, rest, ok := strings.Cut(string(mods), module+" ")
		version, _, _ := strings.Cut(rest, "\n")
		if version, _, _ = strings.Cut(version, " "); !ok || !slices.Contains(names, module+" "+version) {
			t.Errorf("the bill does not name %s %s", module, version)
		}
	}
}
