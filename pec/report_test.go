package pec_test

import (
	"crypto/rand"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/testpki"
	"github.com/pec-milter/pec-milter/pec"
)

func replaced(old, new string) func(string) string {
	return func(text string) string {
		if !strings.Contains(text, old) {
			panic("nothing to replace: " + old)
		}
		return strings.Replace(text, old, new, 1)
	}
}

// TestFailedChecks: what is wrong is said where it is, and everything else that
// can be checked is.
func TestFailedChecks(t *testing.T) {
	xml := string(envelopeData().XML())
	data := func(old, new string) lookAlike { return lookAlike{data: base64Data([]byte(replaced(old, new)(xml)))} }
	for _, test := range []struct {
		name string
		lookAlike
		after func(string) string // changes the message that is signed
		trust func(*pec.Trust)
		step  pec.Step
		want  error
	}{
		{name: "SG-07 two Content-Type", after: replaced("MIME-Version", "Content-Type: text/plain\r\nMIME-Version"), step: pec.StepStructure, want: pec.ErrAmbiguous},
		{name: "not signed", after: replaced("multipart/signed", "multipart/mixed"), step: pec.StepSignature, want: pec.ErrNotSigned},
		{name: "SG-02 changed", after: replaced("Il giorno", "Il giomo"), step: pec.StepSignature, want: pec.ErrBadSignature},
		{name: "SG-24 MD5", lookAlike: lookAlike{args: []string{"-md", "md5"}}, step: pec.StepSignature, want: pec.ErrBadSignature},
		{name: "SG-24 SHA-1 after its time", lookAlike: lookAlike{args: []string{"-md", "sha1"}},
			trust: func(tr *pec.Trust) { tr.SHA1Until = time.Now().Add(-time.Hour) }, step: pec.StepDigest, want: pec.ErrWeakDigest},
		{name: "SG-14 not in the directory", trust: func(tr *pec.Trust) { tr.Directory = listing{} }, step: pec.StepDirectory, want: pec.ErrNotInDirectory},
		{name: "other root", trust: func(tr *pec.Trust) { tr.Roots = pool(newRoot(t)) }, step: pec.StepChain, want: pec.ErrChain},
		{name: "SG-20 no list", trust: func(tr *pec.Trust) { tr.Revocations = nil }, step: pec.StepRevocation, want: pec.ErrRevocationUnknown},
		{name: "XM-03 two subjects", lookAlike: data("<oggetto>", "<oggetto>x</oggetto><oggetto>"), step: pec.StepData, want: pec.ErrCertificationData},
		{name: "XM-11 certification data in the original alone", lookAlike: lookAlike{data: "\r\n",
			original: strings.Replace(shortOriginal, "Subject", "X: daticert.xml\r\nContent-Type: multipart/mixed; boundary=o\r\nSubject", 1) + "--o\r\n" + base64Data([]byte(xml)) + "--o--\r\n"},
			step: pec.StepData, want: pec.ErrNoCertificationData},
		{name: "no original", lookAlike: lookAlike{original: "Content-Type: text/plain\r\n\r\nx\r\n"}, step: pec.StepOriginal, want: pec.ErrForm},
		{name: "original does not decode", lookAlike: lookAlike{original: "Content-Type: message/rfc822; name=postacert.eml\r\nContent-Transfer-Encoding: x-y\r\n\r\nx\r\n"},
			step: pec.StepOriginal, want: pec.ErrEncoding},
		{name: "SG-03 From is another", after: replaced("From: \"Per conto di: mario@alfa.example\" <"+serviceAddress, "From: <posta-certificata@beta.example"), step: pec.StepFrom, want: pec.ErrForm},
		{name: "SG-28 From is not of the signer's domains", trust: func(tr *pec.Trust) { tr.Directory.(listing)[0].Domains = []string{"alfa.example"} }, step: pec.StepFrom, want: pec.ErrForm},
		{name: "XM-09 the header says another kind", after: replaced("X-Trasporto: posta-certificata", "X-Ricevuta: avvenuta-consegna"), step: pec.StepKind, want: pec.ErrForm},
		{name: "XM-09 the header says two kinds", after: replaced("X-TipoRicevuta: completa", "X-Ricevuta: avvenuta-consegna"), step: pec.StepKind, want: pec.ErrForm},
		{name: "XM-09 the certification data say another kind", lookAlike: data(`tipo="posta-certificata"`, `tipo="accettazione"`), step: pec.StepKind, want: pec.ErrForm},
		{name: "SG-28 the sender is of another provider's domain", lookAlike: data("mario@alfa.example", "mario@beta.example"), step: pec.StepDomains, want: pec.ErrForm},
		{name: "SG-29 a receipt for another provider's recipient", lookAlike: lookAlike{
			header: strings.Replace(envelopeHeader, "X-Trasporto: posta-certificata", "X-Ricevuta: avvenuta-consegna", 1), data: base64Data(receiptFor("anna@beta.example"))},
			step: pec.StepDomains, want: pec.ErrForm},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := test.text(t)
			if test.after != nil {
				text = test.after(text)
			}
			trust := lookAlikeTrust(t)
			if test.trust != nil {
				test.trust(trust)
			}
			checkOneFailure(t, verified(t, text, pec.Verification{Trust: trust}), test.step, test.want)
		})
	}
}

