package config

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Whatever leaves the machine is encrypted, unless the operator wrote otherwise.
func TestPostgreSQLTLS(t *testing.T) {
	cases := []struct {
		name string
		p    PostgreSQL
		want bool
	}{
		{"another machine", PostgreSQL{Hosts: []string{"db1.alfa.example"}}, true},
		{"its address", PostgreSQL{Hosts: []string{"192.0.2.1"}}, true},
		{"one of them on another machine", PostgreSQL{Hosts: []string{"127.0.0.1", "2001:db8::1"}}, true},
		{"insecure", PostgreSQL{Hosts: []string{"192.0.2.1"}, Insecure: true}, false},
		{"this machine", PostgreSQL{Hosts: []string{"127.0.0.1", "::1", "localhost", "/run/postgresql"}}, false},
		{"this machine, with an authority", PostgreSQL{Hosts: []string{"localhost"}, CAFile: "ca.pem"}, true},
	}
	for _, c := range cases {
		if got := c.p.TLS(); got != c.want {
			t.Errorf("%s: TLS() = %v, want %v", c.name, got, c.want)
		}
	}
}

func TestReadPassword(t *testing.T) {
	none := PostgreSQL{}
	if got, err := none.ReadPassword(); err != nil || len(got.Reveal()) != 0 {
		t.Errorf("without a file: %q, %v, want none", got.Reveal(), err)
	}
	p := PostgreSQL{PasswordFile: filepath.Join(t.TempDir(), "password")}
	cases := []struct{ content, want string }{
		{"se cret \n", "se cret "}, {"x", "x"}, {"", ""}, {"\n", ""}, {"one\ntwo\n", ""},
	}
	for _, c := range cases {
		if err := os.WriteFile(p.PasswordFile, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := p.ReadPassword()
		if string(got.Reveal()) != c.want || (err != nil) != (c.want == "") {
			t.Errorf("file %q: %q, %v, want %q", c.content, got.Reveal(), err, c.want)
		}
		if shown := fmt.Sprintf("%v %+v %s", got, got, err); c.want != "" && shown != "*** *** %!s(<nil>)" {
			t.Errorf("the password shows as %q", shown)
		}
	}
	if err := os.Chmod(p.PasswordFile, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := p.ReadPassword(); err == nil {
		t.Error("a password that everybody can read was taken")
	}
}
