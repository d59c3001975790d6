package legallog

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/internal/testpki"
	"github.com/pec-milter/pec-milter/pec"
)

// sealedAt is when the tests seal.
var sealedAt = time.Date(2026, 3, 30, 0, 1, 0, 0, time.UTC)

// testSigner signs with a key of a throw-away authority.
type testSigner struct {
	*testpki.Credential
	ca  *testpki.Authority
	err error
}

func (s *testSigner) Current() (crypto.Signer, []*x509.Certificate, error) {
	return s.Key, s.Chain, s.err
}

func newSigner(t testing.TB) *testSigner {
	t.Helper()
	ca, err := testpki.NewRoot(testpki.Source{Now: sealedAt, Rand: rand.Reader}, "Test CA")
	if err != nil {
		t.Fatal(err)
	}
	credential, err := ca.NewProvider("Alfa", "posta-certificata@alfa.example")
	if err != nil {
		t.Fatal(err)
	}
	return &testSigner{Credential: credential, ca: ca}
}

func newSealer(t testing.TB, log *Log) *Sealer {
	return &Sealer{
		Log: log, Directory: filepath.Join(t.TempDir(), "seals"), MaxRows: 1000, Signer: newSigner(t),
		Logger: slog.New(slog.DiscardHandler),
	}
}

func mustSeal(t testing.TB, s *Sealer, want int) {
	t.Helper()
	if got, err := s.Seal(ctx, sealedAt); got != want || err != nil {
		t.Fatalf("Seal = %d, %v, want %d seals", got, err, want)
	}
}

// verification compares the log with what the sealer made.
func verification(log *Log, s *Sealer) *Verification {
	return &Verification{Rows: log.Events(ctx, Filter{}), Seals: []string{s.Directory}, Now: sealedAt}
}

func mustVerify(t testing.TB, v *Verification) Report {
	t.Helper()
	report, err := v.Verify(ctx)
	if err != nil || len(report.Faults) > 0 {
		t.Fatalf("Verify = %+v, %v, want no fault", report, err)
	}
	return report
}

// rowsOf are events of all sorts, as many as wanted.
func rowsOf(n int) []point.Event {
	var events []point.Event
	for i := range n {
		event := sampleEvent(fmt.Sprintf("%d@alfa.example", i/4))
		event.Time = t0.Add(time.Duration(i) * time.Second)
		event.Subject = fmt.Sprintf("Perché no? %d", i)
		events = append(events, event)
	}
	return events
}

func testSeal(t *testing.T, log *Log) {
	s := newSealer(t, log)
	mustSeal(t, s, 0) // there is nothing
	s.MaxRows = 10
	mustAppend(t, log, rowsOf(25)...)
	mustSeal(t, s, 3)
	mustSeal(t, s, 0)
	mustAppend(t, log, rowsOf(1)...)
	mustSeal(t, s, 1)
	mustAppend(t, log, rowsOf(2)...)
	report := mustVerify(t, verification(log, s))
	if report.Rows != 28 || report.Sealed != 26 || report.Seals != 4 {
		t.Errorf("report %+v, want 28 rows, 26 of them in 4 seals", report)
	}
	files, err := filepath.Glob(filepath.Join(s.Directory, "one-20260330-[1-4].*"))
	if err != nil || len(files) != 12 {
		t.Errorf("files %q, %v, want three for each seal", files, err)
	}
	export := ""
	for _, row := range readAll(t, log, Filter{Limit: 10}) {
		line, err := row.Line()
		if err != nil {
			t.Fatal(err)
		}
		export += string(line)
	}
	if got := readFile(t, filepath.Join(s.Directory, "one-20260330-1.ndjson")); got != export {
		t.Errorf("the first sealed file has\n%swant\n%s", got, export)
	}
}

