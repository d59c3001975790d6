//go:build integration

package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPackage makes the Debian package in two versions, has lintian judge it, and
// installs, upgrades and purges it in a copy of this system that is thrown away.
func TestPackage(t *testing.T) {
	if os.Getuid() != 0 {
		skip(t, "only root can install a package")
	}
	for _, program := range []string{"dpkg-deb", "go-md2man", "strip", "lintian", "man"} {
		if _, err := exec.LookPath(program); err != nil {
			skip(t, program+" is missing: contrib/debian/setup.sh test installs it")
		}
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "pec-milter")
	inRepository(t, "go", "build", "-o", program, "./cmd/pec-milter")
	for _, version := range []string{"1", "2"} {
		inRepository(t, "env", "PEC_VERSION="+version, "contrib/debian/package.sh", program, filepath.Join(dir, version))
	}
	packages, err := filepath.Glob(filepath.Join(dir, "[12]", "*.deb"))
	if err != nil || len(packages) != 2 {
		t.Fatalf("packages %v, %v: want two", packages, err)
	}
	inRepository(t, "lintian", "--allow-root", "--fail-on", "error", packages[0])
	script, err := filepath.Abs(filepath.Join("testdata", "package.sh"))
	if err != nil {
		t.Fatal(err)
	}
	t.Log(inRepository(t, "unshare", "--mount", "sh", "-eu", script, packages[0], packages[1]))
}

// inRepository runs a program in the repository.
func inRepository(t *testing.T, name string, arguments ...string) string {
	t.Helper()
	cmd := exec.Command(name, arguments...)
	cmd.Dir = repositoryDir(t)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(arguments, " "), err, out)
	}
	return string(out)
}
