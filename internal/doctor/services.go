package doctor

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// milterClient is an item of smtpd_milters with the settings of its own.
type milterClient struct {
	address string
	own     map[string]string // "default_action": "accept"
}

// milters reads smtpd_milters: "unix:a, { inet:b:1, default_action=accept }".
func milters(value string) (found []milterClient) {
	for _, item := range list(value) {
		inner, braces := strings.CutPrefix(item, "{")
		fields := []string{item}
		if braces {
			fields = list(strings.TrimSuffix(inner, "}"))
		}
		if len(fields) == 0 {
			continue
		}
		m := milterClient{fields[0], map[string]string{}}
		for _, field := range fields[1:] {
			name, value, _ := strings.Cut(field, "=")
			m.own[name] = value
		}
		found = append(found, m)
	}
	return found
}

// asks is how a service asks a door of ours; nil: it does not.
func (c *postfixSettings) asks(s *service, door Socket) *milterClient {
	for _, m := range milters(s.value("smtpd_milters")) {
		if c.reaches(s, m.address, door) {
			return &m
		}
	}
	return nil
}

// reaches tells whether an address of a service's is a socket of ours. Services
// of Postfix work in the queue directory, and in a chroot know no other.
func (c *postfixSettings) reaches(s *service, address string, ours Socket) bool {
	kind, rest, _ := strings.Cut(address, ":")
	switch {
	case ours.Network == "tcp":
		return sameHostPort(strings.TrimPrefix(address, "inet:"), ours.Address)
	case kind != "unix":
		return false
	case s == nil || s.chroot || !filepath.IsAbs(rest):
		rest = filepath.Join(c.main["queue_directory"], rest)
	}
	return realPath(rest) == realPath(ours.Address)
}

// realPath resolves the links of the directory: the file need not be there.
func realPath(path string) string {
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, filepath.Base(path))
}