func receiptFor(recipient string) []byte {
	d := envelopeData()
	d.Kind, d.Delivered = pec.Delivery, recipient
	return d.XML()
}

// checkOneFailure wants that step to have failed, and no other.
func checkOneFailure(t *testing.T, r *pec.Report, step pec.Step, want error) {
	t.Helper()
	if r.Genuine() {
		t.Error("genuine")
	}
	if len(r.Checks) != 14 {
		t.Errorf("%d checks, want all 14", len(r.Checks))
	}
	for _, c := range r.Checks {
		switch {
		case c.Step == step && (c.Result != pec.Failed || !errors.Is(c.Err, want)):
			t.Errorf("%s: %s, %v, want it to have failed: %v", c.Step, c.Result, c.Err, want)
		case c.Step != step && (c.Result == pec.Failed || c.Err != nil):
			t.Errorf("%s failed too: %s", c.Step, c.Detail)
		}
	}
	if len(r.Problems) == 0 {
		t.Error("no reason for an anomaly envelope")
	}
}

// TestNotChecked: what was not given is not checked, said so, and does not count.
// At a door it does.
func TestNotChecked(t *testing.T) {
	text := lookAlike{}.text(t)
	trust := lookAlikeTrust(t)
	trust.Directory, trust.Revocations = nil, nil
	r := verified(t, text, pec.Verification{Trust: trust, WithoutLists: true})
	if !r.Genuine() || r.Provider != nil {
		t.Errorf("genuine %v, provider %v\n%s", r.Genuine(), r.Provider, outcome(r))
	}
	for _, step := range []pec.Step{pec.StepDirectory, pec.StepRevocation, pec.StepDomains} {
		if c := r.Check(step); c.Result != pec.NotMade || c.Detail == "" {
			t.Errorf("%s: %s %q, want not checked, and why", step, c.Result, c.Detail)
		}
	}
	if c, err := pec.Classify(rawMessage(t, text), trust, time.Now()); err != nil || c.Correct() || c.Provider != nil {
		t.Errorf("at a door: %v, %v, provider %v", c.Problems, err, c.Provider)
	}
	// No trust at all: no root, no chain.
	if r := verified(t, text, pec.Verification{Trust: &pec.Trust{}}); r.Genuine() || r.Check(pec.StepChain).Result != pec.Failed {
		t.Errorf("genuine with no trust\n%s", outcome(r))
	}
}

// TestSHA1Until: SG-24, the dated switch. The time that counts is that at which
// the certificate is judged; the door's is that of arrival.
func TestSHA1Until(t *testing.T) {
	text, now := lookAlike{args: []string{"-md", "sha1"}}.text(t), time.Now()
	for _, test := range []struct {
		name  string
		until time.Time
		good  bool
	}{
		{"no date", time.Time{}, true},
		{"a date to come", now.Add(time.Second), true},
		{"from now on", now, false},
		{"a date that is past", now.Add(-time.Hour), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			trust := lookAlikeTrust(t)
			trust.SHA1Until = test.until
			c, err := pec.Classify(rawMessage(t, text), trust, now)
			if err != nil || c.Correct() != test.good || (c.Provider != nil) != test.good || c.Signature == nil || !c.Signature.Weak {
				t.Errorf("Classify: %v, %v, provider %v, want good: %v", c.Problems, err, c.Provider, test.good)
			}
			r := verified(t, text, pec.Verification{Trust: trust, Now: now})
			if r.Genuine() != test.good || (r.Provider != nil) != test.good || r.Data == nil {
				t.Errorf("Verify: want good: %v\n%s", test.good, outcome(r))
			}
		})
	}
	strong := lookAlikeTrust(t)
	strong.SHA1Until = now.Add(-time.Hour)
	if r := verified(t, lookAlike{}.text(t), pec.Verification{Trust: strong, Now: now}); !r.Genuine() {
		t.Errorf("SHA-256 is refused too\n%s", outcome(r))
	}
}

