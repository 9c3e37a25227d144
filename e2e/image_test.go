package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/x509"
	"debug/elf"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/harness"
)

// imageLimit is how large the image may be, compressed as registries have it.
const imageLimit = 20 << 20

// image is what the Dockerfile's last stage says, beside its files.
type image struct {
	root             string
	env              []string
	uid, gid         uint32
	entrypoint, args []string
	health           []string
}

// rootfs runs the script that the Dockerfile runs.
func rootfs(t *testing.T, arch string) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root")
	cmd := exec.Command("../scripts/rootfs", root)
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+arch, "VERSION=image-test")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("scripts/rootfs: %v\n%s", err, out)
	}
	return root
}

// readDockerfile reads the forms that ours has; another one fails the test.
func readDockerfile(t *testing.T) *image {
	t.Helper()
	text, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	build, last, ok := strings.Cut(string(text), "\nFROM scratch\n")
	if !ok || !regexp.MustCompile(`(?m)^RUN .*scripts/rootfs /rootfs$`).MatchString(build) {
		t.Fatal("the Dockerfile has not the two stages that this test knows")
	}
	i := &image{}
	list := func(s string) (words []string) {
		if err := json.Unmarshal([]byte(s), &words); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
		return words
	}
	for line := range strings.Lines(last) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word {
		case "", "#", "EXPOSE":
		case "COPY":
			if rest != "--from=build /rootfs /" {
				t.Fatalf("COPY %s", rest)
			}
		case "ENV":
			i.env = strings.Fields(rest)
		case "USER":
			if _, err := fmt.Sscanf(rest, "%d:%d", &i.uid, &i.gid); err != nil {
				t.Fatalf("USER %s: %v", rest, err)
			}
		case "HEALTHCHECK":
			_, command, _ := strings.Cut(rest, " CMD ")
			i.health = list(command)
		case "ENTRYPOINT":
			i.entrypoint = list(rest)
		case "CMD":
			i.args = list(rest)
		default:
			t.Fatalf("the Dockerfile has %s", line)
		}
	}
	if i.uid == 0 || i.gid == 0 || len(i.health) == 0 || len(i.entrypoint) != 1 {
		t.Fatalf("the image is %+v", i)
	}
	return i
}

// command is a process as a container engine would start it, but for namespaces: root file system, user, environment.
func (i *image) command(env []string, words ...string) *exec.Cmd {
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Env, cmd.Dir = append(i.env[:len(i.env):len(i.env)], env...), "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: i.root, Credential: &syscall.Credential{Uid: i.uid, Gid: i.gid}}
	return cmd
}

// run starts the image's own command with these variables; it is ended with the test.
func (i *image) run(t *testing.T, env ...string) (cmd *exec.Cmd, log *bytes.Buffer) {
	t.Helper()
	log = new(bytes.Buffer)
	cmd = i.command(env, append(i.entrypoint, i.args...)...)
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("the container's log:\n%s", log)
		}
	})
	return cmd, log
}

// at moves the image's port to a free one, and leaves the rest of the address.
func (i *image) at(t *testing.T) (port int) {
	t.Helper()
	port = harness.FreePort(t)
	for k, v := range i.env {
		if addr, ok := strings.CutPrefix(v, "TAILER_HTTP_ADDR="); ok {
			host, _, err := net.SplitHostPort(addr)
			if err != nil {
				t.Fatal(err)
			}
			i.env[k] = "TAILER_HTTP_ADDR=" + net.JoinHostPort(host, strconv.Itoa(port))
			return port
		}
	}
	t.Fatal("the image sets no TAILER_HTTP_ADDR")
	return 0
}

// outside is an address of this machine that is not loopback: where a published port is asked from.
func outside(t *testing.T) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			return n.IP.String()
		}
	}
	t.Log("this machine has loopback alone")
	return "127.0.0.1"
}

