package account

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

var _ point.Accounts = (*File)(nil)

const accounts = `# address            users        status    ordinary
mario@alfa.example   mario        active    refuse

ufficio@Alfa.Example mario,anna   active    accept  # shared
vecchio@alfa.example vecchio      disabled  accept
avvisi@alfa.example  -            active    accept
`

func reservedAddresses() []string {
	return []string{"posta-certificata@alfa.example", "ricevute@alfa.example"}
}

// open writes an accounts file and opens it.
func open(t *testing.T, content string) (*File, string, *bytes.Buffer, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "accounts")
	replace(t, path, content)
	log := new(bytes.Buffer)
	file, err := Open(path, reservedAddresses(), slog.New(slog.NewTextHandler(log, nil)))
	return file, path, log, err
}

// replace writes a file and renames it into place.
func replace(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestOwns(t *testing.T) {
	file, _, _, err := open(t, accounts)
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name, user, address string
		want                bool
	}{
		{"own address", "mario", "mario@alfa.example", true},
		{"domain in another case", "mario", "mario@ALFA.example", true},
		{"local part in another case", "mario", "Mario@alfa.example", false},
		{"user in another case", "Mario", "mario@alfa.example", false},
		{"first of two users", "mario", "ufficio@alfa.example", true},
		{"second of two users", "anna", "ufficio@alfa.example", true},
		{"another's address", "anna", "mario@alfa.example", false},
		{"list as a name", "mario,anna", "ufficio@alfa.example", false},
		{"disabled mailbox", "vecchio", "vecchio@alfa.example", false},
		{"nobody's address", "-", "avvisi@alfa.example", false},
		{"not authenticated", "", "avvisi@alfa.example", false},
		{"address not in the file", "mario", "nessuno@alfa.example", false},
		{"same name elsewhere", "mario", "mario@beta.example", false},
		{"service address", "posta-certificata", "posta-certificata@alfa.example", false},
		{"null reverse path", "mario", "", false},
		{"no domain", "mario", "mario", false},
	}
	for _, c := range cases {
		if got := file.Owns(c.user, c.address); got != c.want {
			t.Errorf("%s: Owns(%q, %q) = %v, want %v", c.name, c.user, c.address, got, c.want)
		}
	}
}

func TestPolicy(t *testing.T) {
	file, _, _, err := open(t, accounts+"PostMaster@beta.example anna active refuse\n")
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name, address string
		want          point.OrdinaryPolicy
	}{
		{"refuses", "mario@alfa.example", point.OrdinaryPolicy{}},
		{"accepts", "ufficio@alfa.example", point.OrdinaryPolicy{Accept: true}},
		{"domain in another case", "ufficio@alfa.EXAMPLE", point.OrdinaryPolicy{Accept: true}},
		{"nobody's, accepts", "avvisi@alfa.example", point.OrdinaryPolicy{Accept: true}},
		{"disabled", "vecchio@alfa.example", point.OrdinaryPolicy{}},
		{"unknown", "nessuno@alfa.example", point.OrdinaryPolicy{}},
		{"service address", "posta-certificata@alfa.example", point.OrdinaryPolicy{}},
		{"LP-08 postmaster, not in the file", "Postmaster@Alfa.example", point.OrdinaryPolicy{Accept: true}},
		{"LP-08 postmaster of another domain, who refuses", "POSTMASTER@beta.example", point.OrdinaryPolicy{}},
		{"LP-08 not postmaster", "postmasters@alfa.example", point.OrdinaryPolicy{}},
	}
	for _, c := range cases {
		if got := file.Policy(c.address); got != c.want {
			t.Errorf("%s: Policy(%q) = %v, want %v", c.name, c.address, got, c.want)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	cases := []struct {
		name, content string
		want          []string // each at the end of the path, and nothing more
	}{
		{"empty", "", []string{": no address in it"}},
		{"comments only", "# nobody\n\n", []string{": no address in it"}},
		{"three columns", "mario@alfa.example mario active\n", []string{":1: 3 columns: write four"}},
		{"five columns", "a@alfa.example a, b active refuse\n", []string{":1: 5 columns"}},
		{"no address", "mario mario active refuse\n", []string{`:1: "mario" is no address`}},
		{"angle brackets", "<m@alfa.example> m active refuse\n", []string{`:1: "<m@alfa.example>" is no address`}},
		{"address literal", "m@[127.0.0.1] m active refuse\n", []string{`:1: "m@[127.0.0.1]" is no address`}},
		{"empty user", "m@alfa.example m,,n active refuse\n", []string{":1: an empty name among the users"}},
		{"last comma", "m@alfa.example m, active refuse\n", []string{":1: an empty name among the users"}},
		{"status", "m@alfa.example m on refuse\n", []string{`:1: status is "on": write "active" or "disabled"`}},
		{"policy", "m@alfa.example m active forward\n", []string{`:1: ordinary is "forward": write "refuse" or "accept"`}},
		{"twice", "m@alfa.example m active refuse\n\nm@ALFA.example n active refuse\n", []string{":3: m@ALFA.example stands in line 1 already"}},
		{"FH-04 service address", "Posta-Certificata@Alfa.example m active refuse\n", []string{":1: Posta-Certificata@Alfa.example is an address of the provider itself"}},
		{"service mailbox", "ricevute@alfa.example - active refuse\n", []string{":1: ricevute@alfa.example is an address of the provider itself"}},
		{"all at once", "m m active refuse\nn@alfa.example n active refuse\no@alfa.example o yes refuse\n",
			[]string{`:1: "m" is no address`, `:3: status is "yes"`}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, path, _, err := open(t, c.content)
			got := strings.Split(fmt.Sprint(err), "\n")
			if len(got) != len(c.want) {
				t.Fatalf("Open() error = %q, want %d lines", got, len(c.want))
			}
			for i := range got {
				if !strings.HasPrefix(got[i], path+c.want[i]) {
					t.Errorf("Open() error line = %q, want one that begins with %q", got[i], path+c.want[i])
				}
			}
		})
	}
}

func TestOpenMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "accounts")
	if _, err := Open(path, nil, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("Open() error = %v, want one that names %s", err, path)
	}
}

func TestReload(t *testing.T) {
	file, path, log, err := open(t, accounts)
	if err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		name    string
		change  func()
		newOwns bool // nuovo@alfa.example is in force
		oldOwns bool // mario@alfa.example is in force
		log     string
		lines   int // logged so far
	}{
		{"as opened", func() {}, false, true, "", 0},
		{"address added", func() { replace(t, path, accounts+"nuovo@alfa.example nuovo active refuse\n") },
			true, true, "mailboxes=5", 1},
		{"bad version", func() { replace(t, path, "nonsense\n") }, true, true, "accounts:1: 1 columns", 2},
		{"half written", func() { replace(t, path, "") }, true, true, "no address in it", 3},
		{"away", func() { os.Remove(path) }, true, true, "no such file", 4},
		{"good again", func() { replace(t, path, "nuovo@alfa.example nuovo active refuse\n") }, true, false, "mailboxes=1", 5},
		{"same inode and size, other time", func() { rewrite(t, path) }, false, false, "mailboxes=1", 6},
	}
	for _, step := range steps {
		step.change()
		for range 3 {
			if got := file.Owns("nuovo", "nuovo@alfa.example"); got != step.newOwns {
				t.Errorf("%s: Owns(nuovo) = %v, want %v", step.name, got, step.newOwns)
			}
			if got := file.Owns("mario", "mario@alfa.example"); got != step.oldOwns {
				t.Errorf("%s: Owns(mario) = %v, want %v", step.name, got, step.oldOwns)
			}
		}
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if got := strings.Count(log.String(), "\n"); got != step.lines || !strings.Contains(lines[len(lines)-1], step.log) {
			t.Errorf("%s: %d log lines, the last %q, want %d and %q", step.name, got, lines[len(lines)-1], step.lines, step.log)
		}
	}
}

// rewrite changes a file in place to as many other bytes.
func rewrite(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("altro@alfa.example altro active refuse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Minute)
	if err := os.Chtimes(path, later, later); err != nil {
		t.Fatal(err)
	}
}

func TestConcurrentUse(t *testing.T) {
	file, path, _, err := open(t, accounts)
	if err != nil {
		t.Fatal(err)
	}
	var users sync.WaitGroup
	for range 4 {
		users.Go(func() {
			for range 200 {
				if !file.Owns("mario", "mario@alfa.example") {
					t.Error("Owns() = false while the file is replaced, want true")
				}
			}
		})
	}
	for i := range 50 {
		replace(t, path, accounts+strings.Repeat("# \n", i))
	}
	users.Wait()
}
