package credential

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestFileIsReadEachTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "password")
	get := File(path)
	if _, err := get(t.Context()); !errors.Is(err, os.ErrNotExist) || err.Error() != "read password file "+path+": no such file or directory" {
		t.Errorf("without a file: %v", err)
	}
	for content, want := range map[string]string{"one\n": "one", "two\r\n": "two", " three \n\n": " three \n", "four": "four"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := get(t.Context()); got != want || err != nil {
			t.Errorf("%q: got %q, %v", content, got, err)
		}
	}
	if err := os.WriteFile(path, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := get(t.Context()); err == nil || err.Error() != "read password file "+path+": it is empty" {
		t.Errorf("empty: %v", err)
	}
}

func TestCommand(t *testing.T) {
	counter := filepath.Join(t.TempDir(), "n")
	get := Command("echo x >>" + counter + "; wc -l <" + counter + " | tr -d ' '")
	for _, want := range []string{"1", "2"} { // a new one each time
		if got, err := get(t.Context()); got != want || err != nil {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	for line, want := range map[string]string{
		"echo secret; echo ignored >&2; echo no token >&2; exit 3": "run the password command: exit status 3: no token",
		"exit 4": "run the password command: exit status 4",
		"echo":   "run the password command: it printed nothing",
	} {
		if got, err := Command(line)(t.Context()); got != "" || err == nil || err.Error() != want {
			t.Errorf("%q: got %q, %v", line, got, err)
		}
	}
}

func TestCommandEndsWithItsContext(t *testing.T) {
	cause := errors.New("stopping")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(50*time.Millisecond, func() { cancel(cause) })
	begin := time.Now()
	if _, err := Command("sleep 60")(ctx); !errors.Is(err, cause) || time.Since(begin) > 10*time.Second {
		t.Errorf("after %s: %v", time.Since(begin), err)
	}
}
