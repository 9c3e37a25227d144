package checkpoint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// File keeps the record in a file, for stdout and at-least-once. One process
// at a time may use it: Lock says who.
type File struct {
	path string
	lock *os.File
	last []byte // what we know to be in the file
}

// NewFile returns a store on path, whose directory must exist. Nothing is
// opened yet.
func NewFile(path string) *File { return &File{path: path} }

// Path is where the record is kept.
func (f *File) Path() string { return f.path }

// ErrInUse means that another process has the file's lock.
var ErrInUse = errors.New("another tailer uses it")

// Lock takes the file's lock (flock on a file beside it, since the record's
// own file is replaced by each Save); ErrInUse if another process has it. The
// lock ends with the process.
func (f *File) Lock() error {
	if f.lock != nil {
		return nil
	}
	l, err := os.OpenFile(f.path+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("open checkpoint lock: %w", err)
	}
	if err := syscall.Flock(int(l.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		l.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrInUse
		}
		return fmt.Errorf("lock checkpoint file %s: %w", f.path, err)
	}
	f.lock = l
	return nil
}

// Load returns the record saved last, nil if there is none.
func (f *File) Load(context.Context) ([]byte, error) {
	b, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		f.last = nil
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read checkpoint file: %w", err)
	}
	f.last = b
	return b, nil
}

// Save replaces the record; it is durable when Save returns: the new file is
// written and synced, renamed over the old one, and the directory synced. A
// file that somebody else changed since Load or Save is not replaced.
func (f *File) Save(_ context.Context, record []byte) error {
	now, err := os.ReadFile(f.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read checkpoint file: %w", err)
	}
	if !bytes.Equal(now, f.last) {
		return fmt.Errorf("save checkpoint: %s was changed by somebody else since it was read", f.path)
	}
	dir := filepath.Dir(f.path)
	tmp, err := os.CreateTemp(dir, filepath.Base(f.path)+".new*")
	if err != nil {
		return fmt.Errorf("save checkpoint: %w", err)
	}
	defer os.Remove(tmp.Name()) // fails once it is renamed
	_, err = tmp.Write(record)
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Chmod(tmp.Name(), 0o644)
	}
	if err == nil {
		err = os.Rename(tmp.Name(), f.path)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("save checkpoint: %w", err)
	}
	f.last = bytes.Clone(record)
	return nil
}

// Remove deletes the record; none is no error.
func (f *File) Remove() error {
	if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove checkpoint file: %w", err)
	}
	f.last = nil
	return syncDir(filepath.Dir(f.path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
