package legallog

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Without the database the files alone are verified.
func TestVerifyFiles(t *testing.T) {
	log := openFile(t, filepath.Join(t.TempDir(), "log.db"))
	s := newSealer(t, log)
	s.MaxRows = 10
	mustAppend(t, log, rowsOf(30)...)
	mustSeal(t, s, 3)
	v := &Verification{Seals: []string{s.Directory}, Now: sealedAt}
	if report := mustVerify(t, v); report.Sealed != 30 || report.Rows != 0 {
		t.Errorf("report %+v, want 30 sealed rows", report)
	}
	path := filepath.Join(s.Directory, "one-20260330-2.ndjson")
	content := readFile(t, path)
	for name, c := range map[string]struct{ from, to string }{
		"edited":    {"Perché no? 14", "Perché no? 41"},
		"not JSON":  {"Perché no? 14", `Perché no?" 14`},
		"unsettled": {`"seq":15,`, `"seq":15, `},
	} {
		if err := os.WriteFile(path, []byte(strings.Replace(content, c.from, c.to, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		report, err := v.Verify(ctx)
		if err != nil || len(report.Faults) != 1 || report.Faults[0].Seq != 15 {
			t.Errorf("%s: %+v, %v, want row 15 named", name, report, err)
		}
	}
}

// Another provider's key, of the same authority's or not, does not vouch.
func TestVerifySigner(t *testing.T) {
	log := openFile(t, filepath.Join(t.TempDir(), "log.db"))
	s := newSealer(t, log)
	mustAppend(t, log, rowsOf(3)...)
	mustSeal(t, s, 1)
	v := verification(log, s)
	v.Signer = signedBy(newSigner(t).ca)
	if report, err := v.Verify(ctx); err != nil || len(report.Faults) != 1 || !strings.Contains(report.Faults[0].What, "trusted authority") {
		t.Errorf("report %+v, %v, want the signer doubted", report, err)
	}
}
