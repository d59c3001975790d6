package pec_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pec-milter/pec-milter/pec"
)

// told writes what a DSN reports, one recipient a line.
func told(dsn *pec.DSN) string {
	var b strings.Builder
	for _, r := range dsn.Recipients {
		fmt.Fprintf(&b, "%s", r.Final)
		if r.Original != "" && r.Original != r.Final {
			fmt.Fprintf(&b, " (%s)", r.Original)
		}
		fmt.Fprintf(&b, " %s", r.Action)
		if code, kind := r.Failure(); code != "" {
			_, text, _ := strings.Cut(pec.FailureDetail(code, "Alfa"), " - Alfa - ")
			fmt.Fprintf(&b, ": %s %s %s", code, kind, text)
		}
		b.WriteString("\n")
	}
	return b.String()
}

const outboxRecipient = "accettazione.aaaaaaaaaaaaaaaaaaaaaaaaaa.aaaaaaaaaaaaaaaa@outbox.pec-milter.invalid"

// realDSNs are the files of testdata/dsn, written by the real MTAs.
var realDSNs = []struct{ file, want string }{
	{"postfix-unknown-user", "nessuno@pec.beta.example failed: 5.1.1 no-dest indirizzo non valido\n"},
	{"postfix-unknown-host", "anna@pec.inesistente.example failed: 5.1.2 no-dominio dominio inesistente\n"},
	{"postfix-quota", "piena@pec.beta.example failed: 5.2.2 altro casella piena\n"},
	{"postfix-541", "chiuso@pec.beta.example failed: 5.1.1 no-dest indirizzo non valido\n"},
	{"postfix-plain-550", "vecchio@pec.beta.example failed: 5.1.1 no-dest indirizzo non valido\n"},
	{"postfix-original-recipient", "nessuno+AB@pec.inesistente.example failed: 5.1.2 no-dominio dominio inesistente\n" +
		"nessuno@pec.beta.example (mario+AB@pec.beta.example) failed: 5.1.1 no-dest indirizzo non valido\n"},
	{"postfix-smtputf8", "nessuno@pec.beta.example failed: 5.1.1 no-dest indirizzo non valido\n"},
	{"postfix-several", "anna@pec.inesistente.example failed: 5.1.2 no-dominio dominio inesistente\n" +
		"piena@pec.alfa.example failed: 5.2.2 altro casella piena\n" +
		"nessuno@pec.beta.example failed: 5.1.1 no-dest indirizzo non valido\n" +
		"spam@pec.beta.example failed: 5.7.1 altro errore nella consegna alla casella\n"},
	{"postfix-expired", "luca@pec.gamma.example failed: 5.4.7 altro tempo massimo di consegna superato\n" +
		outboxRecipient + " failed: 5.4.7 altro tempo massimo di consegna superato\n"},
	{"postfix-delayed", outboxRecipient + " delayed\nluca@pec.gamma.example delayed\n"},
	{"postfix-relayed", "anna@pec.beta.example relayed\n"},
	{"sendmail-unknown-user", "nessuno@pec.beta.example failed: 5.1.1 no-dest indirizzo non valido\n"},
	{"sendmail-unknown-host", "anna@pec.inesistente.example failed: 5.1.2 no-dominio dominio inesistente\n"},
	{"sendmail-several", "nessuno@pec.beta.example failed: 5.1.1 no-dest indirizzo non valido\n" +
		"piena@pec.alfa.example failed: 5.2.2 altro casella piena\n" +
		"chiuso@pec.beta.example failed: 5.1.1 no-dest indirizzo non valido\n" +
		"spam@pec.beta.example failed: 5.7.1 altro errore nella consegna alla casella\n"},
	{"sendmail-headers", "nessuno@pec.beta.example (mario+AB@pec.beta.example) failed: 5.1.1 no-dest indirizzo non valido\n" +
		"vecchio@pec.beta.example failed: 5.1.1 no-dest indirizzo non valido\n"},
	{"sendmail-expired", "luca@pec.gamma.example failed: 5.4.7 altro tempo massimo di consegna superato\n" +
		outboxRecipient + " failed: 5.4.7 altro tempo massimo di consegna superato\n"},
	{"sendmail-delayed", "luca@pec.gamma.example delayed\n" + outboxRecipient + " delayed\n"},
	{"sendmail-relayed", "anna@pec.beta.example relayed\n"},
}

