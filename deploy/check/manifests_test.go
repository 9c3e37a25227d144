package check

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// The dashboard is one that Grafana can read as far as can be told without it:
// its queries are PromQL over metrics that exist, its panels do not overlap.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile("../grafana/tailer.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		UID, Title  string
		Annotations struct{ List []struct{ Expr string } }
		Panels      []struct {
			ID           int
			Title, Type  string
			GridPos      struct{ X, Y, W, H int }
			Targets      []struct{ RefID, Expr string }
			FieldConfig  struct{ Defaults struct{ Unit string } }
			LibraryPanel any
			Description  string
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	if d.UID != "tailer" || len(d.Panels) < 15 {
		t.Fatalf("uid %q, %d panels", d.UID, len(d.Panels))
	}
	known := metrics(t)
	fill := strings.NewReplacer("$__rate_interval", "1m", "$job", ".*", "$instance", ".*")
	for _, a := range d.Annotations.List {
		uses(t, "annotation", fill.Replace(a.Expr), known)
	}
	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("%s: its id %d is taken", p.Title, p.ID)
		}
		ids[p.ID] = true
		if len(p.Targets) == 0 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("%s: %d queries at %+v", p.Title, len(p.Targets), p.GridPos)
		}
		for _, q := range p.Targets {
			uses(t, p.Title, fill.Replace(q.Expr), known)
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other, ok := taken[[2]int{x, y}]; ok {
					t.Fatalf("%s lies over %s", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
	if bytes.Contains(text, []byte("http://")) || bytes.Contains(text, []byte("https://")) {
		t.Error("the dashboard reaches out")
	}
}

// documents decodes each part of a YAML file as strictly as kubectl does with
// --validate=strict: an unknown or doubled field is an error.
func documents(t *testing.T, file string, into ...any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parts := regexp.MustCompile(`(?m)^---$`).Split(string(text), -1)
	if len(parts) != len(into) {
		t.Fatalf("%d documents, want %d", len(parts), len(into))
	}
	for i, part := range parts {
		if err := yaml.UnmarshalStrict([]byte(part), into[i]); err != nil {
			t.Fatalf("document %d: %v", i+1, err)
		}
	}
}

func TestPod(t *testing.T) {
	var config corev1.ConfigMap
	var secret corev1.Secret
	var pod corev1.Pod
	documents(t, "../kubernetes/pod.yaml", &config, &secret, &pod)
	if pod.APIVersion != "v1" || pod.Kind != "Pod" || config.Kind != "ConfigMap" || secret.Kind != "Secret" {
		t.Fatalf("kinds %s, %s, %s", config.Kind, secret.Kind, pod.Kind)
	}
	if pod.Spec.EnableServiceLinks == nil || *pod.Spec.EnableServiceLinks {
		t.Error("service links are on")
	}
	i := slices.IndexFunc(pod.Spec.Containers, func(c corev1.Container) bool { return c.Name == "tailer" })
	if i < 0 || len(pod.Spec.Containers) < 2 {
		t.Fatal("tailer is no sidecar")
	}
	c := pod.Spec.Containers[i]
	if c.ReadinessProbe != nil {
		t.Error("a sidecar that is not ready takes the application out of its Service")
	}
	l := c.LivenessProbe
	if l == nil || l.HTTPGet == nil || l.HTTPGet.Path != "/healthz" {
		t.Fatalf("liveness probe %+v", l)
	}
	if len(c.Ports) != 1 || l.HTTPGet.Port.StrVal != c.Ports[0].Name || c.Ports[0].ContainerPort != 8245 {
		t.Errorf("the probe asks %v, ports are %+v", l.HTTPGet.Port, c.Ports)
	}
	if s := c.SecurityContext; s == nil || *s.RunAsUser != 65532 || !*s.ReadOnlyRootFilesystem || *s.AllowPrivilegeEscalation {
		t.Errorf("security context %+v", s)
	}
	// Every mount has its volume, and what the arguments and the configuration
	// name lies in one.
	volumes := map[string][]string{}
	for _, v := range pod.Spec.Volumes {
		switch {
		case v.ConfigMap != nil && v.ConfigMap.Name == config.Name:
			for file := range config.Data {
				volumes[v.Name] = append(volumes[v.Name], file)
			}
		case v.Secret != nil && v.Secret.SecretName == secret.Name:
			for file := range secret.StringData {
				volumes[v.Name] = append(volumes[v.Name], file)
			}
		default:
			t.Errorf("volume %s is of nothing that is here", v.Name)
		}
	}
	var files []string
	for _, m := range c.VolumeMounts {
		if volumes[m.Name] == nil {
			t.Errorf("mount %s has no volume", m.Name)
		}
		for _, file := range volumes[m.Name] {
			files = append(files, filepath.Join(m.MountPath, file))
		}
	}
	want := []string{c.Args[slices.Index(c.Args, "--config")+1]}
	for _, m := range regexp.MustCompile(`(?m)^[a-z-]+-file: (.+)$`).FindAllStringSubmatch(config.Data["tailer.yaml"], -1) {
		want = append(want, m[1])
	}
	if len(want) < 2 {
		t.Errorf("only %v are named", want)
	}
	for _, file := range want {
		if !slices.Contains(files, file) {
			t.Errorf("%s is mounted nowhere; there are %v", file, files)
		}
	}
}

func TestCompose(t *testing.T) {
	details, err := loader.LoadConfigFiles(t.Context(), []string{"../../compose.yaml"}, "../..")
	if err != nil {
		t.Fatal(err)
	}
	details.Environment = types.Mapping{}
	p, err := loader.LoadWithContext(context.Background(), *details, loader.WithProfiles([]string{"metrics"}))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"postgres", "kafka", "tailer", "application", "consumer", "prometheus", "grafana"} {
		s, ok := p.Services[name]
		if !ok {
			t.Errorf("there is no service %s", name)
			continue
		}
		for _, v := range s.Volumes {
			if _, err := os.Stat(v.Source); v.Type == "bind" && err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s: the demo's port %s is open to everybody", name, port.Published)
			}
		}
		for other, d := range s.DependsOn {
			if d.Condition == types.ServiceConditionHealthy && other != "tailer" && p.Services[other].HealthCheck == nil {
				t.Errorf("%s waits for the health of %s, which has no check", name, other)
			}
		}
	}
	if p.Services["tailer"].Build == nil || p.Services["tailer"].HealthCheck != nil {
		t.Error("tailer is to be built here, with the health check of its image")
	}
}

func TestSystemdUnit(t *testing.T) {
	text, err := os.ReadFile("../systemd/tailer@.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"Restart=on-failure", "RestartPreventExitStatus=2 3", "DynamicUser=yes"} {
		if !slices.Contains(strings.Split(string(text), "\n"), line) {
			t.Errorf("there is no line %s", line)
		}
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	// It wants the program to be there.
	dir := t.TempDir()
	program := filepath.Join(dir, "tailer")
	copyFile(t, "/bin/true", program)
	unit := filepath.Join(dir, "tailer@.service")
	if err := os.WriteFile(unit, bytes.ReplaceAll(text, []byte("/usr/local/bin/tailer"), []byte(program)), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(analyze, "verify", "--man=no", unit).CombinedOutput()
	if err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}
