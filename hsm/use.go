package hsm

import "sync/atomic"

// TokenUse is how a token is used at one moment, for metrics.
type TokenUse struct {
	Name     string // as the log calls it
	Open     bool   // we are logged in
	Signs    bool   // it did when it was last probed
	Sessions int    // how many calls it may have under way at once
	InUse    int    // calls under way, those that hang included
	Waiting  int    // calls that wait until one of those ends
	Lost     int64  // how often we were logged out since the start, without wanting it
}

// counts can be read while a call into the token's library hangs.
type counts struct {
	open    atomic.Bool
	waiting atomic.Int64
	lost    atomic.Int64
}

// Tokens tells how the tokens are used, in the order of the configuration; with a
// key file there are none. It asks no token.
func (s *Signer) Tokens() []TokenUse {
	if s.source == nil || s.source.use == nil {
		return nil
	}
	return s.source.use()
}

func (ts *tokens) use() (all []TokenUse) {
	for _, t := range ts.all {
		all = append(all, TokenUse{
			Name: t.name, Open: t.counts.open.Load(), Signs: !t.silent.Load(), Sessions: cap(t.calls),
			InUse: len(t.calls), Waiting: int(t.counts.waiting.Load()), Lost: t.counts.lost.Load(),
		})
	}
	return all
}