// TestReadDSN: RFC 6109 section 3.3.3, what the MTA's own notifications tell.
func TestReadDSN(t *testing.T) {
	if files := sources(t, "testdata/dsn/*.eml", 18); len(files) != len(realDSNs) {
		t.Errorf("testdata/dsn has %d files, the table %d", len(files), len(realDSNs))
	}
	for _, test := range realDSNs {
		t.Run(test.file, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join("testdata/dsn", test.file+".eml"))
			if err != nil {
				t.Fatal(err)
			}
			dsn, err := pec.ReadDSN(rawMessage(t, string(data)))
			if err != nil {
				t.Fatal(err)
			}
			if got := told(dsn); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			if dsn.ReportingMTA != "mail.pec.alfa.example" {
				t.Errorf("reported by %q, want mail.pec.alfa.example", dsn.ReportingMTA)
			}
			// Its caller finds the message by these.
			for name, want := range map[string]string{
				"Message-ID":        "<pecaaaaaaaaaaaaaaaaaaaaaaaa@pec.alfa.example>",
				pec.HeaderTransport: "posta-certificata", pec.HeaderReference: "<m1@client.example>",
			} {
				if got := dsn.Returned.Get(name); got != want {
					t.Errorf("returned %s is %q, want %q", name, got, want)
				}
			}
		})
	}
}

// report is a DSN whose status and further part are these.
func report(status, more string) string {
	return "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n\nSorry.\n" +
		"--b\nContent-Type: message/delivery-status\n\n" + status + "\n" + more + "--b--\n"
}

const (
	aboutMessage   = "Reporting-MTA: dns; mail.pec.alfa.example\n\n"
	aboutRecipient = "Final-Recipient: rfc822; anna@pec.beta.example\nAction: failed\nStatus: 5.1.1\n"
)

func TestReadDSNForms(t *testing.T) {
	const returned = "--b\nContent-Type: %s\n\nMessage-ID: <x@y>\n%s"
	for _, test := range []struct{ name, message, want, id string }{
		{"comments, case, folding", report(aboutMessage+"FINAL-RECIPIENT: RFC822 ;\n <anna@pec.beta.example>\n"+
			"action: Delayed (still trying)\nStatus: 4.4.1 (no answer)\n", ""), "anna@pec.beta.example delayed\n", ""},
		{"control characters", report(aboutMessage+"Final-Recipient: rfc822; anna\x01@pec.beta.example\nAction: failed\nStatus: 5.1.1\n", ""),
			"anna @pec.beta.example failed: 5.1.1 no-dest indirizzo non valido\n", ""},
		{"no status", report(aboutMessage+"Final-Recipient: rfc822; anna@pec.beta.example\nAction: failed\nStatus: bad\n", ""),
			"anna@pec.beta.example failed: 5.0.0 altro errore nella consegna alla casella\n", ""},
		{"more empty lines", report("\n\n"+aboutMessage+"\n\n"+aboutRecipient+"\n\n", ""),
			"anna@pec.beta.example failed: 5.1.1 no-dest indirizzo non valido\n", ""},
		{"message", report(aboutMessage+aboutRecipient, fmt.Sprintf(returned, "message/rfc822", "\nhello\n")),
			"anna@pec.beta.example failed: 5.1.1 no-dest indirizzo non valido\n", "<x@y>"},
		{"header alone", report(aboutMessage+aboutRecipient, fmt.Sprintf(returned, "text/rfc822-headers", "")),
			"anna@pec.beta.example failed: 5.1.1 no-dest indirizzo non valido\n", "<x@y>"},
		{"header by its other name", report(aboutMessage+aboutRecipient, fmt.Sprintf(returned, "message/rfc822-headers", "")),
			"anna@pec.beta.example failed: 5.1.1 no-dest indirizzo non valido\n", "<x@y>"},
		{"returned message that cannot be read", report(aboutMessage+aboutRecipient, fmt.Sprintf(returned, "message/rfc822", "hello\n")),
			"anna@pec.beta.example failed: 5.1.1 no-dest indirizzo non valido\n", ""},
		{"something else returned", report(aboutMessage+aboutRecipient, fmt.Sprintf(returned, "text/plain", "\nhello\n")),
			"anna@pec.beta.example failed: 5.1.1 no-dest indirizzo non valido\n", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			dsn, err := pec.ReadDSN(message(t, test.message))
			if err != nil {
				t.Fatal(err)
			}
			if got := told(dsn); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			if got := dsn.Returned.Get("Message-ID"); got != test.id {
				t.Errorf("returned Message-ID is %q, want %q", got, test.id)
			}
		})
	}
}

