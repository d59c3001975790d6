//go:build integration

package integration

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pec-milter/pec-milter/internal/testpki"
)

const (
	composeFile = "docker compose -f contrib/docker/compose.yml"
	composeTCP  = composeFile + " -f contrib/docker/compose.tcp.yml"
)

// TestContainers: contrib/docker on a real engine. make test has no time for ten images: there
// pec-milter is alone.
func TestContainers(t *testing.T) {
	c := newComposed(t)
	commands := c.readme("From a clone to a verified receipt")
	if allContainers {
		c.twoProviders(commands)
	} else {
		c.sidecarAlone(commands)
	}
}

// twoProviders does what contrib/docker/README.md says, command by command: builds the
// images, starts two providers, and has a letter go from one to the other. Then it looks
// at what the containers may do, and what the images have; it kills a pec-milter under
// load, does what an operator does, and goes on with the doors on TCP.
func (c *composed) twoProviders(commands []string) {
	for _, line := range commands {
		c.run(line)
	}
	c.checkLetters()
	c.checkConfinement(services()...)
	c.checkToken("alfa", "beta")
	c.checkContext()
	c.killUnderLoad()
	c.checkOperation()
	c.run(composeTCP + " up --detach")
	c.checkDoors()
	if err := os.RemoveAll(filepath.Join(c.keys, "mail")); err != nil {
		c.t.Fatal(err)
	}
	c.run(composeTCP + " run --rm trial letter")
	c.checkLetters()
	c.checkConfinement(services()...)
}

// sidecarAlone builds pec-milter's image and runs the sidecar of compose.yml without the
// servers around it, on SQLite: the engine finds it healthy, also after it was killed; it
// is confined, and SoftHSM signs inside.
func (c *composed) sidecarAlone(commands []string) {
	const sidecar = "alfa-pec-milter"
	c.run(commands[0])
	c.run(commands[1] + " alfa-host " + sidecar + " trial")
	c.run(commands[2])
	c.standAlone()
	c.run(commands[3] + " --no-deps alfa-host " + sidecar)
	c.checkConfinement("alfa-host", sidecar)
	c.checkToken("alfa")
	c.checkContext()
	if err := c.killOnce(sidecar, func() error { return nil }); err != nil {
		c.t.Fatal(err)
	}
	c.waitHealthy(sidecar)
}

// standAlone takes out of a configuration what needs other servers.
func (c *composed) standAlone() {
	c.t.Helper()
	path := filepath.Join(c.keys, "alfa", "pec-milter", "pec-milter.toml")
	text, err := os.ReadFile(path)
	if err != nil {
		c.t.Fatal(err)
	}
	var kept []string
	for _, table := range strings.Split(strings.Replace(string(text), `"clamd"`, `"none"`, 1), "\n[") {
		name, _, _ := strings.Cut(table, "]")
		if !slices.Contains([]string{"clamd", "quarantine", "directory_mirror", "redis", "postgresql"}, name) {
			kept = append(kept, table)
		}
	}
	if err := replaceFile(path, strings.Join(kept, "\n[")+"\n"); err != nil {
		c.t.Fatal(err)
	}
}

// newComposed prepares a project of the test's own, all of which is removed at the end.
func newComposed(t *testing.T) *composed {
	t.Helper()
	c := &composed{engine: startEngine(t), t: t, repository: repositoryDir(t), keys: filepath.Join(t.TempDir(), "keys")}
	c.compose = c.composer(t)
	c.project = fmt.Sprintf("pectest%d", os.Getpid())
	base := c.base(t, c.project+"/debian", c.readme("Where no registry is reached")[0])
	c.prepareWorld()
	sites := c.world.Providers
	c.variables = []string{
		"COMPOSE_PROJECT_NAME=" + c.project, "PEC_IMAGES=" + c.project, "PEC_BASE=" + base, "PEC_BUILD_NETWORK=host",
		"PEC_DIR=" + c.keys,
		fmt.Sprint("PEC_ALFA_SUBMISSION=", sites[0].Ports.Submission), fmt.Sprint("PEC_ALFA_IMAPS=", sites[0].Ports.IMAPS),
		fmt.Sprint("PEC_BETA_SUBMISSION=", sites[1].Ports.Submission), fmt.Sprint("PEC_BETA_IMAPS=", sites[1].Ports.IMAPS),
		"PEC_ALFA_USERS=" + strings.Join(loadUsers(), " "), "PEC_BETA_USERS=" + loadRecipient,
	}
	t.Cleanup(c.down)
	return c
}

// down removes containers, volumes, networks and images.
func (c *composed) down() {
	if c.t.Failed() {
		c.saveLogs()
	}
	c.run(composeFile + " --profile trial down --volumes --remove-orphans --timeout 5")
	// By their names: one that others begin with goes with the last of them.
	images, err := c.docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "--filter", "reference="+c.project+"/*")
	if err == nil && images != "" {
		_, err = c.docker(append([]string{"image", "rm"}, strings.Fields(images)...)...)
	}
	if err != nil {
		c.t.Error(err)
	}
}

