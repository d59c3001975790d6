package doctor

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"
)

func TestFiles(t *testing.T) {
	found := Files(errors.Join(
		errors.New("provider.secret_file: /etc/s is open to every user of this machine (mode 0644): chmod 0640 /etc/s"),
		errors.New("accounts.file: open /etc/a: no such file or directory")))
	if len(found) != 2 {
		t.Fatalf("Files() = %v, want two findings", found)
	}
	want(t, found[0], Bad, "secret_file")
	want(t, found[1], Bad, "accounts.file")
	if found[0].Repair != "chmod 0640 /etc/s" {
		t.Errorf("repair = %q, want the chmod", found[0].Repair)
	}
	want(t, Files(errors.New("alone"))[0], Bad, "alone")
	want(t, Files(nil)[0], Good, "")
}

func TestPrivate(t *testing.T) {
	for _, c := range []struct {
		name      string
		file, dir os.FileMode
		result    Result
	}{
		{"closed", 0o600, 0o755, Good},
		{"for a group", 0o640, 0o755, Good},
		{"closed by its directory", 0o644, 0o700, Good},
		{"open", 0o644, 0o755, Bad},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			path := filepath.Join(dir, "pec.db")
			if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(path, nil, 0o600), os.Chmod(path, c.file), os.Chmod(dir, c.dir)); err != nil {
				t.Fatal(err)
			}
			want(t, Private("x", path), c.result, path)
		})
	}
	want(t, Private("x", filepath.Join(t.TempDir(), "none")), NotChecked, "first start")
}

func TestSpace(t *testing.T) {
	dir := t.TempDir()
	want(t, Space("x", dir, 1), Good, "MB left")
	want(t, Space("x", filepath.Join(dir, "not there yet"), 1), Good, "MB left")
	want(t, Space("x", dir, math.MaxInt64), Bad, "451")
	want(t, Space("x", filepath.Join(dir, "no", "such"), 1), NotChecked, "no such")
}
