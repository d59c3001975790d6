package doctor

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strings"
)

// The names of the daemons that contrib/sendmail makes: its rules go by them.
const (
	injectDaemon = "PEC-INJECT"
	accessDaemon = "PEC-ACCESS" // and PEC-ACCESS-TLS
)

// filtersOf are the filters of a daemon: its own, or else those of all.
func (c *sendmailCF) filtersOf(d cfFields) []string {
	if own, given := d.fields['I']; given {
		return list(strings.ReplaceAll(own.text, ";", ","))
	}
	return list(c.options["inputmailfilters"].text)
}

// checkDaemons: each has one door of ours, but for inject, which has none and is for this
// machine alone.
func (c *sendmailCF) checkDaemons(want MTA) (found []Finding) {
	doors := map[string]bool{}
	for n, d := range c.daemons {
		d.name = cmp.Or(d.name, fmt.Sprintf("daemon %d", n+1))
		if c.isInject(d, want) {
			doors["inject"] = true
			found = append(found, c.checkInject(d)...)
			continue
		}
		door := c.doorOf(d, want)
		doors[door] = true
		found = append(found, c.checkDoor(d, door)...)
	}
	for _, door := range []string{"access", "incoming", "inject"} {
		if !doors[door] {
			found = append(found, bad("sendmail."+door, includeAgain, "no DAEMON_OPTIONS is that of the %s door: %s", door, missing(door, want)).at(c.file))
		}
	}
	return found
}

func missing(door string, want MTA) string {
	if door == "inject" {
		return "no notice would leave at " + want.Inject
	}
	return "nobody could send"
}

// doorOf is "access" or "incoming"; empty: the daemon asks none of ours, or several.
func (c *sendmailCF) doorOf(d cfFields, want MTA) string {
	names := c.filtersOf(d)
	for door, socket := range map[string]Socket{"access": want.Access, "incoming": want.Incoming} {
		if f := c.filter(socket); f != nil && slices.Contains(names, f.name) && len(names) == 1 {
			return door
		}
	}
	return ""
}

func (c *sendmailCF) checkDoor(d cfFields, door string) (found []Finding) {
	check := "sendmail." + d.name
	modifiers := d.field('M')
	submits := strings.HasPrefix(d.name, accessDaemon)
	switch {
	case door == "":
		return []Finding{bad(check+".InputMailFilters", "write InputMailFilters=pecincoming into its DAEMON_OPTIONS, or take it out, then "+makeAgain,
			"it has %q, and not one door of ours alone: what comes here passes uncertified and unjudged", c.filtersOf(d)).at(d.at('I'))}
	case d.name == injectDaemon:
		found = append(found, bad(check+".Name", includeAgain, "it has the name of the daemon for notices, and is not on the inject port: its clients could write to the outbox").at(d.at('N')))
	case submits != (door == "access"):
		found = append(found, bad(check+".Name", includeAgain,
			"it asks the %s door, and the rules of contrib/sendmail go by names: those of users are %s and %[2]s-TLS", door, accessDaemon).at(d.at('N')))
	}
	switch {
	case door == "access" && !strings.Contains(modifiers, "a"):
		found = append(found, bad(check+".Modify", "write M=Ea into its DAEMON_OPTIONS, then "+makeAgain, "M=%s has no a: who is not authenticated could submit", modifiers).at(d.at('M')))
	case door == "incoming" && !strings.Contains(modifiers, "A"):
		found = append(found, bad(check+".Modify", "write M=AE into its DAEMON_OPTIONS, then "+makeAgain, "M=%s has no A: what comes here is never a user's, and nobody may log in", modifiers).at(d.at('M')))
	default:
		found = append(found, good(check, "the %s door, M=%s", door, modifiers))
	}
	return found
}

// isInject tells whether a daemon listens on the inject port.
func (c *sendmailCF) isInject(d cfFields, want MTA) bool {
	_, port, err := net.SplitHostPort(want.Inject)
	return err == nil && d.field('P') == port
}