func sameHostPort(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	return errA == nil && errB == nil && portA == portB && (hostA == hostB || isLoopback(hostA) && isLoopback(hostB))
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// checkDoor looks at the services that ask a door. An inject that does is judged
// by what it must be.
func (c *postfixSettings) checkDoor(door string, socket Socket, inject string, rules []rule) (found []Finding) {
	for _, s := range c.smtpd() {
		m := c.asks(s, socket)
		if m == nil || isInject(s, inject) {
			continue
		}
		found = append(found, good("postfix."+door, "%s asks %s", s.id, socket))
		for _, r := range rules {
			found = append(found, c.judge(s, r))
		}
		found = append(found, c.checkSize(s), c.checkOwn(s, m))
	}
	if len(found) == 0 {
		return []Finding{bad("postfix."+door, c.applyAgain(), "no SMTP service of master.cf has %s among its smtpd_milters", socket).
			at(c.file("master.cf"))}
	}
	if door == "access" {
		found = append(found, c.checkTLS(socket)...)
	}
	return found
}

// checkUnasked: mail that comes in by another service, but inject, passes by the
// doors.
func (c *postfixSettings) checkUnasked(want MTA) (found []Finding) {
	const name = "smtpd_milters"
	for _, s := range c.smtpd() {
		if c.asks(s, want.Access) == nil && c.asks(s, want.Incoming) == nil && !isInject(s, want.Inject) {
			found = append(found, bad("postfix."+s.id+"."+name, c.applyAgain(),
				"it is %q, none of our doors: what comes here passes uncertified and unjudged", s.value(name)).at(c.place(s, name)))
		}
	}
	return found
}

// checkOwn: what a milter is given in braces goes before what main.cf says.
func (c *postfixSettings) checkOwn(s *service, m *milterClient) Finding {
	check := "postfix." + s.id + ".smtpd_milters"
	for name, value := range m.own {
		for _, r := range milterRules(0) {
			if r.name == "milter_"+name && name != "content_timeout" && !r.met(value) {
				return bad(check, c.repair(s, "smtpd_milters", m.address), "it has %s=%s: %s", name, value, r.why).at(c.place(s, "smtpd_milters"))
			}
		}
	}
	return good(check, "nothing of its own for %s", m.address)
}

// checkSize: cleanup, with the limit of main.cf, sees the message as we have
// rewritten it.
func (c *postfixSettings) checkSize(s *service) Finding {
	const name = "message_size_limit"
	check := "postfix." + s.id + "." + name
	limit, all := number(s.value(name)), number(c.main[name])
	if all != 0 && (limit == 0 || limit >= all) {
		repair := c.repair(nil, name, fmt.Sprint(limit+limit/4))
		if limit == 0 {
			repair = c.repair(s, name, fmt.Sprint(all/5*4))
		}
		return bad(check, repair, "it is %d, and in main.cf %d: a certified message, which is larger, would be refused for good after we took it", limit, all).
			at(c.place(s, name))
	}
	return good(check, "%d, and in main.cf %d", limit, all)
}

func number(text string) int64 {
	n, _ := strconv.ParseInt(text, 10, 64) // what postconf prints
	return n
}

// checkTLS: users submit by TLS only.
func (c *postfixSettings) checkTLS(access Socket) (found []Finding) {
	const name = "smtpd_tls_security_level"
	for _, s := range c.smtpd() {
		if c.asks(s, access) == nil {
			continue
		}
		check := "postfix." + s.id + "." + name
		if s.value(name) != "encrypt" && s.value("smtpd_tls_wrappermode") != "yes" {
			found = append(found, bad(check, c.repair(s, name, "encrypt"), "it is %q: passwords would pass in clear", s.value(name)).at(c.place(s, name)))
			continue
		}
		found = append(found, good(check, "%q", s.value(name)))
	}
	return found
}

// checkNonSMTP: what sendmail(1) sends goes by the incoming door.
func (c *postfixSettings) checkNonSMTP(want MTA) Finding {
	const name = "non_smtpd_milters"
	for _, m := range milters(c.main[name]) {
		if c.reaches(c.service("cleanup/unix"), m.address, want.Incoming) {
			return good("postfix."+name, "%q", c.main[name])
		}
	}
	return bad("postfix."+name, c.repair(nil, name, c.address(want.Incoming)),
		"it is %q: any local user could forge what he likes with sendmail(1)", c.main[name]).at(c.place(nil, name))
}

// address is a socket of ours as Postfix has it: relative to its queue, if it is
// there.
func (c *postfixSettings) address(s Socket) string {
	if relative, found := strings.CutPrefix(s.Address, c.main["queue_directory"]+"/"); found && s.Network == "unix" {
		return "unix:" + relative
	}
	return s.String()
}

// isInject tells whether a service listens on the inject port.
func isInject(s *service, address string) bool {
	name := strings.TrimSuffix(s.id, "/inet")
	host, port, err := net.SplitHostPort(name)
	if err != nil {
		host, port = "", name // every address of inet_interfaces
	}
	wantHost, wantPort, err := net.SplitHostPort(address)
	return err == nil && port == wantPort && (host == "" || host == wantHost || isLoopback(host) && isLoopback(wantHost))
}

// checkInject: the service for our notices has no milter and is for this machine.
func (c *postfixSettings) checkInject(address string) (found []Finding) {
	i := slices.IndexFunc(c.smtpd(), func(s *service) bool { return isInject(s, address) })
	if i < 0 {
		return []Finding{bad("postfix.inject", c.applyAgain(), "no SMTP service of master.cf listens on %s: no notice would leave", address).at(c.file("master.cf"))}
	}
	s := c.smtpd()[i]
	found = append(found, c.checkLoopback(s))
	for _, r := range injectRules() {
		found = append(found, c.judge(s, r))
	}
	const name = "message_size_limit"
	if limit, all := number(s.value(name)), number(c.main[name]); limit != 0 && limit < all {
		found = append(found, bad("postfix."+s.id+"."+name, c.repair(s, name, fmt.Sprint(all)),
			"it is %d, less than %d in main.cf: a receipt with a large original would be refused", limit, all).at(c.place(s, name)))
	}
	return found
}

// checkLoopback: whoever reaches the inject port can send without a milter.
func (c *postfixSettings) checkLoopback(s *service) Finding {
	host, _, err := net.SplitHostPort(strings.TrimSuffix(s.id, "/inet"))
	hosts := []string{host}
	if err != nil || host == "" {
		hosts = list(s.value("inet_interfaces"))
	}
	for _, host := range hosts {
		if !isLoopback(strings.Trim(host, "[]")) && host != "loopback-only" {
			return bad("postfix.inject", c.applyAgain(), "%s listens on %s: who reaches it can forge notices", s.id, host).at(c.master(s.id, ""))
		}
	}
	return good("postfix.inject", "%s listens on loopback only", s.id)
}

// outboxDomain is what the milter adds recipients in.
const outboxDomain = "outbox.pec-milter.invalid"

// checkOutboxRefused: but for inject, where an HMAC guards it, no SMTP service
// takes the outbox from a client.
func (c *postfixSettings) checkOutboxRefused(ctx context.Context, inject string) (found []Finding) {
	for _, s := range c.smtpd() {
		if isInject(s, inject) {
			continue
		}
		check := "postfix." + s.id + ".smtpd_recipient_restrictions"
		if c.refusesOutbox(ctx, s.value("smtpd_recipient_restrictions")) {
			found = append(found, good(check, "refuses %s", outboxDomain))
			continue
		}
		found = append(found, bad(check, c.applyAgain(), "it does not begin with a check that refuses %s: clients could send there", outboxDomain).
			at(c.place(s, "smtpd_recipient_restrictions")))
	}
	return found
}

// refusesOutbox tells whether a table that is looked into before anything else
// decides has the domain refused.
func (c *postfixSettings) refusesOutbox(ctx context.Context, restrictions string) bool {
	items := list(restrictions)
	for len(items) > 1 && items[0] == "check_recipient_access" {
		answer, err := c.lookUp(ctx, items[1], outboxDomain)
		if err == nil && answer != "" {
			return strings.HasPrefix(strings.ToUpper(answer), "REJECT")
		}
		items = items[2:]
	}
	return false
}
