package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/pec-milter/pec-milter/internal/directory"
	"github.com/pec-milter/pec-milter/internal/evidence"
	"github.com/pec-milter/pec-milter/internal/legallog"
	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

type evidenceCommand struct {
	Config   string   `required:"" type:"path" placeholder:"FILE" help:"The configuration."`
	ID       string   `arg:"" placeholder:"ID" help:"The PEC msgid, the user's Message-ID, or the Message-ID of a notice."`
	Out      string   `required:"" type:"path" placeholder:"FILE.zip" help:"The new file to write."`
	Files    []string `type:"path" placeholder:"DIR" help:"A directory with the sealed files of another node."`
	Unsealed bool     `help:"Write it although rows are not sealed, or seals have no time stamp: it says so."`
	reasonOption
}

// Run logs that evidence is taken before it writes it.
func (x *evidenceCommand) Run(o out) error {
	r, err := openReissuer(x.Config)
	if err != nil {
		return err
	}
	defer r.close()
	message, err := r.message(x.ID)
	if err != nil {
		return err
	}
	e, err := x.gather(r, message)
	if err != nil {
		return err
	}
	if len(e.Missing) > 0 && !x.Unsealed {
		return &exit{exitUnavailable, fmt.Errorf("not all is proved: wait for the next seal or run pec-milter log seal, "+
			"name the sealed files of all nodes with --files, or give --unsealed:\n  %s", strings.Join(e.Missing, "\n  "))}
	}
	event := point.ExtractedEvent(r.now, message[0].Event, x.detail("evidence "+x.ID))
	if err := r.log.Append(context.Background(), event); err != nil {
		return err
	}
	if err := writeNew(x.Out, func(w io.Writer) error { return e.Write(w) }); err != nil {
		return err
	}
	for _, missing := range e.Missing {
		if _, err := fmt.Fprintln(o, "NOT PROVED:", missing); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(o, "%s: %d rows, %d seals, %d notices; verify with: unzip -d DIR %[1]s && sh DIR/verify.sh\n",
		x.Out, len(e.Rows), len(e.Seals), len(e.Notices))
	return err
}

// gather has all that there is about a message.
func (x *evidenceCommand) gather(r *reissuer, message []legallog.Row) (*evidence.Evidence, error) {
	proofs, err := legallog.Prove(append([]string{r.config.LegalLog.Directory}, x.Files...), message)
	if err != nil {
		return nil, err
	}
	e := &evidence.Evidence{Made: r.now, Sign: r.sign}
	for n, proof := range proofs {
		// Who read the log in the meantime says nothing of the message.
		if proof.Seal == nil && (message[n].Kind == point.EventExtracted || message[n].Kind == point.EventReissued) {
			continue
		}
		addProof(e, &proof)
	}
	for _, issued := range legallog.Notices(message) {
		signed, _, err := r.reissue(message, &issued)
		if err != nil {
			return nil, err
		}
		e.Notices = append(e.Notices, evidence.Notice{Kind: string(issued.Notice), Message: signed})
	}
	return e, r.addAuthorities(e)
}

// addProof adds a row with its seal, or that there is none.
func addProof(e *evidence.Evidence, p *legallog.Proof) {
	row := evidence.Row{Seq: p.Seq, Line: p.Line}
	if p.Seal == nil {
		e.Missing = append(e.Missing, fmt.Sprintf("row %d is in no seal", p.Seq))
		e.Rows = append(e.Rows, row)
		return
	}
	row.Seal = p.Seal.Name
	for _, step := range p.Path {
		row.Path = append(row.Path, evidence.Step{Hash: step.Hash.String(), Left: step.Left})
	}
	e.Rows = append(e.Rows, row)
	if slices.ContainsFunc(e.Seals, func(s evidence.Seal) bool { return s.Name == p.Seal.Name }) {
		return
	}
	e.Seals = append(e.Seals, evidence.Seal{
		Name: p.Seal.Name, Manifest: p.Seal.Manifest, Signature: p.Seal.Signature, Stamp: p.Seal.Stamp,
	})
	if p.Seal.Stamp == nil {
		e.Missing = append(e.Missing, fmt.Sprintf("seal %s has no time stamp", p.Seal.Name))
	}
}

func (r *reissuer) sign(digest [32]byte) ([]byte, error) {
	key, chain, err := r.provider.Signer.Current()
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	return pec.SignDetached(digest, key, chain, r.now)
}

// addAuthorities adds the certificates that the signatures lead to.
func (r *reissuer) addAuthorities(e *evidence.Evidence) (err error) {
	if e.Authorities, err = directory.Certificates(r.config.Directory.Roots); err != nil {
		return &exit{exitConfig, fmt.Errorf("directory.roots: %w", err)}
	}
	if r.config.LegalLog.TSACA == "" {
		return nil
	}
	file, err := os.ReadFile(r.config.LegalLog.TSACA)
	if err == nil {
		e.StampAuthorities, err = certificatesIn(file)
	}
	if err != nil {
		return &exit{exitConfig, fmt.Errorf("legal_log.tsa_ca: %w", err)}
	}
	return nil
}

// certificatesIn are the certificates of a PEM file.
func certificatesIn(file []byte) (found []*x509.Certificate, err error) {
	for block, rest := pem.Decode(file); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		found = append(found, c)
	}
	if len(found) == 0 {
		err = errors.New("no certificate in PEM")
	}
	return found, err
}
