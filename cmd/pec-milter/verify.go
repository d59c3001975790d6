package main

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/pec-milter/pec-milter/internal/directory"
	"github.com/pec-milter/pec-milter/pec"
)

type verifyCommand struct {
	JSON        bool     `name:"json" help:"One JSON object a line."`
	Directory   string   `type:"path" placeholder:"FILE" help:"The PEC providers directory, LDIF. Without it that check is not made."`
	Roots       string   `type:"path" placeholder:"DIR" help:"The trusted authorities, PEM. Without it that check is not made."`
	Revocations []string `type:"path" placeholder:"FILE" help:"Revocation lists, PEM or DER."`
	Files       []string `arg:"" name:"file" help:"Messages as saved by a mail client."`
}

// finding is what was found of one file.
type finding struct {
	File      string    `json:"file"`
	Genuine   bool      `json:"genuine"`
	Kind      pec.Kind  `json:"kind,omitempty"`
	Signature string    `json:"signature"` // "good", or what is wrong
	Signer    string    `json:"signer,omitempty"`
	Signed    time.Time `json:"signed,omitzero"`
	Digest    string    `json:"digest,omitempty"`
	Algorithm string    `json:"algorithm,omitempty"`
	Weak      bool      `json:"weak,omitempty"`
	Trust     string    `json:"trust"` // "good", "not checked", or what is wrong
	Provider  string    `json:"provider,omitempty"`
	Problems  []string  `json:"problems,omitempty"`
	Data      *certData `json:"certification_data,omitempty"`
}

type certData = pec.CertificationData

// Run verifies each file; the exit code is 0 only if every one is genuine.
func (v *verifyCommand) Run(o out) error {
	trust, err := v.trust()
	if err != nil {
		return &exit{exitNoInput, err}
	}
	bad := false
	for _, path := range v.Files {
		f, err := v.examine(path, trust)
		if err != nil {
			return &exit{exitNoInput, err}
		}
		bad = bad || !f.Genuine
		if err := v.print(o, f); err != nil {
			return err
		}
	}
	if bad {
		return errBad
	}
	return nil
}

// trust is what the signatures are judged by; nil where it was not given.
func (v *verifyCommand) trust() (*pec.Trust, error) {
	if v.Directory == "" && v.Roots == "" {
		return nil, nil
	}
	if v.Directory == "" || v.Roots == "" {
		return nil, errors.New("--directory and --roots go together")
	}
	source, err := directory.Open(directory.Config{LDIF: v.Directory, Roots: v.Roots, Revocations: v.Revocations},
		slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return nil, err
	}
	return source.Current()
}

// examine verifies one file by the rules of the incoming door.
func (v *verifyCommand) examine(path string, trust *pec.Trust) (*finding, error) {
	file, message, err := openMessage(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if trust == nil {
		return examineAlone(path, message)
	}
	c, err := pec.Classify(message, trust, time.Now())
	f := &finding{File: path, Kind: c.Kind, Problems: c.Problems, Data: c.Data, Trust: "good"}
	f.describe(c.Signature)
	if c.Provider != nil {
		f.Provider = c.Provider.Name
	} else if c.Signature != nil {
		_, why := trust.Provider(c.Signature, time.Now())
		f.Trust = fmt.Sprint(why)
	}
	if err != nil && !errors.Is(err, pec.ErrRevocationUnknown) {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	f.Genuine = err == nil && c.Correct()
	return f, nil
}

// examineAlone verifies the signature alone: who made it is not known.
func examineAlone(path string, m pec.Message) (*finding, error) {
	f := &finding{File: path, Trust: "not checked"}
	s, err := pec.VerifySignature(m, nil)
	f.describe(s)
	if err != nil {
		f.Signature = err.Error()
		return f, nil
	}
	if f.Data, _, err = pec.Parts(s); err != nil {
		f.Problems = []string{err.Error()}
		return f, nil
	}
	f.Kind, f.Genuine = f.Data.Kind, true
	return f, nil
}

func (f *finding) describe(s *pec.Signature) {
	f.Signature = "none, or not valid"
	if s == nil {
		return
	}
	f.Signature, f.Signer, f.Signed = "good", s.Certificate.Subject.String(), s.SigningTime
	f.Digest, f.Algorithm, f.Weak = fmt.Sprintf("%x", s.Digest), s.DigestAlgorithm.String(), s.Weak
}

func (v *verifyCommand) print(w io.Writer, f *finding) error {
	if v.JSON {
		return json.NewEncoder(w).Encode(f)
	}
	verdict := "NOT GENUINE"
	if f.Genuine {
		verdict = "genuine"
	}
	fmt.Fprintf(w, "%s: %s\n  kind       %s\n  signature  %s %s\n  signer     %s\n  trust      %s %s\n",
		f.File, verdict, f.Kind, f.Signature, f.Algorithm, f.Signer, f.Trust, f.Provider)
	if f.Data != nil {
		fmt.Fprintf(w, "  id         %s\n  date       %s\n  from       %s\n  subject    %s\n",
			f.Data.ID, f.Data.Time.Format(time.RFC3339), f.Data.Sender, f.Data.Subject)
	}
	for _, p := range f.Problems {
		fmt.Fprintf(w, "  problem    %s\n", p)
	}
	return nil
}

// openMessage opens a file with a message; the file is to be closed.
func openMessage(path string) (*os.File, pec.Message, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, pec.Message{}, err
	}
	info, err := file.Stat()
	if err == nil {
		var m pec.Message
		if m, err = pec.ReadMessage(file, info.Size()); err == nil {
			return file, m, nil
		}
	}
	return nil, pec.Message{}, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
}

type inspectCommand struct {
	File string `arg:"" help:"A message as saved by a mail client."`
}

// Run prints the MIME tree, the certificate and the certification data.
func (i *inspectCommand) Run(o out) error {
	file, message, err := openMessage(i.File)
	if err != nil {
		return &exit{exitNoInput, err}
	}
	defer file.Close()
	root, err := pec.Structure(message)
	if err != nil {
		fmt.Fprintf(o, "%s: %v\n", i.File, err)
		return errBad
	}
	printTree(o, root, 0)
	s, err := pec.VerifySignature(message, root)
	if err != nil {
		fmt.Fprintf(o, "signature: %v\n", err)
		return nil
	}
	printCertificate(o, s.Certificate)
	data, _, err := pec.Parts(s)
	if err != nil {
		fmt.Fprintf(o, "certification data: %v\n", err)
		return nil
	}
	_, err = o.Write(data.XML())
	return err
}

func printTree(w io.Writer, p *pec.Part, depth int) {
	fmt.Fprintf(w, "%s%s %s %s, %d bytes\n", strings.Repeat("  ", depth), p.MediaType, p.Name(), p.Encoding, p.Body().Size())
	for _, child := range p.Parts {
		printTree(w, child, depth+1)
	}
}

func printCertificate(w io.Writer, c *x509.Certificate) {
	fmt.Fprintf(w, "certificate: %s\n  issuer   %s\n  address  %s\n  valid    %s to %s\n  SHA-256  %x\n",
		c.Subject, c.Issuer, strings.Join(c.EmailAddresses, ", "),
		c.NotBefore.Format(time.DateOnly), c.NotAfter.Format(time.DateOnly), sha256.Sum256(c.Raw))
}
