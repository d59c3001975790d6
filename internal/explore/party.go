package explore

import (
	"context"
	"crypto"
	"crypto/x509"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pec-milter/pec-milter/internal/effect"
	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/internal/testpki"
	"github.com/pec-milter/pec-milter/pec"
)

// Parties are the PEC providers of the explorer: their names, keys and
// certificates. One of them is explored; the others are MTAs that retry.
type parties struct {
	contents    *contents
	directory   []*pec.Provider
	roots       *x509.CertPool
	revocations []*x509.RevocationList
	alfa, beta  *party
}

// party is one provider.
type party struct {
	*parties
	identity point.Identity
	key      crypto.Signer
	chain    []*x509.Certificate
}

// newParties makes them; their certificates are valid around a time.
func newParties(now time.Time, random io.Reader) (*parties, error) {
	p := &parties{contents: &contents{bySum: map[string]*content{}}, roots: x509.NewCertPool()}
	authority, err := testpki.NewRoot(testpki.Source{Now: now, Rand: random}, "Explorer CA")
	if err != nil {
		return nil, err
	}
	p.roots.AddCert(authority.Certificate())
	der, err := authority.Revoke(now.Add(30 * 24 * time.Hour))
	if err != nil {
		return nil, err
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, err
	}
	p.revocations = []*x509.RevocationList{list}
	if p.alfa, err = p.add(authority, "alfa"); err != nil {
		return nil, err
	}
	p.beta, err = p.add(authority, "beta")
	return p, err
}

func (p *parties) add(authority *testpki.Authority, name string) (*party, error) {
	domain := "pec." + name + ".example"
	identity := point.Identity{
		Name: name + " PEC S.p.A.", Domain: domain, Domains: []string{domain},
		Address: "posta-certificata@" + domain, MailReceipt: "servizio@" + domain,
	}
	credential, err := authority.NewProvider(identity.Name, identity.Address)
	if err != nil {
		return nil, err
	}
	p.directory = append(p.directory, &pec.Provider{
		Name: identity.Name, Certificates: credential.Chain[:1], MailReceipt: identity.MailReceipt, Domains: identity.Domains,
	})
	return &party{p, identity, &remembering{Signer: credential.Key}, credential.Chain}, nil
}

// ByDomain and ByCertificateHash make the parties the providers directory.
func (p *parties) ByDomain(domain string) *pec.Provider {
	for _, provider := range p.directory {
		if slices.Contains(provider.Domains, strings.ToLower(domain)) {
			return provider
		}
	}
	return nil
}

func (p *parties) ByCertificateHash(hash string) []*pec.Provider {
	for _, provider := range p.directory {
		if strings.EqualFold(pec.CertificateHash(provider.Certificates[0].Raw), hash) {
			return []*pec.Provider{provider}
		}
	}
	return nil
}

// remembering is a key that signs the same digest once: an RSA signature is the
// same each time, and costs more than all the rest.
type remembering struct {
	crypto.Signer
	signatures sync.Map // string(digest) to []byte
}

func (k *remembering) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if s, there := k.signatures.Load(string(digest)); there {
		return s.([]byte), nil
	}
	s, err := k.Signer.Sign(random, digest, opts)
	if err == nil {
		k.signatures.Store(string(digest), s)
	}
	return s, err
}

// provider is the real state machine, with the host around all its effects.
func (h *host) provider() *point.Provider {
	database := h.authority()
	p := &point.Provider{
		Identity: h.identity, Secret: point.Secret("the secret of " + h.identity.Domain), Clock: h.clock,
		Logger: slog.New(slog.DiscardHandler), Trust: trust{h.party}, Accounts: accounts{}, Signer: keys{h.party},
		Injector: injector{h}, Store: mailStore{h}, Scanner: scanner{h.scenario}, Quarantine: quarantine{},
		State: states{h}, Log: database, Records: database,
	}
	effect.Wrap(p, h)
	return p
}

type trust struct{ *party }

func (t trust) Current() (*pec.Trust, error) {
	return &pec.Trust{Directory: t.parties, Roots: t.roots, Revocations: t.revocations}, nil
}

type keys struct{ *party }

func (k keys) Earlier() []point.Credential { return nil }

func (k keys) Current() (crypto.Signer, []*x509.Certificate, error) { return k.key, k.chain, nil }

// accounts: everybody owns the address that is his name.
type accounts struct{}

func (accounts) Owns(user, address string) bool { return user == address }

func (accounts) Policy(string) point.OrdinaryPolicy { return point.OrdinaryPolicy{} }

// scanner finds something in everything, where the scenario wants it.
type scanner struct{ *scenario }

func (s scanner) Scan(_ context.Context, message io.WriterTo) (point.Finding, error) {
	if s.infected {
		return point.Finding{Virus: "Eicar-Signature"}, nil
	}
	return point.Finding{}, nil
}

// quarantine keeps nothing: nothing that is looked at here depends on it.
type quarantine struct{}

func (quarantine) Put(context.Context, point.Infected, io.WriterTo) error { return nil }

// injector is our MTA's port without a milter.
type injector struct{ *host }

func (i injector) Inject(_ context.Context, from, to string, message io.WriterTo) error {
	m := i.once(func() made { return made{sum: i.contents.keep(written(message))} })
	l := letter{from, to, m.sum}
	i.checkNotice(l)
	i.enqueue(l)
	return nil
}

// mailStore is Dovecot, with sieve's duplicate on our trace header; it has no need to
// be told of a repeat.
type mailStore struct{ *host }

func (s mailStore) Store(_ context.Context, from, to string, message io.WriterTo) (string, error) {
	if slices.Contains(s.full, to) {
		return "", &point.Reply{Code: 552, Status: "5.2.2", Text: "mailbox is full"}
	}
	m := s.once(func() made {
		trace, rest, _ := strings.Cut(string(written(message)), "\r\n")
		rest = strings.TrimPrefix(rest, pec.NewField(pec.HeaderRepeat, "yes").String())
		return made{trace, s.contents.keep([]byte(rest))}
	})
	l := letter{from, to, m.sum}
	s.checkStore(l)
	if !s.w.boxes.has(to + m.trace) {
		s.w.boxes.put(to+m.trace, l)
	}
	return "saved", nil
}
