//go:build integration

package integration

import (
	"debug/elf"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestStaticBuild: what "make static" builds runs where there is nothing else, not
// even a C library, and has the tools. All of their scripts are run in such a build
// by "make test".
func TestStaticBuild(t *testing.T) {
	repository := repositoryDir(t)
	if out, err := runIn(repository, "make", "static"); err != nil {
		t.Fatal(err, out)
	}
	binary := filepath.Join(repository, "build", "pec-milter-static")
	checkStatic(t, binary)
	golden := filepath.Join(repository, "pec", "testdata", "golden", "03-accettazione", "want.eml")
	for _, c := range []struct {
		name string
		args []string
		good bool
		want string
	}{
		{"verify", []string{"verify", "--roots", filepath.Join(repository, "pec", "testdata", "pki"), "--at", "2027-01-01", golden}, true, "genuine as far as it was checked"},
		{"inspect", []string{"inspect", golden}, true, "accettazione"},
		{"log audit", []string{"log", "audit", golden}, false, "want.eml"}, // no log
		{"no token", []string{"version"}, true, "without PKCS#11"},
	} {
		out, err := runIn(t.TempDir(), append([]string{"env", "-i", binary}, c.args...)...)
		if (err == nil) != c.good || !strings.Contains(out, c.want) {
			t.Errorf("%s: error %v and\n%swant good %v and %q", c.name, err, out, c.good, c.want)
		}
	}
}

// checkStatic: the file asks for no loader and no library.
func checkStatic(t *testing.T, path string) {
	t.Helper()
	file, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, segment := range file.Progs {
		if segment.Type == elf.PT_INTERP || segment.Type == elf.PT_DYNAMIC {
			t.Errorf("%s has a segment %v: it needs a loader", path, segment.Type)
		}
	}
	libraries, err := file.ImportedLibraries()
	if err != nil || len(libraries) > 0 {
		t.Errorf("%s needs %v (%v), want no library", path, libraries, err)
	}
}

func runIn(dir string, command ...string) (string, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}
