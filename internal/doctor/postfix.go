package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Postfix is a configuration of Postfix.
type Postfix struct {
	Directory string // of main.cf and master.cf; empty: where this Postfix has them
	// Run runs postconf or postmap with that input and gives what it prints, as
	// exec.Cmd's Output does.
	Run func(ctx context.Context, input, program string, arguments ...string) ([]byte, error)
}

// MTA is what the MTA must agree with: settings of ours.
type MTA struct {
	Access, Incoming, Delivery Socket
	Inject                     string   // host:port of the service without milter
	Lifetime                   Socket   // that Sendmail asks; zero: none
	Domains                    []string // certified, in lower case
	Peers                      []string // the domains of all other providers, in lower case
	ContentTimeout             time.Duration
}

// Check compares the configuration with what contrib/postfix makes of it. It
// looks at the files: whether Postfix has read them since, they do not tell.
func (p *Postfix) Check(ctx context.Context, want MTA) []Finding {
	const check = "postfix"
	c, err := p.read(ctx)
	if errors.Is(err, exec.ErrNotFound) {
		return []Finding{notChecked(check, "no postconf here: the settings of another MTA are compared with docs by hand")}
	}
	if err != nil {
		return []Finding{bad(check, "postfix "+p.flag()+"check", "%v", err)}
	}
	found := c.checkMain(want)
	found = append(found, c.checkNonSMTP(want))
	found = append(found, c.checkDoor("access", want.Access, want.Inject, accessRules())...)
	found = append(found, c.checkDoor("incoming", want.Incoming, want.Inject, incomingRules())...)
	found = append(found, c.checkUnasked(want)...)
	found = append(found, c.checkInject(want.Inject)...)
	found = append(found, c.checkOutboxRefused(ctx, want.Inject)...)
	found = append(found, c.checkRoutes(ctx, want)...)
	found = append(found, c.checkPeers(ctx, want.Peers))
	found = append(found, c.checkOwnPolicies()...)
	return append(found, c.checkReach(want)...)
}

// flag chooses the configuration in a command line.
func (p *Postfix) flag() string {
	if p.Directory == "" {
		return ""
	}
	return "-c " + p.Directory + " "
}

func (p *Postfix) run(ctx context.Context, program string, arguments ...string) (string, error) {
	return p.runWith(ctx, "", program, arguments...)
}

func (p *Postfix) runWith(ctx context.Context, input, program string, arguments ...string) (string, error) {
	if p.Directory != "" {
		arguments = slices.Concat([]string{"-c", p.Directory}, arguments)
	}
	out, err := p.Run(ctx, input, program, arguments...)
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) && len(failed.Stderr) > 0 {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(failed.Stderr)))
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", program, err)
	}
	return string(out), nil
}

// postfixSettings are main.cf and master.cf with all defaults and $names filled
// in.
type postfixSettings struct {
	*Postfix
	main     map[string]string
	services []*service
}

// service is a line of master.cf.
type service struct {
	id      string // "smtp/inet"
	program string // "smtpd"
	chroot  bool
	own     map[string]string // its -o settings
	main    map[string]string
}

// value is the setting that the service works with.
func (s *service) value(name string) string {
	if own, found := s.own[name]; found {
		return own
	}
	return s.main[name]
}

func (p *Postfix) read(ctx context.Context) (*postfixSettings, error) {
	main, err := p.run(ctx, "postconf", "-x")
	if err != nil {
		return nil, err
	}
	services, err := p.run(ctx, "postconf", "-M")
	if err != nil {
		return nil, err
	}
	own, err := p.run(ctx, "postconf", "-P", "-x")
	if err != nil {
		return nil, err
	}
	c := &postfixSettings{Postfix: p, main: parseSettings(main)}
	for line := range strings.Lines(services) {
		if s := c.parseService(line); s != nil {
			c.services = append(c.services, s)
		}
	}
	for name, value := range parseSettings(own) {
		if s := c.service(filepath.Dir(name)); s != nil {
			s.own[filepath.Base(name)] = value
		}
	}
	return c, nil
}

// parseSettings reads lines "name = value"; the value may be empty.
func parseSettings(text string) map[string]string {
	settings := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, found := strings.Cut(strings.TrimRight(line, " \r\n"), " ="); found {
			settings[name] = strings.TrimSpace(value)
		}
	}
	return settings
}

// parseService reads "name type private unpriv chroot wakeup maxproc command".
func (c *postfixSettings) parseService(line string) *service {
	fields := strings.Fields(line)
	if len(fields) < 8 {
		return nil
	}
	// Without a compatibility_level "-" still means what it did before Postfix 3.
	chroot := fields[4] == "y" || fields[4] == "-" && cmp.Or(c.main["compatibility_level"], "0") == "0"
	return &service{
		id: fields[0] + "/" + fields[1], program: fields[7], chroot: chroot,
		own: map[string]string{}, main: c.main,
	}
}

// service is the one of that id ("cleanup/unix"); nil: there is none.
func (c *postfixSettings) service(id string) *service {
	i := slices.IndexFunc(c.services, func(s *service) bool { return s.id == id })
	if i < 0 {
		return nil
	}
	return c.services[i]
}

// smtpd are the SMTP services, the one on the inject port included.
func (c *postfixSettings) smtpd() (found []*service) {
	for _, s := range c.services {
		if s.program == "smtpd" && strings.HasSuffix(s.id, "/inet") {
			found = append(found, s)
		}
	}
	return found
}

// repair sets what a service does, or all of them do (nil).
func (c *postfixSettings) repair(s *service, name, value string) string {
	edit := "-e '" + name + "=" + value + "'"
	if s != nil {
		edit = "-P '" + s.id + "/" + name + "=" + value + "'"
	}
	return "postconf " + c.flag() + edit + " && postfix " + c.flag() + "reload"
}

// applyAgain is the repair of what postconf cannot do in one step.
func (c *postfixSettings) applyAgain() string {
	return "contrib/postfix/pec-milter-postfix.sh " + c.flag() + "apply DOMAIN... && postfix " + c.flag() + "reload"
}

// list splits a list of Postfix's at commas and white space, but not inside
// braces, which are kept.
func list(value string) (items []string) {
	depth, item := 0, ""
	for _, r := range value + "," {
		switch {
		case depth == 0 && strings.ContainsRune(", \t\n", r):
			if item != "" {
				items = append(items, item)
			}
			item = ""
			continue
		case r == '{':
			depth++
		case r == '}':
			depth--
		}
		item += string(r)
	}
	return items
}
