package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// install copies good.toml into a directory with all that it names.
func install(t *testing.T) string {
	t.Helper()
	directory := t.TempDir()
	content, err := os.ReadFile("testdata/good.toml")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"pec-milter.toml": strings.ReplaceAll(string(content), "/usr/lib/hsm.so", "hsm.so"),
		"secret":          strings.Repeat("s", 32) + "\n",
		"signer.pem":      "", "hsm.so": "", "providers.ldif": "", "a.crl": "", "accounts": "",
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"roots", "run", "crl"} {
		if err := os.Mkdir(filepath.Join(directory, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return directory
}

func TestCheckFiles(t *testing.T) {
	cases := []struct {
		name   string
		change func(inside func(string) string) error
		want   []string // one for each line of the error
	}{
		{"all there", func(func(string) string) error { return nil }, nil},
		{"secret away", func(in func(string) string) error { return os.Remove(in("secret")) },
			[]string{"provider.secret_file: open "}},
		{"secret too short", func(in func(string) string) error {
			return os.WriteFile(in("secret"), []byte("  "+strings.Repeat("s", 31)+"  \n"), 0o600)
		}, []string{"holds 31 bytes, at least 32 are needed: make it with: openssl rand -hex 32 > /"}},
		{"secret open to all", func(in func(string) string) error { return os.Chmod(in("secret"), 0o644) },
			[]string{"(mode 0644): chmod 0640 /"}},
		{"directory away", func(in func(string) string) error {
			return os.Rename(in("roots"), in("elsewhere"))
		}, []string{"directory.roots: open "}},
		{"file in place of a directory", func(in func(string) string) error {
			if err := os.Remove(in("roots")); err != nil {
				return err
			}
			return os.WriteFile(in("roots"), nil, 0o600)
		}, []string{"directory.roots: "}},
		{"directory as accounts", func(in func(string) string) error {
			if err := os.Remove(in("accounts")); err != nil {
				return err
			}
			return os.Mkdir(in("accounts"), 0o700)
		}, []string{"accounts.file: "}},
		{"cache open to all", func(in func(string) string) error { return os.Chmod(in("crl"), 0o777) },
			[]string{"directory.revocation_cache: every user of this machine can write to /"}},
		{"no directory for a socket", func(in func(string) string) error { return os.Remove(in("run")) },
			[]string{"incoming.listen: open "}},
		{"all at once", func(in func(string) string) error {
			for _, name := range []string{"signer.pem", "hsm.so", "providers.ldif", "a.crl", "accounts"} {
				if err := os.Remove(in(name)); err != nil {
					return err
				}
			}
			return nil
		}, []string{"signer.certificate_file: ", "signer.module: ", "directory.ldif: ", "accounts.file: ", "directory.revocations: "}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			directory := install(t)
			config, err := Load(filepath.Join(directory, "pec-milter.toml"))
			if err != nil {
				t.Fatalf("Load() error = %v", err)
			}
			if err := c.change(func(name string) string { return filepath.Join(directory, name) }); err != nil {
				t.Fatal(err)
			}
			checkLines(t, config.CheckFiles(), c.want)
		})
	}
}

// checkLines compares a joined error line by line.
func checkLines(t *testing.T, err error, want []string) {
	t.Helper()
	if err == nil && len(want) == 0 {
		return
	}
	if err == nil {
		t.Fatalf("no error, want %q", want)
	}
	got := strings.Split(err.Error(), "\n")
	if len(got) != len(want) {
		t.Fatalf("error = %q, want %d lines: %q", got, len(want), want)
	}
	for i := range got {
		if !strings.Contains(got[i], want[i]) {
			t.Errorf("error line %d = %q, want one with %q", i+1, got[i], want[i])
		}
	}
}

func TestCheckFilesPrivateKey(t *testing.T) {
	key := filepath.Join(t.TempDir(), "signer.key")
	if err := os.WriteFile(key, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	config := &Config{Signer: Signer{KeyFile: key, SignerToken: SignerToken{PINFile: key}}}
	checkLines(t, config.CheckFiles(), nil)
	if err := os.Chmod(key, 0o604); err != nil {
		t.Fatal(err)
	}
	checkLines(t, config.CheckFiles(), []string{"signer.key_file: " + key + " is open to every user", "signer.pin_file: "})
}

func TestCheckFilesQuarantine(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "quarantine")
	config := &Config{Quarantine: Quarantine{directory}}
	checkLines(t, config.CheckFiles(), []string{"quarantine.directory: open " + directory})
	if err := os.Mkdir(directory, 0o700); err != nil {
		t.Fatal(err)
	}
	checkLines(t, config.CheckFiles(), nil)
	if err := os.Chmod(directory, 0o750); err != nil {
		t.Fatal(err)
	}
	checkLines(t, config.CheckFiles(), []string{"(mode 0750): chmod 0700 " + directory})
	file := filepath.Join(directory, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	config.Quarantine.Directory = file
	checkLines(t, config.CheckFiles(), []string{"quarantine.directory: "})
}

func TestSocketLength(t *testing.T) {
	cases := []struct {
		name   string
		length int
		want   string
	}{
		{"longest", 107, ""},
		{"too long", 108, "at most 107 bytes"},
	}
	for _, c := range cases {
		config, found := defaults(), &faults{file: "x"}
		config.Access.Listen = Socket{Network: "unix", Address: "/" + strings.Repeat("a", c.length-1)}
		config.validateSockets(found)
		all := found.all().Error()
		if got := strings.Contains(all, "access.listen"); got != (c.want != "") || !strings.Contains(all, c.want) {
			t.Errorf("%s: faults = %v, want %q for access.listen", c.name, all, c.want)
		}
	}
}

func TestCheckFilesRedis(t *testing.T) {
	directory := install(t)
	path := filepath.Join(directory, "pec-milter.toml")
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.WriteString(`[redis]
addresses = ["inet:6379@10.0.0.5"]
user = "pec-milter"
password_file = "redis-password"
tls_ca = "redis-ca.pem"
tls_certificate = "redis.pem"
tls_key = "redis.key"
`)
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	config, err := Load(path)
	if err != nil {
		t.Fatalf("Load() error = %v", err)
	}
	if !config.Redis.Used() || config.Redis.Addresses[0].Address != "10.0.0.5:6379" {
		t.Errorf("redis.addresses = %v, want inet:10.0.0.5:6379", config.Redis.Addresses)
	}
	checkLines(t, config.CheckFiles(), []string{
		"redis.password_file: open ", "redis.tls_ca: open ", "redis.tls_certificate: open ", "redis.tls_key: open ",
	})
	for _, name := range []string{"redis-password", "redis-ca.pem", "redis.pem", "redis.key"} {
		if err := os.WriteFile(filepath.Join(directory, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	checkLines(t, config.CheckFiles(), []string{"redis.password_file: /", "redis.tls_key: /"})
}