// What the image holds runs as its user, against a real database and a real Kafka; its health check is right; it
// waits when it refuses.
func TestTheImageRunsInAChroot(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("chroot needs root")
	}
	c := world(t, source(t))
	i := readDockerfile(t)
	i.root = rootfs(t, "amd64")
	port := i.at(t)
	env := []string{"TAILER_NAME=" + c.ID, "TAILER_SOURCE_URL=" + c.DB.URL(), "TAILER_KAFKA_BROKERS=" + c.Kafka.Brokers}
	if i.command(nil, i.health...).Run() == nil {
		t.Error("healthy before it runs")
	}
	cmd, log := i.run(t, env...)
	healthy := func(cmd *exec.Cmd) {
		t.Helper()
		c.Wait("the health check is passed", 30*time.Second, func() (bool, string) {
			out, err := i.command(nil, i.health...).CombinedOutput()
			return err == nil, fmt.Sprintf("%v %s\n%s", err, out, log)
		})
	}
	healthy(cmd)
	c.DB.Fill(t, c.Type, 20, 3, 1)
	c.Wait("rows are published", 30*time.Second, func() (bool, string) {
		if len(c.Topics()) == 0 {
			return false, "no topic"
		}
		n := len(c.Kafka.Records(t, c.Topics()...))
		return n == 20, fmt.Sprint(n)
	})
	url := fmt.Sprintf("http://%s:%d/readyz", outside(t), port)
	c.Wait("it is ready, seen from outside", 20*time.Second, func() (bool, string) {
		response, err := http.Get(url)
		if err != nil {
			return false, err.Error()
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		return response.StatusCode == 200, fmt.Sprint(string(body), err)
	})
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}

	refused, _ := i.run(t, append(env, "TAILER_NAME="+c.ID+"-new", "TAILER_REQUIRE_CHECKPOINT=true")...)
	c.Wait("it refuses and stays", 30*time.Second, func() (bool, string) {
		out, err := i.command(nil, i.health...).CombinedOutput()
		return err == nil && strings.Contains(string(out), "refused"), string(out)
	})
	if err := refused.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("it is gone: %v", err)
	}
}

// The image is small, and holds one static program, the authorities and nothing to be exploited with.
func TestTheImageIsSmallAndStatic(t *testing.T) {
	t.Parallel()
	harness.Binary(t) // as a sign that end-to-end tests are wanted
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	for _, arch := range harness.Either([]string{"amd64", "arm64"}, []string{"amd64"}) {
		t.Run(arch, func(t *testing.T) {
			root := rootfs(t, arch)
			program, err := elf.Open(filepath.Join(root, "tailer"))
			if err != nil {
				t.Fatal(err)
			}
			defer program.Close()
			for _, p := range program.Progs {
				if p.Type == elf.PT_INTERP {
					t.Error("it wants a dynamic loader")
				}
			}
			if program.Machine != machines[arch] {
				t.Errorf("it is for %v", program.Machine)
			}
			authorities, err := os.ReadFile(filepath.Join(root, "etc/ssl/certs/ca-certificates.crt"))
			if err != nil || !x509.NewCertPool().AppendCertsFromPEM(authorities) {
				t.Errorf("no authorities to trust: %v", err)
			}
			size, programs := layer(t, root)
			if programs != 1 {
				t.Errorf("%d programs", programs)
			}
			t.Logf("%.1f MB compressed", float64(size)/1e6)
			if size > imageLimit {
				t.Errorf("%d bytes compressed", size)
			}
		})
	}
}

// layer packs a folder as an image's layer is packed, and counts what can be executed.
func layer(t *testing.T, root string) (size, programs int) {
	t.Helper()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	w := tar.NewWriter(z)
	if err := w.AddFS(os.DirFS(root)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	size = packed.Len()
	z2, err := gzip.NewReader(&packed)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z2); ; {
		h, err := r.Next()
		if err == io.EOF {
			return size, programs
		}
		if err != nil {
			t.Fatal(err)
		}
		mode := h.FileInfo().Mode()
		if mode&0o022 != 0 || mode&0o004 == 0 || mode&(os.ModeSetuid|os.ModeSetgid) != 0 {
			t.Errorf("%s has the mode %v", h.Name, mode)
		}
		if mode.IsRegular() && mode&0o111 != 0 {
			programs++
		}
	}
}
