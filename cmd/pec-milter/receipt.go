package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/pec-milter/pec-milter/internal/config"
	"github.com/pec-milter/pec-milter/internal/legallog"
	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// receiptCommands are the commands on receipts and other notices.
type receiptCommands struct {
	Reissue reissueCommand `cmd:"" help:"Make a notice again from the legal log, when its receiver has lost it."`
}

type reissueCommand struct {
	Config    string `required:"" type:"path" placeholder:"FILE" help:"The configuration."`
	ID        string `arg:"" placeholder:"ID" help:"The PEC msgid, the user's Message-ID, or the Message-ID of the notice."`
	Kind      string `placeholder:"KIND" help:"The kind of notice: accettazione, avvenuta-consegna, …"`
	Recipient string `placeholder:"ADDRESS" help:"The recipient that the notice is about."`
	Out       string `type:"path" placeholder:"FILE" help:"Write the message to this new file, not to standard output."`
	reasonOption
}

// Run logs the re-issue before it writes the message. It sends nothing.
func (x *reissueCommand) Run(o out) error {
	r, err := openReissuer(x.Config)
	if err != nil {
		return err
	}
	defer r.close()
	message, err := r.message(x.ID)
	if err != nil {
		return err
	}
	issued, err := x.choose(message)
	if err != nil {
		return err
	}
	signed, id, err := r.reissue(message, issued)
	if err != nil {
		return err
	}
	if err := r.log.Append(context.Background(), point.ReissuedEvent(r.now, issued.Event, id, x.detail("receipt reissue "+x.ID))); err != nil {
		return err
	}
	if x.Out == "" {
		_, err = signed.WriteTo(o)
		return err
	}
	return writeNew(x.Out, func(w io.Writer) error { _, err := signed.WriteTo(w); return err })
}

// writeNew writes a file that is not there yet; one that could not be written whole
// is removed.
func writeNew(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err = errors.Join(write(f), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// choose finds the one notice that is meant.
func (x *reissueCommand) choose(message []legallog.Row) (*legallog.Row, error) {
	all := legallog.Notices(message)
	meant := slices.DeleteFunc(slices.Clone(all), func(row legallog.Row) bool {
		return x.Kind != "" && string(row.Notice) != x.Kind || x.Recipient != "" && !isAbout(&row, x.Recipient)
	})
	for n := range all {
		if all[n].NoticeID == strings.Trim(x.ID, "<>") {
			return &all[n], nil
		}
	}
	switch len(meant) {
	case 0:
		return nil, &exit{exitNoInput, fmt.Errorf("we have issued no such notice about %s, but these:%s", message[0].ID, list(all))}
	case 1:
		return &meant[0], nil
	}
	return nil, &exit{exitUsage, fmt.Errorf("which one? Give --kind, --recipient or the notice's Message-ID:%s", list(meant))}
}

func isAbout(row *legallog.Row, recipient string) bool {
	return pec.SameAddress(row.Delivered, recipient) || pec.ContainsAddress(row.TakenFor, recipient)
}

// list shows notices, one a line.
func list(notices []legallog.Row) string {
	text := ""
	for _, row := range notices {
		about := cmp.Or(row.Delivered, strings.Join(row.TakenFor, ","), "-")
		text += printable(fmt.Sprintf("  %s  %s  %s  %s", pec.LegalTime(row.Time).Format(time.DateTime), row.Notice, about, row.NoticeID)) + "\n"
	}
	return "\n" + strings.TrimSuffix(text, "\n")
}

// reissuer makes notices again.
type reissuer struct {
	*services
	config *config.Config
	now    time.Time
}

// openReissuer opens what is needed beside a running daemon.
func openReissuer(path string) (*reissuer, error) {
	c, err := loadConfig(path)
	if err != nil {
		return nil, err
	}
	if err := logIsThere(c); err != nil {
		return nil, err
	}
	s := newServices(c, clock(), slog.New(slog.NewTextHandler(os.Stderr, nil)))
	for _, open := range []func(*config.Config) error{s.openSigner, s.openLog} {
		if err := open(c); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	return &reissuer{services: s, config: c, now: s.provider.Clock()}, nil
}

// message finds all rows of a message by an id of any kind.
func (r *reissuer) message(id string) ([]legallog.Row, error) {
	for _, q := range []legallog.Query{{ID: strings.Trim(id, "<>")}, {MessageID: id}} {
		var found [][]legallog.Row
		for message, err := range r.log.Search(context.Background(), q) {
			if err != nil {
				return nil, err
			}
			found = append(found, message)
		}
		if len(found) > 1 {
			return nil, &exit{exitUsage, fmt.Errorf("%d messages have the Message-ID %s: give the PEC msgid (see log search)", len(found), id)}
		}
		if len(found) == 1 {
			return found[0], nil
		}
	}
	return nil, &exit{exitNoInput, fmt.Errorf("the legal log has no message %s", id)}
}

// reissue makes a notice again, and gives the Message-ID that it has now.
func (r *reissuer) reissue(message []legallog.Row, issued *legallog.Row) (signed *pec.Signed, id string, err error) {
	random := make([]byte, 36)
	if _, err := rand.Read(random); err != nil {
		return nil, "", err
	}
	key, chain, err := r.provider.Signer.Current()
	if err != nil {
		return nil, "", fmt.Errorf("signing key: %w", err)
	}
	identity := r.provider.Identity
	id = pec.NewID(random[:20], identity.Domain)
	by := pec.Issuer{Name: identity.Name, Address: identity.Address, Key: key, Chain: chain, Seed: random[20:]}
	draft, err := pec.NewReissue(legallog.NoticeOf(message, issued), pec.Reissue{Time: r.now, ID: id}, by)
	if err != nil {
		return nil, "", fmt.Errorf("making notice %s again: %w", issued.NoticeID, err)
	}
	signed, err = draft.Sign(by)
	if err != nil {
		return nil, "", fmt.Errorf("signing notice %s again: %w", issued.NoticeID, err)
	}
	return signed, id, nil
}
