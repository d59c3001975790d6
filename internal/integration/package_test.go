//go:build integration

package integration

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestPackage makes the Debian package in two versions, has lintian judge it, and
// installs, upgrades and purges it in a copy of this system that is thrown away.
func TestPackage(t *testing.T) {
	needs(t, "dpkg-deb", "go-md2man", "strip", "lintian", "man")
	dir, program := t.TempDir(), packaged(t)
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

// packaged is pec-milter as make deb compiles it. What go has compiled is found again by
// the next that does so, in a copy of this system too.
func packaged(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "pec-milter")
	inRepository(t, "go", "build", "-buildmode=pie", "-trimpath", "-o", program, "./cmd/pec-milter")
	return program
}

// inRepository runs a program in the repository.
func inRepository(t *testing.T, command ...string) string {
	t.Helper()
	out, err := runIn(repositoryDir(t), command...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
	}
	return out
}
