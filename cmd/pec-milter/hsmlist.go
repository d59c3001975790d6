package main

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/pec-milter/pec-milter/hsm"
)

type hsmListCommand struct {
	Config string `required:"" type:"path" placeholder:"FILE" help:"The configuration."`
}

// Run lists what the modules of the configuration have, with one try of each PIN, and
// the certificates of the certificate file with where their keys are. It exits 1
// if nothing has the key that signs.
func (h *hsmListCommand) Run(o out) error {
	c, err := loadConfig(h.Config)
	if err != nil {
		return err
	}
	chains, err := hsm.Chains(c.Signer.CertificateFile)
	if err != nil {
		return &exit{exitConfig, err}
	}
	l := &keyList{out: o, certificates: leaves(chains), places: make([][]string, len(chains)), now: clock()()}
	if c.Signer.Module == "" {
		err = l.file(c.Signer.CertificateFile, c.Signer.KeyFile)
	} else {
		first := tokenOf(&c.Signer)
		for _, token := range append([]hsm.Token{first}, first.Spares...) {
			if err = l.module(token); err != nil {
				break
			}
		}
	}
	if errors.Is(err, hsm.ErrPIN) {
		return &exit{exitConfig, err}
	}
	if err != nil {
		return err
	}
	return l.conclude(c.Signer.CertificateFile)
}

// keyList prints keys, and remembers where those of the certificates are.
type keyList struct {
	out
	certificates []*x509.Certificate // that sign, or did
	places       [][]string          // of the key of each
	now          time.Time
}

func leaves(chains [][]*x509.Certificate) (leaves []*x509.Certificate) {
	for _, chain := range chains {
		leaves = append(leaves, chain[0])
	}
	return leaves
}

// module prints what a module has, as far as the PIN of this token shows it.
func (l *keyList) module(token hsm.Token) error {
	slots, err := hsm.List(token)
	fmt.Fprintf(l, "module %s\n", token.Module)
	for _, s := range slots {
		l.slot(s)
	}
	return err
}

func (l *keyList) slot(s hsm.Slot) {
	sessions := "any number of sessions"
	if s.Sessions > 0 {
		sessions = fmt.Sprintf("at most %d sessions, one of them for the login", s.Sessions)
	}
	chosen := ""
	if s.Chosen {
		chosen = ", of the configuration"
	}
	fmt.Fprintf(l, "  slot %d: token %q, serial %q, %s, %s%s\n", s.Number, s.Label, s.Serial, s.Model, sessions, chosen)
	for _, k := range s.Keys {
		fmt.Fprintf(l, "    key: label %q, id %x%s\n", k.Label, k.ID, l.use(s, k))
	}
	for _, c := range s.Certificates {
		fmt.Fprintf(l, "    certificate: %s\n", l.certificate(c))
	}
}

// use says what the configuration does with a key.
func (l *keyList) use(s hsm.Slot, k hsm.Key) string {
	for i, c := range l.certificates {
		if !k.Certifies(c) {
			continue
		}
		if !k.Fits {
			return ", of a certificate of the file, but key_label or key_id choose another"
		}
		l.places[i] = append(l.places[i], fmt.Sprintf("token %q, slot %d", s.Label, s.Number))
		return fmt.Sprintf(", of certificate %d of the file", i+1)
	}
	if k.Fits {
		return ", chosen, but of no certificate of the file"
	}
	return ""
}

// file finds the keys of the certificates in a key file.
func (l *keyList) file(certificateFile, keyFile string) error {
	signer, err := hsm.OpenFile(certificateFile, keyFile, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	_, chain, err := signer.Current()
	if err != nil {
		return err
	}
	found := []*x509.Certificate{chain[0]}
	for _, earlier := range signer.Earlier() {
		found = append(found, earlier.Chain[0])
	}
	for i, c := range l.certificates {
		for _, f := range found {
			if f.Equal(c) {
				l.places[i] = []string{keyFile}
			}
		}
	}
	return nil
}

// conclude prints the certificates of the file and where their keys are.
func (l *keyList) conclude(name string) error {
	fmt.Fprintf(l, "certificate file %s\n", name)
	for i, c := range l.certificates {
		fmt.Fprintf(l, "  %d: %s\n", i+1, l.certificate(c))
		what := "signs what was signed with it before"
		if i == 0 {
			what = "signs"
		}
		for n, place := range l.places[i] {
			if n > 0 {
				what = "spare"
			}
			fmt.Fprintf(l, "     key: %s: %s\n", place, what)
		}
		if len(l.places[i]) == 0 {
			fmt.Fprintln(l, "     key: not found")
		}
	}
	if len(l.places[0]) == 0 {
		return &exit{1, errors.New("nothing has the key of the first certificate: nothing can be signed")}
	}
	return nil
}

func (l *keyList) certificate(c *x509.Certificate) string {
	text := fmt.Sprintf("%s, %s, serial %s, valid until %s", c.Subject, kindOf(c), c.SerialNumber.Text(16), c.NotAfter.UTC().Format(time.RFC3339))
	if validityAt(c, l.now) == notValid {
		return text + ", NOT VALID NOW"
	}
	return text
}

func kindOf(c *x509.Certificate) string {
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", key.N.BitLen())
	case *ecdsa.PublicKey:
		return key.Params().Name
	}
	return c.PublicKeyAlgorithm.String()
}
