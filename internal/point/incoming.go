package point

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pec-milter/pec-milter/pec"
)

// Mail takes every sender.
func (i *Incoming) Mail(context.Context, *Transaction) (Handling, error) { return Certify, nil }

// Recipient keeps the classes of recipients apart: one transaction holds one
// class, the others are told to come again (452).
func (i *Incoming) Recipient(_ context.Context, t *Transaction, recipient string) (Handling, error) {
	if isOutbox(recipient) {
		return Certify, replyOutbox
	}
	class := i.class(recipient)
	if len(t.Recipients) > 0 && i.class(t.Recipients[0]) != class {
		return Certify, replyMixed
	}
	if class == ordinaryRecipient {
		return Untouched, nil
	}
	return Certify, nil
}

// recipientClass is how the incoming door treats a recipient.
type recipientClass int

const (
	ordinaryRecipient  recipientClass = iota // of an ordinary domain of the same MTA
	certifiedRecipient                       // a holder's mailbox
	serviceRecipient                         // the provider itself
)

func (p *Provider) class(recipient string) recipientClass {
	switch {
	case p.isService(recipient):
		return serviceRecipient
	case p.certified(recipient):
		return certifiedRecipient
	}
	return ordinaryRecipient
}

// Handle judges a message from outside: RFC 6109 section 2.2.2. It has no
// visible effect but its verdict. (Step 1, the transaction and its time, is the
// front end's.)
func (i *Incoming) Handle(ctx context.Context, t *Transaction) (*Verdict, error) {
	if err := i.ready(); err != nil {
		return nil, err
	}
	// Step 2: structure, signature, origin, chain, revocation, form.
	c, err := i.classify(t)
	if err != nil {
		return nil, err
	}
	if err := i.checkTLS(t, c); err != nil {
		return nil, err
	}
	if i.isService(t.Recipients[0]) && !serviceNotice(c) {
		return i.refuseService(ctx, t, c)
	}
	if c.Correct() && c.Kind != pec.Envelope {
		return i.notification(ctx, t, c) // Steps 4 and 5
	}
	// Step 3: antivirus.
	finding, err := i.scan(ctx, t)
	switch {
	case err != nil:
		return nil, err
	case c.Correct():
		return i.envelope(ctx, t, c, finding.Virus) // Steps 4 and 5
	case finding.Virus != "":
		return i.refuseInfected(ctx, t, finding.Virus)
	}
	return i.anythingElse(ctx, t, c) // Step 6
}

// checkTLS: certified mail should not travel in clear between providers, though by
// RFC 6109 section 5.3 it must be taken: to refuse it is the operator's decision.
// The answer is a temporary one: whoever has pressed a peer to speak in clear must
// not get a bounce by it.
func (i *Incoming) checkTLS(t *Transaction, c *pec.Classification) error {
	if !c.Correct() || t.TLS != "" {
		return nil
	}
	i.Logger.Warn("certified mail of another provider came in clear", "queue_id", t.QueueID, "provider", c.Provider.Name,
		"kind", c.Kind, "refused", i.RequireTLS)
	if i.RequireTLS {
		return replyInClear
	}
	return nil
}

// classify is Incoming step 2: what the message is, and whether it may be that
// in this transaction.
func (p *Provider) classify(t *Transaction) (*pec.Classification, error) {
	trust, err := p.Trust.Current()
	if err != nil {
		return nil, fmt.Errorf("providers directory: %w", err)
	}
	c, err := pec.Classify(t.Message, trust, t.Time)
	if err != nil {
		return nil, fmt.Errorf("classifying: %w", err)
	}
	p.logJudgement(t, c)
	if !c.Correct() {
		return c, nil
	}
	t.ID = c.Data.ID
	if problem := p.checkRoute(t, c); problem != "" {
		c.Problems = append(c.Problems, problem)
	}
	return c, nil
}

