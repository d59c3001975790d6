package pecmilter_test

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// ran tells where a command of the documents is run: the file, a test or what a test
// runs, has that text. Commands of pec-milter are another matter: TestDocumentedCommands
// in cmd/pec-milter.
type ran struct {
	command string // how it begins
	file    string
	text    string
}

const (
	steps     = "internal/integration/firststeps_test.go"
	contribs  = "internal/integration/contribcommands_test.go"
	engine    = "internal/integration/containerengine_test.go"
	compose   = "internal/integration/containers_test.go"
	sendmails = "Put it to use" // likewise, of contrib/sendmail
	systemd   = "systemd must be process 1: internal/integration/systemd_test.go judges the units, and activation.txtar plays its part"
	seeReadme = "From nothing to a receipt" // all commands below that heading
)

var commandsRan = []ran{
	{"make deb", steps, seeReadme},
	{"DEBIAN_FRONTEND=noninteractive apt-get install -y ", steps, seeReadme},
	{"contrib/debian/trial.sh ", steps, seeReadme},
	{"apt-get install --no-install-recommends sendmail-bin ", steps, sendmails},
	{"cp pec-milter.m4 ", steps, sendmails},
	{"cp sendmail.mc ", steps, sendmails},
	{"echo 'TLS_Rcpt:", steps, sendmails},
	{"mkdir -p /etc/sasl2", steps, sendmails},
	{"printf '%s\\n' 'pwcheck_method: auxprop'", steps, sendmails},
	{"saslpasswd2 -c -u ", steps, sendmails},
	{"chmod 600 /etc/sasldb2", steps, sendmails},
	{"sed -i -e 's,unix:/var/spool/postfix/pec-milter/,", steps, sendmails},
	{"make -C /etc/mail", steps, sendmails},
	{"docker compose -f contrib/docker/compose.yml ", compose, `"docker", "README.md"`},
	{"mmdebstrap --variant=apt bookworm", engine, "mmdebstrap"},
	{"make static", "internal/integration/static_test.go", `"make", "static"`},
	{"install -d /etc/dovecot", contribs, `"contrib/dovecot"`},
	{"install -m ", contribs, `"contrib/dovecot"`},
	{"echo '!include ", contribs, `"contrib/dovecot"`},
	{"sievec ", contribs, `"contrib/dovecot"`},
	{"doveconf -n", contribs, `"contrib/dovecot"`},
	{"./pec-milter-postfix.sh ", contribs, `"contrib/postfix"`},
	{"contrib/postfix/pec-milter-postfix.sh apply", "internal/integration/contrib_test.go", `"contrib", "postfix", "pec-milter-postfix.sh"`},
	{"postfix reload", contribs, `"contrib/postfix"`},
	{"chown pec-milter:pec-milter /var/spool/postfix/pec-milter", contribs, `"contrib/postfix"`},
	{"chmod 750", contribs, `"contrib/postfix"`},
	{"adduser ", contribs, "adduser"},
	{"install -d -m ", contribs, "install -d -m"},
	{"systemd-tmpfiles --create", "contrib/debian/postinst", "systemd-tmpfiles --create"},
	{"systemd-analyze security", "internal/integration/systemd_test.go", `"systemd-analyze", "security"`},
	{"postqueue -f", "internal/integration/postfix.go", `"postqueue", "-c", s.postfixDir(), "-f"`},
	{"postqueue -p", contribs, "postqueue -p"},
	{"psql -X -v ON_ERROR_STOP=1 -f contrib/postgresql/pec-milter.sql", "internal/testpostgres/testpostgres.go", "pec-milter.sql"},
	{"promtool test rules pec-milter.test.yml", "internal/metrics/contrib_test.go", `"test", "rules", "pec-milter.test.yml"`},
	{"softhsm2-util --init-token --free", "internal/integration/provider.go", `"softhsm2-util", "--init-token", "--free"`},
	{"sh verify.sh", "internal/testevidence/testevidence.go", "verify.sh"},
	{"go test -bench ", "pec/cost_test.go", "func BenchmarkMessage"},
	{"go build -tags faults ", "Makefile", "faults"},
	{"go doc ./pec", "pec/example_test.go", "package pec_test"},
}

