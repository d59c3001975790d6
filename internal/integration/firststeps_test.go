//go:build integration

package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFirstSteps follows the README, command by command, from a clone to a delivery
// receipt that is verified, in a copy of this system that is thrown away.
func TestFirstSteps(t *testing.T) {
	needs(t, "go", "dpkg-deb", "go-md2man", "strip", "postconf", "doveconf", "sievec", "ip", "unshare")
	firstSteps(t, "\n## From nothing to a receipt\n", "", "")
}

// TestFirstStepsSendmail does the same with Sendmail, and then follows contrib/sendmail, word
// by word. The copy has no network: apt finds the packages where it would have left them.
func TestFirstStepsSendmail(t *testing.T) {
	needs(t, "go", "dpkg-deb", "go-md2man", "strip", "saslpasswd2", "doveconf", "sievec", "ip", "unshare")
	contrib := filepath.Join("contrib", "sendmail")
	page := strings.Join(commandBlocks(t, filepath.Join(contrib, "README.md"), "\n## Put it to use\n"), "")
	firstSteps(t, "\n### The same with Sendmail\n", "cp /var/cache/pec-milter-test/packages/*.deb /var/cache/apt/archives\n",
		"cd "+contrib+"\n"+beforePage+page)
}

// beforePage is what contrib/sendmail takes for granted: the certificate, and somebody who
// types a password.
const beforePage = `
install -m 600 /etc/pec-milter/server.key /etc/pec-milter/server.pem /etc/mail/tls
saslpasswd2() { echo secret | command saslpasswd2 -p "$@"; }
`

// firstSteps follows the commands below a heading of the README, with others before and
// behind.
func firstSteps(t *testing.T, heading, before, behind string) {
	t.Helper()
	block := commandBlock(t, "README.md", heading)
	if commands := strings.Count(block, "\n"); commands < 3 || commands > 5 {
		t.Errorf("README.md, %s: %d commands, want 3 to 5: %s", heading, commands, block)
	}
	for _, name := range dovecotPackages(t) { // this system has them all, a bare one does not
		if !strings.Contains(block, " "+name) {
			t.Errorf("README.md does not install %s, which contrib/dovecot needs", name)
		}
	}
	packaged(t) // so that the copy need not compile all of it
	said := runSteps(t, before+block+"grep X-Ricevuta: receipt.eml\n"+behind)
	for _, want := range []string{"X-Ricevuta: avvenuta-consegna", "receipt.eml: genuine\n"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not said: the last command has not verified a delivery receipt:\n%s", want, said)
		}
	}
}

// dovecotPackages are those that contrib/dovecot/README.md names.
func dovecotPackages(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repositoryDir(t), "contrib", "dovecot", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(text), "\nPackages: ")
	list, _, found := strings.Cut(list, ".\n")
	if !found {
		t.Fatal("contrib/dovecot/README.md does not say which packages it needs")
	}
	return strings.Split(list, ", ")
}

// commandBlock is the first block of commands below a heading of a document.
func commandBlock(t *testing.T, document, heading string) string {
	t.Helper()
	return commandBlocks(t, document, heading)[0]
}

// commandBlocks are all of them, up to the next heading of that rank.
func commandBlocks(t *testing.T, document, heading string) (blocks []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repositoryDir(t), document))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), heading)
	section, _, _ = strings.Cut(section, "\n"+heading[:strings.LastIndex(heading, "#")+1]+" ")
	block, fence := "", "" // that the line is in
	for line := range strings.Lines(section) {
		line = strings.TrimSpace(line)
		switch {
		case fence == "```" && line == fence:
			blocks, block, fence = append(blocks, block), "", ""
		case fence == "```":
			block += line + "\n"
		case fence != "" && line == "```":
			fence = "" // a block of another kind, as "```text"
		case fence == "" && strings.HasPrefix(line, "```"):
			fence = line
		}
	}
	if blocks == nil {
		t.Fatalf("%s has no commands below %q", document, heading)
	}
	return blocks
}

// runSteps runs commands in a copy of this system, in the repository, and gives what
// they print.
func runSteps(t *testing.T, commands string) string {
	t.Helper()
	script := filepath.Join(t.TempDir(), "commands")
	if err := os.WriteFile(script, []byte(commands), 0o644); err != nil {
		t.Fatal(err)
	}
	steps, err := filepath.Abs(filepath.Join("testdata", "firststeps.sh"))
	if err != nil {
		t.Fatal(err)
	}
	return inRepository(t, "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "sh", steps, repositoryDir(t), script)
}
