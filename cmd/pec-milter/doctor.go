package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/pec-milter/pec-milter/internal/config"
	"github.com/pec-milter/pec-milter/internal/directory"
	"github.com/pec-milter/pec-milter/internal/doctor"
	"github.com/pec-milter/pec-milter/internal/smtpclient"
	"github.com/pec-milter/pec-milter/pec"
)

// mtaOption says which MTA is meant.
type mtaOption struct {
	Postfix  string `type:"path" placeholder:"DIR" xor:"mta" help:"The directory of main.cf and master.cf, if it is not Postfix's own."`
	Sendmail string `type:"path" placeholder:"FILE" xor:"mta" help:"The sendmail.cf, if the MTA is Sendmail and it is not /etc/mail/sendmail.cf."`
}

type doctorCommand struct {
	Config string `required:"" type:"path" placeholder:"FILE" help:"The configuration."`
	JSON   bool   `name:"json" help:"One JSON object a line."`
	mtaOption
}

// Run makes all checks, whatever the others found; the exit code is 0 only if
// nothing is bad. Only a configuration that is wrong ends it before.
func (d *doctorCommand) Run(o out) error {
	c, err := config.Load(d.Config)
	if err != nil {
		return &exit{exitConfig, err}
	}
	ctx := context.Background()
	p := &patient{config: c, services: newServices(c, clock(), slog.New(slog.DiscardHandler))}
	defer p.services.close()
	found := doctor.Files(c.CheckFiles())
	found = append(found, d.examine(ctx, c)...)
	for _, examine := range []func(context.Context) []doctor.Finding{
		p.doors, p.neighbours, p.judgement, p.fetch, p.signer, p.antivirus, p.database, p.legalLog, p.redis, p.disks,
	} {
		found = append(found, examine(ctx)...)
	}
	return printFindings(o, append(found, doctor.Clock()), d.JSON)
}

// printFindings gives errBad if one of them is bad.
func printFindings(w io.Writer, found []doctor.Finding, asJSON bool) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false) // the commands stay readable
	for _, f := range found {
		err := error(nil)
		if asJSON {
			err = encoder.Encode(f)
		} else {
			_, err = fmt.Fprintln(w, f)
		}
		if err != nil {
			return err
		}
	}
	if slices.ContainsFunc(found, func(f doctor.Finding) bool { return f.Result == doctor.Bad }) {
		return errBad
	}
	return nil
}

// examine compares the settings of the MTA with ours.
func (m *mtaOption) examine(ctx context.Context, c *config.Config) []doctor.Finding {
	want := doctor.MTA{
		Access: socket(c.Access.Listen), Incoming: socket(c.Incoming.Listen), Delivery: socket(c.Delivery.Listen),
		Inject: c.Inject.Address, Lifetime: socket(c.MTA.Lifetime),
		Domains: c.Provider.Domains, Peers: peers(c), ContentTimeout: c.MTA.ContentTimeout.Duration,
	}
	if m.isSendmail() {
		return (&doctor.Sendmail{File: m.Sendmail}).Check(want)
	}
	postfix := doctor.Postfix{Directory: m.Postfix, Run: runProgram}
	return postfix.Check(ctx, want)
}

// isSendmail: so it was said; or nothing was, and this machine has no Postfix but a
// sendmail.cf.
func (m *mtaOption) isSendmail() bool {
	if m.Sendmail != "" || m.Postfix != "" {
		return m.Sendmail != ""
	}
	_, noPostfix := exec.LookPath("postconf")
	_, noSendmail := os.Stat(doctor.SendmailFile)
	return noPostfix != nil && noSendmail == nil
}

// peers are the domains of the other providers; none if the directory cannot be read,
// which other checks say.
func peers(c *config.Config) (domains []string) {
	file, err := os.Open(c.Directory.LDIF)
	if err != nil {
		return nil
	}
	defer file.Close()
	known, _, err := directory.ReadLDIF(file)
	if err != nil {
		return nil
	}
	for _, provider := range known.Providers() {
		if slices.ContainsFunc(provider.Domains, func(domain string) bool { return slices.Contains(c.Provider.Domains, domain) }) {
			continue // our own record
		}
		domains = append(domains, provider.Domains...)
	}
	slices.Sort(domains)
	return slices.Compact(domains)
}

func runProgram(ctx context.Context, input, program string, arguments ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, program, arguments...)
	command.Stdin = strings.NewReader(input)
	return command.Output()
}

func socket(s config.Socket) doctor.Socket {
	return doctor.Socket{Network: s.Network, Address: s.Address}
}

// patient is what doctor examines. What cannot be opened is a finding, and what
// depends on it is not checked.
type patient struct {
	config   *config.Config
	services *services
	trust    *pec.Trust // nil: it could not be opened
}

// openFault is the finding about a service that cannot be opened.
func openFault(check string, err error) doctor.Finding {
	return doctor.Finding{Check: check, Result: doctor.Bad, What: err.Error(),
		Repair: "correct what it names, then pec-milter check-config --config FILE"}
}

