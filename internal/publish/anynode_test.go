package publish

import (
	"errors"
	"io"
	"testing"
)

func TestFailures(t *testing.T) {
	err := error(failures{errors.New("a:1: refused"), io.EOF, errors.New("a:1: refused")})
	if got, want := err.Error(), "a:1: refused; EOF"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if !errors.Is(err, io.EOF) {
		t.Error("the class of an answer is lost")
	}
}