func readFile(t testing.TB, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// A seal that was interrupted after any of its steps is finished with the same
// bytes: case OP-10.
func TestSealInterrupted(t *testing.T) {
	log := openFile(t, filepath.Join(t.TempDir(), "log.db"))
	s := newSealer(t, log)
	s.Stamp = func(_ context.Context, digest [32]byte) ([]byte, error) { return digest[:], nil }
	mustAppend(t, log, rowsOf(20)...)
	mustSeal(t, s, 1)
	base := filepath.Join(s.Directory, "one-20260330-1")
	endings := []string{rowsEnding, manifestEnding, signatureEnding, stampEnding}
	want := map[string]string{}
	for _, ending := range endings {
		want[ending] = readFile(t, base+ending)
	}
	for done := range endings {
		t.Run(fmt.Sprint(done, " steps done"), func(t *testing.T) {
			mustAppend(t, log, rowsOf(1)...) // they are for the next seal
			for _, ending := range endings[done:] {
				if err := os.Remove(base + ending); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(base+ending+".new", []byte("half"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if done == 0 {
				return // nothing is promised yet
			}
			if _, err := s.Seal(ctx, sealedAt); err != nil {
				t.Fatal(err)
			}
			for _, ending := range endings {
				if got := readFile(t, base+ending); got != want[ending] {
					t.Errorf("%s: %q, want %q", ending, got, want[ending])
				}
			}
			mustVerify(t, verification(log, s))
			for number := 2; ; number++ { // as it was
				next, err := filepath.Glob(filepath.Join(s.Directory, fmt.Sprintf("one-*-%d.*", number)))
				if err != nil || len(next) == 0 {
					break
				}
				for _, file := range next {
					if err := os.Remove(file); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
		if done == 0 {
			for _, ending := range endings {
				if err := os.WriteFile(base+ending, []byte(want[ending]), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// What a rogue has done to the database is not sealed.
func TestSealRefusesBrokenChain(t *testing.T) {
	log := openFile(t, filepath.Join(t.TempDir(), "log.db"))
	s := newSealer(t, log)
	mustAppend(t, log, rowsOf(20)...)
	mustExec(t, log.db, "DROP TRIGGER events_no_update")
	mustExec(t, log.db, "UPDATE events SET sender = 'eve@alfa.example' WHERE seq = 7")
	if _, err := s.Seal(ctx, sealedAt); err == nil || !strings.Contains(err.Error(), "row 7") {
		t.Errorf("Seal = %v, want an error that names row 7", err)
	}
	if found, _ := filepath.Glob(filepath.Join(s.Directory, "*"+manifestEnding)); len(found) > 0 {
		t.Errorf("sealed %q all the same", found)
	}
}

// A token that fails, an authority that fails: the rows are sealed as far as it
// went, and all is done once it works.
func TestSealLater(t *testing.T) {
	log := openFile(t, filepath.Join(t.TempDir(), "log.db"))
	s := newSealer(t, log)
	down := errors.New("down")
	s.Stamp = func(context.Context, [32]byte) ([]byte, error) { return nil, down }
	signer := s.Signer.(*testSigner)
	signer.err = down
	mustAppend(t, log, rowsOf(5)...)
	for range 2 {
		if _, err := s.Seal(ctx, sealedAt); !errors.Is(err, down) {
			t.Fatalf("Seal without a key = %v, want %v", err, down)
		}
	}
	signer.err = nil
	if made, err := s.Seal(ctx, sealedAt); made != 1 || !errors.Is(err, down) {
		t.Fatalf("Seal without an authority = %d, %v, want one seal and %v", made, err, down)
	}
	age, err := s.Age(ctx)
	if err != nil || !age.Unsealed.IsZero() || !age.Unstamped.Equal(sealedAt) || !age.Sealed.Equal(sealedAt) {
		t.Errorf("Age = %+v, %v, want a seal without its stamp", age, err)
	}
	s.Stamp = func(_ context.Context, digest [32]byte) ([]byte, error) { return digest[:], nil }
	mustSeal(t, s, 0)
	if age, err := s.Age(ctx); err != nil || !age.Unstamped.IsZero() {
		t.Errorf("Age = %+v, %v, want nothing without its stamp", age, err)
	}
}

// A full disk is an error of sealing, and of nothing else.
func TestSealFullDisk(t *testing.T) {
	log := openFile(t, filepath.Join(t.TempDir(), "log.db"))
	s := newSealer(t, log)
	mustAppend(t, log, rowsOf(5)...)
	if err := os.WriteFile(s.Directory, nil, 0o600); err != nil { // no directory can be made there
		t.Fatal(err)
	}
	if _, err := s.Seal(ctx, sealedAt); err == nil {
		t.Error("sealed where nothing can be written")
	}
	mustAppend(t, log, rowsOf(5)...)
	if err := os.Remove(s.Directory); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "file")
	err := writeFile(path, func(w io.Writer) error {
		_, err := w.Write([]byte("as much as fits"))
		return errors.Join(err, syscall.ENOSPC)
	})
	if left, _ := filepath.Glob(path + "*"); !errors.Is(err, syscall.ENOSPC) || len(left) > 0 {
		t.Errorf("a file that does not fit: %v, left %q, want %v and nothing left", err, left, syscall.ENOSPC)
	}
	mustSeal(t, s, 1)
	mustVerify(t, verification(log, s))
}

func TestSealOneAtATime(t *testing.T) {
	log := openFile(t, filepath.Join(t.TempDir(), "log.db"))
	s := newSealer(t, log)
	unlock, err := s.lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Seal(ctx, sealedAt); err == nil || !strings.Contains(err.Error(), "somebody else is sealing") {
		t.Errorf("Seal beside another = %v, want it refused", err)
	}
	unlock()
	mustSeal(t, s, 0)
}

func TestDueAndLate(t *testing.T) {
	midnight := time.Date(2026, 3, 28, 23, 0, 0, 0, time.UTC) // legal time
	before, after := midnight.Add(-time.Second), midnight.Add(time.Second)
	for _, c := range []struct {
		name string
		age  Age
		now  time.Time
		due  bool
		late bool
	}{
		{"nothing", Age{}, after, false, false},
		{"today's rows", Age{Unsealed: after, Rows: 3}, after.Add(time.Hour), false, false},
		{"yesterday's rows", Age{Unsealed: before, Rows: 3}, after, true, false},
		{"yesterday's rows, sealed today", Age{Unsealed: before, Rows: 3, Sealed: midnight}, after, false, false},
		{"many rows", Age{Unsealed: after, Rows: 100}, after, true, false},
		{"rows of two days ago", Age{Unsealed: before.AddDate(0, 0, -2), Rows: 3}, after, true, true},
		{"old rows that came late", Age{Unsealed: before.AddDate(0, 0, -2), Rows: 3, Sealed: before}, after, true, false},
		{"no stamp", Age{Sealed: before, Unstamped: before}, after, false, false},
		{"no stamp for long", Age{Sealed: before, Unstamped: before.AddDate(0, 0, -2)}, after, false, true},
	} {
		if got := c.age.Due(c.now, 100); got != c.due {
			t.Errorf("%s: Due = %v, want %v", c.name, got, c.due)
		}
		if got := c.age.Late(c.now, 26*time.Hour, true); (got != "") != c.late {
			t.Errorf("%s: Late = %q, want %v", c.name, got, c.late)
		}
	}
}

// The second judge: sha256sum and openssl, with the commands of docs/legallog.md.
func TestSealWithShell(t *testing.T) {
	for _, program := range []string{"openssl", "sha256sum", "sh"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("SKIPPED, NOT TESTED: ", err)
		}
	}
	log := openFile(t, filepath.Join(t.TempDir(), "log.db"))
	s := newSealer(t, log)
	mustAppend(t, log, rowsOf(3)...)
	log.Remember(Head{Node: "one", Seq: 10, Hash: Leaf([]byte("lost"))}, nil)
	mustAppend(t, log, rowsOf(1)...)
	mustSeal(t, s, 1)
	ca := filepath.Join(s.Directory, "ca.pem")
	if err := testpki.WriteCertificates(ca, s.Signer.(*testSigner).ca.Certificate()); err != nil {
		t.Fatal(err)
	}
	seals, err := readSeals(s.Directory)
	if err != nil {
		t.Fatal(err)
	}
	m := seals["one"][0]
	script := `set -e
openssl cms -verify -binary -inform DER -in $1.p7s -content $1.json -CAfile ca.pem -purpose any -attime ` + fmt.Sprint(sealedAt.Unix()) + ` -out /dev/null
sha256sum $1.ndjson | cut -d' ' -f1
hash=$(printf 'chain %s\n' one | sha256sum | cut -d' ' -f1)
echo $hash
while IFS= read -r line; do
	case $line in *'"kind":"restored"'*) hash=$(printf '%s' "$line" | sed 's/.*, hash \([0-9a-f]*\)",.*/\1/') ;; esac
	hash=$(printf '%s %s\n' "$hash" "$(printf '%s' "$line" | sed 's/,"hash":"[0-9a-f]*"}$/}/')" | sha256sum | cut -d' ' -f1)
done < $1.ndjson
echo $hash
while IFS= read -r line; do printf 'leaf %s\n' "$line" | sha256sum | cut -d' ' -f1; done < $1.ndjson > level
while [ $(wc -l < level) -gt 1 ]; do
	while read -r left; do
		if read -r right; then printf 'node %s %s\n' $left $right | sha256sum | cut -d' ' -f1; else echo $left; fi
	done < level > above
	mv above level
done
cat level`
	shell := exec.Command("sh", "-c", script, "sh", strings.TrimSuffix(m.File, rowsEnding))
	shell.Dir = s.Directory
	var stderr bytes.Buffer
	shell.Stderr = &stderr
	out, err := shell.Output()
	want := fmt.Sprintf("%v\n%v\n%v\n%v\n", m.SHA256, m.Before, m.After, m.Root)
	if err != nil || string(out) != want {
		t.Errorf("the shell finds\n%s%v, %s, want\n%s", out, err, &stderr, want)
	}
}

// A hash that is not 64 digits in lower case is refused.
func TestHashText(t *testing.T) {
	good := hex.EncodeToString(bytes.Repeat([]byte{0xab}, 32))
	var h Hash
	if err := h.UnmarshalText([]byte(good)); err != nil || h.String() != good {
		t.Errorf("UnmarshalText(%s) = %v, %v", good, h, err)
	}
	for _, text := range []string{"", good[2:], good + "00", strings.ToUpper(good), strings.Repeat("x", 64)} {
		if err := h.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("UnmarshalText(%q): no error", text)
		}
	}
}

// signedBy makes a Verification ask who signed.
func signedBy(ca *testpki.Authority) func(*pec.Signature, time.Time) error {
	roots := x509.NewCertPool()
	roots.AddCert(ca.Certificate())
	return (&pec.Trust{Roots: roots}).CheckAuthority
}
