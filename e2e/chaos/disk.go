package chaos

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// room is what is left on a small disk, in bytes.
const room = 256 << 20

// Small puts the server on a file system of its own with little room, until the test ends. It restarts it.
func (s *Server) Small(t testing.TB) {
	t.Helper()
	if s.small {
		return
	}
	if os.Getuid() != 0 {
		t.Skip("only root may mount a small file system")
	}
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
	}
	s.Stop(t)
	disk := s.home + ".disk"
	if err := os.Mkdir(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	used := size(t, s.home)
	run("mount", "-t", "tmpfs", "-o", fmt.Sprintf("mode=755,size=%d", used+used/4+room), "tmpfs", disk)
	run("cp", "-a", s.home+"/.", disk)
	run("mount", "--bind", disk, s.home)
	s.small = true
	t.Cleanup(func() {
		s.small = false
		s.Stop(t)
		// A server that would not end was killed, and may not be gone yet.
		for deadline := time.Now().Add(time.Minute); exec.Command("umount", s.home).Run() != nil; time.Sleep(100 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s cannot be unmounted", s.home)
			}
		}
		old := s.home + ".old"
		if err := os.Rename(s.home, old); err != nil {
			t.Fatal(err)
		}
		run("cp", "-a", disk, s.home)
		run("umount", disk)
		run("rm", "-rf", disk, old)
	})
	s.Mend(t)
}

// Fill leaves the small disk no room at all, and returns what makes room again.
func (s *Server) Fill(t testing.TB) (empty func()) {
	t.Helper()
	name := filepath.Join(s.home, "ballast")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 1<<20); len(block) > 0; {
		_, err := f.Write(block)
		switch {
		case errors.Is(err, syscall.ENOSPC):
			block = block[:len(block)/2]
		case err != nil:
			t.Fatal(err)
		}
	}
	return func() {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

// size is what the files of a folder take, in bytes.
func size(t testing.TB, folder string) (sum int64) {
	t.Helper()
	err := filepath.WalkDir(folder, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			info, err := d.Info()
			if err != nil {
				return err
			}
			sum += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}
