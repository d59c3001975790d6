//go:build integration

package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// mostExposed is what the unit may have in systemd's own judgement, 0 to 10.
const mostExposed = 1.5

var exposure = regexp.MustCompile(`Overall exposure level for pec-milter.service: ([0-9.]+)`)

// TestUnits: systemd understands what contrib/systemd has, and finds the service
// well shut in; what a drop-in opens is not for all.
func TestUnits(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		skip(t, "no systemd-analyze: contrib/debian/setup.sh test installs it")
	}
	contrib := filepath.Join(repositoryDir(t), "contrib", "systemd")
	if got := exposed(t, contrib, ""); got > mostExposed {
		t.Errorf("pec-milter.service is exposed to %v, want at most %v", got, mostExposed)
	}
	dropIns, err := filepath.Glob(filepath.Join(contrib, "drop-ins", "*.conf"))
	if err != nil || len(dropIns) < 4 {
		t.Fatalf("found drop-ins %v (%v), want all", dropIns, err)
	}
	for _, dropIn := range dropIns {
		if got := exposed(t, contrib, dropIn); got > 2.5 {
			t.Errorf("with %s pec-milter.service is exposed to %v", filepath.Base(dropIn), got)
		}
	}
}

// exposed verifies the units with a drop-in, and gives the exposure of the service.
func exposed(t *testing.T, contrib, dropIn string) float64 {
	t.Helper()
	dir := t.TempDir()
	for _, unit := range []string{"pec-milter.service", "pec-milter.socket"} {
		text, err := os.ReadFile(filepath.Join(contrib, unit))
		if err != nil {
			t.Fatal(err)
		}
		// Neither the program nor its page are installed here.
		installed := strings.NewReplacer("/usr/sbin/pec-milter", "/bin/true", "Documentation=", "#").Replace(string(text))
		writeUnit(t, filepath.Join(dir, unit), installed)
	}
	if dropIn != "" {
		text, err := os.ReadFile(dropIn)
		if err != nil {
			t.Fatal(err)
		}
		unit := "pec-milter.service"
		if strings.Contains(string(text), "[Socket]") {
			unit = "pec-milter.socket"
		}
		writeUnit(t, filepath.Join(dir, unit+".d", filepath.Base(dropIn)), string(text))
	}
	service := filepath.Join(dir, "pec-milter.service")
	if out, err := runIn(dir, "systemd-analyze", "verify", service, filepath.Join(dir, "pec-milter.socket")); err != nil || out != "" {
		t.Errorf("systemd-analyze verify with %q: %v\n%s", filepath.Base(dropIn), err, out)
	}
	out, err := runIn(dir, "systemd-analyze", "security", "--offline=true", "--no-pager", service)
	m := exposure.FindStringSubmatch(out)
	if err != nil || m == nil {
		t.Fatalf("systemd-analyze security: %v\n%s", err, out)
	}
	level, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return level
}

func writeUnit(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
