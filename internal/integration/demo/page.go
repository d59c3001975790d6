package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/pec-milter/pec-milter/internal/integration"
)

// page is what the demo prints: with colours on a terminal, plain elsewhere.
type page struct {
	out     io.Writer
	colours bool
}

func newPage(out *os.File) *page {
	info, err := out.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	return &page{out, terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

// The styles, as numbers of ECMA-48.
const (
	bold  = 1
	faint = 2
	red   = 31
	green = 32
	cyan  = 36
)

func (p *page) style(number int, text string) string {
	if !p.colours {
		return text
	}
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", number, text)
}

func (p *page) line(format string, arguments ...any) { fmt.Fprintf(p.out, format+"\n", arguments...) }

func (p *page) heading(text string) { p.line("\n%s\n", p.style(bold, text)) }

func (p *page) introduction() {
	p.line("%s", p.style(bold, "pec-milter: two PEC providers exchange a certified message"))
	p.line("%s", p.style(faint, "starting two providers and an ordinary mail domain, on 127.0.0.1 ..."))
}

func (p *page) world(s *stage) {
	p.line("")
	for _, provider := range s.world.Providers {
		p.line("  %-9s %-17s %s, Dovecot, clamd, pec-milter, signing key on a SoftHSM token", provider.Name, provider.Domain, provider.MTA())
	}
	p.line("  %-9s %-17s Postfix and Dovecot alone: ordinary mail", s.world.Ordinary.Name, s.world.Ordinary.Domain)
	p.line("\n  Between the providers TLS is mandatory and verified.")
}

func (p *page) letter() {
	p.line("\n%s sends %q, with a PDF, to", p.style(bold, sender), subject)
	p.line("  %-27s at the other provider", remote)
	p.line("  %-27s a colleague", colleague)
	p.line("  %-27s an ordinary address", outsider)
	p.heading("Timeline, as seen in the mailboxes over IMAP")
	p.line("%s", p.style(faint, fmt.Sprintf("  %-8s %8s  %-17s %-18s %s", "when", "after", "provider", "event", "who")))
}

// scenario is the beginning of a scene.
func (p *page) scenario(s scenario) { p.heading(s.name + ": " + s.shows) }

// event is one entry of the timeline.
func (p *page) event(when, start time.Time, provider, event string, who ...string) {
	p.line("  %s %6.1f s  %-17s %s %s", when.Format(time.TimeOnly), when.Sub(start).Seconds(),
		provider, p.style(cyan, fmt.Sprintf("%-18s", event)), who[0])
	for _, more := range who[1:] {
		p.line("%s%s", strings.Repeat(" ", 58), p.style(faint, more))
	}
}

// check is one line of the checks, and what is wrong.
func (p *page) check(what string, err error) {
	if err == nil {
		p.line("  %s  %s", p.style(green, "ok "), what)
		return
	}
	p.line("  %s  %s", p.style(red, "BAD"), what)
	p.line("       %s", strings.ReplaceAll(err.Error(), "\n", "\n       "))
}

func (p *page) results(s *scene) {
	p.heading("In " + results)
	for _, a := range s.arrived {
		p.line("  %s", a.file)
	}
	p.line("  00-submitted.eml, ca.pem, tls-ca.pem, legal-log-alfa.ndjson, legal-log-beta.ndjson, evidence-alfa.zip, evidence-beta.zip")
	p.heading("Look at them")
	example := results + "/" + s.example()
	p.line("  %s inspect %s", binary, example)
	p.line("  openssl cms -verify -in %s -CAfile %s/ca.pem", example, results)
	p.line("  cat %s/legal-log-alfa.ndjson", results)
	p.line("  unzip -d /tmp/evidence %s/evidence-alfa.zip && sh /tmp/evidence/verify.sh", results)
	p.line("  and open the .eml files with a mail client")
}

func (p *page) logs() {
	p.line("\nThe logs of all servers are in %s too.", results)
}

// accounts says how to reach the servers that are left running.
func (p *page) accounts(s *stage) {
	p.heading("Left running, for a mail client on this machine; stop with: make demo-stop")
	p.line("  password of everybody: %s", integration.Password)
	p.line("  authority to trust:    %s/tls-ca.pem (or accept the certificate)\n", results)
	p.line("%s", p.style(faint, fmt.Sprintf("  %-28s %-22s %s", "user", "IMAP (TLS)", "SMTP (STARTTLS)")))
	for _, user := range []string{sender, colleague, remote, s.alfa().MailReceipt, s.beta().MailReceipt} {
		ports := s.world.SiteOf(user).Ports
		p.line("  %-28s 127.0.0.1 port %-6d 127.0.0.1 port %d", user, ports.IMAPS, ports.Submission)
	}
	p.line("  %-28s 127.0.0.1 port %-6d (receives only)", outsider, s.world.Ordinary.Ports.IMAPS)
	p.line("\n  All files of the servers are in %s", s.world.Dir)
}
