package point

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/pec-milter/pec-milter/pec"
)

// credential is what we sign with now. With a certificate that is not valid
// nothing is signed: other providers would take it for ordinary mail.
func (p *Provider) credential() (Credential, error) {
	key, chain, err := p.Signer.Current()
	if err != nil {
		return Credential{}, fmt.Errorf("signing key: %w", err)
	}
	current := Credential{Key: key, Chain: chain}
	if now := p.Clock(); !current.valid(now) {
		return Credential{}, fmt.Errorf("the signing certificate is valid from %s to %s, and it is %s: nothing is certified",
			chain[0].NotBefore.Format(time.RFC3339), chain[0].NotAfter.Format(time.RFC3339), now.Format(time.RFC3339))
	}
	return current, nil
}

func (c Credential) valid(at time.Time) bool {
	return !at.Before(c.Chain[0].NotBefore) && !at.After(c.Chain[0].NotAfter)
}

// sign signs a draft. What was signed before, with a certificate that has been
// replaced since, is signed with that one again as long as its key is there: the
// bytes must be the same (docs/flow.md). It also gives who signed.
func (p *Provider) sign(ctx context.Context, draft *pec.Draft, by pec.Issuer) (*pec.Signed, pec.Issuer, error) {
	signed, err := draft.Sign(by)
	if err != nil {
		return nil, by, err
	}
	for _, earlier := range p.Signer.Earlier() {
		if !earlier.valid(p.Clock()) {
			continue
		}
		_, err := p.Records.Verdict(ctx, signed.Digest, sha256.Sum256(earlier.Chain[0].Raw))
		if errors.Is(err, ErrUnknown) {
			continue
		}
		if err != nil {
			return nil, by, fmt.Errorf("looking for what was signed before: %w", err)
		}
		before := p.as(earlier, by.Seed)
		again, err := draft.Sign(before)
		if err != nil {
			p.Logger.Error("the earlier key does not sign: a message may go out twice, with another signature", "error", err)
			continue
		}
		return again, before, nil
	}
	return signed, by, nil
}
