package point

import (
	"crypto/sha256"
	"log/slog"
	"slices"
	"time"

	"github.com/pec-milter/pec-milter/pec"
)

// Provider is what the three doors of a provider share: who it is, and the
// effects they reach. All fields are needed.
type Provider struct {
	Identity Identity
	Secret   Secret
	Limits   pec.Limits
	// BriefDecoded has brief delivery notices hash the decoded content of an
	// attachment, and not its body as it was transferred.
	BriefDecoded bool
	// RequireTLS has certified mail of other providers wait until they send it by
	// TLS; else it is told to the log alone.
	RequireTLS bool
	Clock      Clock
	Logger     *slog.Logger
	// ClockTrouble tells why nothing may be dated now; nil: the clock is not
	// watched.
	ClockTrouble func() error

	Trust    Trust
	Accounts Accounts
	Signer   Signer
	Injector Injector
	Store    MailStore
	// Scanner is the antivirus; nil only where the operator wrote "none".
	Scanner    Scanner
	Quarantine Quarantine // needed with Scanner
	State      State
	// Shared: other nodes have the same State, and deliver into the same mailboxes.
	Shared  bool
	Log     Log
	Records Records

	mailboxes turns // deliveries into one mailbox, one at a time
}

// Clock tells the time. cmd makes the one that all doors read.
type Clock func() time.Time

// believeClock is asked before anything gets a new date: a provider whose clock
// is more than a minute wrong must not say when something was (DM 2-11-2005 art.
// 9). What has its recorded date already may go out.
func (p *Provider) believeClock() error {
	if p.ClockTrouble == nil {
		return nil
	}
	return p.ClockTrouble()
}

// ready is asked before anything new is begun: it must be possible to date it, and
// to sign what it owes.
func (p *Provider) ready() error {
	if err := p.believeClock(); err != nil {
		return err
	}
	_, err := p.credential()
	return err
}

// notBefore is the legal time of an event that cannot have been before another
// one of ours, whatever the clock says after it was set back.
func notBefore(earliest, now time.Time) time.Time {
	if now.Before(earliest) {
		now = earliest
	}
	return pec.LegalTime(now)
}

// Access is the access point: it takes messages of authenticated holders.
type Access struct{ *Provider }

// Incoming is the incoming point: it takes what the world sends.
type Incoming struct{ *Provider }

// DeliveryPoint is the delivery point: it serves mailboxes and the outbox.
type DeliveryPoint struct{ *Provider }

// certified tells whether the address is of one of our certified domains.
func (p *Provider) certified(address string) bool {
	return slices.Contains(p.Identity.Domains, pec.Domain(address))
}

// issuer is who signs a message now. what names the message: its boundaries
// follow from it, the same each time.
func (p *Provider) issuer(what string) (pec.Issuer, error) {
	current, err := p.credential()
	if err != nil {
		return pec.Issuer{}, err
	}
	seed := p.Secret.mac("boundary", []byte(what))
	return p.as(current, seed[:]), nil
}

// as is the provider signing with a certificate.
func (p *Provider) as(c Credential, seed []byte) pec.Issuer {
	return pec.Issuer{Name: p.Identity.Name, Address: p.Identity.Address, Key: c.Key, Chain: c.Chain, Seed: seed}
}

// own is the judgement of a message that we have just signed.
func own(signed *pec.Signed, by pec.Issuer, kind pec.Kind, at time.Time) Judgement {
	return Judgement{Digest: signed.Digest, Certificate: sha256.Sum256(by.Chain[0].Raw), Own: true, Kind: kind, Time: at}
}

// The replies that say no more than the client needs.
var (
	replyNotAuthenticated = &Reply{530, "5.7.0", "authentication required"}
	replyNotOwner         = &Reply{553, "5.7.1", "sender address not owned by the authenticated user"}
	replyOutbox           = &Reply{550, "5.7.1", "no such domain"}
	replyInClear          = &Reply{451, "4.7.0", "TLS is required between providers of certified mail"}
	replyMixed            = &Reply{452, "4.5.3", "recipients of different kinds: send them one after the other"}
	replyInProgress       = &Reply{451, "4.3.0", "the same message is being processed, try again later"}
	replyMailboxBusy      = &Reply{451, "4.3.0", "other deliveries into this mailbox take too long, try again later"}
	replyInfected         = &Reply{554, "5.7.0", "message refused: it contains a virus"}
	replyService          = &Reply{554, "5.7.1", "this mailbox is for notifications between providers"}
	replyOrdinary         = &Reply{554, "5.7.1", "this certified mailbox does not take ordinary mail"}
)
