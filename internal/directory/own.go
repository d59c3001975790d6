package directory

import (
	"fmt"
	"strings"
)

// Own is who we are in the directory. The zero value is nobody.
type Own struct {
	Name    string   // providerName
	Domains []string // the certified domains, in lower case
}

// check refuses a directory in which another provider claims a domain of ours: he
// would be believed for our users. A name that had the domain in the old directory,
// which may be nil, is taken for ours too. A domain that nobody claims any more is
// not refused: others have taken it from us already.
func (o Own) check(old, now *Directory) error {
	for _, domain := range o.Domains {
		owner := now.ByDomain(domain)
		if owner == nil || strings.EqualFold(owner.Name, o.Name) {
			continue
		}
		if old != nil {
			if before := old.ByDomain(domain); before != nil && strings.EqualFold(before.Name, owner.Name) {
				continue
			}
		}
		return fmt.Errorf("our domain %s is claimed by another provider, %q (provider.name is %q)", domain, owner.Name, o.Name)
	}
	return nil
}

// checkNew refuses a directory that cannot follow upon the old one, which may be
// nil.
func checkNew(old, now *Directory, own Own) error {
	if old != nil {
		if err := checkShrinking(len(old.providers), len(now.providers)); err != nil {
			return err
		}
	}
	return own.check(old, now)
}
