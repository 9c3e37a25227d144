package e2e

import (
	"context"
	"fmt"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/harness"
)

// browser is a real one without a window, which resolves no name: what the page does not bring along, it lacks.
func browser(t *testing.T, args ...string) string {
	t.Helper()
	var program string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		t.Skip("no chromium is installed")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
		"--user-data-dir=" + t.TempDir(), "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"}, args...)...)
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", program, err)
	}
	return string(out)
}

func TestThePageInABrowser(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	p := c.Start()
	url := "http://" + p.Addr() + "/"
	idle := browser(t, "--dump-dom", url)
	holds(t, "the idle page", idle, c.ID, "nothing in the last 10 min", "nothing was published since the start", "none")

	c.DB.Fill(t, c.Type, 500, 7, 1)
	c.Wait("500 rows are published", 30*time.Second, func() (bool, string) {
		n := p.Status().Published
		return n == 500, fmt.Sprint(n)
	})
	c.Wait("the plot has the second in which they were", 5*time.Second, func() (bool, string) {
		_, page := p.Get("/")
		return strings.Contains(page, "<rect"), "no bar"
	})
	holds(t, "the busy page", browser(t, "--dump-dom", url), c.ID, "<rect", harness.Topic(c.Type), ">500<")

	for name, scheme := range map[string]struct {
		flag string
		bar  [3]uint32
	}{
		"light": {"--blink-settings=preferredColorScheme=1", [3]uint32{0x3b, 0x7d, 0xd8}},
		"dark":  {"--blink-settings=preferredColorScheme=0", [3]uint32{0x6e, 0xa8, 0xfe}},
	} {
		file := filepath.Join(t.TempDir(), "page.png")
		browser(t, scheme.flag, "--screenshot="+file, "--window-size=1200,900", url)
		if n := pixels(t, file, scheme.bar); n < 50 {
			t.Errorf("%s: %d pixels of bars on the screen", name, n)
		}
	}
}

// pixels counts those of one colour in a PNG.
func pixels(t *testing.T, file string, colour [3]uint32) (n int) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	for y := img.Bounds().Min.Y; y < img.Bounds().Max.Y; y++ {
		for x := img.Bounds().Min.X; x < img.Bounds().Max.X; x++ {
			r, g, b, _ := img.At(x, y).RGBA()
			if [3]uint32{r >> 8, g >> 8, b >> 8} == colour {
				n++
			}
		}
	}
	return n
}