// logJudgement tells the operator what the sender is not told: which check failed,
// and what is odd about a certificate that is accepted all the same (RFC 6109
// section 5.5.2).
func (p *Provider) logJudgement(t *Transaction, c *pec.Classification) {
	if c.Why != nil {
		p.Logger.Info("no correct PEC message", "queue_id", t.QueueID, "kind", c.Kind, "why", c.Why)
	}
	if c.Provider == nil {
		return
	}
	if odd := pec.Deviations(c.Signature.Certificate); len(odd) > 0 {
		p.Logger.Warn("certificate of another provider without the profile of RFC 6109 section 5.5.2", "queue_id", t.QueueID,
			"provider", c.Provider.Name, "odd", odd)
	}
}

// checkRoute compares what a correct message says with the transaction it came in.
func (p *Provider) checkRoute(t *Transaction, c *pec.Classification) string {
	if c.Kind != pec.Envelope {
		own := p.Identity.Name == c.Provider.Name && p.certified(c.Data.Sender)
		return c.CheckNotification(t.ReversePath, t.Recipients, p.Identity.MailReceipt, own)
	}
	if problem := c.CheckEnvelope(t.ReversePath); problem != "" {
		return problem
	}
	if len(addressed(t.Recipients, c.Data)) == 0 {
		return pec.Reason("recipient-data")
	}
	return ""
}

// addressed are those of the forward paths that the certification data name.
// Another one was put there by a replay: it gets an anomaly and no notice.
func addressed(forwardPaths []string, d *pec.CertificationData) []string {
	return slices.DeleteFunc(slices.Clone(forwardPaths), func(path string) bool {
		return !slices.ContainsFunc(d.Recipients, func(r pec.Recipient) bool { return pec.SameAddress(r.Address, path) })
	})
}

// envelope is Incoming steps 4 and 5: intent, log, verdict; a correct
// envelope goes on as it is, and we owe its provider the server-server
// acceptance (RFC 6109 section 3.2.1). Of an infected one we take charge too,
// but nobody gets it: it is kept, and its provider is told (section 3.2.3).
func (i *Incoming) envelope(ctx context.Context, t *Transaction, c *pec.Classification, virus string) (*Verdict, error) {
	facts := func(_ string, at time.Time) Facts {
		return Facts{
			Data: *c.Data, Subject: envelopeSubject(t.Message.Header), Recipients: addressed(t.Recipients, c.Data),
			MailReceipt: c.Provider.MailReceipt, Virus: virus,
		}
	}
	// Step 4: intent, log; the verdict by digest is recorded with SENT.
	attempt, err := i.begin(ctx, IncomingDoor, t, facts, EventReceived)
	if err != nil {
		return nil, err
	}
	if attempt == nil {
		i.Logger.Info("repeat of an envelope in the queue dropped", "queue_id", t.QueueID, "id", c.Data.ID)
		return &Verdict{Discard: true}, nil
	}
	if attempt.Facts.Virus != "" {
		if err := i.quarantine(ctx, IncomingDoor, t, c.Data.ID, attempt.Facts.Virus); err != nil {
			attempt.release()
			return nil, err
		}
	}
	i.Logger.Info("envelope received", "queue_id", t.QueueID, "id", c.Data.ID, "provider", c.Provider.Name,
		"weak", c.Signature.Weak, "virus", attempt.Facts.Virus)
	// Step 5: what is owed.
	owed := []string{i.Secret.outboxAddress(pec.ServerAcceptance, attempt.ID)}
	if attempt.Facts.Virus != "" {
		owed = append(owed, i.Secret.outboxAddress(pec.VirusDetection, attempt.ID))
	}
	return &Verdict{
		RemoveRecipients: attempt.Facts.Virus != "", AddRecipients: owed,
		Sent: i.sent(attempt, judged(c, t.Time)), Abandoned: attempt.release,
	}, nil
}

// envelopeSubject is the original subject as it was encoded, from the subject
// of an envelope.
func envelopeSubject(h pec.Header) string {
	_, original, _ := strings.Cut(pec.SubjectValue(h), "POSTA CERTIFICATA:")
	return original
}

