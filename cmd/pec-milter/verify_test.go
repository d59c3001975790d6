package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/testpki"
	"github.com/pec-milter/pec-milter/pec"
)

// verifySite is a directory with all that the command verify is given.
type verifySite struct {
	dir    string
	ca     *testpki.Authority
	signer *testpki.Credential
}

func newVerifySite(t testing.TB, changes ...testpki.Change) *verifySite {
	t.Helper()
	ca, err := testpki.NewRoot(testpki.Source{Now: time.Now(), Rand: rand.Reader}, "Test CA",
		testpki.Valid(time.Now().AddDate(-10, 0, 0), time.Now().AddDate(10, 0, 0)))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ca.NewProvider("Alfa PEC S.p.A.", "posta-certificata@pec.alfa.example", changes...)
	if err != nil {
		t.Fatal(err)
	}
	list, err := ca.Revoke(time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	s := &verifySite{t.TempDir(), ca, signer}
	for _, err := range []error{
		os.Mkdir(s.path("roots"), 0o755),
		testpki.WriteCertificates(s.path("roots/ca.pem"), ca.Certificate()),
		testpki.WriteRevocations(s.path("ca.crl"), list),
		signer.WriteFiles(s.path("signer.pem"), s.path("signer.key")),
		writeDirectory(s.path("providers.ldif"), signer),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *verifySite) path(name string) string { return filepath.Join(s.dir, name) }

// openssl runs it on standard input.
func openssl(t testing.TB, in []byte, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed: the independent signer is missing")
	}
	command := exec.Command("openssl", args...)
	command.Stdin = bytes.NewReader(in)
	var complaint bytes.Buffer
	command.Stderr = &complaint
	out, err := command.Output()
	if err != nil {
		t.Fatalf("openssl %v: %v\n%s", args, err, &complaint)
	}
	return out
}

// golden is a golden message: its header, and the content that is signed.
func golden(t testing.TB, name string) (header, content string) {
	t.Helper()
	data, err := os.ReadFile("../../pec/testdata/golden/" + name + "/want.eml")
	if err != nil {
		t.Fatal(err)
	}
	m, err := pec.ReadMessage(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	root, err := pec.Structure(m)
	if err != nil {
		t.Fatal(err)
	}
	raw := root.Parts[0].Raw()
	signed, err := io.ReadAll(io.NewSectionReader(raw, 0, raw.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return m.Header.Without("MIME-Version", "Content-Type", "Content-Transfer-Encoding").String(), string(signed)
}

// signAnew writes a golden message, signed anew by openssl as another provider would.
func (s *verifySite) signAnew(t testing.TB, name string, change func(string) string, args ...string) string {
	t.Helper()
	header, content := golden(t, name)
	all := append([]string{args[0], "-sign", "-binary", "-signer", s.path("signer.pem"), "-inkey", s.path("signer.key"), "-outform", "DER"}, args[1:]...)
	signed := openssl(t, []byte(content), all...)
	text := header + "MIME-Version: 1.0\r\nContent-Type: multipart/signed; protocol=\"application/x-pkcs7-signature\"; boundary=\"----=_Part\"\r\n\r\n" +
		"------=_Part\r\n" + content + "\r\n------=_Part\r\nContent-Type: application/x-pkcs7-signature; name=smime.p7s\r\n" +
		"Content-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString(signed) + "\r\n------=_Part--\r\n"
	if change != nil {
		text = change(text)
	}
	return s.write(t, text)
}

func (s *verifySite) write(t testing.TB, text string) string {
	t.Helper()
	file, err := os.CreateTemp(s.dir, "*.eml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(file, text); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Name()
}

// given are the options of a verification with everything.
func (s *verifySite) given() []string {
	return []string{"verify", "--directory", s.path("providers.ldif"), "--roots", s.path("roots"), "--revocations", s.path("ca.crl")}
}

// verdict runs the command with --json on one file.
func verdict(t testing.TB, args ...string) (*fileFinding, int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(append(args, "--json"), &stdout, &stderr)
	if code > 1 {
		t.Fatalf("%v: exit code %d\n%s", args, code, &stderr)
	}
	f := &fileFinding{}
	if err := json.Unmarshal(stdout.Bytes(), f); err != nil || strings.Count(stdout.String(), "\n") != 1 {
		t.Fatalf("%v: %v: want one object on one line: %s", args, err, &stdout)
	}
	if f.Genuine != (code == 0) {
		t.Errorf("genuine %v, exit code %d", f.Genuine, code)
	}
	return f, code
}

// checksOf are the checks of a message that did not end well.
func checksOf(m messageFinding) string {
	var all []string
	for _, c := range m.Checks {
		if c.Result != pec.Passed {
			all = append(all, fmt.Sprintf("%s: %s: %s", c.Check, c.Result, c.Detail))
		}
	}
	return strings.Join(all, "\n")
}

// TestVerifyOthers: messages as other programs sign them.
func TestVerifyOthers(t *testing.T) {
	s := newVerifySite(t)
	for _, test := range []struct {
		name   string
		change func(string) string
		args   []string
		weak   bool
	}{
		{"openssl cms", nil, []string{"cms"}, false},
		{"openssl smime", nil, []string{"smime"}, false},
		{"SHA-1", nil, []string{"cms", "-md", "sha1"}, true},
		{"SHA-512", nil, []string{"cms", "-md", "sha512"}, false},
		{"PSS", nil, []string{"cms", "-keyopt", "rsa_padding_mode:pss"}, false},
		{"key identifier", nil, []string{"cms", "-keyid"}, false},
		{"LF, as mail clients of Unix save it", func(text string) string { return strings.ReplaceAll(text, "\r\n", "\n") }, []string{"cms"}, false},
		{"out of a mailbox file", func(text string) string { return "From - Sat Mar 14 10:00:00 2026\r\n" + text }, []string{"cms"}, false},
		{"fields that servers and clients add", func(text string) string {
			return "Return-Path: <mario@pec.alfa.example>\r\nX-Mozilla-Status: 0001\r\nReceived: from x\r\n\tby y; z\r\n" + text
		}, []string{"cms"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, code := verdict(t, append(s.given(), s.signAnew(t, "01-posta-certificata", test.change, test.args...))...)
			m := f.Messages[0]
			if code != 0 || len(f.Messages) != 1 || m.Kind != pec.Envelope || m.Provider != "Alfa PEC S.p.A." || m.Data == nil {
				t.Fatalf("kind %q, provider %q: not genuine\n%s", m.Kind, m.Provider, checksOf(m))
			}
			if m.Signature.Weak != test.weak || len(m.NotChecked) > 0 || len(m.Checks) != 14 {
				t.Errorf("weak %v, not checked %v, %d checks", m.Signature.Weak, m.NotChecked, len(m.Checks))
			}
		})
	}
}

// TestVerifySHA1Until: SG-24, SHA-1 may be refused from a date on.
func TestVerifySHA1Until(t *testing.T) {
	s := newVerifySite(t)
	path := s.signAnew(t, "03-accettazione", nil, "cms", "-md", "sha1")
	for date, want := range map[string]int{"2020-01-01": 1, "2100-01-01T00:00:00+01:00": 0} {
		if f, code := verdict(t, append(s.given(), "--sha1-until", date, path)...); code != want {
			t.Errorf("until %s: exit code %d, want %d\n%s", date, code, want, checksOf(f.Messages[0]))
		}
	}
}

// TestVerifyAt: SG-16, a certificate that is over judges what it signed in its
// time, and nothing else.
func TestVerifyAt(t *testing.T) {
	from, to := time.Now().AddDate(-3, 0, 0), time.Now().AddDate(0, 0, -1)
	s := newVerifySite(t, testpki.Valid(from, to))
	path := s.signAnew(t, "03-accettazione", nil, "cms", "-noattr") // its certification data tell the time
	for _, test := range []struct {
		at   string
		want int
	}{
		{"now", 1}, {"signing", 0}, {"2026-03-14", 0}, {"2026-03-14T10:00:00+01:00", 0}, {"2001-01-01", 1},
	} {
		f, code := verdict(t, append(s.given(), "--at", test.at, path)...)
		if code != test.want {
			t.Errorf("--at %s: exit code %d, want %d\n%s", test.at, code, test.want, checksOf(f.Messages[0]))
		}
		if code == 0 && !slices.Contains(f.Messages[0].NotChecked, pec.StepRevocation) {
			t.Errorf("--at %s: revocation was checked, though there is no list of that time", test.at)
		}
	}
}

// TestVerifyRevocations: lists that were given have to tell; without any it is said
// that they do not.
func TestVerifyRevocations(t *testing.T) {
	s := newVerifySite(t)
	path := s.signAnew(t, "03-accettazione", nil, "cms")
	der, err := s.ca.Revoke(time.Now().Add(time.Hour), s.signer.Certificate())
	if err != nil {
		t.Fatal(err)
	}
	other := newVerifySite(t)
	if err := testpki.WriteRevocations(s.path("revoked.crl"), der); err != nil {
		t.Fatal(err)
	}
	without := []string{"verify", "--directory", s.path("providers.ldif"), "--roots", s.path("roots")}
	for _, test := range []struct {
		name   string
		args   []string
		want   int
		result pec.Result
	}{
		{"a list", s.given(), 0, pec.Passed},
		{"no list", without, 0, pec.NotMade},
		{"revoked", append(slices.Clone(without), "--revocations", s.path("revoked.crl")), 1, pec.Failed},
		{"a list of another authority", append(slices.Clone(without), "--revocations", other.path("ca.crl")), 1, pec.Failed},
	} {
		f, code := verdict(t, append(test.args, path)...)
		for _, c := range f.Messages[0].Checks {
			if c.Check == pec.StepRevocation && c.Result != test.result || code != test.want {
				t.Errorf("%s: %s %s, exit code %d, want %s, %d", test.name, c.Check, c.Result, code, test.result, test.want)
			}
		}
	}
}

// TestVerifyNested: of an ordinary message those count that it carries; of a PEC
// message nothing that is in it.
func TestVerifyNested(t *testing.T) {
	s := newVerifySite(t)
	text := func(path string) string {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	forward := func(all ...string) string {
		parts := "From: x@y.example\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nsee\r\n"
		for _, m := range all {
			parts += "--b\r\nContent-Type: message/rfc822\r\n\r\n" + m + "\r\n"
		}
		return parts + "--b--\r\n"
	}
	good := text(s.signAnew(t, "03-accettazione", nil, "cms"))
	bad := strings.Replace(good, "Ricevuta di accettazione", "Ricevuta di accettazIone", 1)
	_, signed, _ := strings.Cut(good, "MIME-Version: 1.0\r\n")
	list := "From: lista@list.example\r\nContent-Type: multipart/mixed; boundary=l\r\n\r\n--l\r\n" + signed + "\r\n--l\r\n\r\nlista\r\n--l--\r\n"
	for _, test := range []struct {
		name, text string
		want       int
		places     string
	}{
		{"one", forward(good), 0, "2"},
		{"two", forward(good, good), 0, "2 3"},
		{"two, one of them forged", forward(good, bad), 1, "2 3"},
		{"of a mailing list", list, 0, "1"},
		{"a PEC message that is forged, with a genuine one in it", "X-Ricevuta: accettazione\r\n" + forward(good), 1, " 2"},
		{"none", forward("From: x@y.example\r\n\r\nx"), 1, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, code := verdict(t, append(s.given(), s.write(t, test.text))...)
			var places []string
			for _, m := range f.Messages {
				places = append(places, m.Place)
			}
			if got := strings.Join(places, " "); code != test.want || got != test.places {
				t.Errorf("exit code %d, places %q, want %d, %q", code, got, test.want, test.places)
			}
		})
	}
}

// TestVerifyShowsNoControls: what a message says cannot colour or erase what is
// printed.
func TestVerifyShowsNoControls(t *testing.T) {
	s := newVerifySite(t)
	evil := func(text string) string {
		return strings.Replace(text, "Subject: ", "Subject: =?utf-8?q?=1B[2J=C2=9B_genuine?= ", 1)
	}
	path := s.signAnew(t, "03-accettazione", evil, "cms")
	for _, command := range []string{"verify", "inspect"} {
		var stdout, stderr bytes.Buffer
		args := []string{command, path}
		if command == "verify" {
			args = append(s.given(), path)
		}
		run(args, &stdout, &stderr)
		if text := stdout.String(); strings.ContainsAny(text, "\x1b\u009b\r") || !strings.Contains(text, "accettazione") {
			t.Errorf("%s printed %q", command, text)
		}
	}
}
