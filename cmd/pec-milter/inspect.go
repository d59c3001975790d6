package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pec-milter/pec-milter/pec"
)

type inspectCommand struct {
	File string `arg:"" help:"A message as saved by a mail client."`
}

// Run prints the MIME tree of a file, and of each PEC message in it the
// certificate and the certification data.
func (i *inspectCommand) Run(o out) error {
	file, message, err := openMessage(i.File)
	if err != nil && !errors.Is(err, pec.ErrHeader) {
		return &exit{exitNoInput, err}
	}
	p := &printer{}
	if err == nil {
		defer file.Close()
		err = p.inspect(message)
	}
	if _, err := o.Write(p.Bytes()); err != nil {
		return err
	}
	switch {
	case errors.Is(err, pec.ErrHeader), errors.Is(err, pec.ErrStructure):
		fmt.Fprintf(o, "%s: %v\n", i.File, err)
		return errBad
	case err != nil:
		return &exit{exitNoInput, fmt.Errorf("%s: %w", i.File, err)}
	}
	return nil
}

// inspect shows the tree first: what is found in it names its places.
func (p *printer) inspect(m pec.Message) error {
	root, err := pec.Structure(m)
	if err != nil {
		return err
	}
	p.tree(root, "", 0)
	found := false
	err = pec.WalkPEC(m, func(f pec.Found) error {
		found = true
		return p.found(f)
	})
	if err != nil || found {
		return err
	}
	return p.found(pec.Found{Message: m, Root: root})
}

// tree shows a part with its number, and what is in it.
func (p *printer) tree(part *pec.Part, number string, depth int) {
	p.line("%*s%s %s %s %s, %d bytes", 2*depth, "", number, part.MediaType, part.Name(), part.Encoding, part.Body().Size())
	for i, child := range part.Parts {
		below := fmt.Sprint(i + 1)
		if number != "" {
			below = number + "." + below
		}
		p.tree(child, below, depth+1)
	}
}

// found shows the signature and the certification data of one message.
func (p *printer) found(f pec.Found) error {
	if f.Place != "" {
		p.line("in part %s:", f.Place)
	}
	if f.Err != nil {
		p.line("%s", f.Err.Error())
		return nil
	}
	if f.Place != "" && !f.Bare && f.Root != nil {
		p.tree(f.Root, f.Place, 1)
	}
	s, err := pec.VerifySignature(f.Message, f.Root)
	switch {
	case errors.Is(err, pec.ErrNotSigned), errors.Is(err, pec.ErrBadSignature), errors.Is(err, pec.ErrStructure):
		p.line("signature: %s", err.Error())
		return nil
	case err != nil:
		return err
	}
	p.certificate(s)
	return p.xml(s)
}

func (p *printer) certificate(s *pec.Signature) {
	strength := ""
	if s.Weak {
		strength = ", which is weak"
	}
	p.line("signature: %s%s", s.Algorithm.String(), strength)
	if !s.SigningTime.IsZero() {
		p.line("  signed   %s", s.SigningTime.Format(time.RFC3339))
	}
	c := describeCertificate(s.Certificate)
	p.line("certificate: %s\n  issuer   %s\n  serial   %s\n  address  %q\n  valid    %s to %s\n  SHA-256  %s", c.Subject, c.Issuer, c.Serial,
		c.Addresses, c.NotBefore.Format(time.DateOnly), c.NotAfter.Format(time.DateOnly), c.SHA256)
	for _, odd := range pec.Deviations(s.Certificate) {
		p.line("  warning  %s", odd)
	}
}

// xml shows the certification data as they are understood, not as they stand
// there.
func (p *printer) xml(s *pec.Signature) error {
	data, _, err := pec.Parts(s)
	switch {
	case errors.Is(err, pec.ErrNoCertificationData), errors.Is(err, pec.ErrCertificationData):
		p.line("certification data: %s", err.Error())
	case err != nil:
		return err
	default:
		for line := range strings.Lines(string(data.XML())) {
			p.line("%s", strings.TrimSuffix(line, "\n"))
		}
	}
	return nil
}
