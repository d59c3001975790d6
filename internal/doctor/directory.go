package doctor

import (
	"crypto/x509"
	"os"
	"time"
)

// maxDirectoryAge is how old the providers directory may be: RFC 6109 section
// 4.5 wants a local copy that is kept up to date.
const maxDirectoryAge = 48 * time.Hour

// DirectoryAge tells whether the providers directory was fetched lately.
func DirectoryAge(path string, now time.Time) Finding {
	const check = "directory.age"
	info, err := os.Stat(path)
	if err != nil {
		return notChecked(check, "%v", err)
	}
	if age := now.Sub(info.ModTime()); age > maxDirectoryAge {
		return bad(check, "pec-milter directory sync --config FILE, or the job of yours that fetches it; and find out why it was not",
			"%s is %v old, more than %v (RFC 6109 section 4.5)", path, age.Round(time.Minute), maxDirectoryAge)
	}
	return good(check, "%s is of %s", path, info.ModTime().UTC().Format(time.RFC3339))
}

// DirectorySync tells how a fetch of the providers directory ended that stored
// nothing: with so many records and changes, or err.
func DirectorySync(from string, records, changes int, signer string, err error) Finding {
	const check = "directory.sync"
	if err != nil {
		return bad(check, "pec-milter directory sync --config FILE, until it is good: docs/operations.md, The providers directory", "%v", err)
	}
	return good(check, "%s has %d records, %d changed; signed by %q", from, records, changes, signer)
}

// Revocations tells of each authority's newest revocation list whether it is
// current, and will be for a tenth of its time. After its end it counts for a
// grace.
func Revocations(lists []*x509.RevocationList, grace time.Duration, now time.Time) []Finding {
	const check = "directory.revocations"
	newest := map[string]*x509.RevocationList{}
	var order []string
	for _, list := range lists {
		issuer := list.Issuer.String()
		if newest[issuer] == nil {
			order = append(order, issuer)
		}
		if newest[issuer] == nil || list.NextUpdate.After(newest[issuer].NextUpdate) {
			newest[issuer] = list
		}
	}
	if len(order) == 0 {
		return []Finding{bad(check, fetchLists, "none can be read: the mail of other providers gets 451")}
	}
	var found []Finding
	for _, issuer := range order {
		found = append(found, judgeList(check, issuer, newest[issuer], grace, now))
	}
	return found
}

const fetchLists = "look in the daemon's log why it was not fetched, or run the job that does: docs/operations.md, Revocation lists"

// Unfetched tells of the distribution points that the daemon has no list of yet.
func Unfetched(urls []string) (found []Finding) {
	for _, url := range urls {
		found = append(found, bad("directory.fetched", fetchLists, "no revocation list of %s was fetched yet", url))
	}
	return found
}

func judgeList(check, issuer string, list *x509.RevocationList, grace time.Duration, now time.Time) Finding {
	next := list.NextUpdate.UTC().Format(time.RFC3339)
	left := list.NextUpdate.Sub(now)
	switch {
	case list.NextUpdate.IsZero():
		return bad(check, fetchLists, "that of %s does not say how long it holds", issuer)
	case left <= 0 && left+grace > 0:
		return bad(check, fetchLists, "that of %s expired on %s: by directory.revocation_grace it counts for another %v", issuer, next,
			(left + grace).Round(time.Minute))
	case left <= 0:
		return bad(check, fetchLists, "that of %s expired on %s: the mail that needs it gets 451", issuer, next)
	case left < list.NextUpdate.Sub(list.ThisUpdate)/10:
		return bad(check, fetchLists, "that of %s expires on %s, in %v, and there is no newer one", issuer, next, left.Round(time.Minute))
	}
	return good(check, "that of %s holds until %s", issuer, next)
}
