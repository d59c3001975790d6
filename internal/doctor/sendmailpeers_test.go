package doctor

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestNamesServer(t *testing.T) {
	for policy, want := range map[string]bool{
		"VERIFY+CN": true, "VERIFY+CN:mx.beta.example": true, "TEMP+VERIFY:256+CN:mx.beta.example": true, "PERM + VERIFY+CN": true,
		"VERIFY:128+CI:x++CN": true,
		"":                    false, "OK": false, "VERIFY": false, "VERIFY:256": false, "ENCR:112": false, "ENCR:112+CN": false, "VERIFY+CNX": false,
	} {
		if got := namesServer(policy); got != want {
			t.Errorf("namesServer(%q) = %t", policy, got)
		}
	}
}

// TestSendmailPeers: a line of the access table for each domain, or for one above it; else
// it is said which has none, where, and with the line to add.
func TestSendmailPeers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "access")
	c := &sendmailCF{file: "sendmail.cf", maps: map[string]cfValue{"access": {"hash -T<TMPF> " + file, "sendmail.cf:7:1"}}}
	domains := []string{"beta.example", "pec.gamma.example"}
	for _, one := range []struct {
		text   string
		result Result
		what   string
		where  string
	}{
		{"TLS_Rcpt:beta.example\tVERIFY+CN:mx.beta.example\ntls_rcpt:gamma.example VERIFY+CN\n", Good, "the 2 domains", ""},
		{"# all\nTLS_Rcpt: VERIFY+CN\n", Good, "the 2 domains", ""},
		{"TLS_Rcpt:beta.example VERIFY+CN\n#TLS_Rcpt:gamma.example VERIFY+CN\n", Bad, "mail to pec.gamma.example goes without TLS", ":"},
		{"TLS_Rcpt: VERIFY+CN\n TLS_Rcpt:beta.example ENCR:112\n", Bad, "mail to beta.example goes", ":2:2"},
		{"", Bad, "(2 of the 2 domains", ":"},
	} {
		if err := os.WriteFile(file, []byte(one.text), 0o600); err != nil {
			t.Fatal(err)
		}
		found := c.checkPeers(domains)
		want(t, found, one.result, one.what)
		if place := map[string]string{"": "", ":": file}[one.where]; found.Where != place && found.Where != file+one.where {
			t.Errorf("%q: it is at %q", one.text, found.Where)
		}
	}
	want(t, c.checkPeers(nil), NotChecked, "no other provider")
	if err := os.WriteFile(file+".db", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	hour := time.Now().Add(-time.Hour)
	if err := os.Chtimes(file+".db", hour, hour); err != nil {
		t.Fatal(err)
	}
	want(t, c.checkPeers(domains), Bad, "is not made of what")
	want(t, (&sendmailCF{file: "sendmail.cf"}).checkPeers(domains), Bad, "no access table")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	want(t, c.checkPeers(domains), Bad, "no such file")
}
