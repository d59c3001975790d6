package doctor

import (
	"cmp"
	"slices"
	"strings"
)

// SendmailFile is where a Sendmail has its configuration.
const SendmailFile = "/etc/mail/sendmail.cf"

// Sendmail is a configuration of Sendmail 8.17.
type Sendmail struct {
	File string // sendmail.cf; empty: SendmailFile
}

// Check compares the configuration with what contrib/sendmail makes. It looks at the
// file: whether Sendmail has read it since, it does not tell.
func (s *Sendmail) Check(want MTA) []Finding {
	c, err := readSendmailCF(cmp.Or(s.File, SendmailFile))
	if err != nil {
		return []Finding{bad("sendmail", "give the file with --sendmail, or make it: "+makeAgain, "%v", err)}
	}
	found := c.checkOptions()
	found = append(found, c.checkFilters(want)...)
	found = append(found, c.checkDaemons(want)...)
	found = append(found, c.checkLocalPrograms(want))
	found = append(found, c.checkMailers(want)...)
	found = append(found, c.checkGroups())
	found = append(found, c.checkRules()...)
	found = append(found, c.checkDomains(want.Domains)...)
	found = append(found, c.checkPeers(want.Peers))
	return append(found, c.checkLifetime(want.Lifetime))
}

// includeAgain is the repair of what several lines do together.
const includeAgain = "include contrib/sendmail/pec-milter.m4 in sendmail.mc as it is, then " + makeAgain

// checkFilters: without pec-milter nothing passes, and it has the time that it counts
// on.
func (c *sendmailCF) checkFilters(want MTA) (found []Finding) {
	for door, socket := range map[string]Socket{"access": want.Access, "incoming": want.Incoming} {
		f := c.filter(socket)
		check := "sendmail.filter." + door
		if f == nil {
			found = append(found, bad(check, includeAgain, "no MAIL_FILTER has %s", socket).at(c.file))
			continue
		}
		found = append(found, c.judgeFlags(check, *f), judgeTimes(check+".times", *f, want))
	}
	return found
}

// filter is the definition of a door of ours; nil: there is none.
func (c *sendmailCF) filter(socket Socket) *cfFields {
	for _, f := range c.filters {
		if sameSocket(f.field('S'), socket) {
			return &f
		}
	}
	return nil
}

// sameSocket: Sendmail writes local:/path or unix:/path, and inet:port@host.
func sameSocket(address string, ours Socket) bool {
	kind, rest, _ := strings.Cut(address, ":")
	if ours.Network == "tcp" {
		port, host, _ := strings.Cut(rest, "@")
		return kind == "inet" && sameHostPort(host+":"+port, ours.Address)
	}
	return (kind == "local" || kind == "unix") && realPath(rest) == realPath(ours.Address)
}

func (c *sendmailCF) judgeFlags(check string, f cfFields) Finding {
	repair := "write F=T into MAIL_FILTER(`" + f.name + "', ...), then " + makeAgain
	switch flags := f.field('F'); flags {
	case "T", "4":
		return good(check, "F=%s", flags)
	case "R":
		return bad(check, repair, "F=R: mail is refused for good while pec-milter is down").at(f.at('F'))
	case "":
		return bad(check, repair, "F= is empty: mail passes uncertified while pec-milter is down").at(f.at('F'))
	default:
		return bad(check, repair, "F=%s is not F=T: what happens while pec-milter is down is not known", flags).at(f.at('F'))
	}
}

// judgeTimes looks at T=C:30s;S:30s;R:60s;E:5m. Without it E is 5 minutes.
func judgeTimes(check string, f cfFields, want MTA) Finding {
	for _, part := range strings.Split(f.field('T'), ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), ":")
		limit, ok := sendmailTime(value)
		if name == "E" && (!ok || limit < want.ContentTimeout) {
			return bad(check, "write E:"+want.ContentTimeout.String()+" into T= of MAIL_FILTER(`"+f.name+"', ...), then "+makeAgain,
				"E:%s is less than mta.content_timeout: Sendmail would give up before us", value).at(f.at('T'))
		}
	}
	return good(check, "%s", cmp.Or(f.field('T'), "the defaults"))
}

// checkLocalPrograms: what comes by no daemon's port goes by the incoming door.
func (c *sendmailCF) checkLocalPrograms(want MTA) Finding {
	const check = "sendmail.InputMailFilters"
	value, given := c.options["inputmailfilters"]
	if f := c.filter(want.Incoming); f != nil && slices.Equal(list(value.text), []string{f.name}) {
		return good(check, "%q", value.text)
	}
	if !given {
		value.place = c.file
	}
	return bad(check, pasteLine("define(`confINPUT_MAIL_FILTERS', `pecincoming')dnl"),
		"it is %q, and not the incoming door's: any local user could forge what he likes with sendmail -bs", value.text).at(value.place)
}

// checkGroups: queue groups split a message from its outbox recipients.
func (c *sendmailCF) checkGroups() Finding {
	const check = "sendmail.queuegroups"
	for _, g := range c.groups {
		if name, _, _ := strings.Cut(g.text, ","); strings.TrimSpace(name) != "mqueue" {
			return bad(check, "take QUEUE_GROUP and FEATURE(`queuegroup') out of sendmail.mc, then "+makeAgain,
				"there is a queue group %s: groups split a message from its outbox recipients, and notices are lost", name).at(g.place)
		}
	}
	return good(check, "none")
}

// checkLifetime: who asks must be answered, or no mail leaves.
func (c *sendmailCF) checkLifetime(want Socket) Finding {
	const check = "sendmail.lifetime"
	m, found := c.maps["pecexpired"]
	rest, unfolded := strings.CutPrefix(m.text, "socket -f ")
	switch {
	case !found:
		return bad(check, includeAgain, "no map pecexpired: certified mail would wait for 5 days").at(c.file)
	case !unfolded || strings.ContainsAny(rest, " \t"):
		return bad(check, includeAgain, "the map pecexpired is %q: want a socket, and -f alone: without it queue ids are asked in lower case, and nothing expires", m.text).at(m.place)
	case want == Socket{}:
		return bad(check, "write lifetime = "+`"`+rest+`"`+" under [mta] of the configuration, and restart pec-milter",
			"Sendmail asks %s, and mta.lifetime is not given: nobody answers, and no mail leaves", rest).at(m.place)
	case !sameSocket(rest, want):
		return bad(check, includeAgain, "Sendmail asks %s, and mta.lifetime is %s", rest, want).at(m.place)
	}
	return good(check, "asked at %s", rest)
}
