//go:build integration

package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestContribCommands follows contrib/dovecot and contrib/postfix, and what docs/operations.md
// has of commands before them, word by word, in a copy of this system that is thrown
// away. No systemd runs there: "systemctl" sees that the units are there.
func TestContribCommands(t *testing.T) {
	needs(t, "postconf", "doveconf", "sievec", "adduser", "ip", "unshare")
	var script strings.Builder
	script.WriteString(beforeContrib)
	for _, command := range operationsCommands(t) {
		script.WriteString(command + "\n")
	}
	for _, part := range []string{"contrib/dovecot", "contrib/postfix"} {
		script.WriteString("cd " + filepath.Join(repositoryDir(t), part) + "\n" + commandBlock(t, part+"/README.md", "\n## Put it to use\n"))
	}
	script.WriteString(afterContrib)
	said := runSteps(t, script.String())
	for _, want := range []string{"sieve_execute_bin_dir = /etc/dovecot/pec-milter/bin", "unix:pec-milter/access.sock", "postfix : postfix pec-milter", "Mail queue is empty"} {
		if !strings.Contains(said, want) {
			t.Errorf("after all commands, %q is not said:\n%s", want, said)
		}
	}
}

// beforeContrib is what the documents take for granted: a Postfix with a certificate, that
// runs, and the program.
const beforeContrib = `
cp /usr/share/postfix/main.cf.debian /etc/postfix/main.cf
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -subj /CN=mx.alfa.example -keyout /etc/postfix/tls.key -out /etc/postfix/tls.pem
postconf -e maillog_file=/var/log/mail.log mydestination=localhost 'smtpd_tls_chain_files=/etc/postfix/tls.key, /etc/postfix/tls.pem'
echo 'beta.example secure match=mx.beta.example' >/etc/postfix/pec-milter-tls-policy
mkdir -p /var/lib/pec-milter
service postfix start
dovecot
`

const afterContrib = `
doveconf -n
postconf -P
groups postfix
postqueue -p
`

// operationsCommands are those of docs/operations.md that make user and directories.
func operationsCommands(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repositoryDir(t), "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	spans := strings.Split(string(text), "`")
	var commands []string
	for n := 1; n < len(spans); n += 2 {
		if strings.HasPrefix(spans[n], "adduser --system ") || strings.HasPrefix(spans[n], "install -d -m ") {
			commands = append(commands, spans[n])
		}
	}
	if len(commands) < 3 {
		t.Fatalf("docs/operations.md has the commands %q, want those that make the user and two directories", commands)
	}
	return commands
}