// TestAtSigning: SG-16, an archived message is judged at the time at which it was
// signed; SG-17, one from the future never.
func TestAtSigning(t *testing.T) {
	text := lookAlike{}.text(t)
	for _, test := range []struct {
		name string
		by   pec.Verification
		step pec.Step // that fails; empty: genuine
	}{
		{"now", pec.Verification{Now: time.Now()}, ""},
		{"in two years", pec.Verification{Now: time.Now().AddDate(2, 0, 0)}, pec.StepValidity},
		{"in two years, at signing", pec.Verification{Now: time.Now().AddDate(2, 0, 0), AtSigning: true}, ""},
		{"in two years, at a time", pec.Verification{Now: time.Now().AddDate(2, 0, 0), At: time.Now()}, ""},
		{"now, at a time before the certificate", pec.Verification{Now: time.Now(), At: time.Now().AddDate(-1, 0, 0), WithoutLists: true}, pec.StepValidity},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := verified(t, text, test.by)
			if test.step == "" && !r.Genuine() || test.step != "" && r.Check(test.step).Result != pec.Failed {
				t.Errorf("want %q to fail\n%s", test.step, outcome(r))
			}
			if want := test.by.AtSigning; want != r.At.Equal(r.Signature.SigningTime) {
				t.Errorf("judged at %v, signed at %v", r.At, r.Signature.SigningTime)
			}
		})
	}
	// No signing time: that of the certification data.
	r := verified(t, lookAlike{args: []string{"-noattr"}}.text(t), pec.Verification{Now: time.Now().AddDate(2, 0, 0), AtSigning: true})
	if !r.Genuine() || !r.At.Equal(r.Data.Time) {
		t.Errorf("judged at %v, certified at %v\n%s", r.At, r.Data.Time, outcome(r))
	}
}

// TestRevocationOfArchived: no list of the time is left; what the present one
// says still counts.
func TestRevocationOfArchived(t *testing.T) {
	s, now := testSigners(), time.Now()
	text := lookAlike{}.text(t)
	later := now.Add(48 * time.Hour) // the lists of the day are over
	revoked := func(at time.Time) []*x509.RevocationList {
		return revokedAt(t, at, later)
	}
	for _, test := range []struct {
		name   string
		lists  []*x509.RevocationList
		now    time.Time
		result pec.Result
	}{
		{"not revoked since", revokedAt(t, time.Time{}, later), later, pec.Passed},
		{"revoked before it was signed", revoked(now.Add(-time.Hour)), later, pec.Failed},
		{"revoked later", revoked(now.Add(24 * time.Hour)), later, pec.Warned},
		{"no list", nil, later, pec.NotMade},
		{"expired since: lists no longer tell", revokedAt(t, time.Time{}, s.alfa.Certificate().NotAfter.Add(time.Hour)), s.alfa.Certificate().NotAfter.Add(2 * time.Hour), pec.NotMade},
	} {
		t.Run(test.name, func(t *testing.T) {
			trust := lookAlikeTrust(t)
			trust.Revocations = test.lists
			r := verified(t, text, pec.Verification{Trust: trust, Now: test.now, AtSigning: true, WithoutLists: true})
			if c := r.Check(pec.StepRevocation); c.Result != test.result || r.Genuine() != (test.result != pec.Failed) {
				t.Errorf("got %s, %s, want %s", c.Result, c.Detail, test.result)
			}
		})
	}
}

// revokedAt are lists issued at a time, by which alfa is revoked since at; by
// none if that is zero.
func revokedAt(t *testing.T, at, issued time.Time) []*x509.RevocationList {
	t.Helper()
	s := testSigners()
	var all []*x509.RevocationList
	for _, a := range []*testpki.Authority{s.root, s.issuing} {
		template := &x509.RevocationList{Number: a.Certificate().SerialNumber, ThisUpdate: issued.Add(-time.Minute), NextUpdate: issued.Add(30 * 24 * time.Hour)}
		if !at.IsZero() && a == s.issuing {
			template.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: s.alfa.Certificate().SerialNumber, RevocationTime: at}}
		}
		der, err := x509.CreateRevocationList(rand.Reader, template, a.Certificate(), a.Key)
		all = append(all, list(t, der, err))
	}
	return all
}

