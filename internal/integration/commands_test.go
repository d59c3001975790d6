//go:build integration

package integration

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pec-milter/pec-milter/pec"
)

// command is a command of the stories. Its output is what "stdout" looks at; an
// error fails the story, unless the command has a "!".
type command struct {
	usage string // its arguments; those in brackets may be left out
	run   func(out *bytes.Buffer, ts *testscript.TestScript, args []string) error
}

// stories gives the commands of the stories, beside those of testscript.
func (s *stage) stories() map[string]command {
	return map[string]command{
		// Mailboxes.
		"users": {"ADDRESS", s.users}, // any number of them
		"quota": {"ADDRESS BYTES", s.quota},
		"sieve": {"ADDRESS FILE", s.sieve}, // the user's own script
		// What becomes of ordinary mail: refuse, accept or forward:ADDRESS.
		"policy": {"ADDRESS POLICY", s.policy},

		// Messages. TO may be several, with commas. FILE is a file of the story, with LF
		// line ends; EICAR in braces stands for the test virus, {TEXT*N} for N times the
		// text, in which \n is a line end and \0 a NUL.
		"submit":    {"FILE FROM TO", s.submit},                                  // STARTTLS, authenticated as FROM
		"submit-as": {"USER FILE FROM TO", s.submitAs},                           // USER may be "nobody"
		"send":      {"PROVIDER FILE FROM TO", s.sendBy((*Provider).Send)},       // to port 25, as another server does
		"inject":    {"PROVIDER FILE FROM TO", s.sendBy((*Provider).SendInject)}, // to the port without milter
		"sendmail":  {"PROVIDER FILE FROM TO", s.sendBy((*Provider).Sendmail)},   // sendmail(1), by root
		"smtp":      {"USER LINE", s.smtp},                                       // lines of SMTP, as submit; prints the replies; any number
		"originals": {"FROM DOMAIN", s.originals},                                // submits all nasty messages, compares
		// A client that keeps to no rule; USER may be "nobody". dialogue_test.go has what
		// FILE says.
		"dialogue": {"PROVIDER USER FILE", s.dialogue},
		"large":    {"MEGABYTES FROM TO", s.large},
		// Slow clients. crowd: N connections to each of two ports, idle until the end of
		// the story. slowly: submits a byte in ten seconds, meanwhile the story goes on.
		// hurry: they send the rest, after N bytes at least, and are accepted.
		"crowd":  {"PROVIDER N", s.crowd},
		"slowly": {"FILE FROM TO", s.slowly},
		"hurry":  {"N", s.hurryUp},

		// What arrives. await: N messages of a kind, no two by the same provider about
		// the same submission, and no more when all queues are empty; ABOUT is part of
		// the submissions' Message-IDs. reach: at least N. show: prints daticert.xml of
		// the first.
		"await": {"ADDRESS KIND N [ABOUT]", s.await},
		"reach": {"ADDRESS KIND N", s.reach},
		"show":  {"ADDRESS KIND [ABOUT]", s.show},
		"last":  {"ADDRESS KIND", s.last}, // as show, of the last that is there

		// What notices speak of, ABOUT as above. await-about: one notice for each
		// recipient; taken: one presa-in-carico for each group, with commas; and no more
		// when all queues are empty. notices: the N time-out notices there are now.
		"await-about": {"ADDRESS KIND ABOUT RECIPIENT", s.awaitAbout}, // any number of them
		"taken":       {"ADDRESS ABOUT GROUP", s.taken},               // any number of them
		"notices":     {"ADDRESS N", s.notices},
		"quarantined": {"PROVIDER VIRUS", s.quarantined}, // it keeps a message with that
		// A recipient waits in Postfix's queue, put off.
		"await-queued": {"PROVIDER RECIPIENT", s.awaitQueued},
		// Outbox recipients wait there too; FILE has names of queue files, and they are
		// in none of these. Prints the names of those that they are in.
		"outbox-queued": {"PROVIDER [FILE]", s.outboxQueued},
		"pause":         {"DURATION", s.pause},

		// The rules of the daily log that this story breaks on purpose: all others must
		// hold at its end. BREACH is an address of the message and part of the rule.
		"breach": {"ADDRESS BREACH", s.expectBreach},

		// Servers. ACT is start, stop or, for the daemon, kill; for the antivirus also
		// ignore (the test virus is clean) and know (it is found again).
		"daemon": {"ACT PROVIDER", s.daemon}, // pec-milter
		"store":  {"ACT PROVIDER", s.store},  // Dovecot
		"clamd":  {"ACT PROVIDER", s.clamd},
		"flush":  {"PROVIDER", s.flush}, // Postfix tries what is in its queue
		// Settings of the daemon (TABLE.KEY=VALUE), which starts again; one of main.cf.
		// Until the end of the story.
		"settings": {"PROVIDER SETTING", s.settings}, // any number of them
		"postfix":  {"PROVIDER SETTING", s.postfix},
		// Texts of sendmail.cf and what is in their place; none: as it was. Sendmail starts
		// again.
		"sendmail-cf": {"PROVIDER [OLD] [NEW]", s.sendmailCF}, // any number of them
		// The daemon's clock is that much ahead ("12h1m"), until the end of the story.
		"clock": {"PROVIDER DURATION", s.clock},
		"jump":  {"PROVIDER DURATION", s.jump}, // and is seen to have been set
		// The daemon fails as docs/faults.md says ("none": no more), until the end of
		// the story.
		"fault": {"PROVIDER ORDER", s.fault},

		// doctor finds these checks bad and no others. What makes things bad, until the
		// end of the story: trust ("expired" revocation lists, an "old" directory), the
		// mode of a file of the daemon's, a setting of the service without milter.
		"doctor":         {"PROVIDER [CHECK]", s.doctor}, // any number of them
		"trust":          {"ACT", s.trust},
		"mode":           {"PROVIDER NAME MODE", s.mode},
		"inject-service": {"PROVIDER SETTING", s.injectService},

		// The provider fetches its directory from an office that signs it, and keeps a
		// mirror in slapd, until the end of the story. The office publishes it with
		// "all", "without DOMAIN", "claiming DOMAIN" (another one does) or "unsigned".
		// known: copy and mirror have DOMAIN ("yes" or "no"), and the daemon is still the
		// same.
		"office":  {"PROVIDER", s.openOffice},
		"publish": {"WAY [DOMAIN]", s.publish},
		"known":   {"PROVIDER DOMAIN YES-OR-NO", s.known},

		// The disk of the provider's database is full, until free-disk or the end of the story.
		"full-disk": {"PROVIDER", s.fullDisk},
		"free-disk": {"PROVIDER", s.freeDisk},

		// Revocation lists. fetch-lists: the daemon starts anew and fetches them, every
		// second, until the end of the story. publish-lists: the server has new ones, that
		// hold so long, with these providers revoked. cut-lists: it answers nobody.
		"fetch-lists":   {"PROVIDER", s.fetchLists},
		"publish-lists": {"DURATION [REVOKED]", s.publishLists}, // any number of them
		"cut-lists":     {"", s.cutLists},

		// activate: the daemon's sockets are held by another, as by systemd, until the end of
		// the story. restarts: it is restarted while N clients submit 9 messages each.
		"activate": {"PROVIDER", s.activate},
		"restarts": {"PROVIDER N TO", s.restarts}, // any number of them

		// logged: the daemon's log has TEXT, after what was found there before.
		"logged": {"PROVIDER TEXT", s.logged},

		// The metrics of a daemon; and that neither they nor its log have a TEXT.
		"scrape": {"PROVIDER", s.scrape},
		"unsaid": {"PROVIDER TEXT", s.unsaid}, // any number of them

		// Another key and certificate, without a restart.
		"renew": {"PROVIDER", s.renew},

		// A command of pec-milter: CONFIG stands for the provider's configuration,
		// CONFIG/NAME for the variant of it in which OLD is replaced by NEW.
		"pec-milter":  {"PROVIDER ARGUMENT", s.pecMilter}, // any number of them
		"variant":     {"PROVIDER NAME OLD NEW", s.variant},
		"secret":      {"PROVIDER NAME TEXT", s.secret},     // a private file beside it
		"peak-memory": {"PROVIDER MEGABYTES", s.peakMemory}, // it never had more resident

		// Some clients submit N messages until all are accepted; the token of FROM goes away
		// meanwhile and comes back.
		"token-away": {"N FROM TO", s.tokenAway},

		// N submissions, and a SIGKILL for each: as soon as the client has its 250; when
		// the mailbox store has said 250, before pec-milter hears it; likewise when the
		// queue has a notice.
		"crash-after-access": {"N FROM TO", s.crashAfterAccess},
		"crash-after-store":  {"N FROM TO [forgotten]", s.crashAfterStore},
		"crash-after-inject": {"N FROM TO", s.crashAfterInject},
		// N clients submit until they have a 250, and the MTA is killed meanwhile.
		"crash-mta": {"N FROM TO", s.crashMTA},
	}
}

