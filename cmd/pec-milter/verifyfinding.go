package main

import (
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/pec-milter/pec-milter/pec"
)

// fileFinding is what was found in one file.
type fileFinding struct {
	File     string           `json:"file"`
	Genuine  bool             `json:"genuine"`
	Problem  string           `json:"problem,omitempty"` // why it is no message, or one with too many in it
	Messages []messageFinding `json:"messages,omitempty"`
}

// messageFinding is what was found of one message.
type messageFinding struct {
	// Place is the number of the part that holds it; empty for the file itself.
	Place string `json:"place"`
	// Enclosed: another PEC message is around it, and only that one counts.
	Enclosed   bool              `json:"enclosed,omitempty"`
	Genuine    bool              `json:"genuine"`
	Unread     string            `json:"unread,omitempty"` // why it was not looked into
	Kind       pec.Kind          `json:"kind,omitempty"`
	Provider   string            `json:"provider,omitempty"` // by the directory
	Signature  *signatureFinding `json:"signature,omitempty"`
	Checks     []checkFinding    `json:"checks,omitempty"`
	NotChecked []pec.Step        `json:"not_checked,omitempty"`
	Data       *certData         `json:"certification_data,omitempty"`
}

type certData = pec.CertificationData

// signatureFinding is a signature that is mathematically good.
type signatureFinding struct {
	Algorithm   string             `json:"algorithm"`
	Digest      string             `json:"digest_algorithm"`
	Weak        bool               `json:"weak"`
	Content     string             `json:"content_sha256"`
	Signed      time.Time          `json:"signing_time,omitzero"`
	JudgedAt    time.Time          `json:"judged_at"`
	Certificate certificateFinding `json:"certificate"`
}

type certificateFinding struct {
	Subject   string    `json:"subject"`
	Issuer    string    `json:"issuer"`
	Serial    string    `json:"serial"`
	Addresses []string  `json:"addresses"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	SHA256    string    `json:"sha256"`
}

type checkFinding struct {
	Check       pec.Step   `json:"check"`
	Result      pec.Result `json:"result"`
	Detail      string     `json:"detail"`
	Certificate string     `json:"certificate,omitempty"` // SHA-256 of the one that it is about
}

// add verifies a PEC message that was found in the file.
func (f *fileFinding) add(found pec.Found, by pec.Verification) error {
	if found.Err != nil {
		f.Messages = append(f.Messages, messageFinding{Place: found.Place, Enclosed: true, Unread: found.Err.Error()})
		return nil
	}
	by.Root, by.Bare = found.Root, found.Bare
	report, err := pec.Verify(found.Message, by)
	if err != nil {
		return err
	}
	m := describe(found.Place, report)
	m.Enclosed = !found.Outermost()
	f.Messages = append(f.Messages, m)
	return nil
}

// anyCounts tells whether a message was found that counts.
func (f *fileFinding) anyCounts() bool {
	for _, m := range f.Messages {
		if !m.Enclosed {
			return true
		}
	}
	return false
}

// judge: the file is genuine if all messages are that count.
func (f *fileFinding) judge() {
	f.Genuine = f.anyCounts()
	for _, m := range f.Messages {
		f.Genuine = f.Genuine && (m.Enclosed || m.Genuine)
	}
}

func describe(place string, r *pec.Report) messageFinding {
	m := messageFinding{Place: place, Genuine: r.Genuine(), Kind: r.Kind, Data: r.Data}
	if r.Provider != nil {
		m.Provider = r.Provider.Name
	}
	if s := r.Signature; s != nil {
		m.Signature = &signatureFinding{
			Algorithm: s.Algorithm.String(), Digest: s.DigestAlgorithm.String(), Weak: s.Weak,
			Content: fmt.Sprintf("%x", s.Digest), Signed: s.SigningTime, JudgedAt: r.At, Certificate: describeCertificate(s.Certificate),
		}
	}
	for _, c := range r.Checks {
		check := checkFinding{Check: c.Step, Result: c.Result, Detail: c.Detail}
		if c.Certificate != nil {
			check.Certificate = fingerprint(c.Certificate)
		}
		m.Checks = append(m.Checks, check)
		if c.Result == pec.NotMade {
			m.NotChecked = append(m.NotChecked, c.Step)
		}
	}
	return m
}

func describeCertificate(c *x509.Certificate) certificateFinding {
	return certificateFinding{
		Subject: c.Subject.String(), Issuer: c.Issuer.String(), Serial: fmt.Sprintf("%x", c.SerialNumber), Addresses: c.EmailAddresses,
		NotBefore: c.NotBefore, NotAfter: c.NotAfter, SHA256: fingerprint(c),
	}
}

func fingerprint(c *x509.Certificate) string { return fmt.Sprintf("%x", sha256.Sum256(c.Raw)) }