// TestCertificateProfile: SG-26, a certificate that is not quite as RFC 6109
// section 5.5.2 has it is accepted, with a warning. Without a mail address there
// is nothing for From to agree with.
func TestCertificateProfile(t *testing.T) {
	s := testSigners()
	for _, test := range []struct {
		name    string
		change  testpki.Change
		warning string
		good    bool
	}{
		{"as it must be", func(*x509.Certificate) {}, "", true},
		{"no key usage", testpki.WithoutKeyUsage(), "digitalSignature", true},
		{"other key usage", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }, "digitalSignature", true},
		{"basic constraints", func(c *x509.Certificate) { c.BasicConstraintsValid = true }, "basic constraints", true},
		{"no address", testpki.Addresses(), "no mail address", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := s.issuing.CertifyProvider("Alfa", serviceAddress, s.alfa.Key.Public(), test.change)
			if err != nil {
				t.Fatal(err)
			}
			c.Key = s.alfa.Key
			trust := lookAlikeTrust(t)
			trust.Directory.(listing)[0].Certificates = []*x509.Certificate{c.Certificate()}
			r := verified(t, lookAlike{by: c}.text(t), pec.Verification{Trust: trust})
			check := r.Check(pec.StepCertificate)
			if warned := check.Result == pec.Warned; warned != (test.warning != "") || !strings.Contains(check.Detail, test.warning) {
				t.Errorf("got %s %q, want %q", check.Result, check.Detail, test.warning)
			}
			if r.Genuine() != test.good {
				t.Errorf("genuine %v, want %v\n%s", r.Genuine(), test.good, outcome(r))
			}
		})
	}
}

// TestHeadersOutside: SG-03, fields that nobody signed are compared with what is
// signed, and the certification data alone are what is certified.
func TestHeadersOutside(t *testing.T) {
	good := lookAlike{}.text(t)
	for _, test := range []struct{ name, old, new, want string }{
		{"SG-03 Subject", "Perch=?utf-8?q?=C3=A9?=", "Pagare subito", `certified is "Perché"`},
		{"SG-03 Message-ID", "<opec1@pec.alfa.example>", "<x@y.example>", "Message-ID"},
		{"SG-03 reference", "<m1@client.example>", "<x@y.example>", "X-Riferimento-Message-ID"},
		{"a tag before the subject", "Subject: POSTA", "Subject: [lista] POSTA", ""},
		{"another To", "To: anna@beta.example", "To: x@y.example", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := verified(t, replaced(test.old, test.new)(good), pec.Verification{})
			check := r.Check(pec.StepHeaders)
			if warned := check.Result == pec.Warned; warned != (test.want != "") || !strings.Contains(check.Detail, test.want) {
				t.Errorf("got %s %q, want %q", check.Result, check.Detail, test.want)
			}
			if !r.Genuine() || r.Data.Subject != "Perch\u00e9" || r.Data.Recipients[0].Address != "anna@beta.example" {
				t.Errorf("genuine %v, data %+v", r.Genuine(), r.Data)
			}
		})
	}
}

// TestAnomalyEnvelope: one that a provider made is genuine, and certifies nothing;
// at the incoming door it is no PEC message.
func TestAnomalyEnvelope(t *testing.T) {
	header := strings.Replace(envelopeHeader, "X-Trasporto: posta-certificata\r\nX-TipoRicevuta: completa", "X-Trasporto: errore", 1)
	plain := "Content-Type: text/plain\r\n\r\nx\r\n"
	text := lookAlike{header: header, data: plain}.text(t)
	r := verified(t, text, pec.Verification{})
	if !r.Genuine() || r.Correct() || r.Kind != pec.Anomaly || r.Data != nil || r.Check(pec.StepData).Result != pec.NotMade {
		t.Errorf("kind %q, problems %v\n%s", r.Kind, r.Problems, outcome(r))
	}
	if c, err := pec.Classify(rawMessage(t, text), lookAlikeTrust(t), time.Now()); err != nil || c.Correct() {
		t.Errorf("Classify: %v, %v, want no correct message", c.Problems, err)
	}
	checkOneFailure(t, verified(t, lookAlike{header: header, data: plain, original: plain}.text(t), pec.Verification{}), pec.StepOriginal, pec.ErrForm)
	checkOneFailure(t, verified(t, lookAlike{header: header}.text(t), pec.Verification{}), pec.StepKind, pec.ErrForm)
}

// TestVerifyReadingError: an error of the disk is none of the message.
func TestVerifyReadingError(t *testing.T) {
	m := rawMessage(t, lookAlike{}.text(t))
	text := readBody(t, m.Body)
	for _, lost := range []string{"This is", "Il giorno", "PD94", "MII"} {
		body := &failingBody{Body: m.Body, from: int64(strings.Index(text, lost)), to: int64(strings.Index(text, lost)) + 3}
		_, err := pec.Verify(pec.Message{Header: m.Header, Body: body}, pec.Verification{Trust: lookAlikeTrust(t), Now: time.Now()})
		if !errors.Is(err, errDisk) {
			t.Errorf("lost %q: got %v, want the error of reading", lost, err)
		}
	}
	_, err := pec.Classify(pec.Message{Header: m.Header, Body: &failingBody{Body: m.Body, to: 3}}, lookAlikeTrust(t), time.Now())
	if !errors.Is(err, errDisk) {
		t.Errorf("Classify: got %v, want the error of reading", err)
	}
}
