package point

import (
	"context"
	"strings"

	"github.com/pec-milter/pec-milter/pec"
)

// isService tells whether a recipient is the provider itself: its service
// mailbox, or its service address.
func (p *Provider) isService(recipient string) bool {
	return pec.SameAddress(recipient, p.Identity.MailReceipt) || pec.SameAddress(recipient, p.Identity.Address)
}

// serviceNotice tells whether a message may go to the service mailbox: a
// server-server acceptance or a virus detection, and nothing else (RFC 6109
// section 2.2.5).
func serviceNotice(c *pec.Classification) bool {
	return c.Correct() && (c.Kind == pec.ServerAcceptance || c.Kind == pec.VirusDetection)
}

// refuseService refuses what others send to the provider itself. An automatic
// answer to a notice is dropped, for nobody waits for it and a refusal would
// come back.
func (i *Incoming) refuseService(ctx context.Context, t *Transaction, c *pec.Classification) (*Verdict, error) {
	reasons := append(c.Problems, "not for the service mailbox")
	if err := i.logRefusal(ctx, t, reasons, ""); err != nil {
		return nil, err
	}
	if automatic(t) {
		return &Verdict{Discard: true}, nil
	}
	return nil, replyService
}

// automatic tells whether nobody wrote the message: RFC 3834 section 5, and the
// null reverse path.
func automatic(t *Transaction) bool {
	submitted := strings.ToLower(t.Message.Header.Get("Auto-Submitted"))
	return t.ReversePath == "" || submitted != "" && submitted != "no"
}

// refuseInfected refuses ordinary mail with a virus, and anything else that is
// no correct envelope: there is no PEC notice for it (RFC 6109 section 2.2.2).
func (i *Incoming) refuseInfected(ctx context.Context, t *Transaction, virus string) (*Verdict, error) {
	if err := i.logRefusal(ctx, t, []string{"virus: " + virus}, virus); err != nil {
		return nil, err
	}
	return nil, replyInfected
}
