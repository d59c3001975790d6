package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestLoadDirectory(t *testing.T) {
	got, err := Load("testdata/good-directory.toml")
	if err != nil {
		t.Fatalf("Load() error = %v", err)
	}
	here, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(here, "igpec.ldif.p7m"); got.DirectorySync.From != want {
		t.Errorf("directory_sync.from = %q, want %q", got.DirectorySync.From, want)
	}
	if want := filepath.Join(here, "ldap-password"); got.DirectoryMirror.PasswordFile != want {
		t.Errorf("directory_mirror.password_file = %q, want %q", got.DirectoryMirror.PasswordFile, want)
	}
	if got.DirectorySync.Interval.Duration != 6*time.Hour || got.Directory.MaxAge.Duration != 720*time.Hour {
		t.Errorf("interval %v and max_age %v, want 6h and 720h", got.DirectorySync.Interval, got.Directory.MaxAge)
	}
	if !got.DirectorySync.Used() || !got.DirectoryMirror.Used() {
		t.Error("what is given is not used")
	}
}

// What is fetched need not be there before, only the directory that it goes into;
// what it is fetched with must be there.
func TestCheckFilesDirectory(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	c := &Config{
		Directory:       Directory{LDIF: filepath.Join(dir, "providers.ldif"), Roots: dir},
		DirectorySync:   DirectorySync{From: "https://igpec.example/x.p7m", Signers: put("signers.pem", "", 0o644)},
		DirectoryMirror: DirectoryMirror{URL: "ldap://localhost", DirectoryServer: DirectoryServer{User: "cn=x", PasswordFile: put("password", "x y\n", 0o600)}},
	}
	if err := c.CheckFiles(); err != nil {
		t.Errorf("CheckFiles() = %v, want none", err)
	}
	if password, err := c.DirectoryMirror.ReadPassword(); err != nil || string(password.Reveal()) != "x y" {
		t.Errorf("password = %q, %v, want x y", password.Reveal(), err)
	}
	if none, err := c.DirectorySync.ReadPassword(); err != nil || none.Reveal() != nil {
		t.Errorf("password = %v, %v, want none", none, err)
	}
	c.Directory.LDIF = filepath.Join(dir, "none", "providers.ldif")
	c.DirectorySync.From, c.DirectorySync.Signers = filepath.Join(dir, "x.p7m"), filepath.Join(dir, "none")
	c.DirectoryMirror.PasswordFile, c.DirectoryMirror.TLSKey = put("open", "x\n", 0o644), put("key", "", 0o644)
	var got []string
	for line := range strings.SplitSeq(c.CheckFiles().Error(), "\n") {
		key, _, _ := strings.Cut(line, ":")
		got = append(got, key)
	}
	want := []string{"directory.ldif", "directory_sync.signers", "directory_sync.from", "directory_mirror.password_file", "directory_mirror.tls_key"}
	if !slices.Equal(got, want) {
		t.Errorf("CheckFiles() finds %q, want %q", got, want)
	}
}
