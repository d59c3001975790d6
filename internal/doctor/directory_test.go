package doctor

import (
	"crypto/rand"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/testpki"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// TestDirectoryAge: FP-05, an old mirror is alarmed.
func TestDirectoryAge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "providers.ldif")
	want(t, DirectoryAge(path, noon), NotChecked, "no such file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for age, result := range map[time.Duration]Result{0: Good, 47 * time.Hour: Good, 49 * time.Hour: Bad} {
		if err := os.Chtimes(path, noon.Add(-age), noon.Add(-age)); err != nil {
			t.Fatal(err)
		}
		want(t, DirectoryAge(path, noon), result, path)
	}
}

// TestDirectorySync: IN-09, a directory that would be refused is told before it is
// needed.
func TestDirectorySync(t *testing.T) {
	want(t, DirectorySync("https://x", 3, 1, "Office", nil), Good, `3 records, 1 changed; signed by "Office"`)
	want(t, DirectorySync("https://x", 0, 0, "", errors.New("it is not signed")), Bad, "it is not signed")
}

func TestRevocations(t *testing.T) {
	list := func(lasting time.Duration) *x509.RevocationList {
		return &x509.RevocationList{ThisUpdate: noon, NextUpdate: noon.Add(lasting)}
	}
	cases := []struct {
		name   string
		lists  []*x509.RevocationList
		after  time.Duration
		result Result
		text   string
	}{
		{"none", nil, 0, Bad, "none can be read"},
		{"new", []*x509.RevocationList{list(24 * time.Hour)}, time.Hour, Good, "holds until"},
		{"near its end", []*x509.RevocationList{list(24 * time.Hour)}, 22 * time.Hour, Bad, "in 2h0m0s"},
		{"expired", []*x509.RevocationList{list(24 * time.Hour)}, 25 * time.Hour, Bad, "expired"},
		{"SG-20 expired by more than the grace", []*x509.RevocationList{list(24 * time.Hour)}, 27 * time.Hour, Bad, "gets 451"},
		{"SG-20 in the grace", []*x509.RevocationList{list(24 * time.Hour)}, 25 * time.Hour, Bad, "for another 1h0m0s"},
		{"a newer one beside it", []*x509.RevocationList{list(24 * time.Hour), list(48 * time.Hour)}, 25 * time.Hour, Good, "holds until"},
		{"without an end", []*x509.RevocationList{{ThisUpdate: noon}}, time.Hour, Bad, "how long"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			found := Revocations(c.lists, 2*time.Hour, noon.Add(c.after))
			if len(found) != 1 {
				t.Fatalf("got %v, want one finding", found)
			}
			want(t, found[0], c.result, c.text)
		})
	}
}

func TestUnfetched(t *testing.T) {
	found := Unfetched([]string{"http://crl.example/a"})
	if len(found) != 1 || len(Unfetched(nil)) != 0 {
		t.Fatalf("got %v, want one finding for each", found)
	}
	want(t, found[0], Bad, "http://crl.example/a")
}

// authority makes certificates of a root that is valid at noon.
func authority(t *testing.T) *testpki.Authority {
	t.Helper()
	root, err := testpki.NewRoot(testpki.Source{Now: noon, Rand: rand.Reader}, "Test CA")
	if err != nil {
		t.Fatal(err)
	}
	return root
}
