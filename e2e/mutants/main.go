// Command mutants breaks tailer on purpose, one step at a time, and lets the end-to-end tests say whether they notice.
// It prints a table, and ends with status 1 if a mutant survives.
//
//	make mutants
//
// Each mutant is built from a copy of the working tree, which is not touched.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

func main() {
	only := flag.String("only", "", "regular expression for what is broken")
	suite := flag.String("suite", "../bin/e2e.test", "the compiled end-to-end tests")
	flag.Parse()
	chosen, err := regexp.Compile(*only)
	if err != nil {
		fmt.Fprintln(os.Stderr, "-only:", err)
		os.Exit(2)
	}
	survived, err := run(chosen, *suite)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if survived > 0 {
		fmt.Fprintln(os.Stderr, survived, "survived")
		os.Exit(1)
	}
}

func run(chosen *regexp.Regexp, suite string) (survived int, err error) {
	if suite, err = filepath.Abs(suite); err != nil {
		return 0, err
	}
	tree, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(tree)
	if err := os.CopyFS(filepath.Join(tree, "cmd"), os.DirFS("../cmd")); err != nil {
		return 0, err
	}
	if err := os.CopyFS(filepath.Join(tree, "internal"), os.DirFS("../internal")); err != nil {
		return 0, err
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			return 0, err
		}
		if err := os.WriteFile(filepath.Join(tree, name), text, 0o644); err != nil {
			return 0, err
		}
	}
	fmt.Println("| broken | noticed by | after |\n|---|---|---|")
	for i := range mutants {
		m := &mutants[i]
		if !chosen.MatchString(m.what) {
			continue
		}
		begin := time.Now()
		failed, err := m.judge(tree, suite)
		if err != nil {
			return survived, fmt.Errorf("%s: %w", m.what, err)
		}
		by := strings.Join(failed, ", ")
		if len(failed) == 0 {
			survived++
			by = "NOBODY"
		}
		fmt.Printf("| %s | %s | %v |\n", m.what, by, time.Since(begin).Round(time.Second))
	}
	return survived, nil
}

// judge builds the mutant, plays its tests and names those that fail. The tree is mended again.
func (m *mutant) judge(tree, suite string) (failed []string, err error) {
	undo, err := m.apply(tree)
	if err != nil {
		return nil, err
	}
	defer func() {
		for file, text := range undo {
			if werr := os.WriteFile(file, text, 0o644); err == nil {
				err = werr
			}
		}
	}()
	for name, tags := range map[string]string{"tailer": "", "tailer-faults": "faults"} {
		build := exec.Command("go", "build", "-tags", tags, "-o", filepath.Join(tree, name), "./cmd/tailer")
		build.Dir = tree
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build: %w\n%s", err, out)
		}
	}
	play := exec.Command(suite, "-test.v", "-test.timeout=10m", "-test.failfast", "-test.run=^("+m.tests+")$")
	play.Env = append(os.Environ(), "E2E_SOURCE=postgres", "E2E_TAILER="+filepath.Join(tree, "tailer"),
		"E2E_TAILER_FAULTS="+filepath.Join(tree, "tailer-faults"))
	if m.full {
		play.Env = append(play.Env, "E2E_FULL=1")
	}
	out, err := play.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if _, name, ok := strings.Cut(line, "--- FAIL: "); ok && !strings.HasPrefix(line, " ") {
			failed = append(failed, strings.Fields(name)[0])
		}
	}
	if err == nil || len(failed) > 0 {
		if err == nil && !strings.Contains(string(out), "--- PASS: ") {
			return nil, fmt.Errorf("no test was played:\n%s", out)
		}
		return slices.Compact(failed), nil
	}
	return nil, fmt.Errorf("the tests ended without a verdict: %w\n%s", err, out)
}

// apply edits the tree, and returns the files as they were.
func (m *mutant) apply(tree string) (undo map[string][]byte, err error) {
	undo = map[string][]byte{}
	for _, e := range m.edits {
		file := filepath.Join(tree, filepath.FromSlash(e.file))
		text, err := os.ReadFile(file)
		if err != nil {
			return undo, err
		}
		if n := strings.Count(string(text), e.old); n != 1 {
			return undo, fmt.Errorf("%s has the text to be replaced %d times, want once:\n%s", e.file, n, e.old)
		}
		if undo[file] == nil {
			undo[file] = text
		}
		if err := os.WriteFile(file, []byte(strings.Replace(string(text), e.old, e.new, 1)), 0o644); err != nil {
			return undo, err
		}
	}
	return undo, nil
}