// judged is the judgement of a peer's message.
func judged(c *pec.Classification, at time.Time) Judgement {
	return Judgement{
		Digest: c.Signature.Digest, Certificate: sha256.Sum256(c.Signature.Certificate.Raw),
		Kind: c.Kind, MailReceipt: c.Provider.MailReceipt, Time: at,
	}
}

// notification is Incoming steps 4 and 5: a peer's correct notification is logged
// and passes. What we wait for is settled by the delivery point, once it is
// stored.
func (i *Incoming) notification(ctx context.Context, t *Transaction, c *pec.Classification) (*Verdict, error) {
	if err := i.Records.PutVerdict(ctx, judged(c, t.Time), notificationEvent(t, c.Kind, c.Data)); err != nil {
		return nil, fmt.Errorf("recording a notification: %w", err)
	}
	i.Logger.Info("notification received", "queue_id", t.QueueID, "id", c.Data.ID, "notice", c.Kind, "provider", c.Provider.Name, "weak", c.Signature.Weak)
	return &Verdict{}, nil
}

// anythingElse is Incoming step 6: what comes from a PEC provider but is no
// correct PEC message goes on in an anomaly envelope; ordinary mail is treated
// as the mailboxes want it (RFC 6109 sections 2.2.2 and 3.2.2).
func (i *Incoming) anythingElse(ctx context.Context, t *Transaction, c *pec.Classification) (*Verdict, error) {
	ordinary := c.Provider == nil
	if ordinary && !slices.ContainsFunc(t.Recipients, i.takesOrdinary) {
		if err := i.logRefusal(ctx, t, c.Problems, ""); err != nil {
			return nil, err
		}
		return nil, replyOrdinary
	}
	envelope, err := i.anomaly(ctx, IncomingDoor, t, c.Problems, ordinary)
	if err != nil {
		return nil, err
	}
	i.Logger.Info("anomaly", "queue_id", t.QueueID, "sender", t.ReversePath, "problems", c.Problems)
	return &Verdict{Replace: envelope}, nil
}

func (p *Provider) takesOrdinary(address string) bool {
	policy := p.Accounts.Policy(address)
	return policy.Accept || policy.Forward != ""
}

// logRefusal records that a message was refused with a permanent reply.
func (i *Incoming) logRefusal(ctx context.Context, t *Transaction, reasons []string, virus string) error {
	if err := i.Log.Append(ctx, refusedEvent(IncomingDoor, t, reasons, virus)); err != nil {
		return fmt.Errorf("logging a refusal: %w", err)
	}
	i.Logger.Info("refused", "queue_id", t.QueueID, "door", IncomingDoor, "sender", t.ReversePath, "reasons", reasons)
	return nil
}

// anomaly makes the anomaly envelope of a message (RFC 6109 section 3.2.2), and
// records it.
func (p *Provider) anomaly(ctx context.Context, door Door, t *Transaction, problems []string, ordinary bool) (*pec.Signed, error) {
	by, err := p.issuer("anomaly " + t.QueueID + string(t.BodyDigest[:]))
	if err != nil {
		return nil, err
	}
	data := pec.CertificationData{
		Sender: t.ReversePath, Subject: pec.Subject(t.Message.Header), Time: pec.LegalTime(t.Time),
		Detail: "- " + strings.Join(problems, "\n- "),
	}
	for _, r := range t.Recipients {
		data.Recipients = append(data.Recipients, pec.Recipient{Address: r, Kind: pec.Certified})
	}
	draft, err := pec.NewAnomaly(t.Message, data, by)
	if err != nil {
		return nil, fmt.Errorf("building an anomaly envelope: %w", err)
	}
	signed, by, err := p.sign(ctx, draft, by)
	if err != nil {
		return nil, fmt.Errorf("signing an anomaly envelope: %w", err)
	}
	verdict := own(signed, by, pec.Anomaly, t.Time)
	verdict.Ordinary = ordinary
	if err := p.Records.PutVerdict(ctx, verdict, anomalyEvent(door, t, problems)); err != nil {
		return nil, fmt.Errorf("recording an anomaly envelope: %w", err)
	}
	return signed, nil
}
