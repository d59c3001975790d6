package doctor

import (
	"context"
	"errors"
	"os/exec"
	"slices"
	"strings"
)

// lookUp asks a table of Postfix's; empty: it has no such key. postmap says so with
// the exit code that its errors have too, and warnings about main.cf beside it.
func (c *postfixSettings) lookUp(ctx context.Context, table, key string) (string, error) {
	out, err := c.run(ctx, "postmap", "-q", key, table)
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) && failed.ExitCode() == 1 && onlyWarnings(failed.Stderr) {
		return "", nil
	}
	return strings.TrimSpace(out), err
}

// onlyWarnings tells whether a program of Postfix's has said nothing worse.
func onlyWarnings(said []byte) bool {
	for line := range strings.Lines(string(said)) {
		if !strings.Contains(line, ": warning: ") {
			return false
		}
	}
	return true
}

// checkRoutes: our domains and the outbox go to the delivery door by LMTP, and
// our domains are Postfix's to take, but by no other class.
func (c *postfixSettings) checkRoutes(ctx context.Context, want MTA) (found []Finding) {
	found = append(found, c.checkTransport(ctx, outboxDomain, want.Delivery))
	for _, domain := range want.Domains {
		found = append(found, c.checkTransport(ctx, domain, want.Delivery), c.checkClass(ctx, domain))
	}
	return found
}

func (c *postfixSettings) checkTransport(ctx context.Context, domain string, delivery Socket) Finding {
	check := "postfix.transport_maps." + domain
	for _, table := range list(c.main["transport_maps"]) {
		route, err := c.lookUp(ctx, table, domain)
		if err != nil {
			return bad(check, "postmap "+c.flag()+"-q "+domain+" '"+table+"'", "%v", err)
		}
		if route == "" {
			continue
		}
		transport, hop, _ := strings.Cut(route, ":")
		if s := c.service(transport + "/unix"); s == nil || s.program != "lmtp" || !c.reaches(s, hop, delivery) {
			return bad(check, c.applyAgain(), "it goes to %q, and not by LMTP to %s", route, delivery).at(c.place(nil, "transport_maps"))
		}
		return good(check, "it goes to the delivery door")
	}
	return bad(check, c.applyAgain(), "no table has it: it must go by LMTP to %s", delivery).at(c.place(nil, "transport_maps"))
}

func (c *postfixSettings) checkClass(ctx context.Context, domain string) Finding {
	check := "postfix.relay_domains." + domain
	for _, class := range []string{"mydestination", "virtual_alias_domains", "virtual_mailbox_domains"} {
		if c.lists(ctx, class, domain) {
			return bad(check, "take it out of "+class+" in main.cf, then postfix "+c.flag()+"reload",
				"it is in %s too: Postfix would expand or refuse its addresses before us", class).at(c.place(nil, class))
		}
	}
	if !c.lists(ctx, "relay_domains", domain) {
		return bad(check, c.applyAgain(), "it is not in relay_domains: Postfix would not take its mail from the world").
			at(c.place(nil, "relay_domains"))
	}
	return good(check, "Postfix takes its mail from the world")
}

// lists tells whether a list of domains has the domain, itself or in a table.
func (c *postfixSettings) lists(ctx context.Context, name, domain string) bool {
	return slices.ContainsFunc(list(c.main[name]), func(item string) bool {
		if !strings.Contains(item, ":") {
			return strings.EqualFold(item, domain)
		}
		answer, err := c.lookUp(ctx, item, domain)
		return err == nil && answer != ""
	})
}