// commandsNotRan are run by no test, for that reason.
var commandsNotRan = map[string]string{
	"systemctl ": systemd,
	"chattr +a":  "the file system of a test need not know it",

	"apt-get install mmdebstrap": "contrib/debian/setup.sh installs it",
}

// programs begin what is a command in a code span; in a block of its own everything is.
var programs = regexp.MustCompile(`^(make|apt-get|adduser|chown|chmod|chattr|install|systemctl|systemd-\w+|postfix|postqueue|psql|softhsm2-util|promtool|sievec|doveconf|sh|go|\./\S+\.sh|contrib/\S+\.sh) \S`)

// documentedCommands gives the commands of the documents, with where they stand; those of
// pec-milter left out.
func documentedCommands(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, pattern := range []string{"README*.md", "docs/*.md", "docs/man/*.md", "contrib/*/README.md"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, no files", pattern, err)
		}
		for _, file := range files {
			for _, command := range slices.Concat(blockCommands(read(t, file)), spanCommands(prose(t, file))) {
				if !strings.HasPrefix(command, "pec-milter ") {
					found[command] = file
				}
			}
		}
	}
	return found
}

// blockCommands are the lines of the fenced blocks that have no language; what "make"
// does stands behind some.
func blockCommands(text string) (commands []string) {
	inside, ours := false, false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch fence, isFence := strings.CutPrefix(line, "```"); {
		case isFence:
			inside, ours = !inside, fence == ""
		case inside && ours:
			command, _, _ := strings.Cut(line, "    ")
			commands = append(commands, strings.Split(regexp.MustCompile(`^(make \S+) {2,}.*`).ReplaceAllString(command, "$1"), " && ")...)
		}
	}
	return commands
}

func spanCommands(text string) (commands []string) {
	for _, m := range codeSpan.FindAllStringSubmatch(text, -1) {
		if programs.MatchString(m[1]) {
			commands = append(commands, m[1])
		}
	}
	return commands
}

// TestEveryCommandIsRun: each command of the documents is run by a test, or it is said why
// none does. The targets of make are there at least.
func TestEveryCommandIsRun(t *testing.T) {
	used := map[string]bool{}
	documented := documentedCommands(t)
	for command, file := range documented {
		if strings.HasPrefix(command, "make ") && !strings.HasPrefix(command, "make -C ") {
			checkTarget(t, file, command)
		}
		if by := ranBy(command); by != nil {
			used[by.command] = true
			continue
		}
		why := ""
		for begin := range commandsNotRan {
			if strings.HasPrefix(command, begin) {
				why, used[begin] = begin, true
			}
		}
		if why == "" && !strings.HasPrefix(command, "make ") {
			t.Errorf("%s: no test runs %q: write one, and name it in commandsRan", file, command)
		}
	}
	for _, r := range commandsRan {
		if !strings.Contains(read(t, r.file), r.text) {
			t.Errorf("%s does not have %q, which is said to run %q", r.file, r.text, r.command)
		}
		if !used[r.command] {
			t.Errorf("no document has a command %q any more", r.command)
		}
	}
	for begin := range commandsNotRan {
		if !used[begin] {
			t.Errorf("no document has a command %q any more", begin)
		}
	}
	if len(documented) < 40 {
		t.Errorf("%d commands found, want all", len(documented))
	}
}

func ranBy(command string) *ran {
	for _, r := range commandsRan {
		if strings.HasPrefix(command, r.command) {
			return &r
		}
	}
	return nil
}

// checkTarget: make knows it. What it does takes too long for a test, but for those that
// commandsRan names.
func checkTarget(t *testing.T, file, command string) {
	t.Helper()
	words := strings.Fields(command)
	if out, err := exec.Command(words[0], append([]string{"--dry-run"}, words[1:]...)...).CombinedOutput(); err != nil {
		t.Errorf("%s: %s: %v\n%s", file, command, err, out)
	}
}

// TestItalianCommands: README.it.md has the commands of README.md.
func TestItalianCommands(t *testing.T) {
	names := strings.NewReplacer("messaggio.eml", "message.eml", "DOMINIO", "DOMAIN")
	english, italian := blockCommands(read(t, "README.md")), blockCommands(names.Replace(read(t, "README.it.md")))
	if len(english) < 10 || !slices.Equal(english, italian) {
		t.Errorf("README.md has the commands %q, README.it.md %q", english, italian)
	}
}