func TestReadDSNRefused(t *testing.T) {
	good := report(aboutMessage+aboutRecipient, "")
	for _, test := range []struct{ name, message string }{
		{"plain text", "Subject: Undelivered Mail Returned to Sender\n\nSorry.\n"},
		{"another report", strings.Replace(good, "=delivery-status", "=disposition-notification", 1)},
		{"report without type", strings.Replace(good, "report-type=delivery-status; ", "", 1)},
		{"truncated", strings.TrimSuffix(good, "--b--\n")},
		{"no status part", strings.Replace(good, "message/delivery-status", "text/plain", 1)},
		{"one part", "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n\nx\n--b--\n"},
		{"no parts", "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b--\n"},
		{"four parts", report(aboutMessage+aboutRecipient, "--b\n\n3\n--b\n\n4\n")},
		{"no recipient", report(aboutMessage, "")},
		{"recipient without address", report(aboutMessage+"Action: failed\nStatus: 5.1.1\n", "")},
		{"address of another kind", report(aboutMessage+strings.Replace(aboutRecipient, "rfc822", "x400", 1), "")},
		{"recipient without action", report(aboutMessage+strings.Replace(aboutRecipient, "Action", "X", 1), "")},
		{"two final recipients", report(aboutMessage+aboutRecipient+"Final-Recipient: rfc822; mario@pec.beta.example\n", "")},
		{"two actions", report(aboutMessage+aboutRecipient+"action: delayed\n", "")},
		{"no fields", report("hello\n", "")},
		{"bad base64", strings.Replace(good, "message/delivery-status", "message/delivery-status\nContent-Transfer-Encoding: base64", 1)},
		{"too many recipients", report(aboutMessage+strings.Repeat(aboutRecipient+"\n", 20_000), "")},
		{"too large", report(aboutMessage+aboutRecipient+"X: "+strings.Repeat("y", 5<<20)+"\n", "")},
	} {
		t.Run(test.name, func(t *testing.T) {
			if dsn, err := pec.ReadDSN(message(t, test.message)); dsn != nil || !errors.Is(err, pec.ErrNoDSN) {
				t.Errorf("got %v, %v, want ErrNoDSN", dsn, err)
			}
		})
	}
	if dsn, err := pec.ReadDSN(pec.Message{}); dsn != nil || !errors.Is(err, pec.ErrNoDSN) {
		t.Errorf("no message: got %v, %v, want ErrNoDSN", dsn, err)
	}
}

func TestReadDSNReadingFails(t *testing.T) {
	m := message(t, report(aboutMessage+aboutRecipient, "--b\nContent-Type: message/rfc822\n\nX: y\n\n"+strings.Repeat("hello\n", 20_000)))
	counting := &failsLater{Body: m.Body, good: 1 << 20}
	if _, err := pec.ReadDSN(pec.Message{Header: m.Header, Body: counting}); err != nil {
		t.Fatal(err)
	}
	readings := 1<<20 - counting.good
	for good := range readings {
		dsn, err := pec.ReadDSN(pec.Message{Header: m.Header, Body: &failsLater{Body: m.Body, good: good}})
		if dsn != nil || !errors.Is(err, errDisk) || errors.Is(err, pec.ErrNoDSN) {
			t.Errorf("fails after %d readings: got %v, %v, want the error of reading alone", good, dsn, err)
		}
	}
}

// FuzzDSN: what is read is on one line each, and no failure has a code that
// says something else in PEC.
func FuzzDSN(f *testing.F) {
	for _, data := range sources(f, "testdata/dsn/*.eml", 18) {
		f.Add(data)
	}
	f.Add([]byte(report(aboutMessage+aboutRecipient, "")))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := pec.ReadMessage(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		dsn, err := pec.ReadDSN(m)
		if err != nil {
			if dsn != nil || !errors.Is(err, pec.ErrNoDSN) {
				t.Fatalf("got %v, %v, want ErrNoDSN alone", dsn, err)
			}
			return
		}
		if len(dsn.Recipients) == 0 {
			t.Error("no recipients")
		}
		for _, r := range dsn.Recipients {
			checkRecipient(t, r)
		}
	})
}

func checkRecipient(t *testing.T, r pec.DSNRecipient) {
	t.Helper()
	all := r.Final + r.Original + string(r.Action) + r.Status + r.Diagnostic + r.RemoteMTA
	if r.Final == "" || r.Action == "" || strings.ContainsFunc(all, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		t.Errorf("recipient %+v", r)
	}
	code, kind := r.Failure()
	if failed := r.Action == pec.DSNFailed; failed != (code != "") || failed != (kind != pec.NoError) {
		t.Errorf("failure of %+v: %q, %q", r, code, kind)
	}
	if code == "5.4.1" || code == "5.5.1" || strings.HasPrefix(code, "4") {
		t.Errorf("failure of %+v has the code %s", r, code)
	}
}
