package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/pec-milter/pec-milter/internal/config"
	"github.com/pec-milter/pec-milter/internal/directory"
	"github.com/pec-milter/pec-milter/internal/legallog"
	"github.com/pec-milter/pec-milter/internal/tsa"
	"github.com/pec-milter/pec-milter/pec"
)

type verifyLogCommand struct {
	Config  string   `type:"path" placeholder:"FILE" help:"The configuration: database, sealed files and anchors of this node are verified."`
	Files   []string `type:"path" placeholder:"DIR" help:"A directory with sealed files, of this or another node."`
	Anchors []string `type:"path" placeholder:"FILE" help:"A file of anchors."`
	Roots   string   `type:"path" placeholder:"DIR" help:"Authorities of the signing certificates, without a configuration."`
}

// Run says what is wrong; without a configuration it looks at files alone.
func (x *verifyLogCommand) Run(o out) error {
	v := &legallog.Verification{Seals: x.Files, Anchors: x.Anchors, Now: clock()()}
	bar, total := newProgress(os.Stderr, "rows"), int64(0)
	switch {
	case x.Config != "":
		c, log, closeLog, err := openExisting(x.Config)
		if err != nil {
			return err
		}
		defer closeLog()
		if err := judgedBy(v, c); err != nil {
			return err
		}
		v.Rows = log.Events(context.Background(), legallog.Filter{})
		if head, err := log.Head(context.Background()); err == nil {
			total = head.Rows()
		}
	case len(x.Files) == 0:
		return &exit{exitUsage, errors.New("give --config, or --files, or both")}
	case x.Roots != "":
		if err := signedBy(v, x.Roots, ""); err != nil {
			return err
		}
	}
	v.Progress = func(compared int64) { bar.show(compared, total) }
	report, err := v.Verify(context.Background())
	bar.end()
	if err != nil {
		return err
	}
	return printVerification(o, v, report)
}

// judgedBy adds what the configuration says.
func judgedBy(v *legallog.Verification, c *config.Config) error {
	v.Seals = append([]string{c.LegalLog.Directory}, v.Seals...)
	v.Anchors = append([]string{c.LegalLog.Anchors}, v.Anchors...)
	v.StampBy = c.LegalLog.Late.Duration
	if err := signedBy(v, c.Directory.Roots, c.Provider.Address); err != nil {
		return err
	}
	authority, err := openTSA(&c.LegalLog)
	if authority != nil {
		v.Stamp = stampedBy(authority)
	}
	return err
}

func stampedBy(authority *tsa.Authority) func([]byte, [32]byte) (time.Time, error) {
	return func(stamp []byte, digest [32]byte) (time.Time, error) {
		verified, err := authority.Verify(stamp, digest)
		if err != nil {
			return time.Time{}, err
		}
		return verified.Time, nil
	}
}

// signedBy has the signers verified: by the authorities, and for the address, if it
// is given.
func signedBy(v *legallog.Verification, roots, address string) error {
	trust, err := directory.Authorities(roots)
	if err != nil {
		return &exit{exitConfig, err}
	}
	v.Signer = func(signed *pec.Signature, at time.Time) error {
		if address != "" && !pec.ContainsAddress(signed.Addresses(), address) {
			return fmt.Errorf("it is signed by %v, not by %s", signed.Addresses(), address)
		}
		return trust.CheckAuthority(signed, at)
	}
	return nil
}

// printVerification gives errBad if something is wrong.
func printVerification(o out, v *legallog.Verification, r legallog.Report) error {
	for _, fault := range r.Faults {
		if _, err := fmt.Fprintf(o, "BAD: %v\n", fault); err != nil {
			return err
		}
	}
	for _, lost := range r.Lost {
		if _, err := fmt.Fprintf(o, "LOST: %v\n", lost); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(o, "%s: %d rows of the database, %d sealed rows, %d seals, %d time stamps, %d anchors\n",
		verdictOf(len(r.Faults) == 0), r.Rows, r.Sealed, r.Seals, r.Stamps, r.Anchors)
	if err == nil && v.Signer == nil {
		_, err = fmt.Fprintln(o, "not checked: who signed; give --config or --roots")
	}
	if err == nil && v.Stamp == nil {
		_, err = fmt.Fprintln(o, "not checked: time stamps; they need legal_log.tsa_ca of a configuration")
	}
	if err == nil && len(r.Faults) > 0 {
		err = errBad
	}
	return err
}
