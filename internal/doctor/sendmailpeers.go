package doctor

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// checkPeers: mail goes to the other providers by TLS, and to nobody else who says
// that he is one. Sendmail asks its access table by the recipient (TLS_Rcpt:).
func (c *sendmailCF) checkPeers(domains []string) Finding {
	const check = "sendmail.TLS_Rcpt"
	if len(domains) == 0 {
		return notChecked(check, "the providers directory names no other provider, or cannot be read")
	}
	m, given := c.maps["access"]
	if !given {
		return bad(check, "write FEATURE(`access_db', `hash -T<TMPF> /etc/mail/access')dnl into sendmail.mc before contrib/sendmail's file, then "+makeAgain,
			"there is no access table: mail to other providers may go in clear").at(c.file)
	}
	table, err := readAccess(m.text)
	if err != nil {
		return bad(check, "make the file, then "+makeAgain, "%v", err).at(m.place)
	}
	if table.outdated() {
		return bad(check, makeAgain, "%s is not made of what %s says now", table.database(), table.file).at(table.file)
	}
	return table.judge(check, domains)
}

// accessTable is the text that makemap makes Sendmail's access table of.
type accessTable struct {
	file   string
	values map[string]cfValue // by their keys, in lower case
}

// readAccess reads the text behind a map "hash -T<TMPF> /etc/mail/access".
func readAccess(definition string) (*accessTable, error) {
	fields := strings.Fields(definition)
	if len(fields) == 0 {
		return nil, fmt.Errorf("the map access has no file")
	}
	t := &accessTable{file: fields[len(fields)-1], values: map[string]cfValue{}}
	text, err := os.ReadFile(t.file)
	if err != nil {
		return nil, fmt.Errorf("the text of the map access: %w", err)
	}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		words := strings.Fields(line)
		if len(words) < 2 || strings.HasPrefix(words[0], "#") {
			continue
		}
		place := fmt.Sprintf("%s:%d:%d", t.file, number, strings.Index(line, words[0])+1)
		t.values[strings.ToLower(words[0])] = cfValue{strings.Join(words[1:], " "), place}
	}
	return t, nil
}

// database is what Sendmail reads: that of makemap's kinds hash and btree.
func (t *accessTable) database() string { return t.file + ".db" }

// outdated: the text has changed since the database was made. Of another kind of database
// nothing is known.
func (t *accessTable) outdated() bool {
	text, errText := os.Stat(t.file)
	database, errDatabase := os.Stat(t.database())
	return errText == nil && errDatabase == nil && database.ModTime().Before(text.ModTime())
}

// judge wants TLS, verified, with the name of the server, toward all domains.
func (t *accessTable) judge(check string, domains []string) Finding {
	place := t.file
	var open []string
	for _, domain := range domains {
		policy := t.policy(domain)
		if namesServer(policy.text) {
			continue
		}
		if open = append(open, domain); len(open) == 1 && policy.place != "" {
			place = policy.place
		}
	}
	if len(open) == 0 {
		return good(check, "mail to the %d domains of other providers goes by TLS that is verified", len(domains))
	}
	named := open[:min(len(open), someDomains)]
	return bad(check, "printf 'TLS_Rcpt:%s VERIFY+CN\\n' "+strings.Join(named, " ")+" >>"+t.file+" && "+makeAgain,
		"mail to %s goes without TLS that is mandatory and verified by the server's name (%d of the %d domains of other providers): whoever is between could read it",
		strings.Join(named, ", "), len(open), len(domains)).at(place)
}

// policy is what holds for a domain: its own line, that of a domain above it, or that for
// everybody.
func (t *accessTable) policy(domain string) cfValue {
	const tag = "tls_rcpt:"
	for rest := domain; ; {
		if value, found := t.values[tag+rest]; found {
			return value
		}
		_, parent, found := strings.Cut(rest, ".")
		if !found {
			return t.values[tag]
		}
		rest = parent
	}
}

// namesServer tells whether a policy wants a certificate that is verified, and in it a
// name: "TEMP+VERIFY:256+CN:mx.beta.example". Without a name anybody's does.
func namesServer(policy string) bool {
	policy = strings.TrimPrefix(strings.TrimPrefix(strings.ReplaceAll(policy, " ", ""), "PERM+"), "TEMP+")
	level, extensions, _ := strings.Cut(policy, "+")
	kind, _, _ := strings.Cut(level, ":")
	return kind == "VERIFY" && slices.ContainsFunc(strings.Split(extensions, "++"), func(e string) bool {
		return e == "CN" || strings.HasPrefix(e, "CN:")
	})
}