// commands are the stories' commands in the form that testscript wants.
func (s *stage) commands() map[string]func(*testscript.TestScript, bool, []string) {
	commands := make(map[string]func(*testscript.TestScript, bool, []string))
	for name, c := range s.stories() {
		needed, _, _ := strings.Cut(c.usage, " [")
		commands[name] = func(ts *testscript.TestScript, neg bool, args []string) {
			if len(args) < len(strings.Fields(needed)) {
				ts.Fatalf("usage: %s %s", name, c.usage)
			}
			var out bytes.Buffer
			err := c.run(&out, ts, args)
			_, _ = ts.Stdout().Write(out.Bytes())
			switch {
			case neg && err == nil:
				ts.Fatalf("%s succeeded", name)
			case neg:
				_, _ = fmt.Fprintln(ts.Stderr(), err)
			default:
				ts.Check(err)
			}
		}
	}
	return commands
}

func (s *stage) provider(name string) (*Provider, error) {
	if p := s.world.Provider(name); p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("no provider %q", name)
}

// providerOf is the provider of an address.
func (s *stage) providerOf(address string) (*Provider, error) {
	name, _, _ := strings.Cut(pec.Domain(address), ".")
	return s.provider(name)
}

func (s *stage) users(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	for _, address := range args {
		adder := interface{ AddUsers(...string) error }(s.world.Ordinary)
		if p, err := s.providerOf(address); err == nil {
			adder = p
		}
		if err := adder.AddUsers(Local(address)); err != nil {
			return err
		}
	}
	return nil
}