// saveLogs keeps what all containers have logged.
func (c *composed) saveLogs() {
	dir := filepath.Join(c.repository, "build", "containers")
	err := os.MkdirAll(dir, 0o755)
	ids, err2 := c.docker("ps", "--all", "--quiet", "--filter", "label=com.docker.compose.project="+c.project)
	err = errors.Join(err, err2)
	for id := range strings.FieldsSeq(ids) {
		name, err2 := c.docker("inspect", "--format", "{{.Name}}", id)
		log, err3 := run(c.environment, "docker", "logs", "--timestamps", id)
		err = errors.Join(err, err2, err3, os.WriteFile(filepath.Join(dir, filepath.Base(name)+".log"), log, 0o644))
	}
	c.t.Logf("the logs of all containers are in %s (%v)", dir, err)
}

// readme gives the commands of a section of contrib/docker/README.md, one for each line of its
// first block.
func (c *composed) readme(section string) []string {
	c.t.Helper()
	text, err := os.ReadFile(filepath.Join(c.repository, "contrib", "docker", "README.md"))
	if err != nil {
		c.t.Fatal(err)
	}
	_, text2, found := strings.Cut(string(text), "\n## "+section+"\n")
	_, block, fenced := strings.Cut(text2, "\n```\n")
	block, _, closed := strings.Cut(block, "\n```\n")
	commands := strings.Split(block, "\n")
	if !found || !fenced || !closed || len(commands) > 5 {
		c.t.Fatalf("contrib/docker/README.md, %s: got the commands %q, want five at most", section, commands)
	}
	return commands
}

// prepareWorld makes the two providers as the harness's clients and oracle know them: each with
// its ports, and mailboxes that are copied here.
func (c *composed) prepareWorld() {
	c.t.Helper()
	c.world = &World{Dir: c.t.TempDir(), options: Options{Binary: c.programOf()}}
	for _, name := range []string{"alfa", "beta"} {
		p := newProvider(newSite(c.world, name, false))
		for _, port := range []*int{&p.Ports.Submission, &p.Ports.IMAPS} {
			var err error
			if *port, err = FreePort(); err != nil {
				c.t.Fatal(err)
			}
		}
		c.world.Providers = append(c.world.Providers, p)
	}
	c.world.Ordinary = newSite(c.world, "ordinary", true) // nobody is there
	client := filepath.Join(c.keys, "client")
	if err := os.MkdirAll(client, 0o755); err != nil {
		c.t.Fatal(err)
	}
	// The password that the clients of the harness have.
	if err := os.WriteFile(filepath.Join(client, "password"), []byte(Password+"\n"), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// programOf makes what stands in for the program pec-milter: it runs that in the container of
// the provider whose configuration it is given, as its last argument.
func (c *composed) programOf() string {
	path := filepath.Join(c.t.TempDir(), "pec-milter")
	script := "#!/bin/sh -eu\n"
	for _, variable := range c.environment {
		script += "export " + variable + "\n"
	}
	script += fmt.Sprintf(`for last; do :; done
provider=$(basename "$(dirname "$(dirname "$last")")")
id=$(docker ps --quiet --filter label=com.docker.compose.project=%s --filter label=com.docker.compose.service=$provider-pec-milter)
exec docker exec $id pec-milter "$1" "$2" --config /etc/pec-milter/pec-milter.toml
`, c.project)
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		c.t.Fatal(err)
	}
	return path
}

// trustServers has the clients know the authority of the trial, once it is made.
func (c *composed) trustServers() {
	c.t.Helper()
	text, err := os.ReadFile(filepath.Join(c.keys, "client", "ca.pem"))
	if err != nil {
		c.t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		c.t.Fatalf("no certificate in %q", text)
	}
	authority, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		c.t.Fatal(err)
	}
	c.world.authorities = &authorities{tls: &testpki.Authority{Credential: testpki.Credential{Chain: []*x509.Certificate{authority}}}}
}

// checkLetters: the messages that the trial has left are what is due, and openssl of this
// machine takes each for genuine.
func (c *composed) checkLetters() {
	c.t.Helper()
	for _, name := range []string{"accettazione", "posta-certificata", "presa-in-carico", "avvenuta-consegna"} {
		path := filepath.Join(c.keys, "mail", name+".eml")
		if _, err := run(nil, "openssl", "cms", "-verify", "-in", path, "-CAfile", filepath.Join(c.keys, "client", "roots", "root.pem"), "-out", os.DevNull); err != nil {
			c.t.Errorf("%s: %v", name, err)
		}
		if text, err := os.ReadFile(path); err != nil || !strings.Contains(string(text), name) {
			c.t.Errorf("%s does not say so (%v):\n%s", path, err, text)
		}
	}
}

// waitHealthy waits until the engine says so of a service.
func (c *composed) waitHealthy(service string) {
	c.t.Helper()
	err := waitFor(service+" healthy", patience, func() error {
		id, err := c.id(service)
		if err != nil {
			return err
		}
		health, err := c.docker("inspect", "--format", "{{.State.Health.Status}}", id)
		if err == nil && health != "healthy" {
			err = errors.New(health)
		}
		return err
	})
	if err != nil {
		c.t.Error(err)
	}
}

const loadClients = 4

// loadRecipient is who gets the letters of the load, at beta.
const loadRecipient = "kill-r"

// loadUsers are the senders of the load, and a colleague who gets its letters too.
func loadUsers() []string {
	users := []string{"kill-c"}
	for client := range loadClients {
		users = append(users, fmt.Sprintf("kill-s%d", client))
	}
	return users
}
