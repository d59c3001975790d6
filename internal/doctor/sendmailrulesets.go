package doctor

import (
	"slices"
	"strings"
)

// The rules of contrib/sendmail, that must be the first of their rulesets: what comes before
// them could let the outbox be written to, mail be relayed past the access door, or
// certified mail go elsewhere. A test keeps them the same.
var (
	routingRules = []string{
		"$+ < @ $={PecOutbox} . > => $#pecdoor $@ localhost $: $1 < @ $2 . >",
		"$+ < @ $={PecOutbox} > => $#pecdoor $@ localhost $: $1 < @ $2 . >",
		"$+ < @ $={PecDomain} . > => $#pecdoor $@ localhost $: $1 < @ $2 . >",
		"$+ < @ $={PecDomain} > => $#pecdoor $@ localhost $: $1 < @ $2 . >",
		"$+ < @ $+ . > => $: $( pecexpired $&i/$1@$2 $: LIVE $) $| $1 < @ $2 . >",
		`EXPIRED $| $* => $#error $@ 5.4.7 $: "554 5.4.7 not delivered within 24 hours"`,
		"$* $| $* => $: $2",
	}
	recipientRules = []string{
		"$* => $: $1 $| <$&{daemon_name}> $>CanonAddr $1",
		"$* $| <PEC-INJECT> $* => $@ $1",
		`$* $| <$*> $* < @ $* $={PecOutbox} $* > $* => $#error $@ 5.7.1 $: "554 5.7.1 internal domain"`,
		`$* $| <$*> $* $={PecOutbox} $* => $#error $@ 5.7.1 $: "554 5.7.1 internal domain"`,
		"$* $| <PEC-ACCESS> $* => $@ $>pecnotify $1",
		"$* $| <PEC-ACCESS-TLS> $* => $@ $>pecnotify $1",
		"$* $| <$*> $* < @ $* $=R . > $* => $@ $1",
		"$* $| <$*> $* < @ $* $=R > $* => $@ $1",
		"$* $| <$*> $* < @ $=w . > $* => $@ $1",
		"$* $| <$*> $* < @ $=w > $* => $@ $1",
		`$* $| <$*> $* < @ $* > $* => $#error $@ 5.7.1 $: "554 5.7.1 relaying denied: users submit with a password"`,
		"$* $| $* => $@ $1",
	}
	notifyRules = []string{
		"$* => $: <$&{dsn_notify}> $1",
		"<> $* => $@ $1",
		"<$* FAILURE $*> $* => $@ $3",
		`<$+> $* => $#error $@ 5.7.1 $: "553 5.7.1 NOTIFY without FAILURE: nobody would learn of a failure"`,
	}
)

// checkRules: LOCAL_RULE_0 is the beginning of ParseLocal.
func (c *sendmailCF) checkRules() []Finding {
	return []Finding{
		c.compareRules("sendmail.LOCAL_RULE_0", "ParseLocal", routingRules, "certified mail or the outbox would not go to the delivery door"),
		c.compareRules("sendmail.Local_check_rcpt", "Local_check_rcpt", recipientRules,
			"clients could write to "+outboxDomain+", or relay past the access door"),
		c.compareRules("sendmail.pecnotify", "pecnotify", notifyRules, "a client could ask that nobody be told of a failure"),
	}
}

func (c *sendmailCF) compareRules(check, ruleset string, want []string, why string) Finding {
	rules := c.rulesets[ruleset]
	for n, rule := range want {
		if n >= len(rules) {
			return bad(check, includeAgain, "rule %d of contrib/sendmail is missing, R%s: %s", n+1, rule, why).at(c.file)
		}
		if rules[n].text != rule {
			return bad(check, includeAgain, "rule %d is R%s, and not R%s, as in contrib/sendmail: %s", n+1, rules[n].text, rule, why).at(rules[n].place)
		}
	}
	return good(check, "begins with the rules of contrib/sendmail")
}

// checkDomains: the classes that the rules go by have the domains and the outbox.
func (c *sendmailCF) checkDomains(domains []string) (found []Finding) {
	found = append(found, c.checkOutboxClass())
	for _, domain := range domains {
		check := "sendmail.PEC_DOMAIN." + domain
		word := func(class string) *cfValue {
			n := slices.IndexFunc(c.classes[class], func(v cfValue) bool { return v.text == domain })
			if n < 0 {
				return nil
			}
			return &c.classes[class][n]
		}
		switch local := word("w"); {
		case local != nil:
			found = append(found, bad(check, "take it out of LOCAL_DOMAIN and class w in sendmail.mc, then "+makeAgain,
				"it is a local domain too: Sendmail would look for users and aliases of its own").at(local.place))
		case word("PecDomain") == nil || word("R") == nil:
			found = append(found, bad(check, pasteLine("PEC_DOMAIN(`%s')dnl", domain), "Sendmail does not take its mail, or not to the delivery door").at(c.file))
		default:
			found = append(found, good(check, "it goes to the delivery door"))
		}
	}
	return append(found, c.checkForeign(domains)...)
}

func (c *sendmailCF) checkOutboxClass() Finding {
	const check = "sendmail.PecOutbox"
	for _, v := range c.classes["PecOutbox"] {
		if v.text == outboxDomain {
			return good(check, "%s", outboxDomain)
		}
	}
	return bad(check, includeAgain, "the class PecOutbox has no %s: clients could write there", outboxDomain).at(c.file)
}

// checkForeign: a domain that is routed to us and that we do not certify.
func (c *sendmailCF) checkForeign(domains []string) (found []Finding) {
	for _, v := range c.classes["PecDomain"] {
		if !slices.ContainsFunc(domains, func(d string) bool { return strings.EqualFold(d, v.text) }) {
			found = append(found, bad("sendmail.PEC_DOMAIN."+v.text, "take PEC_DOMAIN(`"+v.text+"') out of sendmail.mc, or add it to provider.domains",
				"it goes to the delivery door, and is none of provider.domains").at(v.place))
		}
	}
	return found
}