// repetition is what a story writes for a text that repeats itself.
var repetition = regexp.MustCompile(`\{([^{}*]+)\*(\d+)\}`)

func repeat(written string) string {
	m := repetition.FindStringSubmatch(written)
	count, err := strconv.Atoi(m[2])
	if err != nil {
		return written
	}
	return strings.Repeat(strings.NewReplacer(`\n`, "\n", `\0`, "\x00").Replace(m[1]), count)
}

// readMail reads the arguments FILE FROM TO.
func readMail(ts *testscript.TestScript, user string, args []string) Mail {
	message := repetition.ReplaceAllStringFunc(ts.ReadFile(args[0]), repeat)
	message = strings.ReplaceAll(message, "{EICAR}", eicar)
	message = strings.ReplaceAll(message, "\n", "\r\n")
	return Mail{User: user, From: args[1], To: strings.Split(args[2], ","), Message: strings.NewReader(message)}
}

func (s *stage) flush(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	p, err := s.provider(args[0])
	if err != nil {
		return err
	}
	return p.Flush()
}

func (s *stage) daemon(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	p, err := s.provider(args[1])
	if err != nil {
		return err
	}
	switch args[0] {
	case "start":
		return p.StartDaemon()
	case "stop":
		return p.StopDaemon()
	case "kill":
		return p.KillDaemon()
	}
	return fmt.Errorf("no act %q", args[0])
}

func (s *stage) store(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	p, err := s.provider(args[1])
	if err != nil {
		return err
	}
	switch args[0] {
	case "start":
		return p.StartStore()
	case "stop":
		return p.StopStore()
	}
	return fmt.Errorf("no act %q", args[0])
}

func (s *stage) quota(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	p, err := s.providerOf(args[0])
	if err != nil {
		return err
	}
	bytes, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return err
	}
	return p.SetQuota(args[0], bytes)
}

func (s *stage) sieve(_ *bytes.Buffer, ts *testscript.TestScript, args []string) error {
	p, err := s.providerOf(args[0])
	if err != nil {
		return err
	}
	path := filepath.Join(p.home(Local(args[0])), ".dovecot.sieve")
	if err := os.WriteFile(path, []byte(ts.ReadFile(args[1])), 0o644); err != nil {
		return err
	}
	return giveTo("mail", path)
}

func (s *stage) variant(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	p, err := s.provider(args[0])
	if err != nil {
		return err
	}
	text, err := withTexts(p.ConfigFile(), args[2], args[3])
	if err != nil {
		return err
	}
	return os.WriteFile(p.daemonFile(args[1]), []byte(text), 0o644)
}

func (s *stage) secret(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	p, err := s.provider(args[0])
	if err != nil {
		return err
	}
	return os.WriteFile(p.daemonFile(args[1]), []byte(args[2]+"\n"), 0o600)
}

func (s *stage) pecMilter(out *bytes.Buffer, ts *testscript.TestScript, args []string) error {
	p, err := s.provider(args[0])
	if err != nil {
		return err
	}
	arguments := slices.Clone(args[1:])
	for i := range arguments {
		if arguments[i] == "CONFIG" {
			arguments[i] = p.ConfigFile()
		}
		if name, found := strings.CutPrefix(arguments[i], "CONFIG/"); found {
			arguments[i] = p.daemonFile(name)
		}
	}
	printed, err := p.Command(arguments...)
	out.Write(printed)
	return err
}

func (s *stage) peakMemory(out *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	p, err := s.provider(args[0])
	if err != nil {
		return err
	}
	limit, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return err
	}
	peak, err := p.PeakMemory()
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "pec-milter of %s: %.1f MB resident at most\n", p.Name, float64(peak)/1e6)
	fmt.Fprintf(out, "%d bytes\n", peak)
	if peak > limit*1e6 {
		return fmt.Errorf("pec-milter of %s had %d bytes resident, want at most %d", p.Name, peak, limit*1_000_000)
	}
	return nil
}