// doors asks our own daemon.
func (p *patient) doors(ctx context.Context) []doctor.Finding {
	return []doctor.Finding{
		doctor.MilterDoor(ctx, "access", socket(p.config.Access.Listen)),
		doctor.MilterDoor(ctx, "incoming", socket(p.config.Incoming.Listen)),
		doctor.DeliveryDoor(ctx, p.prober(socket(p.config.Delivery.Listen), true)),
	}
}

// neighbours asks the mailbox store and the MTA's inject port.
func (p *patient) neighbours(ctx context.Context) []doctor.Finding {
	us := p.services.provider.Identity
	inject := doctor.Socket{Network: "tcp", Address: p.config.Inject.Address}
	return []doctor.Finding{
		doctor.Mailboxes(ctx, p.prober(socket(p.config.Delivery.Mailbox), true), us.Address, us.Address, us.MailReceipt),
		doctor.Inject(ctx, p.prober(inject, false), us.Address, us.MailReceipt),
	}
}

// probeTime bounds the talk with a server that gets no message.
const probeTime = 20 * time.Second

func (p *patient) prober(s doctor.Socket, lmtp bool) doctor.Prober {
	return &smtpclient.Server{Network: s.Network, Address: s.Address, LMTP: lmtp, Name: p.config.Inject.Hello, Timeout: probeTime}
}

// judgement looks at what signatures are judged by, and at the accounts.
func (p *patient) judgement(context.Context) []doctor.Finding {
	found := []doctor.Finding{doctor.DirectoryAge(p.config.Directory.LDIF, p.now())}
	if err := p.services.openAccounts(p.config); err != nil {
		found = append(found, openFault("accounts", err))
	}
	err := p.services.openDirectory(p.config)
	if err == nil {
		p.trust, err = p.services.provider.Trust.Current()
	}
	if err != nil {
		return append(found, openFault("directory", err))
	}
	found = append(found, doctor.Revocations(p.trust.Revocations, p.trust.RevocationGrace, p.now())...)
	return append(found, doctor.Unfetched(p.services.revocations.Unfetched())...)
}

// fetch fetches the providers directory, and stores nothing.
func (p *patient) fetch(ctx context.Context) []doctor.Finding {
	syncer, err := newSyncer(p.config)
	if err != nil {
		return []doctor.Finding{openFault("directory.sync", err)}
	}
	if syncer == nil {
		return nil
	}
	report, err := syncer.Check(ctx, p.now())
	if err != nil {
		return []doctor.Finding{doctor.DirectorySync(syncer.From.URL, 0, 0, "", err)}
	}
	return []doctor.Finding{doctor.DirectorySync(syncer.From.URL, len(report.Directory.Providers()), len(report.Changes), report.Signer, nil)}
}

// signer signs, and looks at the certificate.
func (p *patient) signer(context.Context) []doctor.Finding {
	if err := p.services.openSigner(p.config); err != nil {
		return []doctor.Finding{openFault("signer", err)}
	}
	key, chain, err := p.services.provider.Signer.Current()
	if err != nil {
		return []doctor.Finding{openFault("signer", err)}
	}
	found := []doctor.Finding{doctor.Signer(key, chain[0], rand.Reader)}
	found = append(found, doctor.Certificate(chain, p.config.Provider.Address, p.trust, p.now())...)
	return append(found, doctor.Domains(p.config.Provider.Domains, chain, p.trust))
}

func (p *patient) antivirus(ctx context.Context) []doctor.Finding {
	if p.config.Antivirus == config.AntivirusNone {
		return []doctor.Finding{{Check: "clamd", Result: doctor.Bad, What: `antivirus = "none": mail is certified unscanned`,
			Repair: `write antivirus = "clamd": docs/operations.md, Install`}}
	}
	if err := p.services.openAntivirus(p.config); err != nil {
		return []doctor.Finding{openFault("quarantine", err)}
	}
	scanner, ok := p.services.provider.Scanner.(doctor.Scanner)
	if !ok {
		return []doctor.Finding{{Check: "clamd", Result: doctor.NotChecked, What: "this antivirus is not known here"}}
	}
	return doctor.Antivirus(ctx, scanner, p.config.MTA.MaxSize, p.now())
}

// What must be left on the disks, in bytes: for the database and the quarantine
// of some days, for the spool so many of the largest messages at once.
const (
	leastSpace    = 1 << 30
	spoolMessages = 10
)

func (p *patient) disks(context.Context) []doctor.Finding {
	c := p.config
	found := []doctor.Finding{
		doctor.Space("disk.database", c.State.File, leastSpace),
		doctor.Space("disk.spool", c.MTA.SpoolDirectory, spoolMessages*c.MTA.MaxSize),
	}
	if c.Antivirus == config.AntivirusClamd {
		found = append(found, doctor.Space("disk.quarantine", c.Quarantine.Directory, leastSpace))
	}
	return found
}

func (p *patient) now() time.Time { return p.services.provider.Clock() }