func (c *sendmailCF) checkInject(d cfFields) []Finding {
	check := "sendmail." + d.name
	var found []Finding
	if _, given := d.fields['I']; !given || len(c.filtersOf(d)) > 0 {
		found = append(found, bad(check+".InputMailFilters", "write InputMailFilters= into its DAEMON_OPTIONS, then "+makeAgain,
			"it has %q: notices would be judged like mail from the world, and never leave", c.filtersOf(d)).at(d.at('I')))
	}
	if !isLoopback(d.field('A')) {
		found = append(found, bad(check+".Addr", "write Addr=127.0.0.1 into its DAEMON_OPTIONS, then "+makeAgain,
			"it listens on %q: who reaches it can forge notices", cmp.Or(d.field('A'), "all addresses")).at(d.at('A')))
	}
	if d.name != injectDaemon {
		found = append(found, bad(check+".Name", includeAgain, "its name is not %s, by which the rules let notices pass", injectDaemon).at(d.at('N')))
	}
	if len(found) == 0 {
		found = append(found, good(check, "no filter, on loopback"))
	}
	return found
}

// checkMailers: pecdoor leads to the delivery door, and no mailer by network changes or
// splits what it carries.
func (c *sendmailCF) checkMailers(want MTA) (found []Finding) {
	door, given := c.mailers["pecdoor"]
	switch program, path, _ := strings.Cut(door.field('A'), " "); {
	case !given:
		found = append(found, bad("sendmail.pecdoor", includeAgain, "there is no mailer pecdoor to the delivery door").at(c.file))
	case program != "FILE" || !sameSocket("unix:"+strings.TrimSpace(path), want.Delivery):
		found = append(found, bad("sendmail.pecdoor", includeAgain, "A=%s is not the delivery door, %s", door.field('A'), want.Delivery).at(door.at('A')))
	default:
		found = append(found, judgeMailerFlags(door, "uzm", "the transaction in an outbox address would be lower-cased (u), or one recipient's reply be that of all (z, m)"))
	}
	for _, m := range c.mailers {
		if m.field('P') == "[IPC]" {
			found = append(found, judgeMailer(m)...)
		}
	}
	return found
}

// judgeMailerFlags wants some flags to be there.
func judgeMailerFlags(m cfFields, flags, why string) Finding {
	check := "sendmail." + m.name + ".F"
	for _, flag := range flags {
		if !strings.ContainsRune(m.field('F'), flag) {
			return bad(check, includeAgain, "F=%s has no %c: %s", m.field('F'), flag, why).at(m.at('F'))
		}
	}
	return good(check, "%s", m.field('F'))
}

// judgeMailer looks at what every mailer by network must not do.
func judgeMailer(m cfFields) (found []Finding) {
	check := "sendmail." + m.name
	macro := map[string]string{"relay": "RELAY"}[m.name]
	macro = cmp.Or(macro, "SMTP")
	if limit := m.field('L'); limit != "0" {
		found = append(found, bad(check+".L", pasteLine("define(`%s_MAILER_LL', `0')dnl", macro), "L=%s: lines would be folded, and signatures break on the way out", limit).at(m.at('L')))
	}
	if strings.ContainsAny(m.field('F'), "DFM") {
		found = append(found, bad(check+".F", pasteLine("MODIFY_MAILER_FLAGS(`%s', `-DFM')dnl", strings.ToUpper(m.name)),
			"F=%s has D, F or M: header fields would be added", m.field('F')).at(m.at('F')))
	}
	found = append(found, judgeMailerFlags(m, "u8", "local parts would be lower-cased (u), or bodies be encoded anew (8)"))
	for _, key := range []byte{'Q', 'R'} {
		if value := m.field(key); value != "" && (key == 'Q' || isNumber(value)) {
			found = append(found, bad(check+"."+string(key), includeAgain,
				"it splits messages (%s): a message would leave its outbox recipients", value).at(m.at(key)))
		}
	}
	return found
}

func isNumber(text string) bool { return strings.Trim(text, "0123456789") == "" }
