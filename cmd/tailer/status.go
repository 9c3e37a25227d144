package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tailer-io/tailer/internal/config"
)

const (
	statusTimeout = 5 * time.Second
	statusBytes   = 1 << 20 // no honest answer is longer
)

func (a *app) statusCommand() *cobra.Command {
	var ready bool
	var output string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "state, position, lag and last error of a running tailer",
		Long: `Ask the tailer that listens on --http-addr. Status 0 if it is live (with --ready:
ready), 1 if it is not or does not answer.`,
		Example: `  tailer status
  tailer status --ready --http-addr :8245
  tailer status --output json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.status(cmd, ready, output) },
	}
	config.AddFlags(cmd.Flags(), config.Status)
	cmd.Flags().BoolVar(&ready, "ready", false, "ask for ready instead of live")
	addOutput(cmd, &output)
	return cmd
}

func (a *app) status(cmd *cobra.Command, ready bool, output string) error {
	cfg, _, err := a.load(config.Status, cmd)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), statusTimeout)
	defer cancel()
	base := "http://" + dialable(cfg.HTTPAddr)
	body, code, err := fetch(ctx, base+"/status")
	if err != nil {
		return fmt.Errorf("ask the running tailer: %w", err)
	}
	if code != http.StatusOK {
		return fmt.Errorf("ask the running tailer: %s/status answers with status %d; is it a tailer?", base, code)
	}
	if err := a.printStatus(body, output); err != nil {
		return err
	}
	question := "live"
	path := "/healthz"
	if ready {
		question, path = "ready", "/readyz"
	}
	answer, code, err := fetch(ctx, base+path)
	if err != nil {
		return fmt.Errorf("ask the running tailer: %w", err)
	}
	if code != http.StatusOK {
		return fmt.Errorf("not %s: %s", question, strings.TrimSpace(string(answer)))
	}
	return nil
}

// dialable makes an address to connect to of one to listen on: no host, or
// the one that stands for all, means this machine.
func dialable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr // not reached: the option was checked
	}
	switch host {
	case "", "0.0.0.0":
		host = "127.0.0.1" // and not a name: a container may have no resolver
	case "::":
		host = "::1"
	}
	return net.JoinHostPort(host, port)
}

func fetch(ctx context.Context, url string) ([]byte, int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, 0, err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // and no proxy
	resp, err := client.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, statusBytes))
	return body, resp.StatusCode, err
}

// answer is what the command shows of /status. Numbers are null when the
// server cannot be asked.
type answer struct {
	Name            string   `json:"name"`
	Version         string   `json:"version"`
	State           string   `json:"state"`
	Reason          string   `json:"reason"`
	Position        string   `json:"position"`
	ServerPosition  string   `json:"server_position"`
	LagSeconds      *float64 `json:"lag_seconds"`
	LagBytes        *float64 `json:"lag_bytes"`
	LagTransactions *float64 `json:"lag_transactions"` // in place of LagBytes where positions are GTIDs
	Published       uint64   `json:"published"`
	LastError       struct {
		Time *time.Time `json:"time"`
		Text string     `json:"text"`
	} `json:"last_error"`
}

func (a *app) printStatus(body []byte, output string) error {
	if output == outputJSON {
		_, err := a.stdout.Write(body)
		return err
	}
	var s answer
	if err := json.Unmarshal(body, &s); err != nil || s.State == "" {
		return errors.Join(errors.New("read the answer: it is no status of a tailer"), err)
	}
	state := s.State
	if s.Reason != "" {
		state += ": " + s.Reason
	}
	lastError := "none"
	if s.LastError.Time != nil {
		lastError = s.LastError.Time.Format(time.RFC3339) + " " + s.LastError.Text
	}
	_, err := fmt.Fprintf(a.stdout, "name        %s (tailer %s)\nstate       %s\nposition    %s\nserver      %s\nlag         %s, %s\npublished   %d\nlast error  %s\n",
		s.Name, s.Version, oneLine(state), orUnknown(s.Position), orUnknown(s.ServerPosition),
		number(s.LagSeconds, 3, " s"), logLag(s.LagBytes, s.LagTransactions), s.Published, oneLine(lastError))
	return err
}

// logLag is the lag in the unit that the source counts.
func logLag(bytes, transactions *float64) string {
	if transactions != nil {
		return number(transactions, 0, " transactions")
	}
	return number(bytes, 0, " bytes")
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

func number(n *float64, digits int, unit string) string {
	if n == nil {
		return "unknown"
	}
	return strconv.FormatFloat(*n, 'f', digits, 64) + unit
}
