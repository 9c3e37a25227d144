package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tailer-io/tailer/internal/config"
	"github.com/tailer-io/tailer/internal/outbox"
)

// checkTimeout bounds a preflight: a host that never answers is a finding too.
const checkTimeout = time.Minute

func (a *app) checkCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "preflight: one line for each requirement, with what mends it",
		Long: `Check what run needs of the database and of Kafka, by doing it: a replication
connection is opened, a transaction begun. One line each: ok, warn, or FAIL with
the statement or setting that fixes it. Status 1 if anything FAILs.`,
		Example: `  tailer check --config /etc/tailer.yaml
  tailer check --config /etc/tailer.yaml --output json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.check(cmd, output) },
	}
	config.AddFlags(cmd.Flags(), config.Check)
	addOutput(cmd, &output)
	return cmd
}

func (a *app) check(cmd *cobra.Command, output string) error {
	cfg, log, err := a.load(config.Check, cmd)
	if err != nil {
		return err
	}
	p, err := build(cfg, log, a.stdout)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), checkTimeout)
	defer cancel()
	list := p.checkList(ctx) // before: the source is asked about what is to be added
	findings := append(p.source.Check(ctx), list...)
	p.source.Close()
	if p.kafka != nil {
		findings = append(findings, p.kafka.Check(ctx)...)
		p.kafka.Close()
	}
	if cfg.CheckpointFile != "" {
		findings = append(findings, checkDirectory(cfg.CheckpointFile))
	}
	if err := printFindings(a.stdout, findings, output); err != nil {
		return err
	}
	if n := countFails(findings); n > 0 {
		return fmt.Errorf("check: %d of %d requirements are not met", n, len(findings))
	}
	return nil
}

// checkList compares the configured tables with those of the checkpoint, where
// there is one. What keeps it from being read shows in another finding.
func (p *parts) checkList(ctx context.Context) []outbox.Finding {
	added, removed, err := p.changedTables(ctx)
	if err != nil {
		return nil
	}
	var r outbox.Findings
	if len(added) > 0 {
		r.OK("table list", "the next start adds %s: rows that are in the table are published (--snapshot initial), then what follows them", strings.Join(added, ", "))
	}
	if len(removed) > 0 {
		r.Fail("table list", "configure it again, or tailer checkpoint forget-table TABLE gives up what of it is not published yet",
			"the checkpoint is of table %s too, which is not configured any more: run refuses", strings.Join(removed, ", "))
	}
	return r.List
}

// changedTables is what differs between the configured tables and those of the
// checkpoint; the source is then about those that were there before.
func (p *parts) changedTables(ctx context.Context) (added, removed []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout/6)
	defer cancel()
	return p.pipeline.ChangedTables(ctx)
}

// checkDirectory tries what saving a checkpoint does: make a file beside it.
func checkDirectory(path string) outbox.Finding {
	f := outbox.Finding{What: "checkpoint file", Level: outbox.OK, Found: path + " can be written"}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".tailer-check-*")
	if err != nil {
		f.Level, f.Found = outbox.Fail, err.Error()
		f.Fix = "make the directory, writable for the user who runs tailer"
		return f
	}
	tmp.Close()
	os.Remove(tmp.Name())
	return f
}

func countFails(findings []outbox.Finding) int {
	n := 0
	for _, f := range findings {
		if f.Level == outbox.Fail {
			n++
		}
	}
	return n
}

// printFindings prints a line each, its fix indented below it.
func printFindings(w io.Writer, findings []outbox.Finding, output string) error {
	if output == outputJSON {
		return printJSON(w, jsonFindings(findings))
	}
	for _, f := range findings {
		if _, err := fmt.Fprintf(w, "%-5s %s: %s\n", f.Level, f.What, oneLine(f.Found)); err != nil {
			return err
		}
		if f.Fix != "" {
			fmt.Fprintf(w, "      fix: %s\n", strings.ReplaceAll(f.Fix, "\n", "\n           "))
		}
	}
	return nil
}

// jsonFinding is a Finding as --output json has it.
type jsonFinding struct {
	Level outbox.Level `json:"level"`
	What  string       `json:"what"`
	Found string       `json:"found"`
	Fix   string       `json:"fix,omitempty"`
}

func jsonFindings(findings []outbox.Finding) []jsonFinding {
	list := make([]jsonFinding, len(findings))
	for i, f := range findings {
		list[i] = jsonFinding(f)
	}
	return list
}
